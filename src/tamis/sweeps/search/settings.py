"""The settings of a search, as ``conf/hydra/sweeper/study.yaml`` lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.fields import Between, Checked, OneOf, Whole
from tamis.core.names import printable
from tamis.core.suggestions import suggest
from tamis.sweeps.overrides import written

DIRECTIONS = ("minimize", "maximize")
LONGEST_NAME = 512
"""Characters that Optuna's databases take for the name of a study."""


@dataclass(frozen=True)
class SearchSettings(Checked):
    """What a search does; the file says what each setting means."""

    study_name: str
    storage: str | None
    direction: str | Sequence[str]
    n_trials: Annotated[int, Whole(1)]
    sampler: Mapping[str, Any]
    stopper: Mapping[str, Any] | None
    params: Mapping[str, Any] | None
    conditional: Sequence[Mapping[str, Any]] | None
    repeat: Mapping[str, Sequence[Any]] | None
    enqueue: Sequence[Mapping[str, Any]] | None
    constraints: Sequence[str] | None
    on_change: Annotated[str, OneOf("refuse", "continue")]
    retry_failed: bool
    max_failure_rate: Annotated[float, Between(0, 1)]
    retries: Annotated[int, Whole(0)]
    plots: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.study_name
        if not name or len(name) > LONGEST_NAME or printable(name) != name:
            raise TamisError(
                f"hydra.sweeper.study_name is {printable(name)!r}; it needs 1 to {LONGEST_NAME} characters, in UTF-8"
            )
        if not self.directions:
            raise TamisError("hydra.sweeper.direction is empty; give minimize or maximize for each objective")
        for one in self.directions:
            if one not in DIRECTIONS:
                hint = suggest(str(one), DIRECTIONS)
                raise TamisError(f"hydra.sweeper.direction has {one!r}; {hint}each is minimize or maximize")
        if len(lengths := {len(values) for values in (self.repeat or {}).values()}) > 1 or 0 in lengths:
            found = ", ".join(f"{key}: {len(values)}" for key, values in (self.repeat or {}).items())
            raise TamisError(
                f"hydra.sweeper.repeat has lists of lengths {found}; a job takes one value of each, all need the same "
                "length, at least one"
            )

    @property
    def directions(self) -> tuple[str, ...]:
        """Of each objective."""
        return (self.direction,) if isinstance(self.direction, str) else tuple(self.direction or ())

    @property
    def repeats(self) -> list[tuple[str, ...]]:
        """Overrides of each job of a trial."""
        columns = [
            [f"{key}={written(value)}" for value in values] for key, values in (self.repeat or {}).items()
        ]
        return list(zip(*columns, strict=True)) or [()]


def require_optuna() -> None:
    """Raise MissingEngineError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingEngineError("a search needs Optuna: pip install 'tamis[search]'") from error
