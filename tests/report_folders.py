"""Folders of trials as `tamis` leaves them, with made-up numbers: reports read nothing else."""

from pathlib import Path

import numpy as np
import yaml

from tamis.analysis.arms import Ground, Point
from tamis.analysis.comparison import Comparison
from tamis.analysis.trials import Trial
from tamis.commands.report import make_report
from tamis.evaluation.errors import PER_STRUCTURE_FIELDS
from tamis.records import record as records
from tamis.records.record import BudgetFacts, DatasetFacts, SelectionFacts, Status, TrialRecord
from tamis.report.files import to_markdown
from tamis.report.links import Links

BASES = {
    name: {"_target_": f"tamis.bases.{name}.Basis", "r_cut": 5.0}
    for name in ("ace", "snap", "chimes", "acsf", "soap")
}
GROUPS = ("MD", "Elastic", "Surface")
N_POOL, N_ATOMS = 60, 10
FRACTIONS = (0.03, 0.1, 0.2, 0.5, 1.0)


def write_trial(
    folder: Path,
    model: str = "snap",
    descriptor: str = "snap",
    pruner: str = "fps",
    seed: int = 0,
    *,
    level: float = 0.1,
    fractions: tuple[float, ...] = FRACTIONS,
    element: str = "Si",
    split: str = "published",
    r_cut: float | None = None,
    model_r_cut: float | None = None,
    status: str = "complete",
    reason: str = "",
    extra: dict[str, float] | None = None,
    problems: dict[str, str] | None = None,
    validation: float | None = None,
    started: float = 1.0,
    block: str = "",
) -> Path:
    """One trial whose test force MAE is ``level`` at the whole pool and falls as atoms^-0.3.

    validation: level of the validation errors, the same as that of the test errors if None.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, *map(ord, model + descriptor + pruner)])
    order = rng.permutation(N_POOL)
    counts = [max(int(f * N_POOL), 1) for f in fractions]
    curve = [_point(n, level, level if validation is None else validation) for n in counts]
    if extra:
        curve[-1].metrics.update(extra)
    basis = BASES.get(model, BASES["snap"])
    ids = [f"{element}#{i}" for i in range(N_POOL)]
    record = TrialRecord(
        config={
            "choices": {
                **{"dataset": "mlearn", "latent": "standard", "budget": "curve", "evaluation": "errors"},
                **{"model": model, "descriptor": descriptor, "pruner": pruner},
            },
            "dataset": {
                "_target_": "tamis.data.sources.mlearn.Mlearn",
                "element": element,
                "split": split,
                "root": "/nowhere",
            },
            "latent": {"pooling": "mean"},
            "descriptor": {}
            if descriptor == "none"
            else BASES[descriptor] | ({"r_cut": r_cut} if r_cut else {}),
            "pruner": {"_target_": f"tamis.selection.{pruner}"},
            "budget": {"fractions": list(fractions)},
            "model": {"basis": basis | ({"r_cut": model_r_cut} if model_r_cut else {})},
            "seed": {"split": seed, "select": seed, "fit": seed},
            "validation_fraction": 0.1,
        },
        labels={"block": block} if block else {},
        versions={"git": "abc"},
        dataset=DatasetFacts(
            fingerprint=f"{element}-{split}",
            elements=(element,),
            pool=tuple(ids),
            pool_groups=tuple(GROUPS[i % 3] for i in range(N_POOL)),
            validation=tuple(f"{element}/validation#{i}" for i in range(6)),
            test=tuple(f"{element}/test#{i}" for i in range(12)),
            n_pool_atoms=N_POOL * N_ATOMS,
            n_distinct_pool=N_POOL,
            n_distinct_validation=6,
        ),
        budget=BudgetFacts("structures", tuple(counts)),
        selection=SelectionFacts(True, tuple(ids[i] for i in order[: counts[-1]])),
        metrics=dict(curve[-1].metrics),
        seconds={"fit": 2.0},
        curve=curve if status == "complete" else [],
        problems=problems or {},
        status=Status(status),
        reason=reason,
        started=started,
    )
    same = record.config["descriptor"] == record.config["model"]["basis"]
    record.own = None if descriptor == "none" else same
    record.save(folder)
    _write_errors(folder / "test_errors.csv", counts, level, rng)
    return folder


def _error(n: int, level: float) -> float:
    return level * (n / N_POOL) ** -0.3


def _point(n: int, level: float, validation: float) -> records.CurvePoint:
    metrics = {
        "kept/structures": float(n),
        "kept/atoms": float(n * N_ATOMS),
        "kept/fraction_of_structures": n / N_POOL,
        "kept/fraction_of_atoms": n / N_POOL,
    }
    for part, one in (("test", level), ("validation", validation)):
        metrics |= {
            f"{part}/force_mae_eV_per_A": _error(n, one),
            f"{part}/energy_mae_meV_per_atom": 50 * _error(n, one),
            f"{part}/force_mae_eV_per_A/MD": 1.5 * _error(n, one),
        }
    return records.CurvePoint(n, n * N_ATOMS, metrics)


def _write_errors(path: Path, counts: list[int], level: float, rng: np.random.Generator) -> None:
    lines = [",".join(PER_STRUCTURE_FIELDS)]
    for n in counts:
        for s in range(12):
            error = _error(n, level) * np.exp(rng.normal(0.0, 0.02))
            about = f'Si/test#{s},{GROUPS[s % 3]},"block, {s // 2}",{N_ATOMS}'
            lines.append(f"{n},{about},{50 * error:.6g},{error:.6g},{1.2 * error:.6g}")
    path.write_text("\n".join(lines) + "\n")


def write_study(
    folder: Path, models=("ace", "snap", "chimes"), seeds=range(4), own_gain: float = 0.2, **more
) -> Path:
    """Every model with every descriptor and random; errors of own sets are exp(-own_gain) of the others'."""
    for model in models:
        for seed in seeds:
            write_trial(folder / f"{model}-random-{seed}", model, "none", "random", seed, **more)
            for d in BASES:
                level = 0.1 * np.exp(-own_gain * (d == model))
                write_trial(folder / f"{model}-{d}-{seed}", model, d, "fps", seed, level=level, **more)
    return folder


def report(folder: Path) -> str:
    """The report of the trials below ``folder`` as text, without drawing figures."""
    return to_markdown(make_report([folder], Links())[1])


def comparisons(folder: Path) -> list[Comparison]:
    """The comparisons of the trials below ``folder``."""
    return list(make_report([folder], Links())[0].forces.values())


def write_protocol(folder: Path, elements=("Si",), **changes) -> Path:
    """The protocol of what ``write_study`` makes of each element; returns the folder."""
    protocol = {
        "_target_": "tamis.analysis.protocol.Protocol",
        "data": [
            {"dataset": "mlearn", "dataset.element": element, "dataset.split": "published"}
            for element in elements
        ],
        "models": ["snap", "ace", "chimes"],
        "pruner": "fps",
        "descriptors": [*BASES],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "protocol.yaml").write_text(yaml.safe_dump({**protocol, **changes}))
    return folder


def point(
    model: str,
    descriptor: str,
    seed: int,
    metrics: dict[str, float],
    pruner: str = "fps",
    budget: str = "a quarter",
    own: bool = False,
) -> Point:
    """A point of a curve, from nowhere."""
    trial = Trial(Path(), "complete", "", parts={"budget": budget})
    return Point(Ground("Si", ""), model, pruner, descriptor, own, "", (seed, 0, 0), trial, 0, metrics)
