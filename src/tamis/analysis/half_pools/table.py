"""The published table of a comparison over half-pools: one row for each point of each curve.

Its errors are means over the other half: of forces over atoms, of energies over structures, as the metrics of a trial.
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import name_variants
from tamis.analysis.half_pools.answers import ALL
from tamis.analysis.test_errors import CachedTestErrors, Layout, TestErrors
from tamis.analysis.trials import Trial
from tamis.core.errors import TamisError
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, FRACTION_OF_ATOMS, KEPT_ATOMS, KEPT_STRUCTURES
from tamis.records.record import COMPLETE

Array = NDArray[np.float64]

COLD, HOT, SURFACE, STRAINED = "cold", "hot", "surface", "strained"
STRATA = (COLD, HOT, SURFACE, STRAINED)
MLEARN = "mlearn"
"""The data set whose blocks have these strata; of other data sets, groups are the strata."""
GROUP_STRATA = {"Surface": SURFACE, "Elastic": STRAINED}
MELTING_K = {"Si": 1687.0, "Ge": 1211.0, "Mo": 2896.0, "Li": 454.0, "Ni": 1728.0, "Cu": 1358.0}
"""K, measured (CRC Handbook of Chemistry and Physics); trajectories above it are hot."""
ROUNDING = 1e-6
"""eV/Å; a smaller force MAE is rounding, of forces that are zero by symmetry (strained cells of one or two atoms)."""
DEALS = ("repetition", "half")
PARTS = ("dataset", "latent", "pruner", "descriptor", "model")
"""Parts of a configuration that make a setting where they are not the usual ones."""


@dataclass(frozen=True)
class Row:
    """One point of a curve.

    setting: what differs from the usual configuration, "" for the usual one. own: whether the descriptor is the
    model's own. seed: of the choice. fraction: of the pool's atoms, as asked. forces: MAE in eV/Å, energies: MAE in
    meV/atom, by stratum, and under ``ALL`` over the whole test half; NaN where there is nothing to measure.
    """

    element: str
    repetition: int
    half: int
    block: str
    setting: str
    model: str
    pruner: str
    descriptor: str
    own: bool
    seed: int
    fraction: float
    kept_structures: int
    kept_atoms: int
    pool_atoms: int
    forces: Mapping[str, float]
    energies: Mapping[str, float]


ERRORS = {"forces": FORCE_MAE, "energies": ENERGY_MAE}
"""Fields of a row, and the names of their columns; those of a stratum have it behind a slash."""
PLAIN = tuple(field.name for field in fields(Row) if field.name not in ERRORS)
TYPES: Mapping[str, Any] = dict.fromkeys(PLAIN, str) | {
    **dict.fromkeys(("repetition", "half", "seed", "kept_structures", "kept_atoms", "pool_atoms"), int),
    "own": lambda text: {"0": False, "1": True}[text],
    "fraction": float,
}


def stratum_of(dataset: str, element: str, group: str, block: str) -> str:
    """The stratum of a structure, by the names of its group and block.

    In mlearn, surfaces and strained crystals are their groups. Trajectories, with a vacancy or without, are hot above
    the melting point and cold below; those with a vacancy have it in their names. In other data sets, and for groups
    that are not known, it is the group.
    """
    if dataset != MLEARN:
        return group
    if group in GROUP_STRATA:
        return GROUP_STRATA[group]
    if named := re.search(r" (cold|hot)$", block):
        return named[1]
    temperature = re.search(r"(\d+) K$", block)
    if temperature and element in MELTING_K:
        return HOT if float(temperature[1]) > MELTING_K[element] else COLD
    return group


def rows_of(trials: Sequence[Trial]) -> tuple[list[Row], list[Path]]:
    """The rows of all complete trials of half-pools, in order; and folders whose test errors are missing or damaged.

    Trials of other splits, and those without a curve, are passed over.
    """
    deals = {trial.folder: json.loads(trial.parts["dataset"]) for trial in trials if _is_whole(trial)}
    chosen = [trial for trial in trials if deals.get(trial.folder, {}).get("split") == "halves"]
    settings = _settings(chosen)
    errors, rows, missing = CachedTestErrors(), list[Row](), list[Path]()
    for trial in chosen:
        found = errors.read(trial)
        if found is None:
            missing.append(trial.folder)
        else:
            rows += _rows(trial, deals[trial.folder], settings[trial.folder], found)
    return in_order(rows), missing


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Sorted by all that identifies a row."""
    return sorted(rows, key=lambda row: tuple(getattr(row, name) for name in PLAIN))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """As plain CSV: numbers with eight digits, truth as 0 or 1, "nan" where nothing was measured."""
    names = {name for row in rows for name in (*row.forces, *row.energies)}
    strata = sorted(names, key=lambda name: (name != ALL, name not in STRATA, name))
    columns = [(field, stratum) for field in ERRORS for stratum in strata]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*PLAIN, *(_column(*column) for column in columns)])
        for row in in_order(rows):
            errors = [getattr(row, field).get(stratum, np.nan) for field, stratum in columns]
            plain = [getattr(row, name) for name in PLAIN]
            writer.writerow(
                [int(v) if isinstance(v, bool) else v for v in plain] + [f"{e:.8g}" for e in errors]
            )


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that ``write_rows`` wrote.

    Raises
    ------
    TamisError : it cannot be read, lacks a column, or a line has a value that its column cannot have.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:
        raise TamisError(f"{path} cannot be read as a table of points ({error}); make it again") from error
    lacking = [name for name in (*PLAIN, *ERRORS.values()) if name not in header]
    if lacking:
        raise TamisError(f"{path} has no column {', '.join(lacking)}; it is no table of points")
    return [_row(path, number, header, line) for number, line in enumerate(lines, start=2)]


def _row(path: Path, number: int, header: Sequence[str], line: Sequence[str]) -> Row:
    try:
        cells = dict(zip(header, line, strict=True))
        plain = {name: TYPES[name](cells[name]) for name in PLAIN}
        errors = {
            field: {
                column.partition("/")[2] or ALL: float(text)
                for column, text in cells.items()
                if column.partition("/")[0] == name
            }
            for field, name in ERRORS.items()
        }
    except (ValueError, KeyError) as error:
        raise TamisError(f"{path}, record {number}: {error}; make the table again") from error
    return Row(**plain, forces=errors["forces"], energies=errors["energies"])


def _column(field: str, stratum: str) -> str:
    return ERRORS[field] if stratum == ALL else f"{ERRORS[field]}/{stratum}"


def _is_whole(trial: Trial) -> bool:
    return trial.status == COMPLETE and len(trial.points) > 0


def _settings(trials: Sequence[Trial]) -> dict[Path, str]:
    """What differs from the most frequent configuration of each part, among trials of the element."""
    found: dict[Path, list[str]] = defaultdict(list)
    for element in {trial.element for trial in trials}:
        members = [trial for trial in trials if trial.element == element]
        for part in PARTS:
            variants = [(trial.choices.get(part, "?"), _without_deal(trial.parts[part])) for trial in members]
            names = name_variants(variants)
            for trial, variant in zip(members, variants, strict=True):
                if other := names[variant].removeprefix(variant[0]):
                    found[trial.folder].append(part + other)
    return {trial.folder: "; ".join(found[trial.folder]) for trial in trials}


def _without_deal(text: str) -> str:
    return json.dumps({key: v for key, v in json.loads(text).items() if key not in DEALS}, sort_keys=True)


def _rows(trial: Trial, deal: Mapping[str, Any], setting: str, errors: TestErrors) -> list[Row]:
    asked = json.loads(trial.parts["budget"]).get("fractions") or []
    if len(asked) != len(trial.points):
        asked = [point[FRACTION_OF_ATOMS] for point in trial.points]
    members = _members(trial, errors.layout)
    n_atoms = np.array(errors.layout.n_atoms, dtype=np.float64)
    return [
        Row(
            element=trial.element,
            repetition=int(deal.get("repetition", 0)),
            half=int(deal.get("half", 0)),
            block=trial.block,
            setting=setting,
            model=trial.choices["model"],
            pruner=trial.choices["pruner"],
            descriptor=trial.choices["descriptor"],
            own=trial.own,
            seed=trial.seeds[1],
            fraction=float(fraction),
            kept_structures=int(point[KEPT_STRUCTURES]),
            kept_atoms=int(point[KEPT_ATOMS]),
            pool_atoms=int(trial.dataset.n_pool_atoms),
            forces={name: force_mae(errors.forces[i, of], n_atoms[of]) for name, of in members.items()},
            energies={name: float(errors.energies[i, of].mean()) for name, of in members.items()},
        )
        for i, (fraction, point) in enumerate(zip(asked, trial.points, strict=True))
    ]


def _members(trial: Trial, layout: Layout) -> dict[str, NDArray[np.intp]]:
    """Places of the test structures of each stratum, and of all."""
    strata = np.array(
        [
            stratum_of(trial.choices["dataset"], trial.element, group, block)
            for group, block in zip(layout.groups, layout.blocks, strict=True)
        ]
    )
    places = {str(name): np.flatnonzero(strata == name) for name in np.unique(strata)}
    return {ALL: np.arange(len(strata)), **places}


def force_mae(errors: Array, n_atoms: Array) -> float:
    """The mean over atoms, eV/Å, of structures that have forces; NaN without one, or where it is rounding alone."""
    given = np.isfinite(errors)
    if not given.any():
        return float("nan")
    mae = float(np.average(errors[given], weights=n_atoms[given]))
    return mae if mae > ROUNDING else float("nan")
