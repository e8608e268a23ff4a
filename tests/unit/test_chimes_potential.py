"""ChIMES potentials: the calculator against the rows, derivatives, the penalty, params.txt, and what is refused."""

import shutil
import subprocess
import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from hydra.utils import instantiate
from tests.composing import composed

from tamis.bases.base import Array
from tamis.bases.chimes.basis import ChimesBasis
from tamis.bases.chimes.clusters import SlotLimits
from tamis.bases.chimes.reader import read_params
from tamis.core.errors import TamisError
from tamis.core.units import KCAL_PER_MOL_PER_EV
from tamis.store import Store

SILICON = ChimesBasis(
    elements=("Si",), r_cut=5.0, r_cut_3b=4.4, r_cut_4b=4.1, s_min=1.8, morse_lambda=2.35,
    order_2b=5, order_3b=4, order_4b=3, cutoff="tersoff", cutoff_fraction=0.6,
)  # fmt: skip
ALLOY = replace(
    SILICON,
    elements=("Si", "Ge"),
    order_4b=2,
    cutoff="cubic",
    special=(
        SlotLimits(("Ge", "Si"), s_min=(1.7,), s_max=(4.9,), morse_lambda=2.5),
        SlotLimits(("Ge", "Si", "Si"), s_min=(1.6, 1.6, 1.8), s_max=(4.0, 4.0, 4.3)),
        SlotLimits(("Ge", "Ge", "Si", "Si"), s_max=(3.9, 4.0, 4.0, 4.0, 4.0, 3.8)),
        SlotLimits(("Ge", "Si", "Si", "Si"), s_min=(1.6, 1.6, 1.6, 1.8, 1.8, 1.8)),
    ),
)
THREE = replace(SILICON, elements=("Al", "Si", "C"), order_2b=2, order_3b=2, order_4b=2)
BASES = [pytest.param(SILICON, id="Si-tersoff"), pytest.param(ALLOY, id="SiGe-cubic")]
ALL = [
    *BASES,
    pytest.param(THREE, id="AlSiC"),
    pytest.param(replace(SILICON, order_2b=0), id="no-pairs"),
    pytest.param(replace(SILICON, order_3b=0), id="no-triplets"),
    pytest.param(replace(SILICON, order_3b=0, order_4b=0), id="pairs-only"),
]


def solution(basis: ChimesBasis) -> tuple[Array, Array]:
    """Made-up coefficients and free-atom energies, eV."""
    rng = np.random.default_rng(5)
    return rng.normal(size=basis.n_features), rng.normal(size=len(basis.elements))


def crystal(basis: ChimesBasis, stretch: float = 1.0) -> Atoms:
    """A rattled cell, shorter than the cutoffs, whose shortest distance is about 2.1 Å times ``stretch``."""
    atoms = bulk("Si", "diamond", a=5.43 * stretch).repeat((2, 1, 1))
    atoms.symbols[:] = [basis.elements[i % len(basis.elements)] for i in range(len(atoms))]
    atoms.rattle(0.1, seed=3)
    return atoms


def shortest(atoms: Atoms) -> float:
    repeated = atoms.repeat(2)
    distances = repeated.get_all_distances(mic=True)
    return float(distances[np.triu_indices(len(repeated), 1)].min())


@pytest.mark.parametrize("basis", ALL)
def test_calculator_equals_the_rows_away_from_the_inner_region(basis: ChimesBasis) -> None:
    atoms, (coefficients, offsets) = crystal(basis), solution(basis)
    assert shortest(atoms) > 1.8 + basis.penalty_distance
    rows = basis.evaluate(atoms)[1]
    atoms.calc = basis.calculator(coefficients, offsets)
    free = sum(offsets[basis.elements.index(symbol)] for symbol in atoms.get_chemical_symbols())
    forces = rows.forces @ coefficients
    assert np.abs(forces).max() > 0.1
    np.testing.assert_allclose(atoms.get_potential_energy(), rows.energy @ coefficients + free, rtol=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-9, atol=1e-9)
    stress = rows.strain_gradient @ coefficients / atoms.cell.volume
    np.testing.assert_allclose(atoms.get_stress(), stress, rtol=1e-9, atol=1e-10)


def test_penalty_is_what_the_calculator_has_beyond_the_rows() -> None:
    basis = replace(SILICON, penalty_distance=0.3, penalty_scaling=7.0)
    (coefficients, offsets), length = solution(basis), 1.95
    pair = Atoms("Si2", positions=[[0, 0, 0], [0, 0, length]])
    pair.calc = basis.calculator(coefficients, offsets)
    rows, depth = basis.evaluate(pair)[1], 1.8 + 0.3 - length
    extra = pair.get_potential_energy() - rows.energy @ coefficients - 2 * offsets[0]
    assert extra == pytest.approx(7.0 * depth**3)
    pull = pair.get_forces() - rows.forces @ coefficients
    np.testing.assert_allclose(pull, [[0, 0, -21.0 * depth**2], [0, 0, 21.0 * depth**2]], atol=1e-10)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("stretch", [0.72, 0.8, 1.0, 1.4])
def test_forces_and_stress_are_derivatives_of_the_energy(basis: ChimesBasis, stretch: float) -> None:
    """Also inside s_min (0.72, 0.8) and beyond all cutoffs but the longest (1.4)."""
    atoms, step = crystal(basis, stretch), 1e-6
    assert (shortest(atoms) < 1.8) == (stretch < 1.0)
    atoms.calc = basis.calculator(*solution(basis))
    forces, stress = atoms.get_forces(), atoms.get_stress()

    def energy(change: Array, strain: Array) -> float:
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        moved.positions += change
        return float(atoms.calc.get_potential_energy(moved))

    scale = np.abs(forces).max()
    none = np.zeros((3, 3))
    for atom, axis in ((0, 0), (1, 2), (3, 1)):
        change = np.zeros((len(atoms), 3))
        change[atom, axis] = step
        slope = (energy(change, none) - energy(-change, none)) / (2 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-6 * scale)
    for number, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * step
        strain[b, a] += 0.5 * step
        slope = (energy(0.0 * forces, strain) - energy(0.0 * forces, -strain)) / (2 * step)
        assert stress[number] * atoms.cell.volume == pytest.approx(slope, abs=1e-5 * scale)


@pytest.mark.parametrize("basis", BASES)
def test_energy_and_forces_do_not_jump_at_any_cutoff(basis: ChimesBasis) -> None:
    """Where a fifth atom crosses s_max of pairs, triplets and quadruplets, s_min, and where the penalty begins.

    The others stand so that its distance from the first is the longest one of clusters.
    """
    direction = np.array([0.68, 0.68, 0.27])
    atoms = Atoms("Si5", positions=[[0, 0, 0], [2.3, 0.2, 0], [0.3, 2.2, 0.4], [0.2, 0.5, 2.4], [0, 0, 0]])
    atoms.symbols[:] = [basis.elements[i % len(basis.elements)] for i in (0, 1, 1, 0, 1)]
    calculator = basis.calculator(*solution(basis))
    limits = np.concatenate([kind.limits[:, :2].ravel() for kind in basis.types])
    for limit in np.unique([*limits, *(limits + basis.penalty_distance)]):
        sides = []
        for shift in (-1e-7, 1e-7):
            atoms.positions[4] = (limit + shift) * direction / np.linalg.norm(direction)
            calculator.calculate(atoms)
            sides.append((calculator.results["energy"], calculator.results["forces"]))
        (energy, forces), (other_energy, other_forces) = sides
        scale = np.abs(forces).max()
        assert abs(energy - other_energy) < 1e-6 * scale
        assert np.abs(forces - other_forces).max() < 1e-4 * scale


@pytest.mark.parametrize("pbc", [(True, True, False), False])
def test_stress_is_given_only_where_there_is_one(pbc: object) -> None:
    atoms = crystal(SILICON)
    atoms.pbc = pbc
    calculator = SILICON.calculator(*solution(SILICON))
    calculator.calculate(atoms)
    assert "stress" not in calculator.results and np.isfinite(calculator.results["energy"])


@pytest.mark.parametrize("basis", ALL)
def test_params_txt_is_read_back_as_the_same_potential(basis: ChimesBasis, tmp_path: Path) -> None:
    basis = replace(basis, r_cut=5.0123456789, s_min=1.8123456789012, penalty_distance=0.234)
    coefficients, offsets = solution(basis)
    (path,) = basis.write(tmp_path / "new", coefficients, offsets)
    again, same_coefficients, same_offsets = read_params(path)
    np.testing.assert_allclose(same_coefficients, coefficients, rtol=1e-15)
    np.testing.assert_allclose(same_offsets, offsets, rtol=1e-15)
    for kind, expected in zip(again.types, basis.types, strict=True):
        assert kind.atoms == expected.atoms
        np.testing.assert_array_equal(kind.limits, expected.limits)
    atoms = crystal(basis, 0.8)
    energy = basis.calculator(coefficients, offsets).get_potential_energy(atoms)
    assert again.calculator(same_coefficients, same_offsets).get_potential_energy(atoms) == pytest.approx(
        energy, rel=1e-13
    )


def test_lammps_has_no_such_pair_style_in_metal_units(tmp_path: Path) -> None:
    assert SILICON.lammps(tmp_path) is None


@pytest.mark.parametrize(("n_wrong", "offsets"), [(1, [0.0]), (0, [0.0, 0.0]), (0, [np.nan])])
def test_a_solution_of_another_basis_is_refused(n_wrong: int, offsets: list[float], tmp_path: Path) -> None:
    coefficients = np.zeros(SILICON.n_features + n_wrong)
    for use in (SILICON.calculator, lambda c, o: SILICON.write(tmp_path, c, o)):
        with pytest.raises(TamisError, match="finite numbers are needed"):
            use(coefficients, np.array(offsets))


@pytest.fixture
def written(tmp_path: Path) -> str:
    (path,) = ALLOY.write(tmp_path, *solution(ALLOY))
    return path.read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ENDFILE", "", "no line ENDFILE"),
        ("PAIRTYP: CHEBYSHEV", "PAIRTYP: SPLINE", "PAIRTYP is SPLINE"),
        ("ATOM TYPES:", "KINDS:", "no line 'ATOM TYPES:'"),
        ("ATOM TYPES: 2", "ATOM TYPES: 5000", "of 5000 lines below '# TYPEIDX #'"),
        ("\tMORSE\t", "\tINVRSE_R\t", "other transforms are not supported"),
        ("FCUT TYPE: CUBIC", "FCUT TYPE: COSINE", "FCUT TYPE is COSINE"),
        ("FITCOUL: false", "FITCOUL: true", "charges and exclusions"),
        ("EXCLD2B: false", "EXCLD2B: 1", "charges and exclusions"),
        ("UNIQUE:", "EXCLUDED:", "excluded kinds"),
        ("ATOMS: Ge Si Si\n", "ATOMS: Ge Ge Si\n", "those of no order of the atoms Ge Ge Si"),
        ("\nSiGeSiGeSiSi SiGe SiGe SiSi", "\nX SiGe SiSi SiSi", "those of no kind of cluster"),
        ("4.0 4.0 4.3", "4.0 4.1 4.3", "the limits of Ge-Si-Si differ"),
        ("4.0 4.0 4.3", "4.0 4.0 5.3", "r_cut_3b is 5.3 Å, more than r_cut"),
        ("PAIRTYPE PARAMS: 0", "OTHER PARAMS: 0", "no coefficients of Si-Si"),
        ("\n      1  1 0 1", "\n      1  0 0 1", "have 2 coefficients"),
        ("\n      1  1 0 1", "\n      1  9 0 1", "have 2 coefficients"),
        ("\n      1  1 0 1", "\n      1  0 1 1", "stands twice"),
        ("  4 ", "  5 ", r"the powers \(6,\) of Si-Si do not belong"),
        ("ENERGY OFFSET 2 ", "ENERGY OFFSET 3 ", "not a complete params.txt"),
        ("ENERGY OFFSET 2 ", "ENERGY OFFSET 2 nan ", "not finite"),
        ("PENALTY DIST: 0.01", "PENALTY DIST:", "not a complete params.txt"),
        ("PENALTY DIST: 0.01", "PENALTY DIST: -1", "penalty_distance is -1.0"),
        ("SPECIFIC 5", "SPECIFIC many", "not a complete params.txt"),
    ],
)
def test_a_file_that_is_not_a_potential_is_named(
    written: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert old in written
    path = tmp_path / "broken.txt"
    path.write_text(written.replace(old, new, 1))
    with pytest.raises(TamisError, match=message) as caught:
        read_params(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "params.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TamisError, match=r"params.txt cannot be read"):
        read_params(path)


def test_files_by_hand_may_use_all_old_pair_tables_and_leave_out_what_is_zero(tmp_path: Path) -> None:
    coefficients, offsets = solution(SILICON)
    coefficients[5] = 0.0  # the first function of triplets: powers 0 1 1
    (path,) = SILICON.write(tmp_path, coefficients, offsets)
    text = path.read_text()
    text = text.replace("5.0\tMORSE", "5.0\t0.01\tMORSE")
    special = [line for line in text.splitlines() if line.startswith(("SPECIAL 3B", "SiSiSiSiSiSi SiSi"))]
    text = text.replace("\n".join(special), "SPECIAL 3B S_MAXIM: ALL 4.4")
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.split()[1:4] == ["0", "1", "1"])
    total = sum(len(orbit) for orbit in SILICON.types[1].orbits)
    shorter = [*lines[:first], *lines[first + 3 :]]
    text = "\n".join(shorter).replace(f"TOTAL: {total}", f"TOTAL: {total - 3}") + "\n"
    assert len(special) == 2 and text.count("0.01\tMORSE") == 1 and f"TOTAL: {total - 3}" in text
    path.write_text(text)
    again, same, _ = read_params(path)
    np.testing.assert_allclose(same, coefficients, rtol=1e-15)
    for kind, expected in zip(again.types, SILICON.types, strict=True):
        np.testing.assert_array_equal(kind.limits, expected.limits)


@pytest.mark.parametrize("basis", [ALLOY, THREE])
@pytest.mark.parametrize("seed", range(3))
def test_atoms_of_a_cluster_may_stand_in_any_order(basis: ChimesBasis, seed: int, tmp_path: Path) -> None:
    """As in published files of water (O O H); the columns of powers go with the names of the pairs."""
    coefficients, offsets = solution(basis)
    (path,) = basis.write(tmp_path, coefficients, offsets)
    rng, lines, moved = np.random.default_rng(seed), path.read_text().splitlines(), 0
    columns: list[int] = []
    for number, words in enumerate(line.split() for line in lines):
        if words[:1] == ["INDEX:"]:
            atoms, order = words[3:], rng.permutation(len(words[3:]))
            slots = list(combinations(range(len(atoms)), 2))
            columns = [slots.index((min(order[a], order[b]), max(order[a], order[b]))) for a, b in slots]
            lines[number] = " ".join([*words[:3], *(atoms[place] for place in order)])
            moved += not np.array_equal(order, np.arange(len(atoms)))
        elif words[:1] == ["PAIRS:"]:
            lines[number] = " ".join([words[0], *(words[1 + c] for c in columns), *words[1 + len(columns) :]])
        elif len(words) == len(columns) + 4 and words[0].isdigit():
            powers = [words[1 + c] for c in columns]
            lines[number] = " ".join([words[0], *powers, *words[1 + len(columns) :]])
    assert moved
    path.write_text("\n".join(lines))
    again, same, _ = read_params(path)
    np.testing.assert_allclose(same, coefficients, rtol=1e-15)
    for kind, expected in zip(again.types, basis.types, strict=True):
        np.testing.assert_array_equal(kind.limits, expected.limits)


def test_a_heading_behind_an_exclamation_mark_is_a_heading(tmp_path: Path) -> None:
    coefficients, offsets = solution(ALLOY)
    (path,) = ALLOY.write(tmp_path, coefficients, offsets)
    text = path.read_text()
    path.write_text(text.replace("# PAIRIDX #", "!# PAIRIDX #").replace("# TYPEIDX #", "! # TYPEIDX #"))
    np.testing.assert_array_equal(read_params(path)[1], coefficients_of(text, tmp_path))


def coefficients_of(text: str, folder: Path) -> Array:
    (folder / "plain.txt").write_text(text)
    return read_params(folder / "plain.txt")[1]


def test_a_pair_with_s_min_equal_to_s_max_is_left_out_and_so_are_its_clusters(tmp_path: Path) -> None:
    """Published titania has no O-O functions: its range is 0.3 to 0.3 Å."""
    basis = replace(
        SILICON, elements=("O", "Ti"), special=({"atoms": ["O", "O"], "s_min": [0.3], "s_max": [0.3]},)
    )
    kinds = {kind.atoms: len(kind.orbits) for kind in basis.types}
    assert kinds["O", "O"] == kinds["O", "O", "Ti"] == kinds["O", "O", "Ti", "Ti"] == 0
    assert kinds["O", "Ti"] and kinds["O", "Ti", "Ti"] and kinds["O", "Ti", "Ti", "Ti"]
    coefficients, offsets = solution(basis)
    (path,) = basis.write(tmp_path, coefficients, offsets)
    again, same, _ = read_params(path)
    np.testing.assert_allclose(same, coefficients, rtol=1e-15)
    pair = Atoms("O2", [[0, 0, 0], [0.305, 0, 0]])  # the penalty would begin at 0.31 Å
    assert again.calculator(same, offsets).get_potential_energy(pair) == pytest.approx(2 * offsets[0])
    atoms = crystal(basis)
    expected = basis.calculator(coefficients, offsets).get_potential_energy(atoms)
    assert again.calculator(same, offsets).get_potential_energy(atoms) == pytest.approx(expected, rel=1e-12)


def test_special_limits_go_by_the_names_of_pairs_or_by_the_atoms_as_typed() -> None:
    by_name = SlotLimits(("Si", "Ge", "Si"), s_min={"Si-Ge": 1.6, "Si-Si": 1.8})
    assert by_name == SlotLimits(("Ge", "Si", "Si"), s_min=(1.6, 1.6, 1.8))
    assert by_name == SlotLimits(("Si", "Ge", "Si"), s_min=(1.6, 1.8, 1.6))
    with pytest.raises(TamisError, match="give a number for each of Ge-Si, Si-Si"):
        SlotLimits(("Si", "Ge", "Si"), s_min={"Si-Ge": 1.6})


@pytest.mark.upstream
@pytest.mark.parametrize("basis", ALL)
def test_chimes_calculator_reads_what_is_written(basis: ChimesBasis, tmp_path: Path) -> None:
    program = shutil.which("chimescalc")
    if program is None:
        pytest.skip("chimescalc (the example program of chimes_calculator) is not on PATH")
    coefficients, offsets = solution(basis)
    basis.write(tmp_path, coefficients, offsets)
    atoms = crystal(basis, 0.8).repeat((2, 3, 3))
    cell = " ".join(f"{x:.16g}" for x in atoms.cell.array.ravel())
    rows = [
        f"{s} {x:.16g} {y:.16g} {z:.16g}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    (tmp_path / "in.xyz").write_text("\n".join([str(len(atoms)), cell, *rows]) + "\n")
    done = subprocess.run(
        [program, "params.txt", "in.xyz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout.split("Success!")[-1].splitlines()
    energy = float(said[said.index("Energy (kcal/mol):    ") + 1]) / KCAL_PER_MOL_PER_EV
    begin = said.index("Forces (kcal/mol/A): ") + 1
    forces = np.array([line.split() for line in said[begin : begin + len(atoms)]], dtype=float)
    atoms.calc = basis.calculator(coefficients, offsets)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-5)  # it prints six digits
    expected = atoms.get_forces() * KCAL_PER_MOL_PER_EV
    np.testing.assert_allclose(forces, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, shared: Path):
    """The default model, fitted to the published training set of silicon."""
    config = composed("model=chimes", "dataset=mlearn", f"dataset.root={shared / 'mlearn'}")
    dataset = instantiate(config.dataset).load()
    training = dataset.subset(np.flatnonzero(~dataset.is_test))
    store = Store(root=tmp_path_factory.mktemp("store"), n_jobs=1)
    model = instantiate(config.model)
    return model.fit(training, training.subset(np.arange(0)), store, np.random.default_rng(0))


@pytest.fixture
def silicon() -> Atoms:
    return bulk("Si", "diamond", a=5.468, cubic=True).repeat(2)


@pytest.mark.slow
def test_energy_is_conserved_in_five_picoseconds(fitted, silicon: Atoms) -> None:
    silicon.calc = fitted.calculator()
    rng = np.random.default_rng(1)
    MaxwellBoltzmannDistribution(silicon, temperature_K=600.0, rng=rng)  # half of it goes into the lattice
    Stationary(silicon)
    run = VelocityVerlet(silicon, timestep=1.0 * units.fs)
    times, energies = [], []
    for _ in range(200):
        run.run(25)
        times.append(run.get_time() / (1000.0 * units.fs))
        energies.append(1000.0 * silicon.get_total_energy() / len(silicon))
    assert 200.0 < silicon.get_temperature() < 400.0
    assert abs(np.polyfit(times, energies, 1)[0]) < 0.1  # meV/atom/ps


@pytest.mark.slow
def test_a_step_of_64_atoms_takes_less_than_ten_milliseconds(silicon: Atoms) -> None:
    """Of processor time; ``fm_setup.in`` of the reference fit has orders 14 8 3 and these cutoffs."""
    reference = replace(SILICON, r_cut=6.2, r_cut_3b=5.2, r_cut_4b=4.2, order_2b=14, order_3b=8, order_4b=3)
    silicon.rattle(0.1)
    for basis in (reference, instantiate(composed("model=chimes", "dataset=mlearn").model.basis)):
        calculator = basis.calculator(*solution(basis))
        seconds = []
        for _ in range(30):
            begin = time.process_time()
            calculator.calculate(silicon)
            seconds.append(time.process_time() - begin)
        assert min(seconds) < 0.01
