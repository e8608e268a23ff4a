"""``tamis-pick``: the smallest training set that is as good as the whole pool, with its potential and the reasons.

Validation errors decide, over all splits; properties and stability have to be kept where they were measured. The test
errors of what was picked are read once, afterwards, and change nothing.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from tamis.analysis.arms import Curve, Ground, Seeds, study_of
from tamis.analysis.trials import Metrics, find_trials, read_trials
from tamis.commands.arguments import appears_whole, new_name, number_of, read_arguments
from tamis.commands.endings import in_a_sentence
from tamis.commands.pick_files import retrain
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.models.judging import FEW
from tamis.report.words import number

OPTIONS = {
    "within": "5",  # percent above the whole pool's validation error
    "energy_weight": "1",  # of log(energy MAE)
    "force_weight": "1",  # of log(force MAE)
    "properties": "5",  # by how much errors of properties may grow: percent, or 0.01 of their unit
    "stability": "0.02",  # by how much the survived part of MD may fall
    "model": "",  # name of the model; all, if empty
    "out": "picked",
}
USAGE = (
    "usage: tamis-pick <folder of trials>... [within=5 (% of the whole pool's validation error)] "
    "[energy_weight=1] "
    "[force_weight=1] [properties=5] [stability=0.02] [model=snap] [out=picked]"
)
ENERGY, FORCE = "energy_mae_meV_per_atom", "force_mae_eV_per_A"
STABLE = "md/stable_fraction"
WHOLE = 0.999
CENTI = 0.01


@dataclass(frozen=True)
class Wish:
    """Options as numbers, see ``OPTIONS``."""

    within: float
    energy_weight: float
    force_weight: float
    properties: float
    stability: float

    def __post_init__(self) -> None:
        if self.energy_weight + self.force_weight == 0.0:
            raise TamisError("energy_weight and force_weight are both 0; at least one has to be above")

    def judges(self, metrics: Metrics) -> bool:
        """Whether there is all that ``loss`` needs."""
        weights = {ENERGY: self.energy_weight, FORCE: self.force_weight}
        return all(metrics.get(f"validation/{name}", 0.0) > 0.0 for name, w in weights.items() if w > 0.0)

    def loss(self, metrics: Metrics) -> float:
        """Weighted mean of the logs of the validation errors."""
        weights = {ENERGY: self.energy_weight, FORCE: self.force_weight}
        logs = [w * np.log(metrics[f"validation/{name}"]) for name, w in weights.items() if w > 0.0]
        return float(sum(logs) / sum(weights.values()))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model, pruner, descriptor and budget, over all splits.

    members: curve and number of the point. ratio: validation error by the whole pool's, geometric mean over splits.
    n_atoms: mean. objections: why it is not taken. unknown: what was not measured.
    """

    members: tuple[tuple[Curve, int], ...]
    ratio: float
    n_atoms: float
    objections: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def name(self) -> str:
        """Model, pruner, descriptor and size."""
        curve = self.members[0][0]
        return f"{curve.model}, {curve.pruner} in {curve.arm}, {self.n_atoms:.0f} atoms"


def main() -> None:
    """Entry point of the console script."""
    with in_a_sentence():
        folders, chosen = read_arguments(sys.argv[1:], OPTIONS, USAGE)
        numbers = {key: number_of(chosen, key) for key in Wish.__dataclass_fields__}
        wish, out = Wish(**numbers), new_name(Path(chosen["out"]))
        curves = study_of(read_trials(find_trials(folders))).curves
        ground = _one_ground(curves)
        candidates = weigh([c for c in curves if chosen["model"] in ("", c.model)], wish)
        picked = pick(candidates)
        report = write_pick(picked, candidates, wish, ground, out)
    console = Console(soft_wrap=True)
    console.print(report, markup=False, highlight=False)
    console.print(f"files: {out.absolute()}", markup=False, highlight=False)


def _one_ground(curves: Sequence[Curve]) -> Ground:
    grounds = sorted({curve.ground for curve in curves})
    if not grounds:
        raise TamisError("no trial is complete: there is nothing to pick from")
    if len(grounds) > 1:
        names = "; ".join(ground.name for ground in grounds)
        raise TamisError(f"the trials are of several data sets ({names}); give the folders of one")
    return grounds[0]


def weigh(curves: Sequence[Curve], wish: Wish) -> list[Candidate]:
    """All candidates, small ones first.

    Raises
    ------
    TamisError : a model without a trial on the whole pool: there is nothing to be within x % of.
    """
    whole: dict[tuple[str, int], Metrics] = {}
    for curve in curves:
        for point in curve.points:
            if point["kept/fraction_of_structures"] >= WHOLE and wish.judges(point):
                whole[curve.model, curve.seeds[0]] = {**whole.get((curve.model, curve.seeds[0]), {}), **point}
    if not whole and any(p["kept/fraction_of_structures"] >= WHOLE for curve in curves for p in curve.points):
        raise TamisError(
            "the trials that kept the whole pool have no validation error of energies or of forces to compare with "
            "(see their problems); leave it out with energy_weight=0 or force_weight=0"
        )
    if not whole:
        raise TamisError(
            "no trial kept the whole pool, so there is no error to compare with; run one with budget=all "
            "pruner=keep_all, or a curve up to 1.0"
        )
    groups: dict[tuple[str, str, str, str], list[tuple[Curve, int]]] = {}
    for curve in curves:
        for i in range(len(curve.points)):
            if (curve.model, curve.seeds[0]) in whole and wish.judges(curve.points[i]):
                trial, number_of_point = curve.source[i]
                budget = f"{trial.parts['budget']} {number_of_point}"
                groups.setdefault((curve.model, curve.pruner, curve.arm, budget), []).append((curve, i))
    found = [_candidate(tuple(members), whole, wish) for members in groups.values()]
    return sorted(found, key=lambda c: (c.n_atoms, c.ratio))


def _candidate(
    members: tuple[tuple[Curve, int], ...], whole: Mapping[tuple[str, int], Metrics], wish: Wish
) -> Candidate:
    pairs = [(curve.points[i], whole[curve.model, curve.seeds[0]]) for curve, i in members]
    ratio = float(np.exp(np.mean([wish.loss(point) - wish.loss(full) for point, full in pairs])))
    objections = [
        *(
            [f"validation error {100 * (ratio - 1):.1f} % above the whole pool's"]
            if 100 * (ratio - 1) > wish.within
            else []
        ),
        *_lost_properties(pairs, wish),
        *_lost_stability(pairs, wish),
    ]
    unknown = [
        what
        for what, beginning in (("properties", "properties/"), ("stability in MD", "md/"))
        if not any(name.startswith(beginning) for point, _ in pairs for name in point)
    ]
    n_atoms = float(np.mean([point["kept/atoms"] for point, _ in pairs]))
    return Candidate(members, ratio, n_atoms, tuple(objections), tuple(unknown))


def _lost_properties(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    """Properties whose error grew by more than is allowed; an error that became smaller is no loss."""
    names = sorted({n for point, full in pairs for n in point.keys() & full.keys() if "_error_" in n})
    for name in names:
        if name.startswith("properties/"):
            growth = np.mean([abs(p[name]) - abs(f[name]) for p, f in pairs if name in p and name in f])
            allowed = wish.properties * (1.0 if name.endswith("_percent") else CENTI)
            if growth > allowed:
                yield f"{name.removeprefix('properties/')} grew by {growth:.3g}, more than {allowed:g}"


def _lost_stability(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    falls = [f[STABLE] - p[STABLE] for p, f in pairs if STABLE in p and STABLE in f]
    if falls and np.mean(falls) > wish.stability:
        yield f"survived part of MD fell by {np.mean(falls):.3g}, more than {wish.stability:g}"


def pick(candidates: Sequence[Candidate]) -> Candidate:
    """The smallest without objections, among those with the most splits.

    Raises
    ------
    TamisError : there is none.
    """
    most = max((len(_splits(c)) for c in candidates), default=0)
    # a candidate with fewer splits had fewer chances to fail
    able = [c for c in candidates if not c.objections and len(_splits(c)) == most]
    if not able:
        raise TamisError(
            "no training set, not even the whole pool, fulfils the conditions; allow more, see the usage"
        )
    return able[0]


def _splits(candidate: Candidate) -> set[int]:
    return {curve.seeds[0] for curve, _ in candidate.members}


def typical(candidate: Candidate, wish: Wish) -> tuple[Curve, int]:
    """The member whose validation error is the middle one: the best would be the luckiest."""

    def key(member: tuple[Curve, int]) -> tuple[float, Seeds]:
        return wish.loss(member[0].points[member[1]]), member[0].seeds

    ordered = sorted(candidate.members, key=key)
    return ordered[(len(ordered) - 1) // 2]


def write_pick(
    picked: Candidate, candidates: Sequence[Candidate], wish: Wish, ground: Ground, out: Path
) -> str:
    """Write kept.extxyz, potential/ and picked.md into ``out``; returns what stands in picked.md."""
    with appears_whole(out) as scratch:
        return _write_pick(picked, candidates, wish, ground, scratch)


def _write_pick(
    picked: Candidate, candidates: Sequence[Candidate], wish: Wish, ground: Ground, out: Path
) -> str:
    curve, i = typical(picked, wish)
    trial, point = curve.source[i]
    if point == len(trial.points) - 1 and (trial.folder / "potential").is_dir():
        shutil.copy(trial.folder / "kept.extxyz", out)
        shutil.copytree(trial.folder / "potential", out / "potential")
        how = f"Files are those of {trial.folder}."
    else:
        retrain(trial, point, out)
        how = (
            f"Point {point + 1} of the curve in {trial.folder}, retrained with the same configuration and "
            "seeds."
        )
    text = "\n".join([*_lines(picked, candidates, wish, ground, curve, i), "", how, ""])
    write_atomically(out / "picked.md", text.encode())
    return text


def _lines(
    picked: Candidate, candidates: Sequence[Candidate], wish: Wish, ground: Ground, curve: Curve, i: int
) -> Iterator[str]:
    metrics = curve.points[i]
    yield f"# Picked on {ground.name}: {picked.name}\n"
    yield (
        f"{metrics['kept/structures']:.0f} structures, {metrics['kept/atoms']:.0f} atoms, "
        f"{100 * metrics['kept/fraction_of_atoms']:.0f} % of the pool's; seeds {curve.seeds}, the split with "
        "the middle "
        "validation error.\n"
    )
    yield (
        f"* Validation error (weights: energy {wish.energy_weight:g}, force {wish.force_weight:g}): "
        f"{picked.ratio:.3f} of the "
        f"whole pool's, geometric mean over {len(_splits(picked))} splits; up to {1 + wish.within / 100:.3f} "
        "was allowed."
    )
    n = curve.source[i][0].dataset.n_distinct_validation
    few = "; that is too few to decide anything" if n < FEW else ""
    yield f"* A validation set has {n} distinct structures{few}."
    kept = "kept, where they were measured" if len(picked.unknown) < 2 else "not measured"
    yield f"* Properties and stability: {kept}."
    for what in picked.unknown:
        yield f"* Not measured for this set: {what}. Retrain with evaluation=full before it is used."
    smaller = [c for c in candidates if c.n_atoms < picked.n_atoms]
    yield f"* {len(smaller)} smaller sets were not taken. The largest of these:"
    for c in smaller[-3:]:
        yield f"  * {c.name}: {'; '.join(c.objections) or 'fewer splits than others'}"
    yield (
        "\nRead once, after the choice: test errors of this set are "
        + ", ".join(
            f"{number(metrics.get(f'test/{name}'))} {unit}"
            for name, unit in ((ENERGY, "meV/atom"), (FORCE, "eV/Å"))
        )
        + "."
    )


if __name__ == "__main__":
    main()
