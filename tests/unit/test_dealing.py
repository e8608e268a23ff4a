"""Copies go to one side wherever structures are dealt; blocks are held out whole."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from tests.copper import disguised, force_free, labelled, moved, trajectory
from tests.training import rattled_silicon

from tamis.core.errors import TamisError
from tamis.data import copies
from tamis.data import dataset as dataset_module
from tamis.data.checks import check_dataset
from tamis.data.copies import _agree, copies_of
from tamis.data.dataset import draw_test, split_dataset
from tamis.data.dealing import bundles_of, deal_halves, deal_into_folds, hold_out
from tamis.data.sources.file import File
from tamis.data.trajectories import correlation, trajectories


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("repeat", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_what_leaves_energies_equal_makes_a_copy(seed, repeat):
    first, other = moved(2, seed)
    copy = disguised(first, rng(seed), repeat)
    assert copies_of([first, other, copy]).tolist() == [0, 1, 0]


def test_equal_energies_per_atom_go_with_copies():
    structures = [disguised(atoms, rng(i), 1 + i % 2) for i, atoms in enumerate(2 * moved(3))]
    data = labelled(structures)
    energies = data.energies / data.n_atoms
    assert data.copies.tolist() == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(energies[:3], energies[3:], atol=1e-3)


def test_what_changes_the_energy_is_no_copy():
    crystal = bulk("Cu", "fcc", a=3.6, cubic=True)
    strained, other, ordered, mixed = (crystal.copy() for _ in range(4))
    strained.set_cell(strained.cell.array * 1.001, scale_atoms=True)
    other.symbols[:] = "Au"
    ordered.symbols[:2] = "Au"  # planes of gold along z ...
    mixed = ordered.repeat((1, 1, 2))
    mixed.symbols[:] = ["Au"] * 4 + ["Cu"] * 4  # ... and thicker ones
    nudged = crystal.repeat(2)
    nudged.positions[0, 0] += 0.01
    hcp = bulk("Cu", "hcp", a=3.6 / np.sqrt(2))
    structures = [crystal, strained, other, ordered, mixed, nudged, hcp]
    assert copies_of(structures).tolist() == list(range(len(structures)))


def test_molecules_in_any_box_are_copies():
    free = molecule("H2O")
    boxed = molecule("H2O", cell=[20.0, 21.0, 22.0], pbc=True)
    boxed.rotate(40, "x")
    bent = molecule("H2O")
    bent.positions[1] += 0.05
    assert copies_of([free, boxed, bent]).tolist() == [0, 0, 1]


def test_structures_that_cannot_be_searched_are_no_copies():
    broken = Atoms("Cu", [[np.nan, 0, 0]], cell=[3, 3, 3], pbc=True)
    assert copies_of([broken, broken.copy(), Atoms()]).tolist() == [0, 1, 2]


def test_many_copies_of_many_structures():
    structures = [atoms for atoms in moved(20) for _ in range(10)]
    assert copies_of(structures).tolist() == [i // 10 for i in range(200)]


def test_structures_that_are_no_copies_are_hardly_ever_compared_whole(monkeypatch):
    rng, whole = np.random.default_rng(0), []
    structures = [bulk("Cu", cubic=True).repeat(2) for _ in range(300)]
    for atoms in structures:
        atoms.positions += rng.normal(scale=0.01, size=atoms.positions.shape)
    structures.append(disguised(structures[7], rng))
    monkeypatch.setattr(copies, "_agree", lambda *a: whole.append(a) or _agree(*a))
    assert copies_of(structures).tolist() == [*range(300), 7]
    assert 0 < len(whole) < 10


def test_draws_without_copies_are_those_of_single_structures():
    """Every stratum gives its share, and each bundle is drawn by the same number."""
    strata = ["A"] * 30 + ["B"] * 10
    taken = hold_out(strata, 0.1, rng(), np.arange(40))
    assert taken[:30].sum() == 3 and taken[30:].sum() == 1
    folds = deal_into_folds(strata, 5, rng(), np.arange(40))
    assert np.bincount(folds).tolist() == [8] * 5 and np.bincount(folds[30:]).tolist() == [2] * 5


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_bundles_are_on_one_side(seed, fraction):
    numbers = rng(seed).integers(0, 12, size=60)
    strata = [str(k) for k in rng(seed + 1).integers(0, 3, size=60)]
    taken = hold_out(strata, fraction, rng(seed), numbers)
    assert not set(numbers[taken]) & set(numbers[~taken]) and taken.any() and not taken.all()
    folds = deal_into_folds(strata, 4, rng(seed), numbers)
    assert all(len(set(folds[numbers == k])) == 1 for k in numbers) and set(folds) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(5))
def test_halves_are_equal_in_every_stratum(seed):
    strata = [str(k) for k in rng(seed).integers(0, 9, size=101)]
    first = deal_halves(strata, rng(seed), np.arange(101))
    assert abs(2 * int(first.sum()) - 101) <= 1
    for name in set(strata):
        members = np.flatnonzero([s == name for s in strata])
        assert abs(2 * int(first[members].sum()) - len(members)) <= 1
    assert (first == deal_halves(strata, rng(seed), np.arange(101))).all()
    assert (first != deal_halves(strata, rng(seed + 1), np.arange(101))).any()


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_in_one_half(seed):
    numbers = rng(seed).integers(0, 12, size=60)
    strata = [str(k) for k in rng(seed + 1).integers(0, 3, size=60)]
    first = deal_halves(strata, rng(seed), numbers)
    assert not set(numbers[first]) & set(numbers[~first])


def test_each_structure_is_in_the_first_half_as_often_as_in_the_second():
    strata = ["A"] * 7 + ["B"]
    often = np.mean([deal_halves(strata, rng(seed), np.arange(8)) for seed in range(400)], axis=0)
    np.testing.assert_allclose(often, 0.5, atol=5 * 0.5 / np.sqrt(400))


def test_blocks_that_share_a_structure_stay_apart():
    """Trajectories begin with one crystal; it would make all of them one bundle."""
    bundles = bundles_of(np.array([0, 1, 2, 0, 3, 3]), ["a", "a", "a", "b", "b", "b"])
    assert bundles.tolist() == [0, 1, 1, 0, 2, 2]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("with_tuning", [False, True])
def test_copies_are_validated_apart_from_their_training(seed, with_tuning):
    data = labelled([disguised(a, rng(seed), 1 + i % 2) for i, a in enumerate(6 * moved(6))])
    split = split_dataset(data, 0.1, rng(seed), with_tuning)
    parts = [set(data.copies[part]) for part in (split.pool, split.tuning, split.validation)]
    assert sum(map(len, parts)) == 6 and len(parts[2]) == 1 and len(parts[1]) == with_tuning


def test_too_few_distinct_structures_are_told():
    data = labelled(5 * moved(1))
    with pytest.raises(TamisError, match=r"has 1 distinct structure\(s\) for training \(5 with copies\)"):
        split_dataset(data, 0.1, rng())
    with pytest.raises(TamisError, match="2 distinct .* and one to tune on"):
        split_dataset(labelled(5 * moved(2)), 0.1, rng(), with_tuning=True)
    assert not draw_test(data, 0.3, 0).is_test.any()


@pytest.mark.parametrize("seed", range(4))
def test_validation_has_forces_where_two_structures_have_them(seed):
    data = labelled(force_free(20) + moved(2))
    split = split_dataset(data, 0.1, rng(seed), with_tuning=False)
    assert {20, 21} & set(split.validation) and {20, 21} & set(split.pool)


@pytest.mark.parametrize("seed", range(4))
def test_the_only_structure_with_forces_is_trained_on(seed):
    drawn = draw_test(labelled(force_free(6) + moved(1)), 0.2, seed)
    split = split_dataset(drawn, 0.2, rng(seed), with_tuning=True)
    assert 6 in split.pool and len(split.validation) and len(split.tuning) and len(split.test)


@pytest.mark.parametrize("seed", range(2))
def test_a_drawn_test_set_has_no_copy_of_training(seed):
    data = labelled([disguised(a, rng(seed)) for a in 3 * moved(8)])
    drawn = draw_test(data, 0.2, seed)
    assert drawn.test_kind == "random" and drawn.is_test.any()
    assert not set(data.copies[drawn.is_test]) & set(data.copies[~drawn.is_test])
    check_dataset(drawn, ["Cu"])


@pytest.mark.parametrize("seed", range(2))
def test_a_drawn_test_set_is_of_whole_blocks(seed):
    """Also of trajectories that begin with the same structure, and are each a group of its own."""
    start = moved(1, seed=9)
    structures = [a for k in range(6) for a in [*start, *moved(4, seed=k)]]
    blocks = [f"run {k}" for k in range(6) for _ in range(5)]
    for groups in (None, blocks):
        drawn = draw_test(labelled(structures, groups, blocks), 0.15, seed)
        tested = {blocks[i] for i in np.flatnonzero(drawn.is_test)}
        assert drawn.test_kind == "blocks" and len(tested) == 1 and drawn.blocks_whole
        in_training = [i for i in np.flatnonzero(~drawn.is_test) if blocks[i] in tested]
        assert all(i % 5 == 0 for i in in_training)  # but for what the others begin with, too
        check_dataset(drawn, ["Cu"])


def test_validation_takes_whole_blocks_where_the_test_did_and_there_are_enough():
    blocks = [f"run {k}" for k in range(8) for _ in range(5)]
    drawn = draw_test(labelled(moved(40), None, blocks), 0.1, 0)
    split = split_dataset(drawn, 0.1, rng())
    validated = {blocks[i] for i in split.validation}
    assert len(validated) == 1 and not validated & {blocks[i] for i in split.pool}
    few = replace(drawn, blocks=tuple(f"run {k}" for k in range(4) for _ in range(10)))
    assert len(split_dataset(few, 0.1, rng()).validation) == 4  # structures: a block is too much to give


def own_files(path, **options) -> File:
    return File(elements=("Cu",), atom_spacing=2.3, train=(str(path),), **options)


def written(path, data):
    frames = []
    for i, atoms in enumerate(data.structures):
        frame = atoms.copy()
        frame.info |= {"energy": data.energies[i], "run": data.blocks[i]}
        frame.arrays["forces"] = data.forces[i]
        frames.append(frame)
    write(path, frames, columns=["symbols", "positions", "forces"])
    return path


def test_blocks_by_name_are_tested_on(tmp_path):
    start = moved(1, seed=9)
    structures = [a for k in range(3) for a in [*start, *moved(3, seed=k)]]
    blocks = [f"run {k}" for k in range(3) for _ in range(4)]
    path = written(tmp_path / "a.xyz", labelled(structures, None, blocks))
    data = own_files(path, block_key="run", held_out=["run 1"]).load()
    assert np.flatnonzero(data.is_test).tolist() == [5, 6, 7] and data.test_kind == "blocks"
    with pytest.raises(TamisError, match=r"held_out has run 7; choose among .* the blocks run 0, run 1"):
        own_files(path, block_key="run", held_out=["run 7"]).load()
    with pytest.raises(
        TamisError, match=r"choose among the groups \w+; there are no blocks: see dataset.block_key"
    ):
        own_files(path, held_out=["run 7"]).load()
    with pytest.raises(TamisError, match="held_out and dataset.test are both set"):
        own_files(path, test=str(path), held_out="run 1")


def test_a_copy_in_a_test_file_is_refused_whatever_its_disguise(tmp_path):
    first = moved(6)
    train = written(tmp_path / "train.xyz", labelled(first))
    test = written(tmp_path / "test.xyz", labelled([moved(1, seed=5)[0], disguised(first[2], rng(), 2)]))
    with pytest.raises(
        TamisError, match="train.xyz#2, .*test.xyz#1: one structure for training and for testing"
    ):
        own_files(train, test=str(test)).load()
    assert own_files(train, test=str(test), drop=[f"{test}#1"]).load().test_kind == "file"


def test_a_random_test_of_one_trajectory_is_told(tmp_path, caplog):
    frames = trajectory(20)
    assert trajectories(frames, ["all"] * 20) == [(0, 19)] and correlation(frames) > 0.5
    mixed = [*moved(30, size=2), *frames]  # independent frames of nearly the same cell, and the trajectory
    assert trajectories(mixed, ["bulk"] * 30 + ["MD"] * 20) == [(30, 49)]
    assert trajectories(frames, ["a", "b"] * 10) == [(0, 19)]
    path = written(tmp_path / "a.xyz", labelled(frames))
    assert own_files(path).load().test_kind == "random"
    assert "random choice of frames of one trajectory" in caplog.text
    caplog.clear()
    own_files(written(tmp_path / "b.xyz", labelled(moved(20, size=2)))).load()
    own_files(written(tmp_path / "c.xyz", labelled(frames, None, ["a", "b"] * 10)), block_key="run").load()
    assert "trajectory" not in caplog.text


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        (["a"] * 20, "no structure is for testing, although dataset.test_fraction is 0.1"),
        (["a", "b"] * 10, "10 of 20 structures are for testing, although dataset.test_fraction is 0.1"),
        ([str(i // 2) for i in range(20)], ""),
    ],
)
def test_blocks_that_make_no_test_set_or_too_large_a_one_are_told(tmp_path, caplog, blocks, told):
    path = written(tmp_path / "a.xyz", labelled(moved(20, size=2), None, blocks))
    notes = "".join(own_files(path, block_key="run").load().notes)
    assert told in notes and told in caplog.text and ("for testing" in notes) is bool(told)


def test_independent_frames_and_strain_series_are_no_trajectory():
    for frames in (moved(30, size=2), force_free(20), trajectory(4)):
        assert not trajectories(frames, ["all"] * len(frames))


def test_copies_are_looked_for_once_for_a_set_and_all_its_parts(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr(dataset_module, "copies_of", lambda some: looked.append(len(some)) or copies_of(some))
    path = written(tmp_path / "a.xyz", labelled([*moved(12), Atoms("Cu", cell=[15.0] * 3, pbc=True)]))
    dataset = own_files(path).load()
    split_dataset(dataset, 0.2, rng(), with_tuning=True)
    assert dataset.isolated is not None and looked == [13]


def test_without_a_validation_set_all_that_is_not_for_testing_is_the_pool():
    data = rattled_silicon().with_test(np.arange(8) < 3, "random", False)
    split = split_dataset(data, 0.0, np.random.default_rng(0))
    assert len(split.validation) == len(split.tuning) == 0
    assert sorted([*split.pool, *split.test]) == list(range(len(data)))
    assert len(split.test) == data.is_test.sum() > 0
    with pytest.raises(TamisError, match="validation_fraction is 0"):
        split_dataset(data, 0.0, np.random.default_rng(0), with_tuning=True)
