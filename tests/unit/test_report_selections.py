"""What kept sets hold of the pool: laws of the measures, the file that keeps them, and what reports show of it."""

import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from tests.composing import composed
from tests.report_folders import N_POOL, write_trial
from tests.typed import typed

from tamis.analysis import coverage
from tamis.analysis.coverage import CommonSpace, KeptSets, Map, map_key
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands import report as report_command
from tamis.commands.selections import common_ruler, describe, flatten_to_map
from tamis.data.extxyz_writer import write_extxyz
from tamis.evaluation.dynamics.extrapolation import axes
from tamis.report.files import to_markdown
from tamis.report.links import Links
from tamis.trial import run_trial

N = 12
POOL = np.arange(N)
PERCENTILE = 90.0


@pytest.fixture(scope="module")
def values():
    """Twelve structures of two to five environments in four dimensions."""
    rng = np.random.default_rng(3)
    return [rng.normal(size=(2 + i % 4, 4)) + rng.normal(size=4) for i in range(N)]


@pytest.fixture(scope="module")
def space(values):
    return CommonSpace.of(values, PERCENTILE)


def prefixes(order, sizes):
    return [np.array(order[:size]) for size in sizes]


# measures


def test_the_whole_pool_covers_itself(space):
    found = space.measure([POOL], POOL)
    assert found["coverage"] == [1.0] and found["distance"] == [0.0]


def test_more_structures_never_cover_less(space):
    found = space.measure(prefixes([7, 2, 9, 0, 4, 11, 1, 3, 5, 6, 8, 10], range(1, N + 1)), POOL)
    assert (np.diff(found["coverage"]) >= 0.0).all() and (np.diff(found["distance"]) <= 0.0).all()
    assert found["coverage"][0] < 1.0 and found["distance"][0] > 0.0


def test_measures_are_those_of_all_pairs_of_environments(values, space):
    """Oracle: distances from scipy, sums written out."""
    mean, turn = axes(np.concatenate(values))
    points, owners = (np.concatenate(values) - mean) @ turn, np.repeat(POOL, [len(v) for v in values])
    distances = cdist(points, points)
    others = np.where(owners[:, None] == owners, np.inf, distances).min(axis=1)
    reach, spacing = np.percentile(others, PERCENTILE), others.mean()
    kept, pool = np.array([1, 4, 6]), np.array([0, 1, 3, 4, 6, 8])
    in_kept, in_pool = np.isin(owners, kept), np.isin(owners, pool)
    nearest = distances[np.ix_(in_pool, in_kept)].min(axis=1)
    kernel = np.exp(-(distances[np.ix_(in_kept, in_kept)] ** 2) / (2 * spacing**2))
    found = space.measure([kept], pool)
    assert found["coverage"][0] == np.mean(nearest <= reach)
    assert found["distance"][0] == pytest.approx(nearest.mean() / spacing)
    assert found["entropy"][0] == pytest.approx(-np.log(kernel.mean(axis=1)).mean())


@pytest.mark.parametrize("before", [[0, 1], [4, 6, 9], [1, 4, 6, 7]], ids=["other", "part", "more"])
def test_what_came_before_on_a_curve_changes_nothing(space, before):
    kept = np.array([1, 4, 6])
    alone, after = space.measure([kept], POOL), space.measure([np.array(before), kept], POOL)
    assert all(after[name][1] == pytest.approx(alone[name][0]) for name in alone)


def test_entropy_counts_environments_that_differ():
    """Structures far apart, each of equal environments: exp(entropy) is how many are kept, however often each."""
    places = np.repeat(np.eye(6), 2, axis=0)  # two structures at each of six places
    space = CommonSpace.of([np.tile(place, (4, 1)) for place in places], PERCENTILE)
    found = space.measure(
        [np.array([0]), np.array([0, 1]), np.array([0, 2, 4]), np.arange(12)], np.arange(12)
    )
    assert np.exp(found["entropy"]) == pytest.approx([1, 1, 3, 6], rel=0.01)


def test_equal_environments_everywhere_are_one():
    space = CommonSpace.of([np.ones((3, 2))] * 4, PERCENTILE)
    found = space.measure([np.array([2])], np.arange(4))
    assert found == {"coverage": [1.0], "distance": [0.0], "entropy": [0.0]}


def test_large_sets_are_thinned_and_no_structure_is_lost(values, monkeypatch):
    monkeypatch.setattr(coverage, "MOST_ENVIRONMENTS", 15)
    space = CommonSpace.of(values, PERCENTILE)
    assert len(space.owners) < sum(map(len, values)) and set(space.owners) == set(range(N))
    assert space.measure([POOL], POOL)["distance"] == [0.0]


def test_blocks_of_rows_change_nothing(values, space, monkeypatch):
    monkeypatch.setattr(coverage, "ROWS_AT_ONCE", 7)
    again = CommonSpace.of(values, PERCENTILE)
    assert again.distances == pytest.approx(space.distances) and again.kernels == pytest.approx(space.kernels)


# maps


def test_a_map_of_a_plane_keeps_distances():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0][:2]
    vectors = rng.normal(size=(20, 2)) @ turn + 5.0
    plane = flatten_to_map([f"s{i}" for i in range(20)], vectors)
    shown = np.transpose([plane.x, plane.y])
    assert cdist(shown, shown) == pytest.approx(cdist(vectors, vectors), rel=1e-3, abs=1e-3)
    assert plane.variance == pytest.approx(1.0) and np.var(plane.x) >= np.var(plane.y)


def test_a_map_of_one_structure_or_one_column_is_one_too():
    assert flatten_to_map(["b"], np.ones((1, 3))).x == [0.0]
    line = flatten_to_map(["a", "b"], np.array([[0.0], [2.0]]))
    assert sorted(line.x) == pytest.approx([-1.0, 1.0]) and line.y == pytest.approx([0.0, 0.0])


# trials


@pytest.fixture(scope="module")
def study(tmp_path_factory, rattled):
    """Three trials on twenty cells: two descriptors' choices, and random."""
    place = tmp_path_factory.mktemp("kept")
    write_extxyz(place / "train.extxyz", rattled.subset(range(20)))
    write_extxyz(place / "test.extxyz", rattled.subset(range(20, 24)))
    data = (
        f"dataset.train={place}/train.extxyz",
        f"dataset.test={place}/test.extxyz",
        "dataset.elements=[Si]",
        "dataset.atom_spacing=2.7",
        "dataset.group_key=group",
    )
    common = ("dataset=file", *data, "model.basis.twojmax=2", "budget=curve", "budget.fractions=[0.3,1.0]")
    for i, more in enumerate(
        (
            ("pruner=random", "descriptor=none"),
            ("descriptor=snap",),
            ("descriptor=snap", "descriptor.twojmax=4"),
        )
    ):
        config = composed(*common, f"store.root={place}/store", "artifacts=false", *more)
        record = run_trial(config, {"dataset": "file", "model": "snap"}, place / "study" / str(i))
        assert record.status == "complete", record.reason
    return place / "study"


def described(folder) -> KeptSets:
    return describe(read_trials(find_trials([folder])))


def test_every_trial_and_every_latent_space_is_described(study):
    found = described(study)
    assert {folder.name for folder in found.measures} == {"0", "1", "2"} and found.problems == []
    assert list(found.spaces.values()) == ["snap"]
    for one in found.measures.values():
        assert one["coverage"][1] == 1.0 and one["distance"][1] == 0.0 and one["distance"][0] > 0.0
    trials = read_trials(find_trials([study]))
    assert len(found.maps) == 2
    for plane in found.maps.values():
        assert set(plane.ids) == set(trials[0].dataset.pool) == set(trials[0].ids)  # the whole pool, at 100 %


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["dataset"].update(fingerprint="other"), "no longer the one"),
        (lambda r: r["config"]["dataset"].update(train="/nowhere.extxyz"), "nowhere"),
        (lambda r: r["config"]["dataset"].update(root=None, cache="/nowhere"), "a report downloads nothing"),
        (lambda r: r["config"]["store"].update(n_jobs=0), "n_jobs is 0"),
    ],
    ids=["data set changed", "data set gone", "data set far away", "wrong store"],
)
def test_what_cannot_be_described_is_told(study, tmp_path, change, words):
    record = json.loads((study / "1" / "record.json").read_text())
    change(record)
    (tmp_path / "record.json").write_text(json.dumps(record))
    (problem,) = described(tmp_path).problems
    assert "not described" in problem and words in problem


def test_the_command_describes_the_kept_sets(study, tmp_path):
    where = ("--out", tmp_path / "report", "--tracking", f"sqlite:///{tmp_path}/none.db")
    assert typed(report_command, study, *where) == 0
    assert "the kept sets in one space" in (tmp_path / "report" / "report.md").read_text()


def test_the_ruler_is_that_of_the_dynamics_for_the_data_set():
    config = composed("evaluation=full", "dataset=mlearn", "dataset.element=Mo")
    ruler = common_ruler(dict(config.dataset))
    wanted = config.evaluation.dynamics.extrapolation
    assert (ruler.space.r_cut, ruler.percentile) == (wanted.space.r_cut, wanted.percentile)
    assert ruler.space.elements == ("Mo",)


# the report


def report(folder, monkeypatch, **more):
    """With made-up numbers of the trials below ``folder``."""
    measures = {}
    for trial in read_trials(find_trials([folder])):
        values = [k + 0.25 for k in range(len(trial.points))]
        measures[trial.folder] = dict.fromkeys(("coverage", "distance", "entropy"), values)
    found = KeptSets(**{"measures": measures, "spaces": {"Si-published": "snap"}} | more)
    monkeypatch.setattr("tamis.commands.selections.describe", lambda trials: found)
    return to_markdown(report_command.make_report([folder], Links(), with_coverage=True)[1])


@pytest.fixture
def folder(tmp_path):
    for seed in range(3):
        write_trial(tmp_path / f"r{seed}", "snap", "none", "random", seed)
        write_trial(tmp_path / f"s{seed}", "snap", "snap", "fps", seed)
        write_trial(tmp_path / f"a{seed}", "ace", "snap", "fps", seed)
    return tmp_path


def test_a_report_shows_the_measures_at_its_budget(folder, monkeypatch):
    text = report(folder, monkeypatch)
    assert "the kept sets in one space, the same for all, at the budget nearest to 10 % of the atoms" in text
    assert "| snap | 1.25 | 1.25 | 1.25 | 3 |" in text  # the second point, one a split whatever the model
    assert "figures/distance-mlearn-si.svg" in text and "figures/entropy-mlearn-si.svg" in text


def test_a_report_shows_a_map_with_what_was_kept(folder, monkeypatch):
    trials = {trial.folder.name: trial for trial in read_trials(find_trials([folder]))}
    plane = Map([f"Si#{i}" for i in range(N_POOL)], list(range(N_POOL)), [0.0] * N_POOL, 0.5)
    text = report(folder, monkeypatch, maps={map_key(trials["s0"]): plane})
    assert "in the latent space of snap; 6 of 60 structures kept" in text and "map-snap-mlearn-si.svg" in text
    assert "holds 50 % of the variance" in text
    assert "the latent space of random" not in text


def test_a_report_without_coverage_says_so(folder):
    text = to_markdown(report_command.make_report([folder], Links())[1])
    assert "coverage of the kept sets was not worked out" in text


def test_a_report_tells_what_could_not_be_described(folder, monkeypatch):
    text = report(folder, monkeypatch, measures={}, problems=["mlearn Si: not described: gone"])
    assert "not described: gone" in text
