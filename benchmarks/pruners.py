"""Validation errors of models on sets that pruners chose, relative to random ones, over half-pools of mlearn.

``run`` deals every trajectory, strain mode and all surfaces into two halves, and takes each as a pool; the other half
is not looked at. A fifth of the pool is held out for validation, spread over its groups. Each pruner chooses in the
space (or on the rows) of the model's own descriptor, at several budgets of atoms; the model is fitted as it ships. A
line of the CSV is one fit. Lines that are there are not made again.

``table`` prints ratios of mean absolute errors, geometric means over the half-pools, and their 95 % intervals by
``tamis.analysis.halves``. ``figure`` draws the same.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, one_thread
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tamis.analysis.contrasts import Effect
from tamis.analysis.halves import of_half_pools, over_fixed
from tamis.core import metrics as names
from tamis.core.figures import BLUE, GREEN, VERMILLION
from tamis.data.dataset import Dataset, split_dataset
from tamis.evaluation.errors import Residuals
from tamis.models.base import Model
from tamis.parts import Parts, resolved
from tamis.report.style import INK, log_axes, panels
from tamis.selection.budget import select_all
from tamis.selection.pool_features import features_of_pool
from tamis.store import Store

ELEMENTS = ("Si", "Ge", "Mo", "Li")
MODELS = ("snap", "ace", "chimes", "gap", "nnp")
OWN = {"snap": "snap", "ace": "ace", "chimes": "chimes", "gap": "soap", "nnp": "acsf", "nnp_quick": "acsf"}
ARMS = ("random", "fps", "optimal")
DRAWS = 4
"""Random sets of each budget."""
FRACTIONS = (0.05, 0.1, 0.2, 0.33)
VALIDATION = 0.2
LEVEL = 0.95
FIELDS = ("element", "model", "repetition", "half", "arm", "draw", "fraction", "structures", "atoms")
ERRORS = (names.ENERGY_MAE, names.FORCE_MAE)
Array = NDArray[np.float64]


def main() -> None:
    """Run, or say what was found."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("action", choices=["run", "table", "figure"])
    options.add_argument("--root", type=Path, help="local copy of mlearn")
    options.add_argument("--store", type=Path, help="of rows, which are kept there")
    options.add_argument("--elements", nargs="+", default=ELEMENTS)
    options.add_argument("--models", nargs="+", default=MODELS)
    options.add_argument("--arms", nargs="+", default=ARMS, help="pruners")
    options.add_argument("--repetitions", type=int, default=6)
    options.add_argument("--overrides", nargs="*", default=[], help="of the model and descriptor")
    options.add_argument("--out", type=Path, default=RESULTS / "pruners.csv")
    options.add_argument("--figure", type=Path, default=RESULTS / "pruners.png")
    given = options.parse_args()
    if given.action == "run":
        if given.root is None or given.store is None:
            options.error("run needs --root and --store")
        one_thread()
        run(given)
    elif given.action == "table":
        print("\n".join(table(Found.read(given.out))))
    else:
        draw(Found.read(given.out), given.figure)


def run(given: argparse.Namespace) -> None:
    """Fit what is missing in the CSV; repetitions are the slowest, so that a part of it is a study, too."""
    done = {tuple(row[name] for name in FIELDS[:7]) for row in read(given.out)}
    for repetition in range(given.repetitions):
        for element in given.elements:
            for model in given.models:
                for half in (0, 1):
                    todo = [
                        (arm, draw)
                        for arm in given.arms
                        for draw in range(DRAWS if arm == "random" else 1)
                        if (element, model, str(repetition), str(half), arm, str(draw), str(FRACTIONS[-1]))
                        not in done
                    ]
                    if todo:
                        study(given, element, model, repetition, half, todo)


def study(
    given: argparse.Namespace,
    element: str,
    model: str,
    repetition: int,
    half: int,
    todo: Sequence[tuple[str, int]],
) -> None:
    """All fits of one model on one half-pool."""
    parts = {arm: compose(given, element, model, repetition, half, arm) for arm in {arm for arm, _ in todo}}
    some = next(iter(parts.values()))
    dataset = some.source.load()
    mine = dataset.subset(np.flatnonzero(~dataset.is_test))
    rng = np.random.default_rng([repetition, half])
    split = split_dataset(mine, VALIDATION, rng, some.model.needs_tuning_set)
    pool, tuning, validation = (mine.subset(part) for part in (split.pool, split.tuning, split.validation))
    store, trained = some.store, some.model
    trained.prepare(dataset.with_test(np.zeros(len(dataset), dtype=np.bool_), "none", False), store)
    for arm, draw in todo:
        part = parts[arm]
        limits = part.budget.limits(pool.n_atoms)
        features = features_of_pool(part.descriptor, part.latent, pool, part.pruner, store)
        chosen = select_all(part.pruner, features, limits, [draw, repetition, half])
        for fraction, selection in zip(FRACTIONS, chosen, strict=True):
            kept = pool.subset(np.sort(selection.indices))
            found = errors_of(trained, kept, tuning, validation, store)
            append(
                given.out,
                (
                    element,
                    model,
                    repetition,
                    half,
                    arm,
                    draw,
                    fraction,
                    len(kept),
                    kept.n_atoms.sum(),
                    *found,
                ),
            )


def compose(
    given: argparse.Namespace, element: str, model: str, repetition: int, half: int, arm: str
) -> Parts:
    """The parts of a trial, as the command line would have them."""
    descriptor = "none" if arm == "random" else OWN[model]
    config = configure(
        [
            *("dataset=mlearn", f"dataset.element={element}", f"dataset.root={given.root.absolute()}"),
            *("dataset.split=halves", f"dataset.repetition={repetition}", f"dataset.half={half}"),
            *(f"model={model}", f"descriptor={descriptor}", f"pruner={arm}", "budget=curve"),
            *(f"budget.fractions=[{','.join(map(str, FRACTIONS))}]", "budget.of=atoms"),
            *(f"store.root={given.store.absolute()}", "store.remember=true", "store.memory_gib=6"),
            *given.overrides,
        ]
    )
    return Parts.of(resolved(config))


def errors_of(
    model: Model, kept: Dataset, tuning: Dataset, validation: Dataset, store: Store
) -> tuple[float, ...]:
    """Mean absolute errors of one fit on the validation structures: meV/atom, eV/Å."""
    potential = model.fit(kept, tuning, store, np.random.default_rng(0))
    residuals = Residuals.of(potential.predict(validation, store), validation)
    found = dict(residuals.metrics(np.arange(len(validation))))
    return tuple(found[name] for name in ERRORS)


def append(path: Path, row: Sequence[object]) -> None:
    """One more line."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow([*FIELDS, *ERRORS])
        writer.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in row])


def read(path: Path) -> list[dict[str, str]]:
    """The lines of the CSV."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True, eq=False)
class Found:
    """Logarithms of errors: case -> (repetitions, 2), the mean over draws.

    A case is (element, model, arm, fraction, name of the error). Only repetitions of which both halves are complete.
    """

    cases: dict[tuple[str, str, str, str, str], dict[int, Array]]

    @classmethod
    def read(cls, path: Path) -> Found:
        """From the lines of ``run``."""
        collected: dict[tuple[str, str, str, str, str], dict[tuple[int, int], dict[str, float]]] = {}
        for row in read(path):
            for name in ERRORS:
                case = (row["element"], row["model"], row["arm"], row["fraction"], name)
                where = (int(row["repetition"]), int(row["half"]))
                collected.setdefault(case, {}).setdefault(where, {})[row["draw"]] = np.log(float(row[name]))
        return cls(
            {
                case: {
                    r: np.array([np.mean(list(halves[r, h].values())) for h in (0, 1)])
                    for r in sorted({r for r, _ in halves})
                    if (r, 0) in halves and (r, 1) in halves
                }
                for case, halves in collected.items()
            }
        )

    def effect(
        self, element: str, models: Sequence[str], arm: str, base: str, fractions: Sequence[str], name: str
    ) -> Effect | None:
        """An arm against ``base`` on one element, the mean over ``models`` and ``fractions``."""
        both = [
            (
                self.cases.get((element, model, arm, f, name), {}),
                self.cases.get((element, model, base, f, name), {}),
            )
            for model in models
            for f in fractions
        ]
        repetitions = set.intersection(*(set(a) & set(b) for a, b in both))
        if not repetitions:
            return None
        return of_half_pools(
            np.array([np.mean([a[r] - b[r] for a, b in both], axis=0) for r in sorted(repetitions)])
        )

    def of(self, place: int) -> list[str]:
        """What there is at one place of the cases, in the order of their first line."""
        return list(dict.fromkeys(case[place] for case in self.cases))


def table(found: Found) -> Iterator[str]:
    """Lines of Markdown: one row a model, element and budget, one of all budgets; then all models and elements."""
    fractions, elements = found.of(3), found.of(0)
    arms = [arm for arm in found.of(2) if arm != "random"]
    pairs = [(arm, "random") for arm in arms] + (
        [("optimal", "fps")] if {"optimal", "fps"} <= set(arms) else []
    )
    heads = [f"{a} / {b}: {kind}" for a, b in pairs for kind in ("energies", "forces")]
    yield f"| model, element | atoms | {' | '.join(heads)} |"
    yield "|---" * (2 + len(heads)) + "|"
    rows = [([model], [element]) for model in found.of(1) for element in elements]
    for models, some in [*rows, (found.of(1), elements)]:
        for part in (*([f] for f in fractions), fractions):
            cells = [
                [found.effect(element, models, a, b, part, name) for element in some]
                for a, b in pairs
                for name in ERRORS
            ]
            shown = [_shown(over_fixed(cell)) if None not in cell else "" for cell in cells]
            what = f"{models[0]}, {some[0]}" if len(some) == 1 else "mean of all"
            budget = f"{100 * float(part[0]):g} %" if len(part) == 1 else "all"
            yield f"| {what} | {budget} | {' | '.join(shown)} |"


def _shown(effect: Effect) -> str:
    low, high = effect.ratio_interval(LEVEL)
    return f"{effect.ratio:.2f} ({low:.2f} to {high:.2f})"


def draw(found: Found, path: Path) -> None:
    """A forest of ratios to random: a panel for each error, a line for each model and element."""
    fractions, arms = found.of(3), [arm for arm in found.of(2) if arm != "random"]
    rows = [(m, e) for m in found.of(1) for e in found.of(0)]
    figure, ((left, right),) = panels(
        [["Validation force MAE", "Validation energy MAE"]], (5.2, 1.6 + 0.27 * len(rows))
    )
    tints = dict(zip(arms, (BLUE, VERMILLION, GREEN), strict=False))
    for ax, name in ((left, names.FORCE_MAE), (right, names.ENERGY_MAE)):
        for i, (model, element) in enumerate(rows):
            for k, arm in enumerate(arms):
                effect = found.effect(element, [model], arm, "random", fractions, name)
                if effect is None:
                    continue
                y = -i + 0.18 * (len(arms) - 1 - 2 * k)
                ax.plot(effect.ratio_interval(LEVEL), [y, y], color=tints[arm], lw=1.8, solid_capstyle="butt")
                ax.plot(effect.ratio, y, "o", color=tints[arm], ms=5)
        ax.axvline(1.0, color=INK, lw=1.0)
        log_axes(ax, "x")
        ax.set_xlabel("error relative to random sets of as many atoms", color=INK)
        ax.set_yticks([-i for i in range(len(rows))], [f"{m}, {e}" for m, e in rows] if ax is left else [])
        ax.set_ylim(-len(rows) + 0.5, 0.5)
    shown = [Line2D([], [], color=tints[arm], marker="o", label=arm) for arm in arms]
    figure.legend(handles=shown, loc="outside upper center", ncols=len(arms), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(path)


if __name__ == "__main__":
    main()
