"""The own/other table of a sweep."""

import numpy as np
import pytest
from tests import report_folders

from tamis.analysis.matrix import METRIC, Matrix, matrices, ratios
from tamis.report.document import Cell
from tamis.report.tables import matrix_table


def point(model: str, descriptor: str, seed: int, error: float, pruner: str = "fps", own: bool = False):
    metrics = {METRIC: error, "kept/atoms": 100.0}
    return report_folders.point(model, descriptor, seed, metrics, pruner, own=own)


def test_ratios_are_taken_seed_by_seed():
    points = [point("snap", "none", seed, 0.1 * (1 + seed), pruner="random") for seed in range(3)]
    points += [point("snap", "ace", seed, 0.05 * (1 + seed)) for seed in range(3)]
    points += [
        point("snap", "snap", 7, 0.01, own=True)
    ]  # no random draw with this seed: nothing to compare with
    assert ratios(points) == {("snap", "ace"): (pytest.approx(0.5), False)}


def test_the_mean_over_seeds_is_geometric():
    points = [point("snap", "none", seed, 1.0, pruner="random") for seed in range(2)]
    points += [point("snap", "ace", 0, 4.0), point("snap", "ace", 1, 0.25)]
    assert ratios(points)["snap", "ace"][0] == pytest.approx(1.0)


def test_a_table_needs_several_models_and_descriptors():
    one = [point("snap", "none", 0, 1.0, pruner="random"), point("snap", "ace", 0, 0.5)]
    assert not list(matrices(one))
    both = [point(m, "none", 0, 1.0, pruner="random") for m in ("snap", "ace")]
    both += [
        point(m, d, 0, 0.5 if m == d else 2.0, own=m == d) for m in ("snap", "ace") for d in ("snap", "ace")
    ]
    ((matrix, about),) = matrices(both)
    assert (matrix.rows, matrix.columns) == (["snap", "ace"], ["snap", "ace"])
    assert matrix.values == pytest.approx(np.array([[0.5, 2.0], [2.0, 0.5]]))
    assert matrix.own.tolist() == [[True, False], [False, True]]
    best, other = Cell("0.50", mark=True, tone="good"), Cell("2.00")
    assert matrix_table(matrix, about).rows == [["snap", best, other], ["ace", other, best]]


def test_own_cells_are_on_the_diagonal():
    own = {"snap": "snap", "ace": "ace", "chimes": "chimes", "gap": "soap", "nnp": "acsf"}
    cells = {(m, d): (1.0, own[m] == d) for m in sorted(own) for d in sorted(own.values())}
    assert (Matrix.of(cells).own == np.eye(5, dtype=bool)).all()


def test_each_budget_has_its_own_table():
    points = []
    for budget, atoms in (("large", 200.0), ("small", 50.0)):
        for model in ("snap", "ace"):
            for pruner, descriptor in (("random", "none"), ("fps", "ace"), ("fps", "snap")):
                metrics = {METRIC: 1.0, "kept/atoms": atoms}
                points.append(report_folders.point(model, descriptor, 0, metrics, pruner, budget))
    assert ["50 atoms" in about for _, about in matrices(points)] == [True, False]


@pytest.mark.parametrize(
    ("most", "said"), [(105.0, "about 102 atoms kept"), (215.0, "100 to 215 atoms kept")]
)
def test_unequal_sets_are_told(most, said):
    points = []
    for model in ("snap", "ace"):
        for pruner, descriptor in (("random", "none"), ("fps", "ace"), ("fps", "snap")):
            metrics = {METRIC: 1.0, "kept/atoms": most if pruner == "random" else 100.0}
            points.append(report_folders.point(model, descriptor, 0, metrics, pruner))
    ((_, about),) = matrices(points)
    assert said in about
