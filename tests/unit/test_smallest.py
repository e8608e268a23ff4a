"""The search for the smallest set on made-up curves, and what its command refuses."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from tests.typed import tamis_here

from tamis.analysis.smallest import WHOLE, RatioCurve, chosen, middle
from tamis.commands.smallest import overrides

COARSE = (0.05, 0.1, 0.2, 0.35, 0.6)
SMALLEST, RESOLUTION, LIMIT = 0.02, 0.04, 1.1
N_POOL, N_ATOMS = 10_000, 10
Ratio = Callable[[float], float]


def measured(ratio: Ratio, fractions, spread: float = 0.0) -> RatioCurve:
    """Three splits around ``ratio``, which both kinds of errors have."""
    f = np.array(sorted(fractions))
    means = np.array([ratio(one) for one in f])
    splits = np.exp(spread * np.array([-1.0, 0.0, 1.0]))
    kept = np.repeat(np.floor(f * N_POOL)[:, None], 3, axis=1)
    ratios = np.repeat((means[:, None] * splits)[:, :, None], 2, axis=2)
    return RatioCurve(f, ratios, kept, kept * N_ATOMS, kept / N_POOL)


def searched(ratio: Ratio, limit: float = LIMIT) -> tuple[RatioCurve, int]:
    """The curve at the end of a search, and the number of rounds."""
    fractions, rounds = set(COARSE), 0
    while True:
        rounds += 1
        curve = measured(ratio, fractions)
        new = curve.next_fractions(limit, SMALLEST, RESOLUTION)
        if not new:
            return curve, rounds
        assert (
            not fractions.intersection(new) and new == sorted(new) and new[0] >= SMALLEST and new[-1] < WHOLE
        )
        fractions.update(new)


@pytest.mark.parametrize("crossing", [0.03, 0.0501, 0.1, 0.27, 0.59, 0.85])
def test_a_falling_curve_is_followed_to_where_it_crosses(crossing):
    curve, rounds = searched(lambda f: LIMIT * (crossing / f) ** 0.3)
    bracket = curve.bracket(LIMIT)
    assert bracket.low <= crossing * (1 + 1e-3) and crossing <= bracket.high * (1 + 1e-3)
    assert bracket.high / bracket.low <= 1 + RESOLUTION
    assert rounds <= 4


def test_noise_ends_and_every_larger_size_is_within():
    for seed in range(200):
        noise = np.random.default_rng(seed)
        seen: dict[float, float] = {}

        def ratio(f: float, seen=seen, noise=noise) -> float:
            return seen.setdefault(f, 1.05 * (0.2 / f) ** 0.1 * np.exp(noise.normal(0.0, 0.05)))

        curve, rounds = searched(ratio)
        high = curve.bracket(LIMIT).high
        assert rounds <= 8
        assert all(ratio(f) <= LIMIT for f in curve.fractions if f >= high)


def test_a_lucky_dip_is_no_answer():
    curve = measured(lambda f: 0.5 if f == 0.1 else 1.5 if f < 0.5 else 1.0, COARSE)
    assert (curve.bracket(LIMIT).low, curve.bracket(LIMIT).high) == (0.35, 0.6)


def test_never_within_is_the_whole_pool_and_within_from_the_start_the_smallest_size():
    never, _ = searched(lambda f: 1.5)
    assert never.bracket(LIMIT).high == WHOLE and never.bracket(LIMIT).low >= WHOLE / (1 + RESOLUTION)
    assert chosen({"random": never}, LIMIT) is None
    always, _ = searched(lambda f: 1.0)
    assert always.bracket(LIMIT).low == 0.0 and always.bracket(LIMIT).high == SMALLEST


def test_both_kinds_of_errors_have_to_be_within():
    curve = measured(lambda f: 1.0, COARSE)
    curve.ratios[:3, :, 1] = 2.0
    assert curve.bracket(LIMIT).high == 0.35


def test_the_smallest_way_is_taken_and_of_equal_sizes_the_better_one():
    falls = measured(lambda f: LIMIT * (0.3 / f) ** 0.3, COARSE)
    better = measured(lambda f: 0.95 * LIMIT * (0.3 / f) ** 0.3, COARSE)
    late = measured(lambda f: LIMIT * (0.5 / f) ** 0.3, COARSE)
    assert chosen({"late": late, "falls": falls, "better": better}, LIMIT) == "better"


def test_splits_alone_bracket_the_mean_and_the_chance_grows_towards_the_limit():
    fractions = np.geomspace(0.03, 0.9, 60)
    curve = measured(lambda f: LIMIT * (0.3 / f) ** 0.3, fractions, spread=0.05)
    alone = sorted(curve.by_split(LIMIT))
    mean, every = curve.bracket(LIMIT).high, curve.bracket_of_all(LIMIT).high
    assert alone[0] < mean < alone[-1] == every
    chances = [curve.chance(f, LIMIT) for f in fractions]
    assert all(a >= b for a, b in pairwise(chances))
    at_limit = measured(lambda f: LIMIT, (0.3,), spread=0.05)
    assert at_limit.chance(0.3, LIMIT) == pytest.approx(0.5)


def test_one_structure_apart_is_narrow_enough():
    curve = measured(lambda f: 1.5 if f < 0.07 else 1.0, COARSE)
    curve.structures[:2] = [[3.0] * 3, [4.0] * 3]
    assert curve.next_fractions(LIMIT, SMALLEST, RESOLUTION) == []


def test_the_middle_one_is_the_lower_of_two():
    assert [middle(one) for one in ([3.0, 1.0, 2.0], [2.0, 1.0], [5.0])] == [2, 1, 0]


def test_what_is_typed_becomes_a_sweep_and_its_name_leaves_out_what_no_trial_depends_on():
    words = overrides(["data=a.xyz", "model=ace", "within=5%", "errors=forces", "pruners=[fps,random]"])
    assert words[:-1] == [
        *("-m", "hydra/sweeper=smallest", "dataset=file", "dataset.train=a.xyz", "model=ace"),
        *("hydra.sweeper.within=5", "hydra.sweeper.errors=[forces]", "hydra.sweeper.pruners=[fps,random]"),
    ]
    assert words[-1] == overrides(["data=a.xyz", "model=ace", "within=7"])[-1]
    assert words[-1] != overrides(["data=b.xyz", "model=ace"])[-1]
    assert overrides(["hydra.sweep.dir=here"])[-1] == "hydra.sweep.dir=here"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("pruner=fps", "type pruners="),
        ("budget.fraction=0.2", "leave it out"),
        ("seed.split=3", "type splits="),
        ("validation_fraction=0.1,0.2", "one answer"),
        ("within=0", "above 0"),
        ("pruners=fsp", "mean fps"),
        ("errors=stresses", "there are forces, energies"),
        ("splits=0", "splits"),
    ],
)
def test_what_has_no_place_in_a_search_is_refused(tmp_path, word, reason):
    told = tamis_here(tmp_path, *overrides(["hydra.sweep.dir=found", word]))
    assert told.returncode == 1 and reason in told.stderr, told.stderr
