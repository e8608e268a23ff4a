"""Free atoms are set apart: they change no fit, no test and no choice, and come along in what is written."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from tests.composing import composed
from tests.labelled import copper, labelled
from tests.labelled_copper import copper as cells_of_copper

from tamis.bases.snap import read_snap
from tamis.data.checks import check_dataset
from tamis.data.dataset import with_isolated
from tamis.data.plausibility import set_isolated_apart
from tamis.data.plausibility.free_atoms import free_atoms_in, is_isolated
from tamis.data.sources.file import File
from tamis.models.linear import LinearPotential
from tamis.trial import run_trial


def together(*datasets):
    """Structures of all data sets, in order, with new ids."""
    n = sum(map(len, datasets))
    first = datasets[0]
    return replace(
        first,
        structures=sum((d.structures for d in datasets), ()),
        energies=np.concatenate([d.energies for d in datasets]),
        forces=sum((d.forces for d in datasets), ()),
        stresses=np.concatenate([d.stresses for d in datasets]),
        groups=("all",) * n,
        blocks=tuple(map(str, range(n))),
        ids=tuple(f"set.xyz#{i}" for i in range(n)),
        is_test=np.zeros(n, dtype=bool),
    )


def free_atoms():
    structures = [
        Atoms("Cu"),
        Atoms("Cu", cell=[12, 12, 12], pbc=True),
        Atoms("Cu2", [[0, 0, 0], [0, 0, 9.0]]),
    ]
    return labelled(structures, EMT)


@pytest.mark.parametrize(
    ("atoms", "isolated"),
    [
        (Atoms("Cu"), True),
        (Atoms("Cu", cell=[12, 12, 12], pbc=True), True),
        (Atoms("CuO", [[0, 0, 0], [0, 0, 9.0]]), True),
        (Atoms("Cs", cell=[8.0, 12, 12], pbc=True), False),
        (Atoms("CuO", [[0, 0, 0], [0, 0, 4.5]]), False),
        (bulk("Cu"), False),
        (bulk("Ar", "fcc", a=5.5), False),
        (bulk("Ne", "fcc", a=4.6), False),
        (bulk("Cs", "bcc", a=6.6), False),
        (Atoms("Cu", cell=[3.0, 12, 12], pbc=(True, False, False)), False),
    ],
)
def test_what_is_isolated(atoms, isolated):
    assert is_isolated(atoms) is isolated


def test_free_atoms_are_set_apart_and_told():
    bonded = copper(8)
    whole = together(bonded.subset(range(4)), free_atoms(), bonded.subset(range(4, 8)))
    found = set_isolated_apart(whole)
    assert found.ids == tuple(f"set.xyz#{i}" for i in (0, 1, 2, 3, 7, 8, 9, 10))
    assert found.isolated is not None and found.isolated.ids == ("set.xyz#4", "set.xyz#5", "set.xyz#6")
    [note] = found.notes
    assert "isolated atoms, neither fitted nor tested" in note and "set.xyz#4 (Cu, 3.51 eV)" in note
    assert note.endswith("; they are the free atoms of Cu (set.xyz#4) in models with free_atoms=fix")
    assert found.free_energies == {"Cu": pytest.approx(3.51)} and found.subset([1]).free_energies
    assert found.subset([1, 2]).isolated is found.isolated


def test_free_atoms_come_along_in_what_is_written():
    whole = together(free_atoms(), copper(8))
    kept = with_isolated(set_isolated_apart(whole).subset([0, 3]))
    assert kept.ids == ("set.xyz#0", "set.xyz#1", "set.xyz#2", "set.xyz#3", "set.xyz#6")
    np.testing.assert_array_equal(kept.energies, whole.energies[[0, 1, 2, 3, 6]])
    assert with_isolated(copper(2)).ids == copper(2).ids


def test_a_set_of_free_atoms_is_left_whole():
    whole = set_isolated_apart(free_atoms())
    assert len(whole) == 3 and not whole.free_energies


@pytest.mark.parametrize("name", ["IsolatedAtom", "isolated_atom", "isolated atom", "ISOLATED-ATOM"])
def test_a_single_atom_is_isolated_if_its_group_says_so(name):
    """Whatever its cell; a crystal's primitive cell is none, and neither is a dimer of that name."""
    cells = labelled([bulk("Cu", a=5.0), bulk("Cu", a=3.6), bulk("Cu", a=3.6) * (2, 1, 1)], EMT)
    named = replace(cells, groups=(name, "bulk", name))
    assert free_atoms_in(named) == [0]
    whole = together(copper(8), cells)
    found = set_isolated_apart(replace(whole, groups=("all",) * 8 + named.groups))
    assert found.isolated is not None and found.isolated.ids == ("set.xyz#8",)
    assert found.free_energies == {"Cu": cells.energies[0]}


def test_the_lowest_of_several_free_atoms_counts_and_pairs_do_not():
    free = free_atoms()
    free = replace(free, energies=np.array([3.6, 3.51, -90.0]))
    found = set_isolated_apart(together(copper(8), free))
    assert found.free_energies == {"Cu": 3.51} and "Cu (set.xyz#9)" in found.notes[-1]
    pair = free.subset([2])
    alone = set_isolated_apart(together(copper(8), pair))
    assert alone.isolated is not None and not alone.free_energies and "free_atoms" not in alone.notes[-1]


def test_isolated_atoms_need_no_forces():
    free = free_atoms()
    free = replace(free, forces=tuple(np.full_like(f, np.nan) for f in free.forces))
    whole = together(copper(10), free)
    assert check_dataset(whole, ["Cu"]) == ()
    assert set_isolated_apart(whole).isolated is not None


def test_energies_of_free_atoms_enter_the_fingerprint():
    bonded = copper(8)
    one, same, other = (
        set_isolated_apart(together(bonded, replace(free_atoms().subset([0]), energies=np.array([energy]))))
        for energy in (3.51, 3.51, 3.4)
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert replace(one, free_energies={}).fingerprint == together(bonded).fingerprint


def test_free_atoms_change_neither_the_structures_nor_what_the_checks_say(tmp_path, caplog):
    from tamis.data.extxyz_writer import write_extxyz

    bonded = copper(10)
    check_dataset(together(bonded, free_atoms()), ["Cu"])
    assert not caplog.records
    sources = []
    for name, dataset in (("without", bonded), ("with", together(bonded, free_atoms()))):
        write_extxyz(tmp_path / f"{name}.xyz", dataset)
        sources.append(
            File(elements=("Cu",), atom_spacing=2.28, train=str(tmp_path / f"{name}.xyz"), test_fraction=0.0)
        )
    without, loaded = (source.load() for source in sources)
    assert sum("isolated atoms, neither fitted nor tested" in one.message for one in caplog.records) == 1
    np.testing.assert_array_equal(without.energies, loaded.energies)
    assert (
        loaded.isolated is not None
        and len(loaded.isolated) == 3
        and any("isolated" in n for n in loaded.notes)
    )


def test_a_trial_tells_of_free_atoms_keeps_them_first_and_holds_their_energy(tmp_path):
    """From a user's file to the files of the potential; the free atom stands in its middle."""
    cells = [atoms.copy() for atoms in cells_of_copper()]
    for atoms in cells:
        del atoms.info["stress"]  # six numbers, which extended XYZ does not hold
    cells[6:6] = [Atoms("Cu", cell=[3.61] * 3, pbc=True)]
    cells[6].info = {"energy": 3.51, "config_type": "IsolatedAtom"}
    cells[6].arrays["forces"] = np.zeros((1, 3))
    ase.io.write(tmp_path / "cu.xyz", cells, format="extxyz", write_results=False)
    config = composed(
        "model=snap",
        "model.free_atoms=fix",
        "model.basis.twojmax=2",
        "descriptor=none",
        "pruner=random",
        "budget.fraction=0.5",
        "dataset=file",
        f"dataset.train={tmp_path / 'cu.xyz'}",
        f"store.root={tmp_path / 'store'}",
        "store.n_jobs=1",
        "tracking=null",
    )
    record = run_trial(config, {}, tmp_path)
    assert record.status == "complete", record.reason
    [note] = [note for note in record.dataset.notes if "isolated atoms" in note]
    assert "cu.xyz#6 (Cu, 3.51 eV); they are the free atoms of Cu" in note
    assert record.metrics["fit/fixed_free_atoms"] == 1
    first, *rest = ase.io.read(tmp_path / "kept.extxyz", ":")
    assert first.info["config_type"] == "IsolatedAtom" and 2 <= len(rest) < 12
    assert not any(
        "#6" in name for name in (*record.dataset.pool, *record.dataset.test, *record.selection.ids)
    )
    calculator = LinearPotential(*read_snap(tmp_path / "potential")).calculator()
    assert calculator.get_property("energy", Atoms("Cu")) == pytest.approx(3.51, abs=1e-6)
