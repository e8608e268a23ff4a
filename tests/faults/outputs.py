"""What commands leave for people: a report, a pick."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from tests.faults.scenario import Scenario
from tests.report_folders import write_trial
from tests.typed import typed

from tamis.commands import pick
from tamis.commands import report as command
from tamis.report.links import Links


class Report(Scenario):
    """``tamis report``, from its arguments to its files; the pages and figures are drawn once."""

    def prepare(self, folder: Path) -> None:
        for seed in range(2):
            write_trial(folder / "trials" / f"random-{seed}", "snap", "none", "random", seed)
            write_trial(folder / "trials" / f"fps-{seed}", "snap", "snap", "fps", seed)
        self.made = command.make_report([folder / "trials"], Links())
        self._main(folder, folder.parent / "right")
        self.right = _files(folder.parent / "right")

    def _main(self, folder: Path, out: Path) -> None:
        where = ("--out", out, "--no-coverage", "--tracking", f"sqlite:///{folder}/none.db")
        with mock.patch.object(command, "make_report", lambda *_: self.made):
            typed(command, folder / "trials", *where)

    def run(self, folder: Path) -> None:
        self._main(folder, folder / "report")

    def complete(self, folder: Path) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for out in folder.glob("report*"):
            there = _files(out)
            for name, content in there.items():
                assert content == self.right[name], f"{out.name}/{name} is half written"
            if "report.html" in there:
                assert there == self.right, f"{out.name} has its page, but not all of its files"
                found |= {f"{out.name}/{name}": content for name, content in there.items()}
        return found

    def check(self, folder: Path) -> None:
        assert self.complete(folder), "no whole report"


class Pick(Scenario):
    """``tamis pick``, which copies the kept structures and the potential of a trial."""

    def prepare(self, folder: Path) -> None:
        for seed in range(2):
            for fraction, level in ((1.0, 0.1), (0.5, 0.1 * 0.5**0.3)):
                trial = folder / "trials" / f"{fraction}-{seed}"
                write_trial(trial, seed=seed, fractions=(fraction,), level=level, validation=level)
                (trial / "potential").mkdir()
                (trial / "potential" / "silicon.snapcoeff").write_text("1.0\n" * 2000)
        self._main(folder, folder.parent / "right")
        self.right = _files(folder.parent / "right")

    @staticmethod
    def _main(folder: Path, out: Path) -> None:
        typed(pick, folder / "trials", "--out", out)

    def run(self, folder: Path) -> None:
        self._main(folder, folder / "picked")

    def complete(self, folder: Path) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for out in folder.glob("picked*"):
            there = _files(out)
            assert there == self.right, f"{out.name} has {sorted(there)}, and not all are whole"
            found |= {f"{out.name}/{name}": content for name, content in there.items()}
        return found

    def check(self, folder: Path) -> None:
        assert self.complete(folder), "nothing was picked"


def _files(folder: Path) -> dict[str, bytes]:
    """All that a person sees in ``folder``."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
