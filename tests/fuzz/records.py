"""Files of results, through all that reads them: record.json and what is beside it; and options of these commands."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.kinds import Kind, WrongAnswer
from tests.fuzz.mutate import Rng, pick, spoiled, spoiled_json, word
from tests.report_folders import write_protocol, write_trial
from tests.typed import typed

from tamis.core.errors import TamisError

SPACE = {"descriptor": "{}", "latent": "{}"}


def prepare_study(folder: Path) -> Path:
    """A few trials and the files that commands leave beside them."""
    study = folder / "study"
    for seed in range(2):
        write_trial(study / f"snap-random-{seed}", "snap", "none", "random", seed, fractions=(0.1, 1.0))
        for descriptor in ("snap", "ace"):
            place = study / f"snap-fps-{descriptor}-{seed}"
            write_trial(place, "snap", descriptor, "fps", seed, fractions=(0.1, 1.0))
    return study


def report_document(study: Path) -> str:
    """The report's page, as ``tamis report`` makes it, without MLflow."""
    from tamis.commands.report import make_report
    from tamis.report.html import to_html
    from tamis.report.links import Links

    return to_html(make_report([study], Links())[1])


def read_all(study: Path, folder: Path) -> None:
    """What needs the record of one trial: comparing, picking, estimating, running again."""
    from tamis.analysis.arms import results_of
    from tamis.analysis.trials import find_trials, read_trials
    from tamis.commands.best import records_of
    from tamis.commands.compare import compare_runs
    from tamis.commands.pick import Wish, pick, weigh
    from tamis.report.html import to_html
    from tamis.report.links import Links
    from tamis.sweeps.estimate import estimate, measurements

    trials = read_trials(find_trials([study]))
    points = results_of(trials).points
    steps: tuple[Callable[[], Any], ...] = (
        lambda: pick(weigh(points, Wish(5.0, 1.0, 1.0, 5.0, 0.02))),
        lambda: to_html(compare_runs([folder, study / "snap-random-1"], Links())),
        lambda: records_of(folder),
        lambda: estimate([], measurements([study])),
    )
    refused = None
    for step in steps:  # a refusal of one does not spare the others
        try:
            step()
        except TamisError as error:
            refused = error
    if refused:
        raise refused


def run_record(rng: Rng, study: Path, folder: Path) -> None:
    place = study / "snap-fps-snap-0"
    path = place / "record.json"
    good = path.read_bytes()
    content = json.loads(good)
    try:
        data = json.dumps(spoiled_json(rng, content)).encode() if rng.random() < 0.8 else spoiled(rng, good)
        path.write_bytes(b"[" * 100_000 if rng.random() < 0.002 else data)
        read_all(study, place)
    finally:
        path.write_bytes(good)


def run_report(rng: Rng, study: Path, folder: Path) -> None:
    """The whole page. A word in a record stays a word: no tag of it gets into the page."""
    place = study / "snap-fps-snap-0"
    good = (place / "record.json").read_bytes()
    try:
        content = spoiled_json(rng, json.loads(good))
        if rng.random() < 0.5 and isinstance(content, dict):
            _rename(rng, content)
        (place / "record.json").write_text(json.dumps(content))
        page = report_document(study)
    finally:
        (place / "record.json").write_bytes(good)
    if "<script" in page or "<b>" in page:
        raise WrongAnswer("a word of a record has become a tag of the page")


def _rename(rng: Rng, content: dict[str, Any]) -> None:
    """Odd names of choices, elements and structures, which become headings, labels and file names."""
    new = word(rng)
    config = content.get("config")
    choices = config.get("choices") if isinstance(config, dict) else None
    if isinstance(choices, dict):
        choices[pick(rng, ("model", "descriptor", "pruner", "dataset"))] = new
    if isinstance(content.get("selection"), dict):
        content["selection"]["ids"] = [f"{new}{i}" for i in range(60)]
    if isinstance(config, dict) and isinstance(config.get("dataset"), dict):
        config["dataset"]["element"] = new


# files beside records


def prepare_beside(folder: Path) -> dict[str, bytes]:
    study = prepare_study(folder)
    trial = study / "snap-fps-snap-0"
    return {
        "test_errors.csv": (trial / "test_errors.csv").read_bytes(),
        "protocol.yaml": (write_protocol(folder) / "protocol.yaml").read_bytes(),
    }


def run_beside(rng: Rng, good: dict[str, bytes], folder: Path) -> None:
    name = pick(rng, sorted(good))
    trial = folder / "study" / "snap-fps-snap-0"
    place = {"test_errors.csv": trial}.get(name, folder / "study")
    data = good[name]
    data = spoiled(rng, data)
    before = (place / name).read_bytes() if (place / name).exists() else None
    (place / name).write_bytes(data)
    try:
        _read_beside(name, trial)
    finally:
        (place / name).unlink()
        if before is not None:
            (place / name).write_bytes(before)


def _read_beside(name: str, trial: Path) -> None:
    from tamis.analysis.protocol import read_protocol
    from tamis.analysis.test_errors import CachedTestErrors
    from tamis.analysis.trials import find_trials, read_trials

    trials = read_trials(find_trials([trial.parent]))
    mine = next(one for one in trials if one.folder == trial.resolve())
    if name == "protocol.yaml":
        read_protocol([trial.parent])
    else:
        found = CachedTestErrors().read(mine)
        if found is not None and not np.isfinite(found.forces).all():
            raise WrongAnswer("errors that are not finite were read")


# options of the commands


OPTIONS = (
    *("out", "title", "ui", "within", "energy-weight", "force-weight", "properties", "stability", "model"),
    *("no-coverage", "tracking", "wrong"),
)


def run_options(rng: Rng, study: Path, folder: Path) -> None:
    """Whatever is typed, a command ends with an exit status and without a traceback."""
    from tamis.commands import compare, report
    from tamis.commands import pick as picking

    command = pick(rng, (report, compare, picking))
    arguments = [_typed(rng, study) for _ in range(int(rng.integers(0, 4)))]
    if rng.random() < 0.5:
        arguments.append(str(pick(rng, (study / "snap-random-0", study, folder))))
    if command is report and study in map(Path, arguments) and rng.random() < 0.9:
        arguments.remove(str(study))  # a page takes seconds
    place = folder / "deep" / "deeper"
    shutil.rmtree(folder / "deep", ignore_errors=True)
    place.mkdir(parents=True)
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said), contextlib.chdir(place):
        status = typed(command, *arguments)
    if status:
        raise TamisError(said.getvalue().strip() or str(status))
    if not (study / "snap-random-0" / "record.json").exists():
        raise WrongAnswer("a trial is gone")


def _typed(rng: Rng, study: Path) -> str:
    value = word(rng) if rng.random() < 0.8 else str(study)
    value = value.replace("\0", "").encode("utf-8", "replace").decode()  # no shell can type these
    if value.startswith(("/", "~", "..")):
        value = f"x{value}"  # nothing is written elsewhere
    if rng.random() < 0.2:
        return value
    key = pick(rng, OPTIONS)
    where = "sqlite:///" + value.replace(":", "")  # no server is asked
    return f"--{key}" if key == "no-coverage" else f"--{key}={where if key == 'tracking' else value}"


KINDS = (
    Kind("record", prepare_study, run_record, 6),
    Kind("report", prepare_study, run_report, 0.12),
    Kind("beside records", prepare_beside, run_beside, 5),
    Kind("options", prepare_study, run_options, 1),
)
