"""What a multirun does around its trials: one MLflow parent before, one table after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.configuration import register_resolvers
from tamis.record import RECORD_FILE, read_record
from tamis.report.curves import draw_curves, points_of, write_table
from tamis.report.tables import print_sweep
from tamis.store import write_atomically

PARENT_FILE = "mlflow_parent.json"


class SweepRun(Callback):
    """Hydra callback: makes the run that a sweep's runs hang under, and prints the sweep's results."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the parent run; its id is left in the sweep's folder for the trials, in whatever process."""
        register_resolvers()
        folder = Path(config.hydra.sweep.dir)
        parent = instantiate(config.tracking).start_parent(folder.name)
        write_atomically(folder / PARENT_FILE, json.dumps({"run_id": parent}).encode())

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End the parent run; leave a table and a figure in the sweep's folder, and print the table."""
        folder = Path(config.hydra.sweep.dir)
        instantiate(config.tracking).end_parent(parent_run(folder))
        records = [read_record(path.parent) for path in sorted(folder.glob(f"*/{RECORD_FILE}"))]
        points = list(points_of(records))
        if points:
            write_table(points, folder / "results.csv")
            draw_curves(points, folder / "errors.png", folder.name)
        print_sweep(records, folder, config.tracking.uri)


def parent_run(sweep_folder: Path) -> str | None:
    """Id of the MLflow run of a sweep; None outside a sweep."""
    try:
        return str(json.loads((sweep_folder / PARENT_FILE).read_text())["run_id"])
    except FileNotFoundError:
        return None
