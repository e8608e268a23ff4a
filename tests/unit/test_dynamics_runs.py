"""MD in LAMMPS: both ways of getting forces, every way of failing."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from tests.potentials import Faulty, PairStyle, stillinger_weber, with_hole
from tests.sampling import Given

from tamis.data.crystal import Crystal
from tamis.evaluation.dynamics import guards
from tamis.evaluation.dynamics.dynamics import ramps
from tamis.evaluation.dynamics.engine import Integration, Task, follow, integrate
from tamis.evaluation.dynamics.forces import types_in
from tamis.evaluation.dynamics.guards import Guardrails
from tamis.evaluation.dynamics.plan import COMPRESSION, HEATING, NPT, NVE, NVT, MdRun, supercell
from tamis.evaluation.dynamics.structure import energy_drift
from tamis.evaluation.dynamics.trajectory import (
    FINISHED,
    OUT_OF_TIME,
    POTENTIAL,
    PRESSURE,
    TEMPERATURE,
    TIME,
    TOTAL,
    VOLUME,
    Trajectory,
)
from tamis.models.linear import LinearPotential

SILICON = Crystal(structure="diamond", element="Si", a=5.431)
HOW = Integration(timestep=1.0, damping=0.1, barostat=0.5, watch_every=5, sample_every=10)
LIMITS = Guardrails(closest=1.5, hotter_by=4000.0, volume_factor=1.5)
PATIENCE = 100.0


def run_of(kind=NVT, kelvin=300.0, steps=40, n_atoms=8, last_kelvin=None, last_volume=1.0, repeat=0) -> MdRun:
    atoms = supercell(SILICON, n_atoms)
    return MdRun(kind, kind, repeat, atoms, kelvin, last_kelvin or kelvin, last_volume, steps, 17 + repeat)


def done(run, forces, limits=LIMITS, how=HOW, seconds=1000.0) -> Trajectory:
    return Trajectory.of(run, list(integrate(Task(run, forces, how, limits, seconds))))


@pytest.fixture(scope="module")
def snap(snap_basis, tmp_path_factory) -> LinearPotential:
    """A harmless SNAP: fitted to Stillinger-Weber forces of some rattled cells."""
    calculator = stillinger_weber(tmp_path_factory.mktemp("sw")).calculator()
    rows, targets = [], []
    for seed in range(12):
        atoms = supercell(SILICON, 8)
        atoms.rattle(0.1 + 0.02 * seed, seed=seed)
        rows.append(snap_basis.design(atoms).forces.reshape(-1, snap_basis.n_features))
        targets.append(calculator.get_property("forces", atoms).ravel())
    table = np.vstack(rows)
    ridge = 1e-4 * np.linalg.norm(table, axis=0).max() * np.eye(table.shape[1])
    solution = np.linalg.lstsq(
        np.vstack([table, ridge]), np.concatenate([*targets, np.zeros(len(ridge))]), rcond=None
    )[0]
    return LinearPotential(snap_basis, solution, np.array([-1.5]))


@pytest.mark.parametrize(
    "run",
    [
        run_of(NVE),
        run_of(NVT, 1500.0),
        run_of(NPT),
        run_of(HEATING, last_kelvin=2000.0),
        run_of(COMPRESSION, last_volume=0.9),
    ],
    ids=lambda run: run.kind,
)
def test_a_pair_style_and_the_calculator_give_one_trajectory(snap, run):
    """Positions, energies, pressures and volumes: so the virial of the calculator reaches the barostat too."""
    native = done(run, snap)
    external = done(run, Given(snap.calculator()))
    assert native.end == external.end == FINISHED
    assert native.steps == external.steps == run.steps
    np.testing.assert_allclose(external.positions, native.positions, atol=1e-9)
    np.testing.assert_allclose(external.cells, native.cells, atol=1e-9)
    np.testing.assert_allclose(external.thermo, native.thermo, rtol=1e-8, atol=1e-8)
    assert np.abs(native.positions[-1] - native.positions[0]).max() > 1e-3, "nothing moved"


def test_the_sides_differ_where_they_should(snap, tmp_path):
    """The comparison above can fail: another potential goes another way."""
    run = run_of(NVE)
    one, other = done(run, snap), done(run, stillinger_weber(tmp_path))
    assert np.abs(one.positions[-1] - other.positions[-1]).max() > 1e-6


def test_external_thermo_is_the_calculators(snap):
    """Energy and pressure at the start are those of the calculator; the kinetic part of the pressure is N k T / V."""
    run = run_of(NVE, steps=0)
    first = done(run, Given(snap.calculator())).thermo[0]
    calculator = snap.calculator()
    stress = calculator.get_property("stress", run.atoms)
    from ase.units import GPa, kB

    n_moving = len(run.atoms) - 1  # the centre of mass is at rest
    kinetic = n_moving * kB * first[TEMPERATURE] / run.atoms.cell.volume
    assert first[POTENTIAL] == pytest.approx(calculator.get_property("energy", run.atoms))
    assert first[PRESSURE] * GPa == pytest.approx(kinetic - stress[:3].mean(), rel=1e-4, abs=1e-6)


def test_energy_is_conserved_and_a_wrong_force_is_seen(tmp_path):
    run = run_of(NVE, steps=400, n_atoms=64)
    drift = energy_drift(done(run, stillinger_weber(tmp_path)))
    assert drift < 0.1
    coarse = replace(HOW, timestep=12.0)
    assert energy_drift(done(run, stillinger_weber(tmp_path), how=coarse)) > 10 * drift


def test_ramps_end_where_they_should(tmp_path):
    forces = stillinger_weber(tmp_path)
    heated = done(run_of(HEATING, 300.0, 4000, last_kelvin=1200.0, n_atoms=64), forces)
    late = heated.thermo[-100:, TEMPERATURE].mean()
    assert heated.thermo[:100, TEMPERATURE].mean() < 500.0 < 900.0 < late < 1400.0
    pressed = done(run_of(COMPRESSION, last_volume=0.85), forces)
    np.testing.assert_allclose(pressed.thermo[[0, -1], VOLUME], np.array([1.0, 0.85]) * 5.431**3, rtol=1e-9)
    assert pressed.thermo[-1, PRESSURE] > 5.0
    np.testing.assert_allclose(np.linalg.det(pressed.cells[-1]), pressed.thermo[-1, VOLUME])


def test_no_pressure_means_the_crystals_own_volume(tmp_path):
    """Started 3 % too wide, silicon shrinks to a lattice constant of 5.43 Å, give or take its fluctuations."""
    run = run_of(NPT, 50.0, 3000, n_atoms=64)
    run.atoms.set_cell(run.atoms.cell.array * 1.03, scale_atoms=True)
    found = done(run, stillinger_weber(tmp_path))
    assert found.thermo[-300:, VOLUME].mean() == pytest.approx(8 * 5.431**3, rel=0.01)


def test_time_steps_and_frames_are_counted(tmp_path):
    found = done(run_of(steps=43), stillinger_weber(tmp_path))
    assert found.steps == 43 and found.end == FINISHED and not found.failed
    np.testing.assert_allclose(found.thermo[:, TIME], [*np.arange(0, 0.0401, 0.005), 0.043], atol=1e-12)
    np.testing.assert_allclose(found.times, [0.0, 0.01, 0.02, 0.03, 0.04])
    assert found.stable_fraction(1.0) == 1.0


def test_positions_are_not_folded(tmp_path):
    """Atoms that drift over a boundary are followed: no jump by a cell between two looks."""
    run = run_of(NVT, 3000.0, 300)
    found = done(run, stillinger_weber(tmp_path), how=replace(HOW, sample_every=5))
    assert np.abs(np.diff(found.positions, axis=0)).max() < 1.0


def test_time_that_is_up_is_no_failure(tmp_path):
    found = done(run_of(steps=10**6), stillinger_weber(tmp_path), seconds=0.05)
    assert found.end == OUT_OF_TIME and 0 < found.steps < 10**6
    assert not found.failed and found.stable_fraction(0.05) == 1.0


def test_seeds_differ_and_repeat(tmp_path):
    forces = stillinger_weber(tmp_path)
    first, again, other = (done(run_of(repeat=k), forces) for k in (0, 0, 1))
    np.testing.assert_array_equal(first.positions, again.positions)
    assert np.abs(first.positions[-1] - other.positions[-1]).max() > 1e-4


def nan_coefficients(snap):
    return replace(snap, coefficients=np.full_like(snap.coefficients, np.nan))


def soft_wall():
    """A Morse crystal that is no diamond, with a wall of 3 eV."""
    return PairStyle(("pair_style morse 5.0", "pair_coeff * * 3.0 0.5 1.4"))


@pytest.mark.parametrize("through_calculator", [False, True])
def test_nan_coefficients(snap, through_calculator):
    broken = nan_coefficients(snap)
    found = done(run_of(), Given(broken.calculator()) if through_calculator else broken)
    assert (found.end, found.steps) == (guards.NON_FINITE, 0)
    assert found.stable_fraction(1.0) == 0.0


def test_nan_on_the_way():
    found = done(run_of(), Faulty("nan", 18))
    assert found.end == guards.NON_FINITE and found.steps == 15
    assert found.stable_fraction(1e6) == pytest.approx(15 / 40)


def test_an_exception_in_the_calculator_ends_the_run():
    found = done(run_of(), Faulty("raise", 12))
    assert (found.end, found.steps, found.detail) == (guards.CRASHED, 10, "the engine is broken")


def test_a_hole_in_the_wall_is_found(tmp_path):
    run = run_of(NVT, 3000.0, 2000, n_atoms=64)
    assert done(run, stillinger_weber(tmp_path)).end == FINISHED
    found = done(run, with_hole(tmp_path), limits=replace(LIMITS, closest=1.8))
    assert found.end == guards.TOO_CLOSE, found.detail
    assert found.steps < 1000


def test_a_ramp_tells_where_it_failed(tmp_path):
    """Stillinger-Weber survives, atoms without forces fail by their distance, and the clock gives no place."""
    run = run_of(COMPRESSION, steps=300, n_atoms=64, last_volume=0.6)
    side = 2.0 * 5.431 * np.sqrt(3) / 8  # nearest distance of the crystal, Å
    good = dict(ramps([done(run, stillinger_weber(tmp_path))]))
    assert (good["md/compression_survived"], good["md/compression_out_of_time"]) == (1.0, 0.0)
    assert good["md/compression_failure_volume_ratio"] == pytest.approx(0.6)
    places = []
    for closest in (2.05, 2.2):
        found = done(
            run, PairStyle(("pair_style zero 5.0", "pair_coeff * *")), replace(LIMITS, closest=closest)
        )
        told = dict(ramps([found]))
        assert found.end == guards.TOO_CLOSE and told["md/compression_survived"] == 0.0
        places.append(told["md/compression_failure_volume_ratio"])
    assert 0.6 < (2.05 / side) ** 3 < places[0] < places[1] < 1.0, (
        "a crystal that shakes is not later than one at rest"
    )
    late = dict(
        ramps(
            [done(run_of(HEATING, steps=10**6, last_kelvin=600.0), stillinger_weber(tmp_path), seconds=0.05)]
        )
    )
    assert late == {"md/heating_out_of_time": 1.0, "md/heating_survived": 0.0}


def test_a_soft_wall_is_found():
    found = done(run_of(NVT, 300.0, 2000, n_atoms=64), soft_wall())
    assert found.failed and found.end in (guards.TOO_CLOSE, guards.TOO_HOT)


def test_heat_is_found(tmp_path):
    found = done(run_of(), stillinger_weber(tmp_path), limits=replace(LIMITS, hotter_by=-1000.0))
    assert found.end == guards.TOO_HOT and found.steps == 0


def test_a_cell_that_runs_away_is_found():
    """Atoms that attract nobody fill all space."""
    repulsive = PairStyle(("pair_style gauss 5.0", "pair_coeff * * -5.0 1.0"))
    found = done(run_of(NPT, 300.0, 2000), repulsive, limits=replace(LIMITS, hotter_by=1e9))
    assert found.end == guards.VOLUME, found.detail


def test_atoms_that_fly_apart_are_lost_or_found():
    """Forces without bound between two looks: LAMMPS' own error, or a limit, but no exception."""
    explosive = PairStyle(("pair_style gauss 5.0", "pair_coeff * * -1e9 0.5"))
    found = done(run_of(steps=500), explosive, how=replace(HOW, watch_every=50, sample_every=50))
    assert found.failed and found.end != guards.HUNG


def test_a_broken_style_is_told():
    found = done(run_of(), PairStyle(("pair_style sw", "pair_coeff * * nowhere.sw Si")))
    assert found.end == guards.CRASHED and "nowhere.sw" in found.detail


def test_a_style_that_is_not_there_goes_through_the_calculator(snap):
    class Elsewhere(Faulty):
        def lammps(self, folder):
            return ("pair_style of_another_build", "pair_coeff * * file Si")

    assert done(run_of(), Elsewhere("nan", 10**6)).end == FINISHED


def test_a_label_giver_of_any_kind_moves_atoms():
    giver = LennardJones(sigma=2.1, epsilon=0.4, rc=5.0, smooth=True)
    assert done(run_of(NVE, steps=10), giver).end == FINISHED


def test_elements_are_read_from_the_lines():
    assert types_in(("pair_style snap", "pair_coeff * * a.coeff b.param Ge Si")) == ("Ge", "Si")
    assert types_in(("pair_style quip", "pair_coeff * * gap.xml '' 14")) == ()


@pytest.mark.parametrize(("fault", "end"), [("sleep", guards.HUNG), ("kill", guards.CRASHED)])
def test_a_process_that_hangs_or_dies_ends_alone(fault, end):
    """What it had is kept as far as it was told: pieces come once a second."""
    task = Task(run_of(), Faulty(fault, 12), HOW, LIMITS, 1000.0)
    found = follow(task, 6.0 if fault == "sleep" else PATIENCE)
    assert found.end == end
    assert found.failed and found.stable_fraction(1.0) == 0.0
    assert signal.alarm(0) == 0, "the alarm belongs to the child"


def test_apart_and_here_are_the_same(tmp_path):
    task = Task(run_of(), stillinger_weber(tmp_path), HOW, LIMITS, 1000.0)
    apart, here = follow(task, PATIENCE), done(task.run, task.forces)
    assert apart.end == FINISHED, apart.detail
    np.testing.assert_array_equal(apart.thermo[:, TOTAL], here.thermo[:, TOTAL])
