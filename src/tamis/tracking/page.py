"""How MLflow's page of the experiment opens: on runs, with the columns that matter, and a line that says what is there.

MLflow keeps all of this in tags of the experiment. A saved view is the tag ``mlflow.sharedViewState.<id>``: its name,
and the state of the page as JSON text (MLflow 3.17; earlier ones open a view by its address alone).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tamis.core import metrics as names

KIND, MACHINE_LEARNING = "mlflow.experimentKind", "custom_model_development"
"""Tag that decides on what the page opens, and its value for runs; without it MLflow shows traces of agents."""
INFERRED = ("", "no_inferred_type", "genai_development_inferred", "custom_model_development_inferred")
"""Values that no person has chosen."""
NOTE = "mlflow.note.content"
"""Tag with the description of an experiment or a run, in Markdown."""
VIEW = "tamis"
"""Id of the saved view, in its address, too."""
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
PARAMS = ("model", "pruner", "descriptor")
METRICS = (
    names.KEPT_ATOMS,
    names.error(names.VALIDATION, names.FORCE_MAE),
    names.error(names.TEST, names.FORCE_MAE),
    names.error(names.TEST, names.ENERGY_MAE),
)
"""Columns of the view: what a trial is, how much it kept, and its errors."""


def missing_tags(experiment_id: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that an experiment lacks; what a person has chosen stays."""
    wanted = {VIEW_TAG: _view(), NOTE: _note(experiment_id)}
    missing = {key: value for key, value in wanted.items() if key not in tags}
    if tags.get(KIND, "") in INFERRED:
        missing[KIND] = MACHINE_LEARNING
    return missing


def _view() -> str:
    columns = [*(f"metrics.`{name}`" for name in METRICS), *(f"params.`{name}`" for name in PARAMS)]
    state = {"selectedColumns": columns}
    made = 1_700_000_000_000  # milliseconds since 1970: MLflow sorts views by this; the same on every server
    return json.dumps({"name": "Trials", "createdAt": made, "updatedAt": made, "state": json.dumps(state)})


def address_of(experiment_id: str) -> str:
    """The view behind a server's address; MLflow opens on agents' traces where a browser has not chosen otherwise."""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def _note(experiment_id: str) -> str:
    return (
        f"Training sets pruned by tamis, and what that did to potentials. [**Trials and their errors**]"
        f"({address_of(experiment_id)}): the + beside a sweep shows its trials. The list of views has it as *Trials*."
    )
