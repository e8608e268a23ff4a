"""The sweeper checks one job of each kind before the first begins."""

from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_class

from tamis.core.conf_folder import config_folder


class Counting(ConfigLoaderImpl):
    composed = 0

    def load_sweep_config(self, *args, **more):
        self.composed += 1
        return super().load_sweep_config(*args, **more)


@pytest.fixture
def sweeper():
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        master = compose("config", return_hydra_config=True)
    loader = Counting(create_config_search_path(f"file://{config_folder()}"))
    assert loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    # looked up now: Hydra imports its plugins again when it scans for them
    sweeper = get_class("hydra_plugins.tamis_grid_sweeper.GridSweeper")(max_batch_size=None)
    sweeper.config, sweeper.hydra_context = master, SimpleNamespace(config_loader=loader)
    return sweeper


def checked(sweeper, *jobs: list[str]) -> int:
    sweeper.validate_batch_is_legal(list(jobs))
    return sweeper.hydra_context.config_loader.composed


def test_a_thousand_seeds_are_one_kind(sweeper):
    assert checked(sweeper, *(["model=ace", f"seed.split={i}"] for i in range(1000))) == 1


def test_each_choice_is_checked(sweeper):
    assert (
        checked(sweeper, *([f"model={m}", f"seed.fit={i}"] for m in ("ace", "snap") for i in range(3))) == 2
    )


@pytest.mark.parametrize("wrong", ["pruner=cruz", "seed.spilt=2", "+seed.split=2"])
def test_what_cannot_be_composed_is_told_before_the_first_job(sweeper, wrong):
    with pytest.raises(HydraException):
        checked(sweeper, ["pruner=fps", "seed.split=1"], [wrong.replace("2", "1")], [wrong])


TOGETHER = [{"pruner": "random", "descriptor": "none"}, {"pruner": "fps", "descriptor": "ace"}]


def jobs(typed: list[str], max_batch_size: int | None = None) -> list:
    sweeper = get_class("hydra_plugins.tamis_grid_sweeper.GridSweeper")(max_batch_size, together=TOGETHER)
    return sweeper.split_arguments(OverridesParser.create().parse_overrides(typed), max_batch_size)


def test_what_belongs_together_stays_together():
    assert jobs(["model=ace,snap"]) == [
        [
            [f"model={model}", *more]
            for model in ("ace", "snap")
            for more in (["pruner=random", "descriptor=none"], ["pruner=fps", "descriptor=ace"])
        ]
    ]


def test_batches_are_of_the_asked_size():
    assert [len(batch) for batch in jobs(["seed.fit=range(3)"], 4)] == [4, 2]


def test_the_command_line_puts_the_list_aside():
    assert jobs(["descriptor=soap,snap"]) == [[["descriptor=soap"], ["descriptor=snap"]]]
