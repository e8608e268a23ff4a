"""Endpoints over half-pools, on made-up tables whose effects are known."""

import dataclasses

import numpy as np
import pytest

from tamis.analysis.half_pools.answers import ALL
from tamis.analysis.half_pools.endpoints import Arm, against_baseline, endpoints_of, own_against_others
from tamis.analysis.half_pools.table import Row
from tamis.analysis.halves import of_half_pools
from tamis.core.errors import TamisError

FRACTIONS = (0.05, 0.08, 0.13, 0.2, 0.33, 0.5, 1.0)
POOLS = [(repetition, half) for repetition in range(3) for half in (0, 1)]


def curve(pruner, descriptor, pool, seed=0, gain=0.0, own=False, fractions=FRACTIONS, block="errors"):
    """Errors 0.1 exp(-gain) n^-0.3 of forces, and with twice the gain of energies."""
    return [
        Row(
            *("Si", *pool, block, "", "snap", pruner, descriptor, own, seed, fraction),
            *(int(100 * fraction), int(6400 * fraction), 6400),
            forces={ALL: np.exp(-gain) * fraction**-0.3, "hot": np.exp(-3 * gain) * fraction**-0.1},
            energies={ALL: np.exp(-2 * gain) * fraction**-0.2, "hot": np.nan},
        )
        for fraction in fractions
    ]


def study():
    """Own sets gain more on the second half; random has two draws that differ by 0.04."""
    rows = []
    for pool in POOLS:
        rows += curve("fps", "snap", pool, gain=0.1 + 0.02 * pool[1], own=True)
        rows += curve("fps", "ace", pool, gain=0.03) + curve("fps", "soap", pool, gain=-0.01)
        for seed in (0, 1):
            rows += curve("random", "none", pool, seed, gain=0.04 * seed)
    return rows


OWN = Arm("Si", "", "snap", "fps", "snap", True)


def test_the_endpoint_of_a_power_law_is_its_value_in_the_middle_of_the_range():
    found = endpoints_of(study())[OWN]
    middle = 0.5 * (np.log(0.05) + np.log(0.5))
    assert found[0, 0][0] == pytest.approx(-0.3 * middle - 0.1, abs=1e-3)
    later = endpoints_of(study(), first=0.08)[OWN]
    assert later[0, 0][0] - found[0, 0][0] == pytest.approx(-0.15 * np.log(0.08 / 0.05), abs=1e-3)


@pytest.mark.parametrize(
    ("endpoint", "stratum", "times"), [("forces", ALL, 1.0), ("forces", "hot", 3.0), ("energies", ALL, 2.0)]
)
def test_contrasts_are_the_effects_that_the_table_was_made_with(endpoint, stratum, times):
    found = endpoints_of(study(), endpoint, stratum)
    own = own_against_others(found, "Si", "snap", "fps")
    assert own == pytest.approx(np.tile([-0.09 * times, -0.11 * times], (3, 1)))
    random = against_baseline(found, "Si", "snap", "fps", "snap")
    assert random == pytest.approx(np.tile([-0.08 * times, -0.10 * times], (3, 1)))
    effect = of_half_pools(own)
    assert (effect.estimate, effect.n_seeds) == (pytest.approx(-0.10 * times), 3)
    assert effect.error == pytest.approx(0.01 * times)


def test_a_stratum_without_errors_has_no_endpoint():
    found = endpoints_of(study(), "energies", "hot")
    assert own_against_others(found, "Si", "snap", "fps").shape == (0, 2)
    assert against_baseline(found, "Si", "snap", "fps", "snap").shape == (0, 2)


def test_the_order_of_rows_and_the_names_of_descriptors_do_not_matter():
    rows = study()
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    named = [dataclasses.replace(row, descriptor=row.descriptor.replace("ace", "zebra")) for row in mixed]
    expected = own_against_others(endpoints_of(rows), "Si", "snap", "fps")
    assert own_against_others(endpoints_of(mixed), "Si", "snap", "fps").tolist() == expected.tolist()
    assert own_against_others(endpoints_of(named), "Si", "snap", "fps") == pytest.approx(expected)


def test_half_pools_without_all_arms_do_not_count():
    rows = [row for row in study() if (row.descriptor, row.repetition, row.half) != ("ace", 1, 0)]
    own = own_against_others(endpoints_of(rows), "Si", "snap", "fps")
    assert np.isnan(own).tolist() == [[False, False], [True, False], [False, False]]
    assert of_half_pools(own).n_seeds == 2

    rows = [r for r in study() if (r.pruner, r.seed, r.repetition, r.half) != ("random", 1, 2, 1)]
    random = against_baseline(endpoints_of(rows), "Si", "snap", "fps", "snap")
    assert np.isnan(random).tolist() == [[False, False], [False, False], [False, True]]


def test_budgets_that_keep_the_same_set_count_once():
    rows = study()
    doubled = rows + [dataclasses.replace(row, fraction=0.051) for row in rows if row.fraction == 0.05]
    expected = own_against_others(endpoints_of(rows), "Si", "snap", "fps")
    assert own_against_others(endpoints_of(doubled), "Si", "snap", "fps") == pytest.approx(expected)


def test_points_of_two_blocks_and_unknown_endpoints_are_refused():
    rows = study() + curve("fps", "snap", (0, 0), own=True, fractions=(0.1,), block="properties")
    with pytest.raises(TamisError, match=r"blocks errors, properties; choose rows of one block"):
        endpoints_of(rows)
    with pytest.raises(TamisError, match="no endpoint is called stresses"):
        endpoints_of(study(), "stresses")
