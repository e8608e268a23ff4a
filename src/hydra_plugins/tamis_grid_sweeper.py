"""The product of what the command line lists, as Hydra's own sweeper makes it, with a shorter start."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper, which checks one job of each kind before the first begins, instead of every job.

    Composing a configuration takes a tenth of a second, and a job is composed again when it starts: over a thousand
    jobs the check alone takes minutes. Whether a job can be composed depends on the choices of its groups and on the
    names of the values that it sets, not on the values: a thousand seeds are jobs of one kind.
    """

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose one job of each kind; raises Hydra's error for what cannot be composed."""
        assert self.config is not None
        groups = set(self.config.hydra.runtime.choices)
        kinds = {tuple(_kind(override, groups) for override in job): job for job in reversed(batch)}
        super().validate_batch_is_legal(list(kinds.values()))


def _kind(override: str, groups: set[str]) -> str:
    """An override without its value, where that is the value of a key that exists already."""
    key = override.partition("=")[0]
    return override if key in groups or key.startswith(("+", "~")) else key
