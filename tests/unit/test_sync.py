"""Records reach a tracking server once each, whatever was there, half there or there twice."""

import fcntl
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from mlflow.entities import Run

from tamis.commands.sync import AwayError, groups_of, read_command, run, sync, trials_below
from tamis.core.errors import TamisError
from tamis.core.locks import alone_in, hold, is_in_use
from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, RUNNING, SKIPPED, TrialRecord, read_record
from tamis.search_runs import SearchRuns
from tamis.tracking import Tracker
from tamis.tracking.content import ID
from tamis.tracking.parents import PARENT_FILE, Parent, read_parent


def record(number: int, status: str = COMPLETE, **more) -> TrialRecord:
    config = {"choices": {"model": "snap"}, "seed": {"split": number}}
    return TrialRecord(config=config, status=status, metrics={"error": float(number)}, **more)


def ended(folder: Path, *arguments, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record(*arguments, **more).save(folder)
    return folder


@pytest.fixture
def trackers(tmp_path, empty_mlflow) -> list[Tracker]:
    """A local database and another that stands for the group's."""
    for name in ("local.db", "group.db"):
        shutil.copy(empty_mlflow, tmp_path / name)
    return [
        Tracker(f"sqlite:///{tmp_path}/{name}", tmp_path / "artifacts", "tamis", artifacts=False)
        for name in ("local.db", "group.db")
    ]


@pytest.fixture
def group(trackers) -> Tracker:
    return trackers[1]


@pytest.fixture
def sweep(tmp_path, trackers) -> Path:
    """Three trials of a sweep that logged two of them locally, and one that means nothing."""
    local, folder = trackers[0], tmp_path / "sweep"
    folder.mkdir()
    parent = Parent("matrix sweep")
    parent.at(local, run_id := local.open_parent(parent)).write(folder)
    for number in range(3):
        trial = ended(folder / str(number), number)
        if number:
            local.write(read_record(trial), trial, run_id)
    ended(folder / "3", 3, SKIPPED)
    local.end_parent(run_id)
    return folder


def runs(tracker: Tracker) -> list[Run]:
    client = tracker._client
    return list(client.search_runs([client.get_experiment_by_name(tracker.experiment).experiment_id]))


def told(source: str | Path, tracker: Tracker, storage: str = "") -> tuple[int, int, int]:
    """Numbers of new, known and failed trials."""
    tallies = [tally for _, tally in sync(str(source), tracker, storage)]
    return (
        sum(tally.new for tally in tallies),
        sum(tally.there for tally in tallies),
        sum(len(tally.failed) for tally in tallies),
    )


def check(tracker: Tracker, folder: Path, name: str = "matrix sweep") -> list[Run]:
    """One whole run a record under one parent; returns the runs of trials."""
    found = runs(tracker)
    (parent,) = (run for run in found if run.data.tags["tamis.kind"] == "sweep")
    trials = [run for run in found if run.data.tags["tamis.kind"] == "trial"]
    assert parent.info.run_name == name and parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    records = [read_record(path) for path in trials_below(folder)]
    wanted = [one.id for one in records if one.status not in (RUNNING, SKIPPED)]
    assert sorted(run.data.tags[ID] for run in trials) == sorted(wanted)
    assert all(run.info.status != "RUNNING" for run in found)
    return trials


def test_what_is_missing_is_sent_once(sweep, trackers):
    local, group = trackers
    assert told(sweep, group) == (3, 0, 0)
    assert told(sweep, group) == (0, 3, 0)
    trials = check(group, sweep)
    assert {run.data.metrics["error"] for run in trials} == {0.0, 1.0, 2.0}
    assert {run.data.params["model"] for run in trials} == {"snap"}
    assert told(sweep, local) == (1, 2, 0), "the one that the sweep itself did not log"
    check(local, sweep)


def test_a_new_trial_of_a_known_sweep_hangs_under_its_parent(sweep, group):
    told(sweep, group)
    ended(sweep / "4", 4)
    assert told(sweep, group) == (1, 3, 0)
    check(group, sweep)
    assert told(sweep / "4", group) == (0, 1, 0), "a trial alone finds its sweep"
    check(group, sweep)


def test_folders_that_were_moved_or_copied_are_the_same(sweep, group, tmp_path):
    told(sweep, group)
    shutil.copytree(sweep, tmp_path / "copy")
    assert told(tmp_path / "copy", group) == (0, 3, 0)
    check(group, sweep)


def test_half_written_runs_are_written_again(sweep, group):
    told(sweep, group)
    half = next(run for run in runs(group) if run.data.tags["tamis.kind"] == "trial")
    group._client.update_run(half.info.run_id, status="RUNNING")  # its writer was killed
    assert told(sweep, group) == (1, 2, 0)
    check(group, sweep)


def test_second_runs_are_healed(sweep, group):
    """As two machines may write that do not see each other's locks."""
    told(sweep, group)
    twin = next(run for run in runs(group) if run.data.tags["tamis.kind"] == "trial")
    tags = {name: twin.data.tags[name] for name in ("tamis.kind", ID, "mlflow.parentRunId")}
    again = group._client.create_run(twin.info.experiment_id, tags=tags, start_time=twin.info.start_time + 1)
    group._client.set_terminated(again.info.run_id)
    ended(sweep / "4", 4)
    assert told(sweep, group)[0] == 1
    check(group, sweep)
    assert twin.info.run_id in {run.info.run_id for run in runs(group)}, "the older one stays"


def test_a_parent_that_was_left_open_is_ended(sweep, group):
    told(sweep, group)
    group.open_parent(read_parent(sweep))  # a sweep that lost its server goes no further
    assert told(sweep, group) == (0, 3, 0)
    check(group, sweep)


def test_the_parent_of_a_living_sweep_stays_open(sweep, group):
    with alone_in(sweep):
        ((_, tally),) = sync(str(sweep), group)
        assert tally.at_work and "a process works there" in str(tally)
    (parent,) = (run for run in runs(group) if run.data.tags["tamis.kind"] == "sweep")
    assert parent.info.status == "RUNNING"
    told(sweep, group)
    check(group, sweep)


def test_a_parent_that_was_killed_is_not_called_finished(sweep, trackers):
    local = trackers[0]
    local.end_parent(read_parent(sweep).run_id, "KILLED")
    told(sweep, local)
    (parent,) = (run for run in runs(local) if run.data.tags["tamis.kind"] == "sweep")
    assert parent.info.status == "KILLED"


def test_records_and_parents_without_ids(sweep, trackers):
    """Of a version that gave none: runs are known by folder, parents by their run."""
    local, group = trackers
    for path in sweep.glob(f"*/{RECORD_FILE}"):
        old = json.loads(path.read_text())
        del old["id"]
        path.write_text(json.dumps(old))
    for known in runs(local):
        local._client.delete_tag(known.info.run_id, ID)
    (sweep / PARENT_FILE).write_text(json.dumps({"run_id": read_parent(sweep).run_id}))
    assert told(sweep, local) == (1, 2, 0)
    assert len(runs(local)) == 4 and told(sweep, local) == (0, 3, 0)
    for _ in range(2):
        told(sweep, group)
        check(group, sweep, "sweep sweep")


def test_a_sweep_that_never_reached_mlflow(sweep, group):
    (sweep / PARENT_FILE).write_text(json.dumps({"run_id": ""}))
    for _ in range(2):
        told(sweep, group)
        check(group, sweep, "sweep sweep")


def test_a_trial_that_was_done_again_replaces_its_failure(tmp_path, group):
    study = tmp_path / "study"
    trial = ended(study / "one", 1, FAILED)
    Parent("study study").write(study)
    told(study, group)
    trial.joinpath(RECORD_FILE).rename(trial / "earlier_1.json")
    ended(trial, 1)
    assert told(study, group) == (1, 0, 0)
    (run,) = check(group, study, "study study")
    assert run.data.tags["tamis.status"] == COMPLETE


def test_what_runs_and_what_is_hidden_is_not_sent(tmp_path, group):
    study = tmp_path / "study"
    Parent("study study").write(ended(study / "one", 1).parent)
    ended(study / "two", 2, RUNNING)
    ended(study / ".running" / "three.17", 3)
    assert told(study, group) == (1, 0, 0)
    check(group, study, "study study")


def test_damage_is_told_and_ends_nothing_else(sweep, group, capsys):
    (sweep / "1" / RECORD_FILE).write_text('{"config": ')
    assert run([str(sweep), group.uri, "tracking.artifacts=false"]) == 1
    said = capsys.readouterr()
    assert "2 new, 0 already there" in said.out and "1 failed" in said.out
    assert "cannot be read" in said.err and str(sweep / "1") in said.err.replace("\n", "")


def test_single_trials_have_no_parent(tmp_path, group):
    for number in range(2):
        ended(tmp_path / "outputs" / "day" / str(number), number)
    for new in (2, 0):
        assert told(tmp_path / "outputs", group) == (new, 2 - new, 0)
    assert len(found := runs(group)) == 2 and not any("mlflow.parentRunId" in run.data.tags for run in found)


def test_a_local_database_names_the_folders(sweep, trackers, tmp_path):
    local, group = trackers
    assert told(local.uri, group) == (2, 0, 0), "the third was not logged"
    shutil.rmtree(sweep / "2")
    assert told(local.uri, group) == (0, 1, 1), "a folder that is gone is told"
    assert told(f"sqlite:///{tmp_path}/none.db", group) == (0, 0, 1)


def test_a_server_that_is_away_ends_it_with_what_was_done(sweep):
    with pytest.raises(AwayError) as caught:
        list(sync(str(sweep), Tracker("http://user:Secr3t-word@127.0.0.1:9", Path("a"), "tamis")))
    assert "does not answer" in str(caught.value) and "the same command goes on" in str(caught.value)
    assert "Secr3t-word" not in str(caught.value)


@pytest.fixture
def search(tmp_path, trackers) -> Path:
    """Four trials of a search, one of them given up for another; the first was logged when MLflow went away."""
    folder = tmp_path / "mine"
    folder.mkdir()
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    study = optuna.create_study(study_name="mine", storage=optuna.storages.JournalStorage(backend))
    observer = SearchRuns(trackers[0], plots=False)
    observer.study_started(study, folder, 0)
    for number in range(4):
        trial = study.ask()
        if number == 2:
            trial.set_user_attr("void", "its process died")
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            ended(folder / "2", 2, RUNNING)
            continue
        for job in range(2):
            ended(folder / str(number) / str(job), number)
        study.tell(trial, 5.0 - number)
        if number == 0:
            observer.trial_ended(study, study.trials[0], folder)
    return folder


def test_a_search_is_sent_as_optuna_knows_it(search, trackers):
    local, group = trackers
    for tracker, new in ((local, 2), (group, 3)):
        assert told(search, tracker) == (new, 3 - new, 0)
        assert told(search, tracker) == (0, 3, 0)
        found = runs(tracker)
        (parent,) = (run for run in found if run.data.tags["tamis.kind"] == "sweep")
        trials = {run.data.tags["search.trial"]: run for run in found if run is not parent}
        assert sorted(trials) == ["0", "1", "3"] and len(found) == 4, "one a trial, none of the void one"
        assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {parent.info.run_id}
        assert parent.data.tags["search.best"] == "3" and parent.info.run_name == "search mine"
        assert trials["3"].data.metrics == {"error": 3.0}


def test_a_local_database_names_searches_too(search, trackers):
    local, group = trackers
    assert told(local.uri, group) == (3, 0, 0), "its first trial and itself are in the database"
    assert told(local.uri, group) == (0, 3, 0)


@pytest.mark.slow
def test_a_search_goes_on_where_it_logged_after_it_was_sent_elsewhere(search, trackers):
    local, group = trackers
    before = read_parent(search)
    told(search, group)
    assert read_parent(search) == before
    backend = optuna.storages.journal.JournalFileBackend(str(search / "study.journal"))
    study = optuna.load_study(study_name="mine", storage=optuna.storages.JournalStorage(backend))
    SearchRuns(local, plots=False).study_started(study, search, 0)
    assert len(runs(local)) == 4 and len(runs(group)) == 4
    SearchRuns(group, plots=False).study_started(study, search, 0)  # or the search itself goes to the server
    assert len(runs(group)) == 4


def test_a_search_whose_study_is_elsewhere(search, group, tmp_path):
    (search / "study.journal").rename(tmp_path / "else.journal")
    ((_, tally),) = sync(str(search), group)
    assert "storage=" in tally.failed[0]
    assert told(search, group, str(tmp_path / "else.journal")) == (3, 0, 0)


def test_groups(tmp_path, sweep, search):
    ended(tmp_path / "single", 1)
    found = {group.place: len(group.trials) for group in groups_of(trials_below(tmp_path))}
    assert found == {None: 1, sweep: 4, search: 7}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to send"),
        (["sqlite:///mlruns/mlflow.db"], "nowhere to send it"),
        (["nowhere", "http://127.0.0.1:5000"], "nowhere is no folder"),
        ([".", "trcking.uri=x"], "trcking=... is unknown"),
        ([".", "model=snap"], "model=... is unknown"),
    ],
)
def test_arguments_that_mean_nothing(arguments, words):
    with pytest.raises(TamisError) as caught:
        read_command(arguments)
    assert words in str(caught.value).replace("trcking.uri", "trcking") and "usage: tamis-sync" in str(
        caught.value
    )


def test_arguments(tmp_path, capsys):
    server = "http://127.0.0.1:5000"
    assert read_command([str(tmp_path)]) == ([str(tmp_path)], [], "")
    assert read_command([str(tmp_path), server])[1] == [f"tracking.uri='{server}'"]
    assert read_command(["sqlite:///a.db", server])[0] == ["sqlite:///a.db"]
    assert read_command([str(tmp_path), "storage=x.journal", f"tracking.uri={server}"]) == (
        [str(tmp_path)],
        [f"tracking.uri={server}"],
        "x.journal",
    )
    with pytest.raises(SystemExit):
        read_command(["--help"])
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["folder", "file"])
def test_locks_are_seen_by_others(tmp_path, name):
    place = tmp_path / name
    place.mkdir() if name == "folder" else place.touch()
    before = sorted(tmp_path.rglob("*"))
    assert not is_in_use(place) and sorted(tmp_path.rglob("*")) == before, "looking leaves no file"
    handle = hold(place)
    how = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
    assert how == os.O_RDWR, "NFS locks nothing that is open for reading"
    assert is_in_use(place)
    os.close(handle)
    assert not is_in_use(place)


def test_what_is_not_there_keeps_nobody_out(tmp_path):
    assert not is_in_use(tmp_path / "none")
    with alone_in(tmp_path / "none"):
        pass


def test_links_are_not_followed_to_the_server(tmp_path, mlflow_uri, caplog):
    """A folder of somebody else's may have one to a file of mine."""
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tests")
    secret, trial = tmp_path / "pgpass", tmp_path / "trial"
    secret.write_text("secret")
    (trial / "potential").mkdir(parents=True)
    (trial / "kept.extxyz").symlink_to(secret)
    (trial / "home").symlink_to(tmp_path)
    (trial / "potential" / "a.txt").write_text("a")
    record = TrialRecord(config={"choices": {}}, status=COMPLETE)
    record.save(trial)
    run_id = tracker.write(record, trial, None).run_id
    sent = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert sent == {"record.json", "a.txt"}
    assert {one.path for one in tracker._client.list_artifacts(run_id)} == {"record.json", "potential"}
    assert caplog.text.count("is a link") == 2


def test_ids_are_of_one_record_and_stay(tmp_path):
    ids = Counter(record(0).id for _ in range(100))
    assert max(ids.values()) == 1
    folder = ended(tmp_path / "one", 0)
    assert read_record(folder).id == read_record(folder).id


GROUPS = (
    *("surface(110)", "surface:28110:29", "T=300K", "50%", "a,b", "a//b", "x/", ".", "..", "", "a\nb", "硅"),
    *("x" * 300, "x" * 301, "Bulk", "bulk", "\udcfc"),
)


@pytest.mark.parametrize("by", ["write", "sync"])
def test_each_group_has_its_metric_whatever_it_is_called(trackers, tmp_path, by):
    one = record(0)
    one.metrics |= {f"test/force_mae_eV_per_A/{group}": float(i) for i, group in enumerate(GROUPS)}
    one.config["per_group"] = {group: i for i, group in enumerate(GROUPS)}
    one.problems = {group: "none" for group in GROUPS if group}
    folder = tmp_path / "7"
    one.save(folder)
    if by == "write":
        trackers[0].write(one, folder, None)
    else:
        assert told(folder, trackers[0]) == (1, 0, 0)
    (run,) = runs(trackers[0])
    found = {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
    assert sorted(found.values()) == list(range(len(GROUPS)))
    assert run.data.metrics["error"] == 0.0
    assert sum(key.startswith("per_group.") for key in run.data.params) == len(GROUPS)
    assert json.loads(run.data.tags["tamis.names"])["surface:28110:29"] == "surface(110)"
    assert told(folder, trackers[0]) == (0, 1, 0)


def test_what_mlflow_refuses_costs_nothing_else(trackers, tmp_path, monkeypatch, caplog):
    one = record(0)
    one.metrics["bad"] = 1.0
    one.save(tmp_path / "7")
    monkeypatch.setattr(
        "tamis.tracking.content.mlflow_keys", lambda names: {n: n.replace("bad", "(bad)") for n in names}
    )
    trackers[0].write(one, tmp_path / "7", None)
    (run,) = runs(trackers[0])
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"error": 0.0}
    assert run.data.tags["tamis.left_out"] == "(bad)"
    assert "(bad)" in caplog.text


def test_more_parameters_than_one_call_takes(trackers, tmp_path):
    one = record(0)
    one.config["weights"] = {f"element {i}": i for i in range(230)}
    one.save(tmp_path / "7")
    trackers[0].write(one, tmp_path / "7", None)
    (run,) = runs(trackers[0])
    assert sum(key.startswith("weights.") for key in run.data.params) == 230


def test_long_names_of_runs_and_experiments(tmp_path, trackers):
    tracker = replace(trackers[0], experiment="é" * 600 + "\udcfc")
    run_id = tracker.open_parent(Parent("search " + "x" * 700 + "\udcfc"))
    run = tracker._client.get_run(run_id)
    assert len(run.info.run_name) <= 250
    assert len(tracker._client.get_experiment(run.info.experiment_id).name) <= 500


def test_an_experiment_without_a_name(trackers):
    with pytest.raises(TamisError, match=r"tracking\.experiment is empty"):
        replace(trackers[0], experiment=" ").open_parent(Parent("sweep"))
