"""What README and docs publish comes out of the command that they name."""

from pathlib import Path

import pytest
from benchmarks.published import CHOICES, CSVS, PROJECT, PUBLICATIONS, read_rows, sweep, table_in

MLEARN = PROJECT.parent / "shared" / "mlearn"
KEY = (*CHOICES, "fraction")
TABLES = [
    (name, file, table, lines)
    for name, publication in PUBLICATIONS.items()
    for (file, table), lines in publication.tables.items()
]


@pytest.mark.parametrize(("name", "file", "table", "lines"), TABLES, ids=[table for _, _, table, _ in TABLES])
def test_a_table_is_what_its_numbers_give(name, file, table, lines):
    if not (CSVS / f"{name}.csv").is_file():
        pytest.skip(
            f"docs/published/{name}.csv is not there: {file} says which state of the code its numbers are of"
        )
    assert table_in(PROJECT / file, table) == list(lines(read_rows(CSVS / f"{name}.csv")))


def check_slice(folder: Path, only: list[str], most: float = 0.01) -> None:
    """The slice's numbers are the published ones, to what another machine's rounding does to a choice of settings."""
    if not (MLEARN / "Si" / "training.json").is_file():
        pytest.skip("needs mlearn's silicon in ../shared/mlearn")
    publication = PUBLICATIONS["silicon"]
    published = {tuple(row[k] for k in KEY): row for row in read_rows(CSVS / "silicon.csv")}
    rows = sweep(publication, folder / "sweep", MLEARN, only=only)
    assert len(rows) > 2
    for row in rows:
        expected = published[tuple(row[k] for k in KEY)]
        for name in publication.columns[len(KEY) :]:
            assert float(row[name]) == pytest.approx(float(expected[name]), rel=most), (
                row["descriptor"],
                name,
            )


def test_a_slice_of_the_readme_comes_out_again(tmp_path):
    sets = "[{pruner: random, descriptor: none}, {pruner: fps, descriptor: snap}]"
    only = ["model=snap", "budget.fraction=0.05", "seed.split=0,1", f"hydra.sweeper.together={sets}"]
    check_slice(tmp_path, [*only, "hydra/launcher=basic"])


@pytest.mark.slow
def test_a_split_of_the_readme_comes_out_again(tmp_path):
    check_slice(tmp_path, ["budget.fraction=0.05,0.5", "seed.split=1"])
