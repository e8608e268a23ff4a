"""Hydra's end of grids and plans; what they do is in ``tamis.sweeps.grid``."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs the product of what was typed, or the blocks of a plan (``tamis.sweeps.grid.Grid`` has the parameters)."""

    def __init__(
        self,
        params: Mapping[str, Any] | None,
        together: Sequence[Mapping[str, Any]] | None,
        blocks: Sequence[str] | None,
        retry_failed: bool,
        dry_run: bool,
        measured: Sequence[str] | None,
    ) -> None:
        self.settings: dict[str, Any] = {
            "params": params or {},
            "together": together or (),
            "blocks": blocks or (),
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
        """Run all trials; ``arguments`` are the overrides that were typed."""
        from tamis.sweeps.grid import Grid
        from tamis.sweeps.overrides import lines_of

        parser = OverridesParser.create(config_loader=self.context.config_loader)
        grid = Grid(**self.settings)
        given = parser.parse_overrides(lines_of(grid.params))
        grid.run(
            cast(DictConfig, self.config),
            cast(Launcher, self.launcher),
            given,
            parser.parse_overrides(arguments),
        )
