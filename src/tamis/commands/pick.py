"""``tamis pick``: the smallest training set that is as good as the whole pool, with its potential and the reasons.

Validation errors decide, over all splits; properties and stability have to be kept where they were measured. The test
errors of what was picked are read once, afterwards, and change nothing.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from shlex import quote

from rich.console import Console

from tamis.analysis.arms import Point, results_of
from tamis.analysis.candidates import USUAL, Candidate, Wish, pick, typical, weigh
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands.arguments import add_folders, amount, appears_whole, new_name, percent, set_help
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.models.judging import FEW
from tamis.report.document import number
from tamis.sweeps.point_files import copy_kept, retrain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Pick the smallest training set whose validation errors, properties and stability in MD are nearly those of "
        "the whole pool, and write it with its potential and the reasons.",
        "tamis pick multirun/study --within 10% --model ace --out picked",
    )
    add_folders(parser)
    for name, kind, what in (
        ("within", percent, "%% above the whole pool's validation error"),
        ("energy-weight", amount, "weight of log(energy MAE)"),
        ("force-weight", amount, "weight of log(force MAE)"),
        ("properties", percent, "allowed growth of the properties' errors: %%, or 0.01 of their unit"),
        ("stability", amount, "allowed fall of the survived part of MD"),
    ):
        help_text = f"{what}; default: %(default)s"
        default = getattr(USUAL, name.replace("-", "_"))
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
