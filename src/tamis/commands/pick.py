"""``tamis pick``: the smallest training set that is as good as the whole pool, with its potential and the reasons.

Validation errors decide, over all splits; properties and stability have to be kept where they were measured. The test
errors of what was picked are read once, afterwards, and change nothing.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote

import numpy as np
from rich.console import Console

from tamis.analysis.arms import Point, results_of
from tamis.analysis.trials import Metrics, find_trials, read_trials
from tamis.commands.arguments import add_folders, amount, appears_whole, new_name, percent, set_help
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.models.judging import FEW
from tamis.report.document import number
from tamis.sweeps.point_files import copy_kept, retrain

CENTI = 0.01
WholePoolMetrics = Mapping[tuple[str, int], Metrics]
"""Model and split -> metrics of the potential trained on the whole pool."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Pick the smallest training set whose validation errors, properties and stability in MD are nearly those of "
        "the whole pool, and write it with its potential and the reasons.",
        "tamis pick multirun/study --within 10% --model ace --out picked",
    )
    add_folders(parser)
    for name, kind, default, what in (
        ("within", percent, 5.0, "%% above the whole pool's validation error"),
        ("energy-weight", amount, 1.0, "weight of log(energy MAE)"),
        ("force-weight", amount, 1.0, "weight of log(force MAE)"),
        ("properties", percent, 5.0, "allowed growth of the properties' errors: %%, or 0.01 of their unit"),
        ("stability", amount, 0.02, "allowed fall of the survived part of MD"),
    ):
        help_text = f"{what}; default: %(default)s"
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="NUMBER", help=help_text)
    parser.add_argument(
        "--data",
        default="",
        metavar="NAME",
        help="data set and setting, or a part of that, if there are several",
    )
    parser.add_argument("--model", default="", help="name of a model; default: the best of all")
    parser.add_argument(
        "--out", type=Path, default=Path("picked"), metavar="DIR", help="new folder; default: %(default)s"
    )


@dataclass(frozen=True)
class Wish:
    """Conditions that a set has to fulfil; see the arguments of the command."""

    within: float
    energy_weight: float
    force_weight: float
    properties: float
    stability: float

    def __post_init__(self) -> None:
        if self.energy_weight + self.force_weight == 0.0:
            raise TamisError("the weights of energy and force are both 0; at least one has to be above")

    @property
    def weights(self) -> Mapping[str, float]:
        """Name of a validation error -> its weight, where it has one."""
        weights = {names.ENERGY_MAE: self.energy_weight, names.FORCE_MAE: self.force_weight}
        return {
            names.error(names.VALIDATION, name): weight for name, weight in weights.items() if weight > 0.0
        }

    def judges(self, metrics: Metrics) -> bool:
        """Whether there is all that ``loss`` needs."""
        return all(metrics.get(name, 0.0) > 0.0 for name in self.weights)

    def loss(self, metrics: Metrics) -> float:
        """Weighted mean of the logs of the validation errors."""
        logs = [weight * np.log(metrics[name]) for name, weight in self.weights.items()]
        return float(sum(logs) / sum(self.weights.values()))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model, pruner, descriptor and budget, over all splits.

    members: a point a split. ratio: validation error by the whole pool's, geometric mean over splits.
    n_atoms: mean. objections: why it is not taken. unknown: what was not measured.
    """

    members: tuple[Point, ...]
    ratio: float
    n_atoms: float
    objections: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def name(self) -> str:
        """Model, pruner, descriptor and size."""
        point = self.members[0]
        return f"{point.model}, {point.pruner} in {point.arm}, {self.n_atoms:.0f} atoms"

    @property
    def n_splits(self) -> int:
        """Splits of the pool that it was tried in."""
        return len({point.seeds[0] for point in self.members})


def run(arguments: argparse.Namespace) -> int:
    """Pick and write; returns the exit status."""
    wish = Wish(**{one.name: getattr(arguments, one.name) for one in fields(Wish)})
    points = results_of(read_trials(find_trials(arguments.folders))).points
    points = on_one_ground(points, arguments.data)
    candidates = weigh([p for p in points if arguments.model in ("", p.model)], wish)
    out = new_name(arguments.out)
    text = write_pick(pick(candidates), candidates, wish, out)
    console = Console(soft_wrap=True)
    console.print(text, markup=False, highlight=False)
    console.print(f"files: {out.absolute()}", markup=False, highlight=False)
    return 0


def on_one_ground(points: Sequence[Point], wanted: str) -> list[Point]:
    """The points of the data set and setting that is called ``wanted``, or alone has that in its name; "": of the only.

    Raises
    ------
    TamisError : there is none, or there are several.
    """
    grounds = sorted({point.ground.name for point in points})
    if not grounds:
        raise TamisError("no trial is complete: there is nothing to pick from")
    found = [wanted] if wanted in grounds else [name for name in grounds if wanted in name]
    if len(found) != 1:
        which = (
            f"--data {wanted!r} fits {len(found)} of them"
            if wanted
            else "errors on one say nothing of another"
        )
        listed = "".join(f"\n  --data {quote(name)}" for name in grounds)
        raise TamisError(
            f"the trials are of {len(grounds)} data sets or settings, and {which}; choose one:{listed}"
        )
    return [point for point in points if point.ground.name == found[0]]


def weigh(points: Sequence[Point], wish: Wish) -> list[Candidate]:
    """All candidates, small ones first.

    Raises
    ------
    TamisError : a model without a trial on the whole pool: there is nothing to be within x % of.
    """
    whole = _whole(points, wish)
    groups: dict[tuple[str, str, str, str], list[Point]] = defaultdict(list)
    for p in points:
        if (p.model, p.seeds[0]) in whole and wish.judges(p.metrics):
            groups[p.model, p.pruner, p.arm, p.budget].append(p)
    found = [_candidate(tuple(members), whole, wish) for members in groups.values()]
    return sorted(found, key=lambda c: (c.n_atoms, c.ratio))


def _whole(points: Sequence[Point], wish: Wish) -> WholePoolMetrics:
    full = [p for p in points if p.metrics[names.FRACTION_OF_STRUCTURES] == 1.0]
    whole: dict[tuple[str, int], Metrics] = {}
    for p in full:
        if wish.judges(p.metrics):
            key = (p.model, p.seeds[0])
            whole[key] = {**whole.get(key, {}), **p.metrics}
    if full and not whole:
        raise TamisError(
            "the trials that kept the whole pool have no validation error of energies or of forces to compare with "
            "(see their problems); leave it out with --energy-weight 0 or --force-weight 0"
        )
    if not whole:
        raise TamisError(
            "no trial kept the whole pool, so there is no error to compare with; run one with budget=all "
            "pruner=keep_all, or a curve up to 1.0"
        )
    return whole


def _candidate(members: tuple[Point, ...], whole: WholePoolMetrics, wish: Wish) -> Candidate:
    pairs = [(point.metrics, whole[point.model, point.seeds[0]]) for point in members]
    ratio = float(np.exp(np.mean([wish.loss(point) - wish.loss(full) for point, full in pairs])))
    above = 100 * (ratio - 1)
    objections = [f"validation error {above:.1f} % above the whole pool's"] if above > wish.within else []
    objections += [*_lost_properties(pairs, wish), *_lost_stability(pairs, wish)]
    unknown = [
        what
        for what, beginning in (("properties", names.PROPERTIES), ("stability in MD", names.MD))
        if not any(name.startswith(beginning) for point, _ in pairs for name in point)
    ]
    n_atoms = float(np.mean([point.atoms for point in members]))
    return Candidate(members, ratio, n_atoms, tuple(objections), tuple(unknown))


def _lost_properties(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    """Properties whose error grew by more than is allowed; an error that became smaller is no loss."""
    both = {n for point, full in pairs for n in point.keys() & full.keys() if names.is_property_error(n)}
    for name in sorted(both):
        growth = np.mean([abs(p[name]) - abs(f[name]) for p, f in pairs if name in p and name in f])
        allowed = wish.properties * (1.0 if name.endswith("_percent") else CENTI)
        if growth > allowed:
            yield f"{name.removeprefix(names.PROPERTIES)} grew by {growth:.3g}, more than {allowed:g}"


def _lost_stability(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    falls = [
        f[names.STABLE_FRACTION] - p[names.STABLE_FRACTION]
        for p, f in pairs
        if names.STABLE_FRACTION in p and names.STABLE_FRACTION in f
    ]
    if falls and np.mean(falls) > wish.stability:
        yield f"survived part of MD fell by {np.mean(falls):.3g}, more than {wish.stability:g}"


def pick(candidates: Sequence[Candidate]) -> Candidate:
    """The smallest without objections, among those with the most splits.

    Raises
    ------
    TamisError : there is none.
    """
    most = max((c.n_splits for c in candidates), default=0)
    # a candidate with fewer splits had fewer chances to fail
    able = [c for c in candidates if not c.objections and c.n_splits == most]
    if not able:
        raise TamisError(
            "no training set, not even the whole pool, fulfils the conditions; allow more (see --help)"
        )
    return able[0]


def typical(candidate: Candidate, wish: Wish) -> Point:
    """The member whose validation error is the middle one: the best would be the luckiest."""
    ordered = sorted(candidate.members, key=lambda p: (wish.loss(p.metrics), p.seeds))
    return ordered[(len(ordered) - 1) // 2]


def write_pick(picked: Candidate, candidates: Sequence[Candidate], wish: Wish, out: Path) -> str:
    """Write the kept set, potential/ and picked.md into ``out``; returns what stands in picked.md."""
    point = typical(picked, wish)
    trial = point.trial
    with appears_whole(out) as scratch:
        if point.number == len(trial.points) - 1 and (trial.folder / "potential").is_dir():
            copy_kept(trial.folder, scratch)
            shutil.copytree(trial.folder / "potential", scratch / "potential")
            how = f"Files are those of {trial.folder}."
        else:
            retrain(point, scratch)
            how = (
                f"Point {point.number + 1} of the curve in {trial.folder}, retrained with the same configuration and "
                "seeds."
            )
        text = "\n".join([*_lines(picked, candidates, wish, point), "", how, ""])
        write_atomically(scratch / "picked.md", text.encode())
    return text


def _lines(picked: Candidate, candidates: Sequence[Candidate], wish: Wish, point: Point) -> Iterator[str]:
    yield f"# Picked on {point.ground.name}: {picked.name}\n"
    yield (
        f"{len(point.kept)} structures, {point.atoms:.0f} atoms, {100 * point.fraction:.0f} % of the pool's; seeds "
        f"{point.seeds}, the split with the middle validation error.\n"
    )
    yield (
        f"* Validation error (weights: energy {wish.energy_weight:g}, force {wish.force_weight:g}): "
        f"{picked.ratio:.3f} of the whole pool's, geometric mean over {picked.n_splits} splits; up to "
        f"{1 + wish.within / 100:.3f} was allowed."
    )
    n = point.trial.dataset.n_distinct_validation
    yield f"* A validation set has {n} distinct structures{'; too few to decide anything' * (n < FEW)}."
    kept = "kept, where they were measured" if len(picked.unknown) < 2 else "not measured"
    yield f"* Properties and stability: {kept}."
    for what in picked.unknown:
        yield f"* Not measured for this set: {what}. Retrain with evaluation=full before it is used."
    smaller = [c for c in candidates if c.n_atoms < picked.n_atoms]
    yield f"* {len(smaller)} smaller sets were not taken. The largest of these:"
    for c in smaller[-3:]:
        yield f"  * {c.name}: {'; '.join(c.objections) or 'fewer splits than others'}"
    energy, force = (
        number(point.metrics.get(names.error(names.TEST, name)))
        for name in (names.ENERGY_MAE, names.FORCE_MAE)
    )
    yield f"\nRead once, after the choice: test errors of this set are {energy} meV/atom, {force} eV/Å."
