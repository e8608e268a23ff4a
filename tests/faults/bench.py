"""Runs cases of a campaign: a copy of what a scenario prepared, faults, a run without any, and the checks."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.forks import Ended, Forks
from tests.faults.injector import DEADLY, HARMLESS, Fault
from tests.faults.scenario import REASONS, Scenario

if TYPE_CHECKING:
    from tests.faults.campaign import Case


class Bench:
    """steps: how many the program of each scenario makes without a fault."""

    def __init__(self, root: Path, scenarios: Sequence[Scenario]) -> None:
        self.scenarios = {one.name: one for one in scenarios}
        self.root, self.steps = root, dict[str, int]()
        for one in scenarios:
            self._place(one).mkdir(parents=True)
            one.prepare(self._place(one))
            shutil.copytree(self._place(one), self._template(one))
        gc.collect()
        gc.freeze()  # else each child copies the pages of every object that it counts
        for one in scenarios:
            ended = self._forks(one).run(lambda one=one: one.run(self._place(one)))
            if ended.how != "done":
                raise RuntimeError(f"{one.name} fails without a fault ({ended.how}): {ended.text}")
            one.check(self._place(one))
            self.steps[one.name] = ended.steps

    def close(self) -> None:
        """End what the scenarios have started."""
        for one in self.scenarios.values():
            one.close()

    def _place(self, one: Scenario) -> Path:
        return self.root / one.name.replace(" ", "_").replace(",", "") / "place"

    def _template(self, one: Scenario) -> Path:
        return self._place(one).with_name("template")

    def _forks(self, one: Scenario) -> Forks:
        return Forks(self._place(one), self._place(one).with_name("output.txt"))

    def run(self, case: Case) -> dict[str, Any]:
        """The result of a case, as it is kept: ``faults`` has those that came to pass, ``wrong`` what must not be."""
        scenario = self.scenarios[case.scenario]
        place, forks = self._place(scenario), self._forks(scenario)
        shutil.rmtree(place)
        shutil.copytree(self._template(scenario), place)
        faults: list[tuple[str, str, str]] = []
        wrong: list[str] = []
        before: dict[str, bytes] = {}
        for fault in (*case.faults, None):
            ended = forks.run(lambda: scenario.run(place), fault)
            where = ended.where.replace(str(place), "").strip()
            if fault is not None and where:
                faults.append((fault.kind, ended.how, where))
            wrong += [f"{text} [{fault}, {where}]" for text in _complaints(ended, fault)]
            try:
                now = scenario.complete(place)
                lost = [name for name in before if now.get(name) != before[name]]
                assert not lost, f"changed or lost: {', '.join(lost)}"
                if fault is None:
                    scenario.check(place)
                before = now
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error} [{fault}, {where}]")
                break
        return {"scenario": case.scenario, "asked": case.faults, "faults": faults, "wrong": wrong}


def _complaints(ended: Ended, fault: Fault | None) -> list[str]:
    """What is wrong with the way in which a program ended."""
    last = ended.text.strip()[-600:]
    if ended.how == "hung":
        return ["it hangs"]
    if ended.how == "crashed":
        return [f"it crashed: {last}"]
    if fault is None or not ended.where:
        return [] if ended.how == "done" else [f"it {ended.how} without a fault: {last}"]
    if ended.how == "killed" and fault.kind not in DEADLY:
        return ["it was killed"]
    if ended.how == "refused" and fault.kind in HARMLESS:
        return [f"it gave up: {last}"]
    if (
        ended.how == "refused"
        and fault.kind not in DEADLY
        and not any(word in ended.text for word in REASONS)
    ):
        return [f"it does not say why it gave up: {last}"]
    return []
