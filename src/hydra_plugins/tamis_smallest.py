"""``hydra/sweeper=smallest``: hands a search for the smallest set to ``tamis.sweeps.smallest``."""

from collections.abc import Sequence
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SmallestSweeper(Sweeper):
    """The settings of ``tamis.sweeps.smallest.Smallest``, and what Hydra gives a sweeper."""

    def __init__(
        self,
        within: float,
        errors: Sequence[str],
        pruners: Sequence[str],
        splits: int,
        resolution: float,
        retry_failed: bool,
        dry_run: bool,
        measured: Sequence[str] | None,
    ) -> None:
        self.settings: dict[str, Any] = {
            "within": within,
            "errors": errors,
            "pruners": pruners,
            "splits": splits,
            "resolution": resolution,
            "retry_failed": retry_failed,
            "dry_run": dry_run,
            "measured": measured or (),
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before ``sweep``."""
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; ``arguments`` are the overrides that were typed."""
        from tamis.sweeps.smallest import Smallest

        parser = OverridesParser.create(config_loader=self.context.config_loader)
        search = Smallest(**self.settings)
        search.run(
            cast(DictConfig, self.config), cast(Launcher, self.launcher), parser.parse_overrides(arguments)
        )
