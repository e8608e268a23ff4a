"""Bad input, from outside: it ends in a sentence or a recorded reason, never in a traceback or a dead sweep."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hydra.errors import HydraException
from mlflow import MlflowClient
from omegaconf import OmegaConf
from tests.composing import composed
from tests.typed import database, tamis_here

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.models.base import Predictions
from tamis.models.linear import LinearPotential
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, SKIPPED, TrialRecord, read_record
from tamis.trial import run_trial

Trial = Callable[..., TrialRecord]

SMALL = ("descriptor.twojmax=4", "model.basis.twojmax=4", "store.n_jobs=1")
OWN_DATA = ("dataset=file", "dataset.elements=[Si]", "dataset.atom_spacing=2.7")
N_JOBS = 12
"""Of the sweep that is stopped after the third."""
SPRING = 2.0
"""eV/Å²; the made-up labels are those of atoms tied to their sites."""


def made(n: int = 20) -> list[Atoms]:
    """Rattled silicon cells with smooth labels; the forces sum to zero."""
    frames = []
    for i in range(n):
        atoms = bulk("Si", cubic=True)
        shifts = np.random.default_rng(i).normal(scale=0.04, size=(8, 3))
        shifts -= shifts.mean(axis=0)
        atoms.positions += shifts
        energy = -4.6 * 8 + 0.5 * SPRING * float((shifts**2).sum())
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=-SPRING * shifts)
        frames.append(atoms)
    return frames


def nan_position(atoms: Atoms) -> None:
    atoms.positions[2, 1] = np.nan


def infinite_position(atoms: Atoms) -> None:
    atoms.positions[2, 1] = np.inf


def nan_force(atoms: Atoms) -> None:
    atoms.calc.results["forces"][5, 0] = np.nan


def infinite_force(atoms: Atoms) -> None:
    atoms.calc.results["forces"][5, 0] = -np.inf


def nan_energy(atoms: Atoms) -> None:
    atoms.calc.results["energy"] = np.nan


def infinite_energy(atoms: Atoms) -> None:
    atoms.calc.results["energy"] = np.inf


def forces_of_two_columns(atoms: Atoms) -> None:
    atoms.arrays["forces"] = atoms.calc.results.pop("forces")[:, :2]


def forces_of_seven_atoms(atoms: Atoms) -> None:
    atoms.info["forces"] = atoms.calc.results.pop("forces")[:7].ravel()


def unknown_element(atoms: Atoms) -> None:
    atoms.numbers[0] = 32


def overlapping(atoms: Atoms) -> None:
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 0.3]


def flat_cell(atoms: Atoms) -> None:
    atoms.cell[2] = atoms.cell[1]


BAD_FRAMES = {
    nan_position: r"position\[2, 1\] is nan; it must be finite",
    infinite_position: r"position\[2, 1\] is inf; it must be finite",
    nan_force: r"force\[5, 0\] is nan; it must be finite",
    infinite_force: r"force\[5, 0\] is -inf; it must be finite",
    nan_energy: "energy is nan; a finite number in eV is needed",
    infinite_energy: "energy is inf; a finite number in eV is needed",
    forces_of_two_columns: r"forces have shape \(8, 2\) for 8 atoms; \(8, 3\) is needed",
    forces_of_seven_atoms: r"forces have shape \(21,\) for 8 atoms; \(8, 3\) is needed",
    unknown_element: "has Ge, but dataset.elements is Si; add what is missing",
    overlapping: r"atoms 0 and 1 are 0.300 Å apart, allowed is .*; are the positions in Å\?",
    flat_cell: "periodic cell of 0 Å³ per atom, .*; give the cell vectors of all periodic directions in Å",
}
"""What is done to frame 13, and what is said about it."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, furnished) -> Path:
    """A folder with a good data set, bad ones, and what the runs of this file leave."""
    folder = furnished(tmp_path_factory.mktemp("bad input"))
    ase.io.write(folder / "good.xyz", made(), format="extxyz")
    for spoil in BAD_FRAMES:
        frames = made()
        spoil(frames[13])
        ase.io.write(folder / f"{spoil.__name__}.xyz", frames, format="extxyz")
    text = (folder / "good.xyz").read_text()
    (folder / "truncated.xyz").write_text(
        text[: len(text) // 2 - 100]
    )  # frames are equally long: not between two
    (folder / "empty.xyz").write_text("")
    ase.io.write(folder / "one.xyz", made(1), format="extxyz")
    return folder


@pytest.fixture(scope="module")
def trial(place) -> Trial:
    """Run one trial in this process; the tests of the command itself are further down."""
    folders = iter(place / f"trial{i}" for i in range(1000))

    def run(*overrides: str, data: str | None = "good.xyz", small: bool = True) -> TrialRecord:
        common = [f"store.root='{place}/store'", *(SMALL if small else ())]
        common += [*OWN_DATA, f"dataset.train='{place / data}'"] if data else []
        config = composed(*common, *overrides)
        folder = next(folders)
        record = run_trial(OmegaConf.masked_copy(config, [k for k in config if k != "tracking"]), {}, folder)
        saved = read_record(folder)
        assert (saved.status, saved.reason) == (record.status, record.reason)
        assert not (folder / "traceback.txt").exists(), (folder / "traceback.txt").read_text()
        return record

    return run


def assert_failed(record: TrialRecord, reason: str) -> None:
    assert record.status == FAILED
    assert re.search(reason, record.reason, re.DOTALL), record.reason
    assert not [name for name in record.metrics if name.startswith("test/")]


def test_the_good_set_is_good(trial):
    record = trial()
    assert record.status == COMPLETE and record.metrics["test/force_mae_eV_per_A"] < 0.1


@pytest.mark.parametrize("spoil", BAD_FRAMES, ids=lambda spoil: spoil.__name__)
def test_a_bad_structure_is_named(trial, spoil):
    record = trial(data=f"{spoil.__name__}.xyz")
    assert_failed(record, f"has 1 problem.*{spoil.__name__}.xyz#13: {BAD_FRAMES[spoil]}")
    assert "dataset.drop" in record.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("truncated.xyz", r"truncated.xyz, frame \d+ or later, cannot be read .*; is the file truncated\?"),
        ("empty.xyz", "empty.xyz(, frame 0 or later, cannot be read| holds no structure| is empty)"),
        ("one.xyz", r"has 1 distinct structure\(s\) for training; at least 2 are needed"),
        ("none.xyz", "no file matches .*none.xyz .*; correct dataset.train"),
    ],
)
def test_a_bad_file_is_named(trial, data, reason):
    assert_failed(trial(data=data), reason)


def test_a_set_from_which_all_is_dropped(trial, place):
    assert_failed(trial(f'dataset.drop=["{place}/one.xyz#0"]', data="one.xyz"), "the data set is empty; give")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        # a budget above the pool, or that leaves nothing
        (["budget.fraction=2"], "budget.fraction is 2; it must be above 0 and at most 1"),
        (["budget.fraction=0.01"], "a budget of 1 atoms keeps no structure: .*; raise the budget"),
        (
            ["budget=structures", "budget.n_structures=17"],
            "budget is 17 structures, and the pool has 16; give from 1 to 16",
        ),
        (
            ["budget=structures", "budget.n_structures=0"],
            "budget.n_structures is 0; it must be a whole number from 1 on",
        ),
        (
            ["budget=atoms", "budget.n_atoms=129"],
            "budget is 129 atoms, and the pool has 128; give from 1 to 128",
        ),
        (
            ["budget=atoms", "budget.n_atoms=7"],
            "a budget of 7 atoms keeps no structure: .*; raise the budget",
        ),
        (["budget=curve", "budget.fractions=[0.01,1]"], "keeps no structure: .*; raise"),
        # an element that only the basis does not know
        (["descriptor.elements=[Ge]"], "element Si is unknown to this basis, which has Ge; add it"),
        (["model.basis.elements=[Ge]"], "element Si is unknown to this basis, which has Ge; add it"),
        (["dataset.elements=[Zz]"], r"dataset.elements is \['Zz'\]; .* such as \[Si\]"),
        # words where numbers are meant, and the other way round
        (["budget.fraction=many"], "budget.fraction is 'many'; a finite number is needed"),
        (["descriptor.twojmax=4.5"], "descriptor.twojmax is 4.5; a whole number or null is needed"),
        (["descriptor.r_cut=nan"], "descriptor.r_cut is nan; a finite number is needed"),
        (["model.basis.r_cut=inf"], "model.basis.r_cut is inf; a finite number is needed"),
        (["model.ridges=[nan]"], r"model.ridges is \[nan\]; a list, each entry a finite number, is needed"),
        (["model.ridges=1e-8"], "model.ridges is 1e-08; a list"),
        (["model.n_folds=2.5"], "model.n_folds is 2.5; a whole number is needed"),
        (["evaluation.errors.by_group=no"], "evaluation.errors.by_group is 'no'; true or false is needed"),
        (["dataset.group_key=5"], "dataset.group_key is 5; a text or null is needed"),
        (["dataset.atom_spacing=x"], "dataset.atom_spacing is 'x'; a finite number or null is needed"),
        (["store.root=5"], "store.root is 5; a path is needed"),
        (["store.n_jobs=0"], "n_jobs is 0; it must be a positive number or -1"),
        (["latent.pca_variance=" + "1" * 400], "a finite number or null is needed"),
        (["seed.fit=null"], "seed.fit is None; a whole number is needed"),
        (["seed.split=-1"], "seed.split is -1; it must be a whole number from 0 on"),
        (["validation_fraction=x"], "validation_fraction is 'x'; a finite number is needed"),
        (["validation_fraction=1.5"], "validation_fraction is 1.5; it must lie between 0 and 1"),
        # misspelt choices inside a file, and keys that were forced in
        (["budget.of=atom"], "budget.of is 'atom'; choose one of structures, atoms"),
        (["latent.pooling=max"], "latent.pooling is 'max'; choose one of mean, mean_std"),
        (["model.tuning=keep"], "model.tuning is 'keep'; choose one of kept, pool_validation"),
        (
            ["+descriptor.rcut=5"],
            r"descriptor.rcut is no setting; did you mean r_cut\? descriptor has .*twojmax",
        ),
        (["store._target_=nowhere.Store"], "store._target_ is nowhere.Store, which cannot be imported"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_value_is_named(trial, overrides, reason):
    assert_failed(trial(*overrides), reason)


def test_missing_values_and_unknown_elements_of_a_table(trial):
    assert_failed(trial(*OWN_DATA, data=None), "^dataset.train has no value; give it, as dataset.train=...$")
    missing = trial("dataset=file", "dataset.train=a.xyz", data=None)
    assert_failed(missing, "^no file matches a.xyz")
    unknown = trial("dataset=mlearn", "dataset.element=Xx", data=None)
    assert_failed(unknown, "^dataset.element is 'Xx'; choose one of Cu, Ge, Li, Mo, Ni, Si")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "descriptor=sopa",
            r"^descriptor=sopa is not a choice; did you mean soap\? choose one of ace, .*, soap",
        ),
        (
            "descriptor.rcut=5",
            r"^descriptor.rcut is no setting; did you mean r_cut\? descriptor has elements, ",
        ),
        (
            "descriptr=soap",
            r"^descriptr is no setting; did you mean descriptor\? the configuration has dataset, ",
        ),
        ("model.zzz=1", "^model.zzz is no setting; model has .*basis, energy_weights"),
        ("descriptor", "^descriptor is not understood; write key=value"),
        ("dataset.drop=[a.xyz#3]", r"is not understood; .* quotes .*'dataset.drop=\[\"train.xyz#12\"\]'"),
    ],
)
def test_what_hydra_refuses_is_said_in_a_sentence(trial, override, message):
    with pytest.raises(HydraException) as caught:
        trial(override)
    said = explain(caught.value)
    assert re.search(message, said), said
    assert len(said.splitlines()) == 1 and "HYDRA" not in said and "struct" not in said


def mlearn_entry(atoms: Atoms) -> dict:
    sites = [{"species": [{"element": "Si", "occu": 1}], "xyz": list(x)} for x in atoms.positions]
    results = atoms.calc.results
    return {
        "structure": {"lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites},
        "outputs": {
            "energy": results["energy"],
            "forces": results["forces"].tolist(),
            "virial_stress": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        },
        "group": "AIMD-NVT",
        "description": "Snapshot 1 of 9 of AIMD NVT simulation at 300 K",
    }


def test_a_changed_byte_is_a_wrong_checksum(trial, tmp_path):
    files = {name: tmp_path / "Si" / f"{name}.json" for name in ("training", "test")}
    files["test"].parent.mkdir()
    frames = made()
    files["training"].write_text(json.dumps([mlearn_entry(atoms) for atoms in frames[:18]]))
    files["test"].write_text(json.dumps([mlearn_entry(atoms) for atoms in frames[18:]]))
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    mlearn = ("dataset=mlearn", f"dataset.root='{tmp_path}'")
    told = (*mlearn, *(f"dataset.sha256.{name}={digest}" for name, digest in sums.items()))
    assert trial(*told, data=None).status == COMPLETE
    text = files["training"].read_text()
    files["training"].write_text(text.replace("-36.", "-37.", 1))
    expected = (
        r"training.json has SHA-256 \w{64}, expected is \w{64}: damaged, or another version; get it again"
    )
    assert_failed(trial(*told, data=None), expected)
    files["training"].write_text(text)
    assert_failed(trial(*mlearn, data=None), expected)  # the built-in sum is that of the true mlearn


def test_a_download_that_cannot_be_reached(trial, tmp_path):
    record = trial(
        "dataset=mlearn", "dataset.base_url=http://127.0.0.1:9", f"dataset.cache='{tmp_path}'", data=None
    )
    assert_failed(record, r"cannot download http://127.0.0.1:9/Si/training.json .*; .*dataset.root=<folder>")


def test_a_store_that_cannot_be_written(trial, place, monkeypatch):
    assert_failed(trial(f"store.root='{place}/good.xyz'"), "cannot write .*good.xyz/.*; make room or rights")
    assert trial().status == COMPLETE

    def refuse(path: Path, *parts: bytes) -> None:
        raise TamisError(f"cannot write {path}")

    monkeypatch.setattr("tamis.store.block_files.write_atomically", refuse)
    assert trial().status == COMPLETE  # what a read-only store holds is enough
    assert_failed(trial("model.basis.twojmax=2"), "cannot write")


def lasting(record: TrialRecord) -> dict[str, float]:
    return {k: v for k, v in record.metrics.items() if not k.startswith(("seconds/", "memory/"))}


def test_a_damaged_store_changes_no_number(trial, tmp_path):
    own = f"store.root='{tmp_path}'"
    before = lasting(trial(own))
    blocks = sorted(tmp_path.glob("*/design/*/*.npy"))
    contents = [path.read_bytes() for path in blocks]
    assert len(blocks) == 20
    for i, (path, content) in enumerate(zip(blocks, contents, strict=True)):
        flipped = bytearray(content)
        flipped[300 + 8 * i] ^= 0x40
        path.write_bytes([bytes(flipped), content[:-20], b"", b"\0" * 3][i % 4])
    assert lasting(trial(own)) == before
    assert [path.read_bytes() for path in blocks] == contents


def test_a_potential_that_gives_nan_is_no_result(trial, monkeypatch):
    predict = LinearPotential.predict

    def broken(self, dataset, store):
        good = predict(self, dataset, store)
        return Predictions(good.energies * np.nan, good.forces, good.stresses)

    monkeypatch.setattr(LinearPotential, "predict", broken)
    assert_failed(
        trial(), "train/energy_mae_meV_per_atom is nan: the fitted potential gives no finite numbers"
    )


def test_an_interrupted_trial_says_so(trial, place, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tamis.trial.split_dataset", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trial()
    last = max(place.glob("trial*"), key=lambda folder: int(folder.name.removeprefix("trial")))
    assert (read_record(last).status, read_record(last).reason) == (INTERRUPTED, "interrupted")


# The command itself


def words(*arguments: str) -> list[str]:
    """What is typed behind ``tamis``."""
    flags = [a for a in arguments if a == "-m"]
    rest = [a for a in arguments if a != "-m"]
    data = () if any(a.startswith("dataset.train=") for a in rest) else ("dataset.train=good.xyz",)
    small = SMALL[1:] if any(a.startswith("descriptor=") for a in rest) else SMALL
    return [*flags, *OWN_DATA, *data, *small, *rest]


def tamis(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    done = tamis_here(folder, *words(*arguments))
    assert "Traceback" not in done.stdout + done.stderr
    assert "HYDRA_FULL_ERROR" not in done.stdout + done.stderr
    assert "UserWarning" not in done.stderr
    return done


def logged(place: Path) -> tuple[MlflowClient, str]:
    client = MlflowClient(database(place))
    experiment = client.get_experiment_by_name("tamis")
    assert experiment is not None
    return client, experiment.experiment_id


def parents(place: Path, name: str) -> list[str]:
    """MLflow's states of the parent run of the sweep in the folder ``name``."""
    client, experiment = logged(place)
    return [
        run.info.status for run in client.search_runs([experiment]) if run.info.run_name == f"sweep {name}"
    ]


def test_a_failed_run_says_why_once(place):
    done = tamis(place, "budget.fraction=2", "hydra.run.dir=failed")
    assert done.returncode == 1
    assert done.stderr.strip() == "failed: budget.fraction is 2; it must be above 0 and at most 1, say 0.3"
    assert done.stdout.strip() == f"files:   {place / 'failed'}"
    assert read_record(place / "failed").status == FAILED
    assert "budget.fraction is 2" in (place / "failed" / "tamis.log").read_text()


def test_misspelt_words_stop_the_command_before_it_starts(place):
    done = tamis(place, "descriptor=sopa", "hydra.run.dir=misspelt")
    assert done.returncode == 1 and not (place / "misspelt").exists() and not done.stdout
    assert done.stderr.startswith("failed: descriptor=sopa is not a choice; did you mean soap?")
    done = tamis(place, "-m", "descriptor.rcut=4,5", "hydra.sweep.dir=misspelt")
    assert done.returncode == 1 and not (place / "misspelt").exists()
    assert done.stderr.startswith("failed: descriptor.rcut is no setting; did you mean r_cut?")
    done = tamis(place, "-m", "budget.fraction=0.5,2", "hydra.sweep.dir=misspelt")
    assert done.returncode == 1 and not (place / "misspelt").exists()
    assert done.stderr.startswith("failed: budget.fraction is 2; it must be above 0 and at most 1")


def test_what_only_a_search_or_a_sweep_does_is_told(place):
    done = tamis(place, "search=fraction", "hydra.run.dir=search")
    assert done.returncode == 1 and "this is a sweep of many trials; add -m: tamis -m" in done.stderr
    done = tamis(place, "-m", "budget.fraction=interval(0.1,0.5)", "hydra.sweep.dir=range")
    assert done.returncode == 1 and done.stderr.startswith(
        "failed: budget.fraction=interval(0.1,0.5) is a range"
    )
    assert "hydra/sweeper=study" in done.stderr


def test_a_folder_that_cannot_be_written(place):
    done = tamis(place, "hydra.run.dir=good.xyz/run")
    assert done.returncode == 1
    assert done.stderr.startswith("failed: cannot write ") and "hydra.run.dir=" in done.stderr
    done = tamis(place, "-m", "hydra.sweep.dir=good.xyz/sweep")
    assert done.returncode == 1 and done.stderr.startswith(f"failed: cannot write {place}/good.xyz/sweep (")


def test_a_sweep_outlives_its_bad_trials(place):
    odd = "no[/x].xyz"  # square brackets mean something to rich, which colours the terminal
    done = tamis(
        place,
        "-m",
        f"dataset.train=good.xyz,nan_energy.xyz,'{odd}'",
        "budget.fraction=0.5,0.01",
        "pruner=fps,random",
        "descriptor=snap,none",
        "hydra.sweep.dir=mixed",
    )
    assert done.returncode == 1 and "10 of 18 trials failed; the reasons are above" in done.stderr
    records = [read_record(path.parent) for path in place.glob("mixed/*/record.json")]
    assert Counter(record.status for record in records) == {COMPLETE: 2, FAILED: 10, SKIPPED: 6}
    assert all(record.reason for record in records if record.status != COMPLETE)
    assert "snap    fps" in done.stdout.split("test errors")[-1]
    end = done.stdout.split("2 complete, 10 failed, 6 skipped")[1].splitlines()
    assert any(
        re.search(r"failed \(.*\): the data set has 1 problem.*nan_energy.xyz#13", line) for line in end
    )
    assert any(odd in line for line in end) and any("keeps no structure" in line for line in end)
    client, experiment = logged(place)
    (parent,) = (run for run in client.search_runs([experiment]) if run.info.run_name == "sweep mixed")
    assert parent.info.status == "FINISHED"
    under = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    runs = client.search_runs([experiment], filter_string=under)
    assert Counter(run.info.status for run in runs) == {"FINISHED": 2, "FAILED": 10}  # skipped is no run
    for run in runs:
        has_errors = any(name.startswith("test/") for name in run.data.metrics)
        assert has_errors == (run.info.status == "FINISHED") != ("tamis.reason" in run.data.tags)


def test_without_mlflow_everything_else_is_done(place):
    lost = "tracking.uri=sqlite:///good.xyz/mlflow.db"
    done = tamis(place, lost, "hydra.run.dir=unlogged")
    assert done.returncode == 0 and read_record(place / "unlogged").status == COMPLETE
    assert done.stdout.count("not logged to MLflow (no folder for") == 1
    more = ("seed.select=0,1", "dataset.test_fraction=0", "hydra.sweep.dir=unlogged sweep")
    done = tamis(place, "-m", lost, *more)  # without a test set, which must not stop a sweep, either
    assert done.returncode == 0 and "2 complete" in done.stdout
    assert done.stdout.count("MLflow cannot be reached (no folder for") == 1  # once, not once a trial


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_leaves_whole_records(place, trial, how):
    seeds = ",".join(map(str, range(N_JOBS)))
    sweep = ("-m", f"seed.select={seeds}", f"hydra.sweep.dir={how.name}", "hydra/launcher=basic")
    process = subprocess.Popen(
        [sys.executable, "-m", "tamis.cli", *words(*sweep)],
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while len(list((place / how.name).glob("*/record.json"))) < 3:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, how)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    folders = [path.parent for path in (place / how.name).glob("*/record.json")]
    assert 3 <= len(folders) < N_JOBS
    assert {read_record(folder).status for folder in folders} == {COMPLETE}
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert said.endswith(
            "failed: interrupted; trials that have ended are kept, and the same command resumes with the others\n"
        )
        assert parents(place, how.name) == ["KILLED"]
    assert trial(f"store.root='{place}/.tamis/store'").status == COMPLETE  # the store is as good as before
