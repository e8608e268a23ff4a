"""Free atoms are set apart: they change no fit, no test and no choice, and come along in what is written."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from tests.labelled import copper, labelled

from tamis.data.checks import check_dataset
from tamis.data.dataset import with_isolated
from tamis.data.plausibility import set_isolated_apart
from tamis.data.plausibility.free_atoms import is_isolated
from tamis.data.sources.extxyz import Extxyz


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
    assert found.subset([1, 2]).isolated is found.isolated


def test_free_atoms_come_along_in_what_is_written():
    whole = together(free_atoms(), copper(8))
    kept = with_isolated(set_isolated_apart(whole).subset([0, 3]))
    assert kept.ids == ("set.xyz#0", "set.xyz#1", "set.xyz#2", "set.xyz#3", "set.xyz#6")
    np.testing.assert_array_equal(kept.energies, whole.energies[[0, 1, 2, 3, 6]])
    assert with_isolated(copper(2)).ids == copper(2).ids


def test_a_set_of_free_atoms_is_left_whole():
    assert len(set_isolated_apart(free_atoms())) == 3


def test_free_atoms_change_neither_the_fingerprint_nor_what_the_checks_say(tmp_path, caplog):
    from tamis.data.extxyz_writer import write_extxyz

    bonded = copper(10)
    check_dataset(together(bonded, free_atoms()), ["Cu"])
    assert not caplog.records
    sources = []
    for name, dataset in (("without", bonded), ("with", together(bonded, free_atoms()))):
        write_extxyz(tmp_path / f"{name}.xyz", dataset)
        sources.append(
            Extxyz(
                elements=("Cu",), atom_spacing=2.28, train=str(tmp_path / f"{name}.xyz"), test_fraction=0.0
            )
        )
    without, loaded = (source.load() for source in sources)
    assert sum("isolated atoms, neither fitted nor tested" in one.message for one in caplog.records) == 1
    np.testing.assert_array_equal(without.energies, loaded.energies)
    assert (
        loaded.isolated is not None
        and len(loaded.isolated) == 3
        and any("isolated" in n for n in loaded.notes)
    )
