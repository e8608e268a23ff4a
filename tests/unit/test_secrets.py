"""Passwords and keys are in nothing that tamis writes, prints or sends."""

import json
import logging
import sys

import pytest
from hydra import compose, initialize_config_dir
from tests.searches import Toy

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.messages import in_one_line, print_failure
from tamis.core.resolvers import register_resolvers
from tamis.core.secrets import RedactingFormatter, redacted
from tamis.records.record import COMPLETE, FAILED, TrialRecord
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.grid import composed
from tamis.sweeps.running import leave_failure
from tamis.tracking import Tracker

SECRET = "Xy7-hidden.word"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"postgresql+psycopg://me:{SECRET}@host:5432/base", "postgresql+psycopg://me:***@host:5432/base"),
        (f"see http://me:{SECRET}@host/x, or {SECRET[:3]}", "see http://me:***@host/x, or Xy7"),
        (f"http://me:{SECRET}/@{SECRET}@host", "http://me:***@host"),
        (f"postgresql\\://me\\:{SECRET}@host", "postgresql\\://me\\:***@host"),  # as Hydra writes overrides
        (f"x://host/base?password\\={SECRET}", "x://host/base?password\\=***"),
        (
            f"postgresql://host/base?user=me&password={SECRET}&x=1",
            "postgresql://host/base?user=me&password=***&x=1",
        ),
        (f"host=h PASSWORD={SECRET} user=me", "host=h PASSWORD=*** user=me"),
        (f"postgresql://me:pa'{SECRET}@host/base", "postgresql://me:***@host/base"),
        (f"['x://me:{SECRET}@host','y@z']", "['x://me:***@host','y@z']"),
        (f"https://{SECRET}{SECRET}@host/x", "https://***@host/x"),
        (f"x?access_token={SECRET}&client_secret={SECRET}", "x?access_token=***&client_secret=***"),
        (f"aws_secret_access_key={SECRET}", "aws_secret_access_key=***"),
    ],
)
def test_addresses_are_told_without_passwords(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///mlruns/mlflow.db",
        "http://127.0.0.1:5000/#/experiments/1",
        "postgresql://me@host/base",
        "tracking.uri=http://server:5000",
        "latent.pooling=mean",
        "a mail to me@host: 3 of 4",
        "tokens=3 and monkey=1",
        "",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redacted(text) == text


def test_the_values_of_telling_environment_variables_are_hidden(monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, f"{SECRET}/{name}")
        assert redacted(f"refused: {SECRET}/{name}.") == "refused: ***."
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "parallel")
    monkeypatch.setenv("PGPASSWORD", "snap")
    assert redacted("model=snap, in parallel") == "model=snap, in parallel"


def test_nested_values_are_copied_and_hidden():
    given = {"a": [f"x://u:{SECRET}@h", 1.5, None], "b": ({"c": f"password={SECRET}"},)}
    assert redacted(given) == {"a": ["x://u:***@h", 1.5, None], "b": [{"c": "password=***"}]}
    assert SECRET in given["a"][0]


def secretive() -> TrialRecord:
    address = f"https://me:{SECRET}@host/data"
    return TrialRecord(
        config={"choices": {"model": "snap"}, "dataset": {"element": "Si", "url": address}},
        overrides=[f"tracking.uri={address}"],
        problems={"md": f"no {address}"},
        versions={"tamis": "1"},
        status=COMPLETE,
        reason=f"cannot read {address}",
        metrics={"error": 1.0},
    )


def test_records_hold_none(tmp_path):
    secretive().save(tmp_path)
    text = (tmp_path / "record.json").read_text()
    assert SECRET not in text and json.loads(text)["overrides"] == ["tracking.uri=https://me:***@host/data"]


def test_mlflow_gets_none(tmp_path, mlflow_uri):
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis")
    (tmp_path / "trial").mkdir()
    secretive().save(tmp_path / "trial")
    name = f"sweep http://me:{SECRET}@host"
    run_id = tracker.open_parent("1", name, {"more": f"http://me:{SECRET}@host"})
    tracker.write(secretive(), tmp_path / "trial", run_id)
    SweepFolder(tmp_path).begin(Sweep(name, [f"tracking.uri=http://me:{SECRET}@host"]), None)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_logs_hold_none_and_neither_do_tracebacks(tmp_path):
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", return_hydra_config=True)
    classes = {config.hydra[part].formatters.simple["class"] for part in ("job_logging", "hydra_logging")}
    assert classes == {f"tamis.core.secrets.{RedactingFormatter.__name__}"}
    try:
        raise ValueError(f"no http://me:{SECRET}@host")
    except ValueError:
        entry = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "to %s", (f"s3://k:{SECRET}@h",), sys.exc_info()
        )
    line = RedactingFormatter("%(message)s").format(entry)
    assert SECRET not in line and "ValueError" in line and "s3://k:***@h" in line


def test_messages_hold_none(capsys):
    print_failure(f"no http://me:{SECRET}@host")
    print(in_one_line(f"no http://me:{SECRET}@host"))
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err and said.err.count("***") == said.out.count("***") == 1


def test_a_cut_does_not_show_what_was_hidden():
    """Values are cut to a length behind the hiding, not before, where the @ might be gone."""
    text = f"{'x' * 280} http://me:{SECRET}{SECRET}@host"
    assert SECRET[:5] not in in_one_line(text)


def test_the_record_of_a_job_holds_none(tmp_path):
    """A job has what was typed, since launchers of Hydra's need it; its record hides it."""
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        (job,) = composed([("", ("pruner=random", f"tracking.uri=http://me:{SECRET}@host"))])
    leave_failure(job, tmp_path, f"no http://me:{SECRET}@host")
    text = (tmp_path / job.name / "record.json").read_text()
    assert SECRET not in text and SECRET not in str(job.config) and SECRET not in job.name
    assert json.loads(text)["overrides"] == ["pruner=random", "tracking.uri=http://me:***@host"]


def test_an_optuna_study_gets_none(tmp_path):
    """Neither from why a trial failed, nor from what makes the study the same one."""

    def run(job, folder, *more):
        record = TrialRecord(config={}, status=FAILED, reason=f"no http://me:{SECRET}@host")
        (folder / job.name).mkdir()
        record.save(folder / job.name)

    toy = Toy(tmp_path, run=run, n_trials=1)
    with pytest.raises(TamisError, match="no trial of study toy is complete") as caught:
        toy.run()
    assert SECRET not in str(caught.value)
    assert toy.study.trials[0].user_attrs["error"] == "no http://me:***@host"
    assert [path for path in tmp_path.glob("study.db*") if SECRET.encode() in path.read_bytes()] == []
