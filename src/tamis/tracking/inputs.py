"""Data set and kept set of a record, as inputs of its MLflow run: runs can be found by either."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tamis.core.names import cut_short, printable
from tamis.core.secrets import redacted
from tamis.records.record import TrialRecord
from tamis.tracking.content import chosen_by, data_name

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LONGEST_NAME, LONGEST_DIGEST = 500, 36
"""Characters that MLflow takes."""
CONTEXT = "mlflow.data.context"
"""MLflow's tag for what a data set was used for."""


def inputs_of(record: TrialRecord, folder: str) -> list[DatasetInput]:
    """The data set as it was read, and the set that the last point of the curve kept; empty before they are known."""
    data, config = record.dataset, record.config.get("dataset", {})
    if not data.fingerprint:
        return []
    where = {key: config[key] for key in ("train", "test", "element", "split") if config.get(key)}
    found = [
        _input(
            data_name(record.config),
            data.fingerprint,
            where or {"source": config.get("_target_", "")},
            {
                "pool": len(data.pool),
                "pool_atoms": data.n_pool_atoms,
                "tuning": len(data.tuning),
                "validation": len(data.validation),
                "test": len(data.test),
                "elements": " ".join(data.elements),
            },
            "data",
        )
    ]
    if record.curve:
        last = record.curve[-1]
        kept = hashlib.sha256("\n".join(sorted(record.kept(-1))).encode("utf-8", "surrogatepass")).hexdigest()
        profile = {"structures": last.n_structures, "atoms": last.n_atoms}
        found.append(
            _input(f"kept: {chosen_by(record.config)}", kept, {"folder": folder}, profile, "training")
        )
    return found


def _input(name: str, digest: str, source: dict[str, Any], profile: dict[str, Any], use: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return DatasetInput(
        Dataset(
            name=cut_short(printable(name), name, LONGEST_NAME),
            digest=digest[:LONGEST_DIGEST],
            source_type="tamis",
            source=printable(json.dumps(redacted(source))),
            profile=json.dumps(profile),
        ),
        [InputTag(CONTEXT, use)],
    )
