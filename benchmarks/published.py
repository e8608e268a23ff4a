"""Makes what README and docs publish: runs a sweep, keeps its numbers as CSV, writes tables and figures from them.

    python benchmarks/published.py silicon --root <mlearn>     README's table and figure; half an hour of one core
    python benchmarks/published.py physics --root <mlearn>     the tables of docs/physics.md; an hour
    python benchmarks/published.py silicon --tables            the tables and the figure from the CSV that is there

A table stands between two comments, ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, and nothing else writes there.
``tests/oracles/test_published.py`` compares the tables with their CSV, and a slice of the sweep with the CSV.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tamis.analysis.arms import Ground, Point
from tamis.analysis.averages import geometric_mean
from tamis.analysis.trials import Trial
from tamis.core.files import write_atomically
from tamis.records.record import COMPLETE
from tamis.report.curves import draw_curves

PROJECT = Path(__file__).parent.parent
CSVS = PROJECT / "docs" / "published"
Row = Mapping[str, str]

ENERGY, FORCE = "test/energy_mae_meV_per_atom", "test/force_mae_eV_per_A"
SETS = {
    "random": "random",
    "ace": "FPS in ACE",
    "soap": "FPS in SOAP",
    "acsf": "FPS in ACSF",
    "chimes": "FPS in ChIMES",
    "snap": "FPS in SNAP",
}
PHYSICS = {
    "properties/lattice_constant_A": ("lattice constant, Å", ".3f"),
    "properties/elastic_C11_GPa": ("C11, GPa", ".0f"),
    "properties/elastic_C12_GPa": ("C12, GPa", ".0f"),
    "properties/elastic_C44_GPa": ("C44, GPa", ".0f"),
    "properties/elastic_bulk_modulus_GPa": ("bulk modulus (C), GPa", ".0f"),
    "properties/eos_bulk_modulus_GPa": ("bulk modulus (EOS), GPa", ".0f"),
    "properties/vacancy_formation_eV": ("vacancy formation, eV", ".2f"),
    "properties/vacancy_migration_eV": ("vacancy migration, eV", ".2f"),
    "properties/surface_100_J_per_m2": ("surface 100, J/m²", ".2f"),
    "properties/surface_110_J_per_m2": ("surface 110, J/m²", ".2f"),
    "properties/surface_111_J_per_m2": ("surface 111, J/m²", ".2f"),
    "properties/wall_crystal_percent": ("wall: crystal, %", ".0f"),
    "properties/phonon_imaginary_percent": ("imaginary phonons, %", ".1f"),
    "properties/wall_dimer_percent": ("wall: dimer, %", ".0f"),
    "md/stable_fraction": ("stable fraction, NVT", ".2f"),
    "md/failures": ("MD failures", ".0f"),
    "md/out_of_time": ("MD runs out of time", ".0f"),
    "md/nve_drift_meV_per_atom_per_ps": ("NVE drift, meV/atom/ps", ".4f"),
}
MODELS = ("snap", "ace", "chimes", "nnp", "gap")


@dataclass(frozen=True)
class Publication:
    """A sweep, the columns of its results that are kept, and what is made of them.

    tables: (file, name of the table in it) -> the table's lines from the rows.
    """

    experiment: str
    overrides: tuple[str, ...]
    columns: tuple[str, ...]
    tables: Mapping[tuple[str, str], Callable[[Sequence[Row]], Iterable[str]]]
    figure: tuple[str, str] | None = None


def main() -> None:
    """The command."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("name", choices=sorted(PUBLICATIONS))
    arguments.add_argument("--root", type=Path, help="folder of mlearn; without it the data are downloaded")
    arguments.add_argument("--store", type=Path, help="a store of rows to use (default: a new one)")
    arguments.add_argument(
        "--tables", action="store_true", help="run nothing: tables and figure from the CSV"
    )
    asked = arguments.parse_args()
    publication, path = PUBLICATIONS[asked.name], CSVS / f"{asked.name}.csv"
    if not asked.tables:
        with tempfile.TemporaryDirectory() as folder:
            rows = sweep(publication, Path(folder) / "sweep", asked.root, asked.store)
            write_rows(rows, publication.columns, path)
    rows = read_rows(path)
    for (file, name), lines in publication.tables.items():
        replace_table(PROJECT / file, name, lines(rows))
    if publication.figure is not None:
        name, title = publication.figure
        draw_curves([point_of(row) for row in rows], PROJECT / name, title)


def sweep(
    publication: Publication,
    folder: Path,
    root: Path | None,
    store: Path | None = None,
    only: Sequence[str] = (),
) -> list[Row]:
    """The results of the sweep, or of the part that ``only`` leaves (overrides such as ``model=snap``)."""
    command = [
        *(sys.executable, "-m", "tamis.cli", "-m", f"experiment={publication.experiment}"),
        *(*publication.overrides, *only, f"hydra.sweep.dir={folder}", "tracking=null", "artifacts=false"),
        *([] if root is None else [f"dataset.root={root.absolute()}"]),
        f"store.root={store.absolute() if store else folder / 'store'}",
    ]
    subprocess.run(command, check=True)
    with (folder / "results.csv").open(newline="") as file:
        return [_with_fraction(row) for row in csv.DictReader(file)]


def _with_fraction(row: dict[str, str]) -> dict[str, str]:
    """The row, with the budget as the fraction of atoms that was asked for."""
    found = re.match(r"(\{.*\}), point \d+$", row["budget"])
    fraction = json.loads(found[1]).get("fraction", 1.0) if found else 1.0
    return {**row, "fraction": f"{fraction:g}"}


def write_rows(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Six digits of each number: more would change with every machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[_short(row.get(name, "")) for name in columns] for row in rows])


def _short(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def read_rows(path: Path) -> list[Row]:
    """What ``write_rows`` wrote."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def replace_table(path: Path, name: str, lines: Iterable[str]) -> None:
    """Put ``lines`` where the file's table of that name stands."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, rest = text.split(begin)
    write_atomically(path, (before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1]).encode())


def table_in(path: Path, name: str) -> list[str]:
    """The lines of a table that stands in a file."""
    text = path.read_text(encoding="utf-8")
    return text.split(f"<!-- begin {name} -->\n")[1].split(f"\n<!-- end {name} -->")[0].split("\n")


def silicon_table(rows: Sequence[Row]) -> Iterator[str]:
    """Energy / force by model, set and fraction: geometric means over the splits."""
    fractions = sorted({row["fraction"] for row in rows}, key=float)
    first, *others = (f"{100 * float(fraction):g} %" for fraction in fractions)
    yield f"| model | structures chosen by | {' | '.join([f'{first} of the atoms', *others])} |"
    yield "|---" * (2 + len(fractions)) + "|"
    for model in ("ace", "snap"):
        for chosen, words in SETS.items():
            own = " (own)" if chosen == model else ""
            cells = [_errors(rows, model, chosen, fraction) for fraction in fractions]
            yield f"| {model.upper()} | {words}{own} | {' | '.join(cells)} |"


def _errors(rows: Sequence[Row], model: str, chosen: str, fraction: str) -> str:
    mine = [
        row
        for row in rows
        if (row["model"], row["fraction"]) == (model, fraction)
        and chosen in (row["descriptor"], row["pruner"])
    ]
    energy, force = (geometric_mean(float(row[name]) for row in mine) for name in (ENERGY, FORCE))
    return f"{energy:.1f} / {force:.3f}"


def physics_table(element: str) -> Callable[[Sequence[Row]], Iterator[str]]:
    """Properties and MD of one element by model."""

    def lines(rows: Sequence[Row]) -> Iterator[str]:
        mine = {row["model"]: row for row in rows if row["setting"] == f"dataset.element={element}"}
        models = [model for model in MODELS if model in mine]
        yield f"| | {' | '.join(models)} |"
        yield "|---" * (1 + len(models)) + "|"
        for name, (words, digits) in PHYSICS.items():
            cells = [
                format(float(mine[model][name]), digits) if mine[model][name] else "" for model in models
            ]
            yield f"| {words} | {' | '.join(cells)} |"

    return lines


def point_of(row: Row) -> Point:
    """A row as the figures want it."""
    metrics = {name: float(row[name]) for name in ("kept/atoms", ENERGY, FORCE)}
    trial = Trial(Path(), COMPLETE, "", parts={"budget": row["fraction"]})
    return Point(
        ground=Ground("mlearn Si", ""),
        model=row["model"],
        pruner=row["pruner"],
        descriptor=row["descriptor"],
        own=row["own"] == "True",
        block="",
        seeds=(int(row["seed.split"]), int(row["seed.select"]), 0),
        trial=trial,
        number=0,
        metrics=metrics,
    )


CHOICES = ("model", "pruner", "descriptor", "own", "seed.split", "seed.select")
PUBLICATIONS = {
    "silicon": Publication(
        experiment="silicon",
        overrides=(),
        columns=(*CHOICES, "fraction", "kept/structures", "kept/atoms", ENERGY, FORCE),
        tables={("README.md", "silicon"): silicon_table},
        figure=(
            "docs/images/silicon.png",
            "mlearn silicon: test errors, geometric mean and range over 3 splits",
        ),
    ),
    "physics": Publication(
        experiment="physics",
        overrides=("dataset.element=Si,Mo",),
        columns=("model", "setting", ENERGY, FORCE, *PHYSICS),
        tables={
            ("docs/physics.md", f"physics {element}"): physics_table(element) for element in ("Si", "Mo")
        },
    ),
}

if __name__ == "__main__":
    main()
