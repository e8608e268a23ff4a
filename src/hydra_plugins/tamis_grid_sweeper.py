"""The product of what the command line lists, as Hydra's own sweeper makes it, with two additions."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from tamis.core.secrets import redacted


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper for planned designs and long sweeps.

    A full product is not what most designs are: ``together`` lists overrides that belong together, and the product is
    taken with that list. Naming one of its keys on the command line puts the list aside.

    Before the first job begins, one job of each kind is composed, instead of every job. Composing takes a tenth of a
    second, and a job is composed again when it starts: over a thousand jobs the check alone takes minutes. Whether a
    job can be composed depends on the choices of its groups and on the names of the values that it sets, not on the
    values: a thousand seeds are jobs of one kind.

    Parameters
    ----------
    max_batch_size : jobs handed to the launcher at a time; None: all.
    params : overrides that every sweep has, key -> list of values as on the command line.
    together : each entry (key -> value) becomes one set of overrides.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: Mapping[str, Any] | None = None,
        together: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, None if params is None else dict(params))
        self.together = [dict(entry) for entry in together or ()]

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; what Hydra saves of the configuration (multirun.yaml) holds no secrets."""
        # the launcher has the configuration already; from here on this one is saved, and jobs are checked with it
        config = cast(DictConfig, self.config)  # set by setup
        plain = OmegaConf.to_container(config, resolve=False)
        hidden = OmegaConf.create(redacted(plain), flags={"allow_objects": True})
        OmegaConf.copy_cache(from_config=config, to_config=hidden)  # the same now: one folder, not two
        OmegaConf.set_readonly(hidden, True)
        self.config = hidden
        return super().sweep(arguments)

    def split_arguments(  # type: ignore[override] # Hydra has it without self, and calls it on self
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """Batches of jobs, each a list of overrides.

        Raises
        ------
        HydraException : a range, which only a search can draw from.
        """
        for override in overrides:
            if override.is_interval_sweep():
                raise HydraException(
                    f"{override.input_line} is a range, from which only a search draws values; add hydra/sweeper=study "
                    "hydra.sweeper.n_trials=<number>, or list values: "
                    f"{override.get_key_element()}=<value>,<value>"
                )
        (jobs,) = super().split_arguments(overrides, None)
        typed = {override.get_key_element() for override in overrides}
        together = [] if typed & {key for entry in self.together for key in entry} else self.together
        sets = [[f"{key}={value}" for key, value in entry.items()] for entry in together] or [[]]
        jobs = [[*job, *more] for job in jobs for more in sets]
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose one job of each kind; raises Hydra's error for what cannot be composed."""
        groups = set(cast(DictConfig, self.config).hydra.runtime.choices)
        kinds = {tuple(_kind(override, groups) for override in job): job for job in reversed(batch)}
        super().validate_batch_is_legal(list(kinds.values()))


def _kind(override: str, groups: set[str]) -> str:
    """An override without its value, where that is the value of a key that exists already."""
    key = override.partition("=")[0]
    return override if key in groups or key.startswith(("+", "~")) else key
