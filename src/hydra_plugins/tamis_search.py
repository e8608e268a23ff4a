"""``hydra/sweeper=study``: hands a search to ``tamis.sweeps.search``."""

from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from tamis.sweeps.search.settings import SearchSettings, require_optuna


class SearchSweeper(SearchSettings, Sweeper):
    """The settings of a search, and what Hydra gives a sweeper."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before ``sweep``."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; ``arguments`` are the overrides that were typed."""
        require_optuna()
        from tamis.sweeps.search.run import run_search

        context = cast(HydraContext, self.hydra_context)
        parser = OverridesParser.create(config_loader=context.config_loader)
        run_search(self, arguments, parser, cast(DictConfig, self.config), cast(Launcher, self.launcher))
