"""Making the files of a point within a learning curve, of which a trial keeps only the last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tamis.analysis.arms import Point
from tamis.core.errors import TamisError
from tamis.core.trust import check_trusted
from tamis.data.kept_set import NAME
from tamis.records.record import COMPLETE, RECORD_FILE, BudgetFacts, read_record
from tamis.trial import run_trial


def retrain(point: Point, out: Path) -> None:
    """Run a point's trial again with the budget of this point alone; the kept set and potential/ go to ``out``.

    Raises
    ------
    TamisError : it fails (moved data, for instance), or keeps other structures than it did.
    """
    folder = point.trial.folder
    before = read_record(folder)
    config = before.config
    check_trusted(config, folder / RECORD_FILE)
    choices = config.pop("choices")
    config["artifacts"] = True  # large sweeps write records alone
    config["budget"] = _budget(before.budget, point.number)
    scratch = out / "trial"
    scratch.mkdir()
    record = run_trial(OmegaConf.create(config), {**choices, "budget": "picked"}, scratch)
    if record.status != COMPLETE:
        raise TamisError(f"the picked set could not be retrained: {record.reason}")
    kept = set(record.selection.ids)
    if kept != set(point.kept):
        raise TamisError(
            f"the retrained trial kept {len(kept)} structures, not the same as the {len(point.kept)} of "
            f"{folder}: data or code have changed since; run the sweep again"
        )
    copy_kept(scratch, out)
    shutil.copytree(scratch / "potential", out / "potential")


def copy_kept(folder: Path, out: Path) -> None:
    """Copy the files of the kept set, in each of their formats."""
    for path in folder.glob(f"{NAME}.*"):
        shutil.copy(path, out)


def _budget(budget: BudgetFacts, point: int) -> dict[str, Any]:
    """The limit of one point as a budget of its own."""
    kind = {"structures": "StructuresBudget", "atoms": "AtomsBudget"}[budget.unit]
    return {"_target_": f"tamis.selection.budget.{kind}", f"n_{budget.unit}": budget.limits[point]}
