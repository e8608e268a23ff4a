"""One average everywhere, and sets that may be said to have as many atoms."""

import io
import math

import numpy as np
import pytest
from rich.console import Console
from tests.composing import choices, composed
from tests.report_folders import point

from tamis.analysis.averages import alike, geometric_mean, size_words
from tamis.analysis.matrix import matrices, ratios
from tamis.report.tables import sweep_table
from tamis.report.terminal import show

FORCE = "test/force_mae_eV_per_A"


def points(sizes: dict[tuple[str, str], float]) -> list:
    """Two models, two seeds; ``sizes``: atoms that (pruner, descriptor) kept."""
    rng = np.random.default_rng(0)
    return [
        point(model, descriptor, seed,
              {"kept/atoms": atoms, "kept/structures": 8.0, FORCE: float(rng.uniform(0.1, 0.4))}, pruner)
        for model in ("snap", "ace")
        for (pruner, descriptor), atoms in sizes.items()
        for seed in range(2)
    ]  # fmt: skip


def text_of(table) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    show(table, console)
    return console.export_text()


EQUAL = {("random", "none"): 100.0, ("fps", "ace"): 101.0, ("fps", "snap"): 99.0}
UNEQUAL = {**EQUAL, ("random", "none"): 131.0}


def test_a_geometric_mean_is_the_exponential_of_the_mean_logarithm():
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert geometric_mean([3.0, 0.0]) == 0.0
    assert math.isnan(geometric_mean([])) and math.isnan(geometric_mean([1.0, math.nan]))


def test_sets_are_alike_up_to_a_tenth():
    assert alike([]) and alike([7.0]) and alike([100.0, 110.0])
    assert not alike([2898.0, 3196.0])
    assert size_words([2898.0, 3196.0]) == "2898 to 3196 atoms"
    assert size_words([99.0, 101.0]) == "about 100 atoms"


def test_the_matrix_is_the_ratio_of_the_numbers_of_the_table():
    some = points(EQUAL)
    cells = ratios(some)
    for model in ("snap", "ace"):
        mean = {
            p: geometric_mean(
                q.metrics[FORCE] for q in some if (q.model, q.pruner, q.descriptor) == (model, *p)
            )
            for p in EQUAL
        }
        for descriptor in ("ace", "snap"):
            expected = mean["fps", descriptor] / mean["random", "none"]
            assert cells[model, descriptor][0] == pytest.approx(expected)


def test_both_tables_name_their_average():
    assert "geometric mean over seeds" in text_of(sweep_table(points(EQUAL)))
    assert "geometric mean over 2 seeds" in next(matrices(points(EQUAL)))[1]


@pytest.mark.parametrize(("sizes", "said"), [(EQUAL, False), (UNEQUAL, True)])
def test_a_table_of_unequal_sets_says_so(sizes, said):
    assert ("differ in their atoms" in text_of(sweep_table(points(sizes)))) == said
    title = next(matrices(points(sizes)))[1]
    assert ("about" in title) != said and ("99 to 131 atoms" in title) == said


@pytest.mark.parametrize("name", choices("budget"))
def test_budgets_count_atoms_unless_they_are_named_after_structures(name):
    assert composed(f"budget={name}").budget.get("of", "atoms") == "atoms"
