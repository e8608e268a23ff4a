"""Schedule, limits, averages and extrapolation of MD, without running any."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from matscipy.neighbours import neighbour_list
from tests.composing import composed

from tamis.core.errors import TamisError
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset
from tamis.evaluation.dynamics import Dynamics, artifacts, guards, reference, structure
from tamis.evaluation.dynamics.engine import Integration
from tamis.evaluation.dynamics.extrapolation import Extrapolation, axes, nearest
from tamis.evaluation.dynamics.guards import Guardrails, Guards, cause_of, shortest_distance, shortest_in
from tamis.evaluation.dynamics.plan import NPT, NVE, NVT, MdRun, Schedule, evenly, supercell
from tamis.evaluation.dynamics.reference import Averages, MdReference
from tamis.evaluation.dynamics.trajectory import FINISHED, OUT_OF_TIME, Trajectory

SILICON = Crystal(structure="diamond", element="Si", a=5.431)
PLAN = Schedule(
    n_atoms=8,
    seeds=2,
    trajectory_groups=["MD"],
    temperatures=None,
    n_temperatures=None,
    cold=300.0,
    nve=0.1,
    nvt=0.2,
    npt=0.3,
    heating=0.4,
    compression=0.5,
    heat_to=1.5,
    compress_to=0.8,
)
HOW = Integration(timestep=2.0, damping=0.5, barostat=1.0, watch_every=10, sample_every=20)
EDGES = np.arange(0.0, 5.0, 0.1)


def pool_of(structures, groups, blocks) -> Dataset:
    n = len(structures)
    return Dataset(
        structures=tuple(structures),
        energies=np.zeros(n),
        forces=tuple(np.zeros((len(a), 3)) for a in structures),
        stresses=np.zeros((n, 6)),
        groups=tuple(groups),
        blocks=tuple(blocks),
        ids=tuple(f"made#{i}" for i in range(n)),
        is_test=np.zeros(n, dtype=bool),
    )


@pytest.fixture(scope="module")
def pool() -> Dataset:
    """Frames at 300 K and 900 K, the latter wider, one of a vacancy, one squeezed."""
    blocks = [
        "MD 300 K",
        "MD 300 K",
        "MD 900 K",
        "MD 900 K",
        "MD 1500 K",
        "Vacancy 2000 K",
        "MD squeezed 700 K",
    ]
    groups = ["MD", "MD", "MD", "MD", "MD", "Vacancy", "MD"]
    structures = []
    for i, stretch in enumerate((1.0, 1.0, 1.02, 1.04, 1.0, 1.0, 0.8)):
        atoms = bulk("Si", "diamond", a=5.431 * stretch, cubic=True)
        atoms.rattle(0.05, seed=i)
        structures.append(atoms)
    return pool_of(structures, groups, blocks)


def trajectory_of(positions, cell, times, kind=NVT, name=None, thermo=None, **more) -> Trajectory:
    n_atoms = positions.shape[1]
    atoms = Atoms(["Si"] * n_atoms, positions=positions[0], cell=cell, pbc=True)
    run = MdRun(kind, name or kind, 0, atoms, 300.0, 300.0, 1.0, more.pop("planned", 100), 1)
    return Trajectory(
        run=run,
        steps=more.pop("steps", 100),
        seconds=more.pop("seconds", 1.0),
        thermo=np.empty((0, 6)) if thermo is None else thermo,
        times=times,
        positions=positions,
        cells=np.repeat(np.asarray(cell)[None], len(times), axis=0),
        end=more.pop("end", FINISHED),
    )


@pytest.mark.parametrize(
    ("name", "element", "a", "n_atoms", "found"),
    [
        ("diamond", "Si", 5.43, 64, 64),
        ("bcc", "Mo", 3.17, 64, 54),
        ("fcc", "Cu", 3.64, 64, 108),
        ("bcc", "Mo", 3.17, 1, 2),
    ],
)
def test_supercells_are_near_the_number_that_was_asked_for(name, element, a, n_atoms, found):
    atoms = supercell(Crystal(structure=name, element=element, a=a), n_atoms)
    assert len(atoms) == found
    lengths = atoms.cell.lengths()
    np.testing.assert_allclose(lengths, lengths[0])


def test_the_plan_is_carried_out(pool):
    runs = list(PLAN.runs(SILICON, pool, 2.0, 0))
    names = ["NVE_300K", "NPT_300K", "NVT_300K", "NVT_900K", "NVT_1500K", "heating", "compression"]
    assert [run.name for run in runs] == [name for name in names for _ in range(2)]
    assert [run.steps for run in runs[::2]] == [50, 150, 100, 100, 100, 200, 250]
    assert [run.repeat for run in runs] == [0, 1] * len(names)
    assert len({run.seed for run in runs}) == len(runs)
    heating, compression = runs[-4], runs[-1]
    assert (heating.kelvin, heating.last_kelvin, heating.last_volume) == (300.0, 2250.0, 1.0)
    assert (compression.kelvin, compression.last_kelvin, compression.last_volume) == (300.0, 300.0, 0.8)


def test_nvt_runs_have_the_density_of_their_frames(pool):
    volumes = {r.name: r.atoms.cell.volume / len(r.atoms) for r in PLAN.runs(SILICON, pool, 1.0, 0)}
    crystal = 5.431**3 / 8
    assert volumes["NVT_300K"] == pytest.approx(crystal)
    assert volumes["NVT_900K"] == pytest.approx(crystal * (1.02**3 + 1.04**3) / 2)
    assert volumes["NVE_300K"] == pytest.approx(crystal)


def test_seeds_of_runs_follow_from_the_subjects_seed(pool):
    one, again, other = ([r.seed for r in PLAN.runs(SILICON, pool, 1.0, s)] for s in (0, 0, 1))
    assert one == again and not set(one) & set(other)


def test_lengths_of_zero_leave_kinds_out(pool):
    plan = replace(PLAN, nve=0.0, npt=0.0, heating=0.0, compression=0.0, seeds=1)
    assert {run.kind for run in plan.runs(SILICON, pool, 1.0, 0)} == {NVT}


def test_temperatures(pool):
    assert PLAN.nvt_temperatures(pool) == (300.0, 900.0, 1500.0)
    assert replace(PLAN, n_temperatures=2).nvt_temperatures(pool) == (300.0, 1500.0)
    assert replace(PLAN, n_temperatures=1).nvt_temperatures(pool) == (1500.0,)
    assert replace(PLAN, n_temperatures=9).nvt_temperatures(pool) == (300.0, 900.0, 1500.0)
    assert replace(PLAN, temperatures=[700, 100]).nvt_temperatures(pool) == (100.0, 700.0)
    assert len(PLAN.frames(pool, 900.0)) == 2 and PLAN.frames(pool, 700.0) == []
    with pytest.raises(TamisError, match="no temperatures for MD"):
        replace(PLAN, trajectory_groups=["AIMD"]).nvt_temperatures(pool)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("plan.temperatures=[-1]", "above 0"),
        ("plan.temperatures=[]", "at least one"),
        ("plan.n_temperatures=0", "from 1 on"),
        ("plan.nvt=-1.0", "at least 0"),
        ("integration.sample_every=15", "multiple"),
        ("guards.closest=1.0", "above 0 and below 1"),
        ("extrapolation.percentile=100.0", "above 0 and below 100"),
        ("patience=-1.0", "above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(override, words):
    config = composed("+evaluation/dynamics@dynamics=quick", f"dynamics.{override}")
    with pytest.raises(InstantiationException) as caught:
        instantiate(config.dynamics, _convert_="all")
    name = override.split("=")[0].split(".")[-1]
    assert isinstance(caught.value.__cause__, TamisError)
    assert words in str(caught.value.__cause__) and name in str(caught.value.__cause__)


@pytest.mark.parametrize("preset", ["quick", "full", "comparison"])
@pytest.mark.parametrize("dataset", ["sw_silicon", "mlearn"])
def test_presets_compose(preset, dataset):
    config = composed(f"+evaluation/dynamics@dynamics={preset}", f"dataset={dataset}")
    built = instantiate(config.dynamics, _convert_="all")
    assert isinstance(built, Dynamics)
    assert built.extrapolation.space == instantiate(config.descriptor)  # snap, the default descriptor


def test_quick_and_full_have_the_same_thresholds():
    quick, full = (
        instantiate(composed(f"+evaluation/dynamics@dynamics={preset}").dynamics, _convert_="all")
        for preset in ("quick", "full")
    )
    assert quick.guards == full.guards
    assert quick.integration.timestep == full.integration.timestep


def test_the_shortest_distance_is_that_of_the_pool(pool):
    expected = min(neighbour_list("d", atoms, 4.0).min() for atoms in pool.structures)
    assert shortest_in(pool) == pytest.approx(expected)
    assert Guards(0.5, 1000.0, 2.0).limits(pool).closest == pytest.approx(expected / 2)
    assert shortest_in(pool.subset([0])) > shortest_in(pool), "the squeezed structure decides"
    lonely = pool_of([Atoms("Si", cell=[20, 20, 20], pbc=True)], ["A"], ["A"])
    with pytest.raises(TamisError, match="no two atoms"):
        shortest_in(lonely)


def test_minimum_images_agree_with_a_neighbour_list():
    rng = np.random.default_rng(3)
    for _ in range(5):
        atoms = bulk("Si", "diamond", a=5.431, cubic=True).repeat(2)
        atoms.rattle(0.4, rng=rng)
        atoms.positions += rng.integers(-2, 3, (len(atoms), 1)) * atoms.cell.array[rng.integers(3)]
        wrapped = atoms.copy()
        wrapped.wrap()
        expected = neighbour_list("d", wrapped, 4.0).min()
        assert shortest_distance(atoms.positions, atoms.cell.array) == pytest.approx(expected)


def test_limits():
    limits = Guardrails(closest=1.5, hotter_by=100.0, volume_factor=2.0)
    cell, far = 10.0 * np.eye(3), np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0]])

    def broken(positions=far, temperature=300.0, energy=-1.0, swelling=1.0) -> str:
        return limits.broken(positions, cell, temperature, 300.0, energy, swelling)[0]

    assert broken() == ""
    assert broken(far * np.array([8.6 / 8, 1, 1])) == guards.TOO_CLOSE  # through the boundary
    margin = 100.0 + 5.0 * 300.0 / np.sqrt(3.0)  # two atoms fluctuate by T / sqrt(3)
    assert broken(temperature=299.0 + margin) == ""
    assert broken(temperature=301.0 + margin) == guards.TOO_HOT
    assert broken(swelling=2.1) == broken(swelling=0.4) == guards.VOLUME
    assert broken(np.full((2, 3), np.nan)) == guards.NON_FINITE
    assert broken(energy=np.inf) == broken(temperature=np.nan) == guards.NON_FINITE


def test_causes_are_read_from_messages():
    assert cause_of("ERROR: Lost atoms: original 64 current 60") == guards.LOST_ATOMS
    assert cause_of("Non-numeric atom coords - simulation unstable") == guards.NON_FINITE
    assert cause_of("Not a valid floating-point number: 'nan'") == guards.NON_FINITE
    assert cause_of("two atoms are at the same place: no angle is defined") == guards.TOO_CLOSE
    assert cause_of("Segmentation fault") == guards.CRASHED
    assert cause_of("cannot open file /home/nancy/potential") == guards.CRASHED


def test_the_stable_fraction_counts_what_time_allows():
    """At the speed of its first 50 of 100 steps, the run would have made 80 in its time."""
    positions = np.zeros((1, 2, 3))
    found = trajectory_of(positions, np.eye(3), np.zeros(1), steps=50, seconds=5.0, end=guards.TOO_HOT)
    assert found.stable_fraction(8.0) == pytest.approx(50 / 80)
    assert found.stable_fraction(1000.0) == pytest.approx(50 / 100)
    assert found.stable_fraction(1.0) < 1.0, "a failure is never whole"
    stopped = replace(found, end=OUT_OF_TIME)
    assert not stopped.failed and stopped.stable_fraction(8.0) == 1.0
    assert replace(found, steps=0).stable_fraction(8.0) == 0.0


def test_pieces_are_put_together():
    run = trajectory_of(np.zeros((1, 2, 3)), np.eye(3), np.zeros(1)).run
    pieces = [
        Trajectory(
            run,
            10 * k,
            float(k),
            np.full((2, 6), k),
            np.full(1, k),
            np.full((1, 2, 3), k),
            np.full((1, 3, 3), k),
        )
        for k in (1, 2)
    ]
    found = Trajectory.of(run, pieces, guards.HUNG, "silence")
    assert (found.steps, found.seconds, found.end, found.detail) == (20, 2.0, guards.HUNG, "silence")
    np.testing.assert_array_equal(found.thermo[:, 0], [1, 1, 2, 2])
    np.testing.assert_array_equal(found.times, [1, 2])
    nothing = Trajectory.of(run, [], guards.CRASHED)
    assert nothing.steps == 0 and nothing.thermo.shape == (0, 6) and nothing.failed


def test_an_ideal_gas_has_no_structure():
    rng = np.random.default_rng(0)
    frames = [
        Atoms("Si200", positions=rng.uniform(0, 12, (200, 3)), cell=[12] * 3, pbc=True) for _ in range(20)
    ]
    g = structure.radial_distribution(frames, EDGES)
    np.testing.assert_allclose(g[20:], 1.0, atol=0.1)


def test_the_first_peak_of_diamond_has_four_neighbours():
    frames = [bulk("Si", "diamond", a=5.431, cubic=True).repeat(2)] * 10
    g = structure.radial_distribution(frames, EDGES)
    shells = 4 / 3 * np.pi * np.diff(EDGES**3)
    density = 8 / 5.431**3
    assert (g * shells * density)[EDGES[:-1] < 3.0].sum() == pytest.approx(4.0)
    assert structure.radial_distribution(frames[:9], EDGES) is None, "too few frames"


def test_distribution_errors_go_from_0_to_2():
    g = np.array([0.0, 1.0, 2.0])
    assert structure.distribution_error(g, g) == 0.0
    assert structure.distribution_error(np.array([3.0, 0.0, 0.0]), g) == 2.0


def test_diffusion_of_a_random_walk():
    """Steps of variance 2 D dt in each direction diffuse with D; a common drift is taken away."""
    rng, expected, dt = np.random.default_rng(1), 0.7, 0.02
    steps = rng.normal(scale=np.sqrt(2 * expected * dt), size=(800, 200, 3))
    positions = np.cumsum(steps, axis=0) + np.linspace(0, 50, 800)[:, None, None]
    walk = trajectory_of(positions, 10 * np.eye(3), dt * np.arange(800))
    assert structure.diffusion(walk) == pytest.approx(expected, rel=0.1)
    still = trajectory_of(rng.normal(size=(800, 20, 3)), 10 * np.eye(3), dt * np.arange(800))
    assert abs(structure.diffusion(still)) < 0.01
    short = trajectory_of(positions[:30], 10 * np.eye(3), dt * np.arange(30))
    assert structure.diffusion(short) is None


def test_drift_and_volume():
    thermo = np.zeros((100, 6))
    thermo[:, 0] = np.linspace(0.0, 2.0, 100)
    thermo[:, 3] = -0.4 * thermo[:, 0]  # eV of 2 atoms in 1 ps
    thermo[:20, 3] += 100.0  # settling
    thermo[:, 5] = np.where(np.arange(100) < 50, 1e6, 42.0)
    found = trajectory_of(np.zeros((1, 2, 3)), np.eye(3), np.zeros(1), thermo=thermo)
    assert structure.energy_drift(found) == pytest.approx(200.0)
    assert structure.volume_per_atom(found) == pytest.approx(21.0)
    early = replace(found, thermo=thermo[:9])
    assert structure.energy_drift(early) is None and structure.volume_per_atom(early) is None


def test_pool_frames_are_a_reference(pool):
    """Of one structure many times: g(r) is its own, every half like the other."""
    frames = pool.subset([0] * 20)
    run = next(r for r in PLAN.runs(SILICON, frames, 1.0, 0) if r.kind == NVT)
    found = reference.from_frames(PLAN, frames, [run], {run.name: EDGES})
    expected = structure.radial_distribution([pool.structures[0]] * 10, EDGES)
    np.testing.assert_allclose(found.averages[run.name].rdf, expected)
    assert found.noise == {run.name: 0.0}
    few = reference.from_frames(PLAN, pool, [run], {run.name: EDGES})
    assert few.averages == {}, "two frames are none"


def test_references_are_kept_and_damage_is_noticed(pool, tmp_path):
    runs = list(PLAN.runs(SILICON, pool, 1.0, 0))
    assert {run.kind for run in reference.needed(runs)} == {NVT, NPT}
    bins = {run.name: EDGES for run in runs}
    made = MdReference({"NVT_300K": Averages(rdf=[0.0, 1.0], diffusion=0.5)}, "somewhere", {"NVT_300K": 0.1})
    file = reference.cached_at(tmp_path, "giver", runs, HOW, bins)
    assert file.read() is None
    file.write(asdict(made))
    assert MdReference.of_json(file.read()) == made
    file.path.write_text(file.path.read_text()[:-5])
    assert file.read() is None
    others = {
        reference.cached_at(tmp_path, "another giver", runs, HOW, bins).path,
        reference.cached_at(tmp_path, "giver", runs[:-1], HOW, bins).path,
        reference.cached_at(tmp_path, "giver", list(PLAN.runs(SILICON, pool, 1.0, 1)), HOW, bins).path,
        reference.cached_at(tmp_path, "giver", runs, replace(HOW, timestep=1.0), bins).path,
        reference.cached_at(tmp_path, "giver", runs, HOW, dict.fromkeys(bins, EDGES[:-1])).path,
    }
    assert len(others | {file.path}) == 6
    assert reference.cached_at(tmp_path, "giver", runs, HOW, bins).path == file.path


def extrapolation(basis, **changes) -> Extrapolation:
    settings = {"space": basis, "percentile": 99.0, "frames": 10, "pool_environments": 10_000} | changes
    return Extrapolation(**settings)


def test_what_was_kept_is_inside_and_what_was_not_is_outside(snap_basis, rattled, store):
    measure = extrapolation(snap_basis).outside
    pool = rattled.subset(range(20))
    frames = [pool.structures[0], pool.structures[7]]
    assert measure(snap_basis, pool, pool, frames, store).tolist() == [0.0, 0.0]
    far = frames[0].copy()
    far.set_cell(far.cell.array * 0.7, scale_atoms=True)
    assert measure(snap_basis, pool, pool, [far], store).tolist() == [1.0]
    # the same environments, in a larger cell and elsewhere in space
    moved = frames[0].repeat((2, 1, 1))
    moved.positions += 0.3
    assert measure(snap_basis, pool, pool.subset([0]), [moved, far], store).tolist() == [0.0, 1.0]


def test_fewer_kept_structures_leave_more_outside_at_one_threshold(snap_basis, rattled, store):
    pool = rattled.subset(range(20))
    measure = extrapolation(snap_basis, percentile=50.0).outside
    shares = [
        measure(snap_basis, pool, pool.subset(range(n)), pool.structures, store).mean() for n in (1, 5, 20)
    ]
    assert shares[0] > shares[1] > shares[2] == 0.0


def test_nearest_leaves_the_own_structure_out():
    points = np.array([[0.0], [1.0], [5.0], [5.5]])
    np.testing.assert_allclose(nearest(points, points), 0.0)
    owners = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(nearest(points, points, owners, owners), [5.0, 4.0, 4.0, 4.5])


def test_axes_scale_turn_and_forget_noise():
    rng = np.random.default_rng(5)
    values = np.column_stack([rng.normal(size=500), 1e6 * rng.normal(size=500), np.full(500, 3.0)])
    mean, turn = axes(values)
    turned = (values - mean) @ turn
    assert turned.shape[1] == 2, "the constant column is gone"
    np.testing.assert_allclose(turned.var(axis=0).sum(), 2.0, rtol=1e-9)
    np.testing.assert_allclose(np.corrcoef(turned.T)[0, 1], 0.0, atol=1e-9)


def test_a_sample_is_spread_evenly():
    assert evenly(range(100), 4) == [0, 33, 66, 99]
    assert evenly("abc", 10) == ["a", "b", "c"]


def test_a_run_that_stopped_before_half_of_its_plan_has_no_averages():
    positions = np.random.default_rng(0).uniform(0, 30, (200, 8, 3))
    cut, whole = (
        trajectory_of(positions, 6 * np.eye(3), np.arange(200.0), steps=steps) for steps in (45, 100)
    )
    assert Averages.of([cut], EDGES) == Averages()
    found = Averages.of([whole], EDGES)
    assert found.rdf is not None and found.diffusion is not None


def test_files(tmp_path):
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 30, (40, 8, 3))
    thermo = np.abs(rng.normal(size=(40, 6)))
    failed = trajectory_of(
        positions,
        6 * np.eye(3),
        0.1 * np.arange(40),
        thermo=thermo,
        steps=39,
        planned=50,
        end=guards.TOO_CLOSE,
    )
    empty = Trajectory.of(replace(failed.run, kind=NVE, name="NVE_300K"), [], guards.HUNG, "silence")
    both = [failed, empty]
    averages = {name: Averages.of(found, EDGES) for name, found in reference.by_name(both).items()}
    artifacts.write_json(tmp_path, {"runs": [artifacts.as_json(t, 2.0) for t in both]})
    artifacts.write_last_frames(tmp_path, both)
    artifacts.draw(tmp_path, both, averages, MdReference(averages, "itself"), {NVT: EDGES, "NVE_300K": EDGES})
    told = json.loads((tmp_path / "dynamics.json").read_text())["runs"]
    assert told[0]["time_to_failure_ps"] == pytest.approx(0.078) and told[0]["end"] == guards.TOO_CLOSE
    assert told[1]["time_to_failure_ps"] == 0.0 and told[1]["detail"] == "silence"
    from ase.io import read

    (frame,) = read(tmp_path / "last_frames.extxyz", ":")
    assert frame.info["run"] == NVT and frame.info["time_ps"] == pytest.approx(3.9)
    assert frame.get_scaled_positions(wrap=False).max() < 1.0
    for name in ("temperature", "energy", "rdf"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
