"""What ``hydra/launcher=slurm`` sets: how much of a cluster a trial gets, and how often it is tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest

GROUP = "hydra.launcher"


@dataclass(frozen=True)
class Resources:
    """Of one task: cores, memory in GB, and the time after which Slurm ends it in minutes."""

    cpus_per_task: int
    mem_gb: float
    timeout_min: int

    def __str__(self) -> str:
        return f"{self.cpus_per_task} cores, {self.mem_gb:g} GB, {self.timeout_min} min"

    def but(self, given: Mapping[str, Any], where: str) -> Resources:
        """These, where ``given`` does not say otherwise.

        Raises
        ------
        TamisError : a key or a number that no resource has; ``where`` is its name.
        """
        names = [one.name for one in fields(self)]
        for name, value in given.items():
            if name not in names:
                raise TamisError(
                    f"{where}.{name} is no resource; {suggest(name, names)}it has {', '.join(names)}"
                )
            check_number(f"{where}.{name}", value, 1e-3 if name == "mem_gb" else 1, whole=name != "mem_gb")
        return replace(self, **given)


@dataclass(frozen=True)
class Slurm:
    """A group's way to use its cluster; the fields are those of ``conf/hydra/launcher/slurm.yaml``.

    partition, account, qos, constraint: as for sbatch; None: the cluster's default.
    default: what a task gets. resources: entries {when: {key: value or values}, ...}: what it gets where all of
    ``when`` holds for its trials; of several entries, the last one that says it counts. rows: what the first stage
    gets, on top of the default; None: there is none.
    trials_per_task: trials that a task runs, on ``cpus_per_task`` cores. array_parallelism: tasks at a time.
    attempts: how often a trial is begun whose job is killed or runs out of time or memory.
    max_num_timeout: how often a task that runs out of time goes back to the queue by itself.
    signal_delay_s: seconds before the time limit at which it does. poll_s: seconds between two looks at the queue.
    setup: shell commands before the program. additional_parameters: further options of sbatch.
    """

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    default: Resources
    resources: Sequence[Mapping[str, Any]] = field(default=())
    rows: Mapping[str, Any] | None = None
    trials_per_task: int = 10
    array_parallelism: int = 256
    attempts: int = 3
    max_num_timeout: int = 5
    signal_delay_s: int = 60
    poll_s: float = 10.0
    setup: Sequence[str] = ()
    additional_parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Resources(1, 1, 1).but(
            {one.name: getattr(self.default, one.name) for one in fields(Resources)}, GROUP
        )
        for name in ("trials_per_task", "array_parallelism", "attempts"):
            check_number(f"{GROUP}.{name}", getattr(self, name), 1)
        for name in ("max_num_timeout", "signal_delay_s"):
            check_number(f"{GROUP}.{name}", getattr(self, name), 0)
        check_number(f"{GROUP}.poll_s", self.poll_s, 0.1, whole=False)
        if isinstance(self.setup, str) or not all(isinstance(line, str) for line in self.setup):
            raise TamisError(
                f'{GROUP}.setup is {self.setup!r}; write a list: setup=["module load gcc"], an entry a line'
            )
        least = [self.default]
        if self.rows is not None:
            least.append(self.default.but(self.rows, f"{GROUP}.rows"))
        for number, entry in enumerate(self.resources):
            where = f"{GROUP}.resources[{number}]"
            if not isinstance(entry, Mapping) or not isinstance(entry.get("when"), Mapping):
                raise TamisError(f"{where} is {entry!r}; write {{when: {{model: gap}}, mem_gb: 8}}")
            least.append(
                self.default.but({key: value for key, value in entry.items() if key != "when"}, where)
            )
        if self.signal_delay_s >= 60 * (limit := min(one.timeout_min for one in least)):
            raise TamisError(
                f"{GROUP}.signal_delay_s is {self.signal_delay_s}, and a task may have no more than {limit} min; it "
                "must be less, or no task ever does anything"
            )

    @property
    def of_rows(self) -> Resources | None:
        """What the first stage gets."""
        return None if self.rows is None else self.default.but(self.rows, f"{GROUP}.rows")

    def of(self, config: Mapping[str, Any]) -> Resources:
        """What a trial gets, by its configuration with the choices."""
        found = self.default
        for entry in self.resources:
            if all(_fits(config, key, wanted) for key, wanted in entry["when"].items()):
                found = found.but({key: value for key, value in entry.items() if key != "when"}, GROUP)
        return found


def check_number(name: str, value: Any, least: float, whole: bool = True) -> None:
    """Raises TamisError for what is no number, or too small."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value >= least:
        kind = "a whole number" if whole else "a number"
        raise TamisError(f"{name} is {value!r}; {kind} from {least:g} on is needed")


def _fits(config: Mapping[str, Any], key: str, wanted: Any) -> bool:
    """Whether ``key``, a group or a dotted name as on the command line, has a wanted value."""
    value: Any = config.get("choices", {}).get(key)
    if value is None:
        value = config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    values = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    return value in values
