"""Laws and guards of the ChIMES basis; the comparison with the real codes is in tests/oracles."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation
from scipy.special import eval_chebyt

from tamis.bases.base import Array
from tamis.bases.chimes.basis import ChimesBasis
from tamis.bases.chimes.clusters import SlotLimits, orbits_of_powers
from tamis.bases.chimes.kernel import outer_exponentials, slot_functions
from tamis.core.errors import TamisError

SILICON = ChimesBasis(
    elements=("Si",), r_cut=5.0, r_cut_3b=4.4, r_cut_4b=4.1, s_min=1.8, morse_lambda=2.35,
    order_2b=5, order_3b=3, order_4b=2, cutoff="tersoff", cutoff_fraction=0.6,
)  # fmt: skip
ALLOY = replace(
    SILICON,
    elements=("Ge", "Si"),
    cutoff="cubic",
    special=(
        SlotLimits(("Ge", "Si"), s_min=(1.7,), s_max=(4.9,), morse_lambda=2.5),
        SlotLimits(("Ge", "Si", "Si"), s_max=(4.0, 4.0, 4.3)),
        SlotLimits(("Ge", "Ge", "Si", "Si"), s_max=(3.9, 4.0, 4.0, 4.0, 4.0, 3.8)),
    ),
)
BASES = [pytest.param(SILICON, id="Si-tersoff"), pytest.param(ALLOY, id="GeSi-cubic")]


def crystal(basis: ChimesBasis, seed: int = 0) -> Atoms:
    """Two atoms in a skewed cell that is shorter than every cutoff, far from symmetry."""
    atoms = bulk("Si", "diamond", a=5.43)
    atoms.symbols[0] = basis.elements[0]
    atoms.rattle(0.15, seed=seed)
    return atoms


def molecule(symbols: str) -> Atoms:
    """Up to six atoms without a cell, 2 to 4 Å apart, far from symmetry."""
    corners = np.array(
        [[0, 0, 0], [2.3, 0.2, 0], [0.3, 2.2, 0.4], [0.1, 0.5, 2.5], [2.2, 2.4, 0.9], [2, 0.4, 2.7]]
    )
    atoms = Atoms(symbols)
    atoms.positions = corners[: len(atoms)]
    return atoms


def slot(r: float, limits: tuple[float, float, float], tersoff: float, n: int = 6) -> tuple[Array, Array]:
    g, dg, both = np.empty((2, n)), np.empty((2, n)), np.array([(0.5, 9.0, 1.0), limits])
    slot_functions(r, 1, both, outer_exponentials(both), tersoff, g, dg)
    return g[1], dg[1]


@pytest.mark.parametrize("tersoff", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("r", [1.95, 1.995, 2.3, 3.1, 4.0, 4.6])
def test_slot_functions_have_the_slope_they_report(r: float, tersoff: float) -> None:
    limits, step = (2.0, 4.7, 2.4), 1e-6
    slope = (slot(r + step, limits, tersoff)[0] - slot(r - step, limits, tersoff)[0]) / (2 * step)
    np.testing.assert_allclose(slot(r, limits, tersoff)[1], slope, rtol=1e-7, atol=1e-7)


def test_slot_functions_are_chebyshev_polynomials_of_the_morse_variable() -> None:
    s_min, s_max, morse = 1.9, 4.7, 2.4
    for r in np.linspace(s_min, s_max - 1e-3, 7):
        low, high = math.exp(-s_max / morse), math.exp(-s_min / morse)
        x = (math.exp(-r / morse) - (high + low) / 2) / ((high - low) / 2)
        expected = (1 - r / s_max) ** 3 * eval_chebyt(np.arange(6), x)
        np.testing.assert_allclose(slot(r, (s_min, s_max, morse), 0.0)[0], expected, rtol=1e-11, atol=1e-13)


def test_inside_s_min_polynomials_go_on_smoothly_and_level_off() -> None:
    limits = (2.0, 4.7, 2.4)
    outside, inside = slot(2.0 + 1e-9, limits, 0.5), slot(2.0 - 1e-9, limits, 0.5)
    np.testing.assert_allclose(inside[0], outside[0], atol=1e-6)
    np.testing.assert_allclose(inside[1], outside[1], rtol=1e-5, atol=1e-5)
    assert np.abs(outside[1][1:]).min() > 0.5
    assert np.abs(slot(1.5, limits, 0.5)[1]).max() < 1e-12


@pytest.mark.parametrize("morse", [1e-3, 999.0])
def test_extreme_morse_lengths_stay_finite(morse: float) -> None:
    g, dg = slot(3.0, (2.0, 5.0, morse), 0.5)
    assert np.isfinite(g).all() and np.isfinite(dg).all() and np.abs(g).max() <= 1.0


@pytest.mark.parametrize("order", [2, 3, 5, 8])
def test_number_of_triplet_functions_of_one_element(order: int) -> None:
    orbits = orbits_of_powers(("Si",) * 3, order)
    assert len(orbits) == math.comb(order + 2, 3) - order
    assert sum(map(len, orbits)) == order**3 - 1 - 3 * (order - 1)


@pytest.mark.parametrize(("order", "functions"), [(3, 56), (4, 256)])
def test_number_of_quadruplet_functions_is_that_of_chimes_lsq(order: int, functions: int) -> None:
    assert len(orbits_of_powers(("Si",) * 4, order)) == functions


def test_two_bonds_without_a_common_atom_make_a_quadruplet_function() -> None:
    assert any((1, 0, 0, 0, 0, 1) in orbit for orbit in orbits_of_powers(("Si",) * 4, 2))


def test_powers_are_shared_only_between_like_atoms() -> None:
    assert ((0, 1, 1),) in orbits_of_powers(("Ge", "Ge", "Si"), 2)
    assert ((1, 0, 1), (1, 1, 0)) in orbits_of_powers(("Ge", "Ge", "Si"), 2)
    assert all(len(orbit) == 1 for orbit in orbits_of_powers(("A", "B", "C"), 3))


def test_columns_come_by_kind_of_pair_then_triplet_then_quadruplet() -> None:
    kinds = [kind.atoms for kind in ALLOY.types]
    assert kinds[:3] == [("Ge", "Ge"), ("Si", "Si"), ("Ge", "Si")]
    assert [len(atoms) for atoms in kinds] == [2] * 3 + [3] * 4 + [4] * 5
    assert [kind.column for kind in ALLOY.types] == [
        sum(len(before.orbits) for before in ALLOY.types[:n]) for n in range(len(kinds))
    ]
    assert ALLOY.values(molecule("SiGe")).shape == (2, ALLOY.n_features)


def test_order_zero_leaves_a_kind_out_and_its_cutoff_unchecked() -> None:
    pairs = replace(SILICON, order_3b=0, order_4b=0, r_cut_3b=0.0, r_cut_4b=9.0)
    np.testing.assert_array_equal(pairs.values(molecule("Si4")), SILICON.values(molecule("Si4"))[:, :5])
    triplets = replace(SILICON, order_2b=0, order_4b=0)
    np.testing.assert_array_equal(triplets.values(molecule("Si4")), SILICON.values(molecule("Si4"))[:, 5:12])


def written_out(basis: ChimesBasis, atoms: Atoms) -> Array:
    """The energy row of a molecule, straight from the definition: no tables, no images, all powers in turn."""
    row = np.zeros(basis.n_features)
    tersoff = basis.cutoff_fraction if basis.cutoff == "tersoff" else 0.0
    for kind in basis.types:
        for chosen in itertools.combinations(sorted(atoms, key=lambda atom: atom.symbol), len(kind.atoms)):
            if tuple(atom.symbol for atom in chosen) != kind.atoms:
                continue
            arms = [a.position - b.position for a, b in itertools.combinations(chosen, 2)]
            factors = [
                slot(float(np.linalg.norm(arm)), limits, tersoff, basis.order_2b + 1)[0]
                for arm, limits in zip(arms, kind.limits, strict=True)
            ]
            for number, orbit in enumerate(kind.orbits):
                for powers in orbit:
                    row[kind.column + number] += math.prod(g[p] for g, p in zip(factors, powers, strict=True))
    return row


@pytest.mark.parametrize("symbols", ["Si2", "Si3", "Si4", "Si6", "SiGeSiGe", "GeSi2GeGeSi", "SiGe2Ge2"])
def test_a_molecule_equals_the_definition_written_out(symbols: str) -> None:
    atoms = molecule(symbols)
    assert np.abs(written_out(ALLOY, atoms)).max() > 1e-3
    np.testing.assert_allclose(
        ALLOY.values(atoms).sum(axis=0), written_out(ALLOY, atoms), rtol=1e-10, atol=1e-14
    )


def test_each_atom_of_a_cluster_gets_the_same_share() -> None:
    values = ALLOY.values(molecule("SiGeSi"))
    triplet = next(kind for kind in ALLOY.types if kind.atoms == ("Ge", "Si", "Si"))
    block = values[:, triplet.column : triplet.column + len(triplet.orbits)]
    assert np.abs(block).max() > 0.0
    np.testing.assert_array_equal(block, np.broadcast_to(block[0], block.shape))


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("s_min", [1.8, 2.25])
def test_forces_and_strain_are_derivatives_of_the_energy(basis: ChimesBasis, s_min: float) -> None:
    basis = replace(basis, s_min=s_min)  # at 2.25 some bonds lie inside s_min
    atoms, step = crystal(basis), 1e-5
    values, rows = basis.evaluate(atoms)
    np.testing.assert_array_equal(values, basis.values(atoms))
    np.testing.assert_allclose(rows.energy, values.sum(axis=0))

    def slope(change: Array, cell: Array) -> Array:
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.set_cell(atoms.cell.array @ (np.eye(3) + sign * step * cell), scale_atoms=True)
            moved.positions += sign * step * change
            ends.append(basis.values(moved).sum(axis=0))
        return (ends[0] - ends[1]) / (2 * step)

    for atom, axis in itertools.product(range(len(atoms)), range(3)):
        change = np.zeros((len(atoms), 3))
        change[atom, axis] = 1.0
        np.testing.assert_allclose(
            rows.forces[atom, axis], -slope(change, np.zeros((3, 3))), atol=3e-5, rtol=1e-5
        )
    for number, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5
        expected = slope(np.zeros((len(atoms), 3)), strain)
        np.testing.assert_allclose(rows.strain_gradient[number], expected, atol=3e-4, rtol=1e-5)
    np.testing.assert_allclose(rows.forces.sum(axis=0), 0.0, atol=1e-10)


@pytest.mark.parametrize("basis", BASES)
def test_rotation_translation_and_other_images_of_atoms_change_nothing(basis: ChimesBasis) -> None:
    atoms = crystal(basis)
    values, rows = basis.evaluate(atoms)
    moved = atoms.copy()
    moved.positions += [0.3, -7.1, 11.7]
    moved.positions[1] += [2, -1, 3] @ atoms.cell.array
    turn = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()
    moved.set_cell(moved.cell.array @ turn.T, scale_atoms=False)
    moved.positions = moved.positions @ turn.T
    new_values, new_rows = basis.evaluate(moved)
    np.testing.assert_allclose(new_values, values, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(new_rows.forces, np.einsum("ab,nbk->nak", turn, rows.forces), atol=1e-9)


@pytest.mark.parametrize("basis", BASES)
def test_renumbering_atoms_renumbers_the_rows(basis: ChimesBasis) -> None:
    atoms = crystal(basis).repeat((2, 1, 1))
    order = [2, 0, 3, 1]
    values, rows = basis.evaluate(atoms)
    new_values, new_rows = basis.evaluate(atoms[order])
    np.testing.assert_allclose(new_values, values[order], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(new_rows.forces, rows.forces[order], atol=1e-10)
    np.testing.assert_allclose(new_rows.strain_gradient, rows.strain_gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("basis", BASES)
def test_a_cell_shorter_than_the_cutoffs_agrees_with_its_repetition(basis: ChimesBasis) -> None:
    atoms = crystal(basis)
    assert min(atoms.cell.lengths()) < basis.r_cut_4b
    values, rows = basis.evaluate(atoms)
    new_values, new_rows = basis.evaluate(atoms.repeat((3, 2, 2)))
    np.testing.assert_allclose(new_values, np.tile(values, (12, 1)), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(new_rows.forces, np.tile(rows.forces, (12, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(new_rows.strain_gradient, 12 * rows.strain_gradient, rtol=1e-9, atol=1e-9)


def test_one_atom_in_a_tiny_cell_agrees_with_its_repetition() -> None:
    atoms = Atoms("Si", cell=np.diag([2.0, 2.2, 2.4]) + 0.1, pbc=True)
    values = SILICON.values(atoms)
    np.testing.assert_allclose(SILICON.values(atoms.repeat(3)), np.tile(values, (27, 1)), rtol=1e-9)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, False)])
def test_missing_periodicity_is_a_wide_vacuum(pbc: tuple[bool, bool, bool]) -> None:
    slab = crystal(SILICON).repeat((2, 1, 2))
    slab.pbc = pbc
    wide = slab.copy()
    for axis in np.flatnonzero(~slab.pbc):  # a vector that does not repeat anything may have any length
        slab.cell[axis] *= 0.1
        wide.cell[axis] *= 10.0
    wide.pbc = True
    np.testing.assert_allclose(SILICON.values(slab), SILICON.values(wide), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_functions_and_forces_vanish_smoothly_at_the_cutoff(basis: ChimesBasis, size: int) -> None:
    kind = next(kind for kind in basis.types if kind.atoms == ("Si",) * size)
    atoms = molecule(f"Si{size}")

    def largest(gap: float) -> tuple[float, float]:
        """Of the kind's functions and forces, when its longest distance is ``gap`` short of the cutoff."""
        moved = atoms.copy()
        moved.positions *= (kind.limits[0, 1] - gap) / atoms.get_all_distances().max()
        values, rows = basis.evaluate(moved)
        columns = slice(kind.column, kind.column + len(kind.orbits))
        return float(np.abs(values[:, columns]).max()), float(np.abs(rows.forces[..., columns]).max())

    (value, force), (last_value, last_force) = largest(0.5), largest(1e-4)
    assert 0.0 < last_value < 1e-6 * value and 0.0 < last_force < 1e-3 * force
    assert largest(-1e-9) == (0.0, 0.0)


def test_an_isolated_atom_has_no_clusters() -> None:
    values, rows = SILICON.evaluate(Atoms("Si"))
    assert not values.any() and not rows.forces.any() and not rows.strain_gradient.any()


def test_special_limits_may_come_as_mappings_from_a_configuration() -> None:
    entry = OmegaConf.create({"atoms": ["Si", "Si", "Si"], "s_max": [4, 4, 4]})
    expected = SlotLimits(("Si", "Si", "Si"), s_max=(4.0, 4.0, 4.0))
    basis = replace(SILICON, special=OmegaConf.create([entry]))
    assert basis.special == (expected,)
    np.testing.assert_array_equal(basis.types[1].limits[:, 1], [4.0, 4.0, 4.0])


def test_element_order_only_reorders_columns() -> None:
    atoms = crystal(ALLOY)
    swapped = replace(ALLOY, elements=("Si", "Ge"))
    theirs = {kind.atoms: kind.column for kind in ALLOY.types}
    for kind in swapped.types:
        mine = swapped.values(atoms)[:, kind.column : kind.column + len(kind.orbits)]
        begin = theirs[kind.atoms]
        np.testing.assert_array_equal(mine, ALLOY.values(atoms)[:, begin : begin + len(kind.orbits)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ()}, "at least one element"),
        ({"elements": ("Si", "Si")}, "each once"),
        ({"order_2b": -1}, "order_2b is -1"),
        ({"order_3b": 1}, "order_3b is 1"),
        ({"order_4b": 2.5}, "order_4b is 2.5"),
        ({"order_2b": 0, "order_3b": 0, "order_4b": 0}, "no function is left"),
        ({"cutoff": "cosine"}, "cubic, tersoff"),
        ({"cutoff_fraction": 0.0}, "cutoff_fraction is 0.0"),
        ({"cutoff_fraction": 1.1}, "cutoff_fraction is 1.1"),
        ({"r_cut_3b": 5.1}, "r_cut_3b is 5.1"),
        ({"r_cut_4b": 5.1}, "r_cut_4b is 5.1"),
        ({"r_cut_4b": math.nan}, "r_cut_4b is nan"),
        ({"s_min": 4.1}, "Si-Si-Si-Si has s_min = 4.1"),
        ({"s_min": -0.1}, "s_min = -0.1"),
        ({"r_cut": math.inf}, "cutoff of inf"),
        ({"morse_lambda": 0.0}, "morse_lambda of Si-Si is 0.0"),
        ({"morse_lambda": math.nan}, "morse_lambda of Si-Si is nan"),
        ({"penalty_distance": -0.1}, "penalty_distance is -0.1 Å"),
        ({"penalty_scaling": math.nan}, "penalty_scaling is nan eV/Å³"),
        ({"penalty_distance": 3.3}, "it reaches the cutoff of 5.0"),
        ({"special": (SlotLimits(("Ge", "Si")),)}, "special limits name Ge"),
        ({"special": (SlotLimits(("Si", "Si")),) * 2}, "twice"),
        ({"special": (SlotLimits(("Si", "Si"), s_max=(5.5,)),)}, "s_max = 5.5 Å, more than r_cut"),
        ({"special": ({"atoms": ["Si", "Si"], "smax": [4.0]},)}, "keys atoms, smax"),
        ({"special": ({"s_max": [4.0]},)}, "needs atoms"),
        ({"special": (SlotLimits(("Si",) * 3, s_max=(4.0, 4.0, 4.1)),)}, "the limits of Si-Si-Si differ"),
    ],
)
def test_settings_that_make_no_basis_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(TamisError, match=message):
        replace(SILICON, **change)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"atoms": ("Si",)}, "2, 3 or 4 symbols"),
        ({"atoms": ("Ge", "Si", "Si"), "s_max": (4.0, 4.0)}, "one for each of its 3 pairs"),
        ({"atoms": ("Ge", "Si", "Si"), "morse_lambda": 2.0}, "belongs to pairs"),
    ],
)
def test_special_limits_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TamisError, match=message):
        SlotLimits(**arguments)


def test_atoms_at_one_place_are_refused() -> None:
    with pytest.raises(TamisError, match=r"atoms 0 and 1 are .* apart"):
        SILICON.values(Atoms("Si2", positions=[[1, 1, 1], [1, 1, 1]]))


def test_an_unknown_element_is_refused() -> None:
    with pytest.raises(TamisError, match="element Ge is unknown"):
        SILICON.values(molecule("SiGe"))
