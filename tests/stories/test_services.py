"""A group's servers, real ones: PostgreSQL for Optuna and for MLflow, and MLflow's server, which go away and return."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tests.searches import check_whole, environment, load
from tests.searches import tamis as search
from tests.servers import PASSWORD, Line, MlflowServer, Postgres, S3Store

from tamis.records.record import COMPLETE, TrialRecord, read_record
from tamis.sweeps import publish
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.publish import Publisher
from tamis.tracking import Tracker
from tamis.tracking.content import ID


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory) -> Iterator[MlflowServer]:
    store = postgres.create("mlflow")
    with MlflowServer(store, tmp_path_factory.mktemp("server") / "artifacts") as running:
        yield running


@pytest.fixture
def tracker(server, tmp_path) -> Tracker:
    """An experiment of its own."""
    return Tracker(server.uri, tmp_path / "unused", tmp_path.name, artifacts=False)


def made_sweep(folder: Path, n: int) -> Path:
    """A sweep of ``n`` trials that ran offline, with some metrics each."""
    for number in range(n):
        (folder / str(number)).mkdir(parents=True)
        metrics = {f"metric/{i}": float(i + number) for i in range(20)}
        config = {"choices": {"model": "snap"}, "seed": {"split": number}}
        TrialRecord(config=config, metrics=metrics, status=COMPLETE).save(folder / str(number))
    SweepFolder(folder).begin(Sweep(f"sweep {folder.name}"), None)
    return folder


def runs(tracker: Tracker) -> list[Run]:
    client = MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name(tracker.experiment)
    return list(client.search_runs([experiment.experiment_id], max_results=5000))


def check_once(tracker: Tracker, folder: Path) -> None:
    """One whole run a record, under one parent that has ended."""
    found = runs(tracker)
    (parent,) = (one for one in found if one.data.tags["tamis.kind"] == "sweep")
    trials = [one for one in found if one.data.tags["tamis.kind"] == "trial"]
    records = [read_record(folder / name) for name in SweepFolder(folder).names()]
    wanted = Counter(record.id for record in records)
    assert Counter(one.data.tags[ID] for one in trials) == wanted
    assert {one.data.tags["mlflow.parentRunId"] for one in trials} == {parent.info.run_id}
    assert {one.info.status for one in found} == {"FINISHED"}
    metrics = {one.data.tags[ID]: one.data.metrics for one in trials}
    for one in records:
        assert metrics[one.id] == dict(one.measured)


def syncing(folder: Path, tracker: Tracker) -> subprocess.Popen[str]:
    """``tamis sync``, without MLflow's pauses before it asks again."""
    command = [sys.executable, "-m", "tamis.cli", "sync", str(folder), "--uri", tracker.uri]
    command += ["--experiment", tracker.experiment]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"},
        start_new_session=True,
    )


def published(folder: Path, tracker: Tracker) -> int:
    """Send what is missing; returns the number of new runs."""
    place = SweepFolder(folder)
    with place.alone(), Publisher(tracker, place, place.sweep()) as publisher:
        pass
    return publisher.n_new


def test_a_command_that_is_killed_and_the_next_one_send_everything_once(tmp_path, tracker, server):
    folder, begun = made_sweep(tmp_path / "sweep", 12), []
    with Line(server.port, after=8, then=lambda: os.killpg(begun[0].pid, signal.SIGKILL)) as line:
        begun.append(syncing(folder, replace(tracker, uri=line.uri)))
        begun[0].communicate()
    assert begun[0].returncode == -signal.SIGKILL
    assert 1 < len(runs(tracker)) < 13
    again = syncing(folder, tracker)
    out, err = again.communicate()
    assert again.returncode == 0, err
    check_once(tracker, folder)


def test_a_connection_that_drops_midway_is_told_and_made_up(tmp_path, tracker, server):
    folder = made_sweep(tmp_path / "sweep", 12)
    with Line(server.port, after=8) as line:
        process = syncing(folder, replace(tracker, uri=line.uri))
        out, err = process.communicate()
        assert process.returncode == 1 and "cannot be reached" in err and "Traceback" not in err
    assert published(folder, tracker) > 0
    check_once(tracker, folder)


def test_a_sweep_goes_on_while_the_server_is_away(tmp_path, tracker, server, caplog, monkeypatch):
    monkeypatch.setattr(publish, "PAUSE_S", 0.2)
    folder = made_sweep(tmp_path / "sweep", 4)
    with Line(server.port) as line:
        place = SweepFolder(folder)
        with Publisher(replace(tracker, uri=line.uri), place, place.sweep()) as publisher:
            publisher.publish("0")
            line.cut()
            publisher.publish("1")
            time.sleep(1)
            line.mend()
        assert caplog.text.count("MLflow cannot be reached") <= 1
    published(folder, tracker)
    check_once(tracker, folder)
    assert published(folder, tracker) == 0


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:5000", 200), ("rebound.example", 403)]
)
def test_the_server_refuses_names_that_it_was_not_told(server, host, status):
    asked = Request(f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1", headers={"Host": host})
    try:
        with urlopen(asked) as answer:
            assert answer.status == status
    except HTTPError as error:
        assert error.code == status


QUICK = ["dataset=sw_silicon", "model=snap", "model.basis.twojmax=2", "pruner=random", "budget.fraction=0.2"]


def tamis(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tamis.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())


def test_trials_reach_the_server_with_their_files(tmp_path, tracker, server, furnished):
    """With a password in the address, which the server ignores."""
    address = server.uri.replace("://", f"://me:{PASSWORD}@")
    where = [
        f"tracking.uri='{address}'",
        f"tracking.experiment={tracker.experiment}",
        "hydra.sweep.dir=sweep",
        "hydra/launcher=basic",
    ]
    done = tamis(furnished(tmp_path), "-m", *QUICK, "seed.split=0,1", *where)
    assert done.returncode == 0, done.stderr
    found = runs(tracker)
    trials = {one.data.tags["tamis.folder"]: one for one in found if one.data.tags["tamis.kind"] == "trial"}
    assert sorted(trials) == sorted(str(path.parent) for path in (tmp_path / "sweep").glob("*/record.json"))
    client = MlflowClient(server.uri)
    for folder, one in trials.items():
        local = Path(client.download_artifacts(one.info.run_id, "", str(tmp_path / "down")))
        wanted = files_of(Path(folder))
        assert wanted.items() <= files_of(local).items()
        assert one.data.metrics.items() >= read_record(Path(folder)).metrics.items()
    assert published(tmp_path / "sweep", replace(tracker, artifacts=True)) == 0
    check_no_secret(tmp_path, done.stdout + done.stderr, found)


def files_of(folder: Path) -> dict[str, bytes]:
    """Name -> content; but for the log of a trial, which is still written when it is sent."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert len(found) > 4
    return {name: path.read_bytes() for name, path in found.items() if path.suffix != ".log"}


@pytest.mark.slow
def test_files_of_runs_go_to_an_s3_like_store(tmp_path, postgres):
    """Through the server, which alone has the keys."""
    with S3Store() as s3, MlflowServer(postgres.create("s3"), tmp_path / "server", s3.settings) as server:
        done = tamis(tmp_path, *QUICK, f"tracking.uri={server.uri}", "hydra.run.dir=trial")
        assert done.returncode == 0, done.stderr
        (one,) = runs(Tracker(server.uri, tmp_path / "unused", "tamis", artifacts=True))
        stored = s3.files()
        wanted = files_of(tmp_path / "trial")
        below = {name.partition(f"{one.info.run_id}/artifacts/")[2]: data for name, data in stored.items()}
        assert wanted.items() <= below.items()
        local = MlflowClient(server.uri).download_artifacts(one.info.run_id, "", str(tmp_path))
        assert wanted.items() <= files_of(Path(local)).items()
    check_no_secret(tmp_path, done.stdout + done.stderr, [one], S3Store.SECRET)


def check_no_secret(folder: Path, said: str, found: list[Run], secret: str = PASSWORD) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert secret not in said
    assert all(secret not in str(one.to_dictionary()) for one in found)


@pytest.mark.slow
def test_a_sweep_whose_server_goes_away_and_returns_is_whole_in_the_end(tmp_path, tracker, server):
    with (tmp_path / "said").open("w") as said, Line(server.port) as line:
        where = [
            f"tracking.uri={line.uri}",
            f"tracking.experiment={tracker.experiment}",
            "hydra.sweep.dir=sweep",
        ]
        command = [sys.executable, "-m", "tamis.cli", "-m", *QUICK, "seed.split=range(6)", *where]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=said, stderr=said)
        for least, then in ((2, line.cut), (4, line.mend)):
            while len(list((tmp_path / "sweep").glob("*/record.json"))) < least:
                assert process.poll() is None
                time.sleep(0.05)
            then()
        assert process.wait() == 0
    check_once(replace(tracker, artifacts=True), tmp_path / "sweep")


@pytest.mark.slow
def test_a_database_that_goes_away_ends_a_search_with_a_sentence_and_the_command_goes_on(tmp_path, postgres):
    address = postgres.create("gone")
    name = ["hydra.sweeper.study_name=gone", f"hydra.sweeper.storage='{address}'", "tracking=null"]
    typed = [*name, "seed.select=range(0,999)", "hydra/launcher=basic", "hydra.sweeper.n_trials=12"]
    process = search(tmp_path, *typed)
    while not (tmp_path / "multirun" / "gone" / "0").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    postgres.stop()
    try:
        said, _ = process.communicate()
    finally:
        postgres.start()
    assert process.returncode == 1
    assert "the storage of study gone failed" in said and "the same command resumes" in said
    assert PASSWORD not in said
    again = search(tmp_path, *typed)
    assert again.wait() == 0, again.stdout.read()
    check_whole(load(address, "gone"), 12)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
