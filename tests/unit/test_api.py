"""The Python interface: the blocks of docs/python.md run, and give what the command line gives."""

import os
import re
import threading
from pathlib import Path
from typing import Any

import ase.io
import hydra
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import OmegaConf
from scipy.stats import ttest_rel
from tests.composing import composed
from tests.labelled import copper
from threadpoolctl import threadpool_info

import tamis
from tamis import api
from tamis.api.work import at_work
from tamis.core.compose import _composed
from tamis.core.compose import composed as composed_apart
from tamis.core.conf_folder import config_folder
from tamis.data.extxyz_writer import write_extxyz
from tamis.records.record import COMPLETE, TrialRecord
from tamis.trial import run_trial

TOP = Path(__file__).parents[2]
SNAP = {"name": "snap", "twojmax": 4}
MODEL = {"name": "snap", "basis": {"twojmax": 4}}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "my.xyz"
    write_extxyz(path, copper())
    return path


@pytest.fixture(scope="module")
def frames(file) -> list[Atoms]:
    return ase.io.read(file, ":")


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(autouse=True)
def in_one_folder(notebook, monkeypatch):
    """Its store has the rows that tests share."""
    monkeypatch.chdir(notebook)


def bare(frames: list[Atoms]) -> list[Atoms]:
    return [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in frames]


# ---- what the docs say


def test_names_are_those_of_the_docs():
    shown = set(re.findall(r"`tamis\.(\w+)", (TOP / "docs" / "python.md").read_text()))
    assert shown - {"store"} <= set(tamis.__all__)
    assert {"read", "describe", "prune", "fit", "evaluate", "compare", "TamisError"} <= shown
    assert set(tamis.__all__) <= set(dir(tamis))
    assert all(getattr(tamis, name) is getattr(api, name) for name in tamis.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'prunes'"):
        _ = tamis.prunes


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (TOP / "docs" / "python.md").read_text(), re.DOTALL)


def run_blocks(file: Path, *some: str) -> dict[str, Any]:
    Path("my.xyz").write_bytes(file.read_bytes())
    names: dict[str, Any] = {}
    for block in some:
        exec(block, names)
    return names


def test_five_lines_give_a_smaller_set(file):
    names = run_blocks(file, blocks()[0])
    kept, smaller = names["kept"], names["smaller"]
    assert kept.dtype == np.intp and len(set(kept.tolist())) == len(kept) == 6  # of 30 of one size
    assert [a.positions.tolist() for a in smaller] == [
        names["structures"][i].positions.tolist() for i in kept
    ]


@pytest.mark.slow
def test_all_blocks_of_the_docs_run(file, capsys):
    assert len(blocks()) == 4
    names = run_blocks(file, *blocks())
    assert len(names["kept"]) == 13  # half of the 27 that are for training
    out = capsys.readouterr().out
    assert "has:     30 structures with 120 atoms" in out and "'force_rmse_eV_per_A': " in out
    assert (Path("my_potential") / "in.potential").is_file()
    assert np.isfinite(names["atoms"].get_potential_energy())


def test_defaults_are_those_of_the_command_line():
    defaults = OmegaConf.to_container(OmegaConf.load(config_folder() / "config.yaml").defaults)
    chosen = {group: name for entry in defaults if isinstance(entry, dict) for group, name in entry.items()}
    prune, fit = tamis.prune.__defaults__, tamis.fit.__defaults__
    assert prune == (chosen["descriptor"], chosen["pruner"]) and fit == (chosen["model"],)
    assert tamis.prune.__kwdefaults__["latent"] == chosen["latent"]


# ---- the same as on the command line


def trial(file: Path, *typed: str) -> TrialRecord:
    own = ("dataset=file", f"dataset.train={file}", "evaluation.errors.by_group=false", "artifacts=false")
    record = run_trial(composed(*own, *typed), {}, Path())
    assert record.status == COMPLETE, record.reason
    return record


@pytest.mark.parametrize(
    ("pruner", "budget", "typed"),
    [
        ("optimal", {"atoms": 0.3}, ("budget.fraction=0.3",)),
        ("fps", {"structures": 5}, ("budget=structures", "budget.n_structures=5")),
        ("random", {"atoms": 30, "seed": 3}, ("budget=atoms", "budget.n_atoms=30", "seed.select=3")),
    ],
)
def test_a_choice_is_that_of_a_trial(file, frames, pruner, budget, typed):
    """Of structures in memory, with labels or without, and of files."""
    settings = ("descriptor=snap", "descriptor.twojmax=4", "model.basis.twojmax=4", f"pruner={pruner}")
    record = trial(file, *settings, *typed)
    pool = [int(name.rpartition("#")[2]) for name in record.dataset.pool]
    kept = tamis.prune([frames[i] for i in pool], descriptor=SNAP, pruner=pruner, **budget)
    assert tuple(f"{file}#{pool[i]}" for i in kept) == record.selection.ids
    data = tamis.read(file).subset(pool)
    np.testing.assert_array_equal(tamis.prune(data, SNAP, pruner, **budget), kept)
    without = tamis.prune(bare([frames[i] for i in pool]), {**SNAP, "r_cut": 4.3}, pruner, **budget)
    with_labels = tamis.prune(data, {**SNAP, "r_cut": 4.3}, pruner, **budget)
    np.testing.assert_array_equal(without, with_labels)


def test_a_fit_and_its_errors_are_those_of_a_trial(file):
    typed = ("pruner=random", "descriptor=none", "model.basis.twojmax=4", "budget.fraction=0.6")
    record = trial(file, *typed)
    data = tamis.read(file, test_fraction=0.1)
    places = {name: i for i, name in enumerate(data.ids)}
    kept = data.subset(sorted(places[name] for name in record.selection.ids))
    potential = tamis.fit(kept, MODEL)
    errors = tamis.evaluate(potential, data.testing)
    assert errors == {name: record.metrics[f"test/{name}"] for name in errors}
    assert {"energy_mae_meV_per_atom", "force_rmse_eV_per_A", "stress_mae_GPa"} <= errors.keys()
    told = {f"fit/{name}": value for name, value in potential.diagnostics.items()}
    assert told.items() <= record.metrics.items()


def test_a_comparison_is_that_of_trials_paired_by_split(file):
    """Errors are those of each trial, and the interval that of a paired t test of their logarithms."""
    arms = {"FPS": {"descriptor": SNAP}, "random": {"pruner": "random"}}
    found = tamis.compare(tamis.read(file, test_fraction=0.1), arms, MODEL, atoms=0.4, seeds=range(3))
    settings = ("budget.fraction=0.4", "model.basis.twojmax=4", "seed.split=2")
    for arm, typed in (("FPS", ("descriptor.twojmax=4",)), ("random", ("pruner=random", "descriptor=none"))):
        metrics = trial(file, *settings, *typed).metrics
        told = {name: values[2] for name, values in found.metrics[arm].items() if name != "kept/atoms"}
        assert told == {name: metrics[f"validation/{name}"] for name in told} and len(told) == 6
        assert found.metrics[arm]["kept/atoms"][2] == metrics["kept/atoms"]
    errors = [np.log(found.metrics[arm]["energy_mae_meV_per_atom"]) for arm in ("FPS", "random")]
    effect, test = found.ratio("FPS", "random", "energy_mae_meV_per_atom"), ttest_rel(*errors)
    assert effect.p == pytest.approx(test.pvalue)
    interval = test.confidence_interval()
    assert effect.ratio_interval() == pytest.approx((np.exp(interval.low), np.exp(interval.high)))
    assert "over 3 splits" in str(found) and f"{effect.ratio:.2f} (" in str(found)
    with pytest.raises(tamis.TamisError, match=r"fps is no arm; there are FPS, random"):
        found.ratio("fps", "random")
    with pytest.raises(tamis.TamisError, match=r"arm 'A' has prune; did you mean pruner\?"):
        tamis.compare(file, {"A": {"prune": "fps"}}, atoms=0.4)
    with pytest.raises(tamis.TamisError, match="there are 0 arms and 5 seeds; give at least one of each"):
        tamis.compare(file, {}, atoms=0.4)


# ---- a potential


def test_a_potential_predicts_what_its_calculator_gives(file, frames):
    potential = tamis.fit(file, MODEL)
    found = potential.predict(bare(frames[:3]))
    calculator = potential.calculator()
    for i, atoms in enumerate(frames[:3]):
        np.testing.assert_allclose(found.energies[i], calculator.get_property("energy", atoms), atol=1e-8)
        np.testing.assert_allclose(found.forces[i], calculator.get_property("forces", atoms), atol=1e-8)
        np.testing.assert_allclose(found.stresses[i], calculator.get_property("stress", atoms), atol=1e-8)
    assert {path.name for path in potential.write("out/new")} >= {"in.potential"}
    assert "trained on 30 structures" in repr(potential)
    errors = tamis.evaluate(potential, frames[:3], by_group=True)
    assert errors["force_mae_eV_per_A/all"] == errors["force_mae_eV_per_A"]
    labels = np.concatenate([a.get_forces().ravel() for a in frames[:3]])
    gap = np.concatenate([f.ravel() for f in found.forces]) - labels
    assert errors["force_rmse_eV_per_A"] == pytest.approx(np.sqrt(np.mean(gap**2)), rel=1e-6)


def test_a_calculator_takes_the_folder_of_a_trial_too(file, frames):
    trial(file, "model=snap", "model.basis.twojmax=4", "artifacts=true")
    found, expected = (
        tamis.calculator(folder).get_property("energy", frames[0]) for folder in (".", "potential")
    )
    assert found == expected
    with pytest.raises(tamis.TamisError, match="no_such is no folder"):
        tamis.calculator("no_such")
    with pytest.raises(tamis.TamisError, match="0 families of potentials.*Give a trial's folder"):
        Path("empty").mkdir()
        tamis.calculator("empty")


def test_a_part_of_a_set_keeps_the_cutoffs_of_the_whole(frames):
    swollen = [*frames[:15], *(a.copy() for a in frames[15:])]
    for a, old in zip(swollen[15:], frames[15:], strict=True):
        a.set_cell(a.cell.array * 1.3, scale_atoms=True)
        a.calc = SinglePointCalculator(a, energy=old.get_potential_energy() + 9.0, forces=old.get_forces())
    whole = tamis.read(swollen)
    part = whole.subset(range(15, 30))
    model = tamis.fit(part, MODEL).model
    assert model.basis == tamis.fit(whole, MODEL).model.basis
    assert model.basis.r_cut < tamis.fit(swollen[15:], MODEL).model.basis.r_cut


@pytest.mark.slow
def test_properties_are_measured_where_they_are_asked_for(file):
    potential = tamis.fit(file, "snap")
    crystal = {"structure": "fcc", "element": "Cu", "a": 3.6}
    only = {"name": "quick", "properties": {"wall": None, "vacancy": None, "elastic": None}, "dynamics": None}
    found = tamis.evaluate(potential, file, properties=only, crystal=crystal)
    assert found["properties/lattice_constant_A"] == pytest.approx(3.59, abs=0.05)
    assert not [name for name in found if name.startswith("md/")]


def test_properties_need_a_crystal(file):
    with pytest.raises(
        tamis.TamisError,
        match='properties need a crystal; give an ase.Atoms, or one such as crystal={"structure"',
    ):
        tamis.evaluate(tamis.fit(file, MODEL), file, properties="quick")
    with pytest.raises(tamis.TamisError, match=r"crystal\.lattice is no setting; .*crystal has structure"):
        tamis.evaluate(tamis.fit(file, MODEL), file, properties="quick", crystal={"lattice": "fcc"})


# ---- structures


def test_free_atoms_are_kept_first_and_beside_the_budget(frames):
    free = Atoms("Cu", cell=[15.0] * 3, pbc=True)
    free.calc = SinglePointCalculator(free, energy=0.1, forces=np.zeros((1, 3)))
    given = [*frames[:4], free, *frames[4:]]
    kept = tamis.prune(given, SNAP, structures=5)
    plain = tamis.prune(frames, SNAP, structures=5)
    np.testing.assert_array_equal(kept, [4, *(plain + (plain >= 4))])
    data = tamis.read(given)
    assert data.isolated is not None and len(data) == 30
    np.testing.assert_array_equal(tamis.prune(data, SNAP, structures=5), plain)
    assert len(tamis.fit([given[i] for i in kept], MODEL).kept) == 5


def test_what_is_for_testing_is_neither_chosen_nor_trained_on(file):
    data = tamis.read(file, test_fraction=0.2)
    marked = np.flatnonzero(data.is_test)
    assert len(marked) == 6 and len(data.training) + len(data.testing) == 30
    assert not np.isin(tamis.prune(data, pruner="random", structures=24), marked).any()
    assert len(tamis.fit(data, MODEL).kept) == 24


def test_structures_in_memory_are_read_as_the_file_is(file, frames):
    one, other = tamis.read(file), tamis.read(frames)
    assert one.fingerprint == other.fingerprint
    assert tamis.read(iter(frames)).fingerprint == one.fingerprint
    hartree = tamis.read(frames, units={"energy": "hartree", "forces": "ev/angstrom"}, energy_window=1e9)
    np.testing.assert_allclose(hartree.energies, one.energies * 27.211386, rtol=1e-6)


def test_structures_may_change_after_they_were_read(frames):
    mine = [a.copy() for a in frames]
    for a, old in zip(mine, frames, strict=True):
        a.calc = SinglePointCalculator(a, energy=old.get_potential_energy(), forces=old.get_forces())
    data = tamis.read(mine)
    before = data.fingerprint
    mine[0].positions += 1.0
    del data.__dict__["fingerprint"]
    assert data.fingerprint == before


def test_results_for_other_positions_are_no_labels(frames):
    shared = EMT()
    mine = bare(frames[:3])
    for a in mine:
        a.calc = shared
        a.get_potential_energy()
    with pytest.raises(tamis.TamisError, match="structures#0: has no energy"):
        tamis.read(mine)


def test_a_description_says_what_the_command_says(file, frames):
    text = str(tamis.describe(frames))
    assert "30 structures with 120 atoms" in text and "read as ase.Atoms; energy from energy (eV)" in text
    assert not tamis.describe(file).problems and repr(tamis.describe(tamis.read(file))).startswith("read:")
    frames = [a.copy() for a in frames]
    assert any("no structure has energy" in problem for problem in tamis.describe(frames).problems)


# ---- errors


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"descriptor": "sopa"}, "descriptor=sopa is not a choice; did you mean soap? choose one of ace"),
        ({"descriptor": {**SNAP, "rcut": 4.0}}, "descriptor.rcut is no setting; did you mean r_cut?"),
        ({"descriptor": {**SNAP, "r_cut": "far"}}, "descriptor.r_cut is 'far'; a finite number is needed"),
        (
            {"descriptor": {"r_cut": 4.0}},
            "give the name of a choice, or a mapping with its name and settings",
        ),
        ({"descriptor": {**SNAP, "r_cut": 1.0}}, "within which 100.0% of the atoms have no neighbour"),
        ({"descriptor": "none"}, "it needs a descriptor other than none"),
        (
            {"pruner": {"name": "fps", "start": "middle"}},
            "pruner.start is 'middle'; choose one of center, random",
        ),
        ({"atoms": 1.5}, "atoms is 1.5; it must be above 0 and at most 1"),
        ({"atoms": 0}, "atoms is 0; it must be a whole number from 1 on"),
        ({"atoms": 10**6}, "the budget is 1000000 atoms, and the pool has 120"),
        ({"atoms": None}, "give how much may be kept, either as atoms or as structures"),
        ({"structures": 3}, "give how much may be kept, either as atoms or as structures"),
        ({"seed": -1}, "the seed is -1; it must be a whole number from 0 on"),
        ({"store": {"n_job": 1}}, "store.n_job is no setting; did you mean n_jobs?"),
    ],
)
def test_errors_say_what_is_allowed(frames, wrong, words):
    with pytest.raises(tamis.TamisError, match=re.escape(words)):
        tamis.prune(frames, **{"descriptor": SNAP, "atoms": 0.2, **wrong})


@pytest.mark.parametrize(
    ("structures", "words"),
    [
        (
            [],
            "the structures are nothing; give a Dataset, one or more ase.Atoms, or one or more names of files",
        ),
        (3, "the structures are int; give"),
        (["no.xyz"], "no file matches no.xyz"),
        ([bulk("Cu"), "no.xyz"], "the structures are Atoms, str; give"),
        (
            [bulk("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 0.1]])],
            "structures#1: atoms 0 and 1 are 0.100 Å apart",
        ),
        ([Atoms("Cu", [[np.nan, 0, 0]])], "structures#0: position[0, 0] is nan; it must be finite"),
    ],
)
def test_structures_that_cannot_be_treated_are_refused(structures, words):
    with pytest.raises(tamis.TamisError, match=re.escape(words)):
        tamis.prune(structures, SNAP, structures=1)


def test_settings_of_reading_are_checked(file, frames):
    with pytest.raises(tamis.TamisError, match=r"dataset\.unit is no setting; did you mean units\?"):
        tamis.read(frames, unit="atomic")
    with pytest.raises(tamis.TamisError, match="units: a Dataset has been read already"):
        tamis.read(tamis.read(file), units="atomic")
    with pytest.raises(tamis.TamisError, match="this model needs structures for tuning"):
        tamis.fit(frames, {**MODEL, "tuning": "pool_validation"})
    potential = tamis.fit(frames, {**MODEL, "tuning": "pool_validation"}, tuning=frames[:5])
    assert potential.diagnostics


# ---- beside Hydra, and in threads


def test_the_programs_own_hydra_stays_as_it_is(frames):
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.2"):
        before = GlobalHydra.instance().hydra
        base = VersionBase.instance().getbase()
        _composed.cache_clear()
        tamis.prune(frames, SNAP, atoms=0.2)
        assert GlobalHydra.instance().hydra is before and VersionBase.instance().getbase() is base
    assert composed_apart("model=gap", "pruner=optimal") == composed("model=gap", "pruner=optimal")


def test_threads_give_the_same(frames):
    found: dict[int, np.ndarray] = {}
    _composed.cache_clear()

    def work(i: int) -> None:
        found[i] = tamis.prune(frames[:6], SNAP, "optimal", structures=i + 1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = tamis.prune(frames[:6], SNAP, "optimal", structures=4)
    assert [found[i].tolist() for i in range(4)] == [whole[: i + 1].tolist() for i in range(4)]


def test_threads_take_turns_and_leave_settings_alone(frames):
    tamis.prune(frames[:3], SNAP, structures=1)  # loads the libraries
    before = dict(os.environ), threadpool_info()
    inside, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with at_work():
            inside.set()
            go_on.wait(10)

    def second() -> None:
        tamis.prune(frames[:3], SNAP, structures=1)
        ended.set()

    threads = [threading.Thread(target=work) for work in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    threads[1].start()
    assert not ended.wait(0.3)
    go_on.set()
    for thread in threads:
        thread.join()
    assert ended.is_set() and (dict(os.environ), threadpool_info()) == before
