"""Fitting potentials, and measuring them."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from omegaconf import OmegaConf

from tamis.api.building import Choice, StoreChoice, build, seeds
from tamis.api.structures import Structures, for_any_use, read
from tamis.api.work import at_work
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.data.checks import check_geometries
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset
from tamis.data.reach import cutoff_doubts
from tamis.data.signal import still_force
from tamis.data.unit_cell import crystal_of
from tamis.evaluation.base import Subject
from tamis.evaluation.errors import Residuals, metrics_of
from tamis.models.base import Model, Potential, Predictions
from tamis.models.files import write_potential
from tamis.parts import build_part
from tamis.store import Store

LOG = logging.getLogger(__name__)


def fit(
    structures: Structures,
    /,
    model: Choice = "snap",
    *,
    tuning: Structures | None = None,
    seed: int = 0,
    store: StoreChoice = None,
) -> FittedPotential:
    """Train a potential on structures with energies; every setting is chosen by folds of them.

    Parameters
    ----------
    structures : to train on. Those that a ``Dataset`` marks for testing are left out.
    model : a choice of the group, such as "ace" or {"name": "ace", "basis": {"r_cut": 5.0}}.
    tuning : to choose settings by, for models with tuning="pool_validation" only.
    seed : of folds and first weights, ``seed.fit`` on the command line.
    store : as for ``prune``.

    Raises
    ------
    TamisError : a choice or setting that does not exist, structures that the checks refuse, or a fit that fails.
    """
    with at_work():
        data = read(structures).training
        trained, rows = model_of(data, model, store)
        if trained.needs_tuning_set != (tuning is not None):
            need = "needs" if trained.needs_tuning_set else "does not use"
            raise TamisError(
                f"this model {need} structures for tuning; see tuning=, and model.tuning in its file"
            )
        aside = data.subset([]) if tuning is None else read(tuning)
        trained.prepare(aside, rows)
        rng = np.random.default_rng(seeds(fit=seed).of_fit)
        potential = trained.fit(data, aside, rows, rng)
    if potential.problem:
        LOG.warning("%s", potential.problem)
    return FittedPotential(potential, trained, data, rows, seed)


def model_of(data: Dataset, model: Choice, store: StoreChoice) -> tuple[Model, Store]:
    """The model with the rows of ``data`` made, and the store that has them."""
    built = build(data, store, model=model)
    cutoff_doubts(data, {"model": built["model"]})
    built["model"].prepare(data, built["store"])
    return built["model"], built["store"]


@dataclass(frozen=True, eq=False, repr=False)
class FittedPotential:
    """A trained potential.

    potential, model : as tamis has them inside. kept : the structures that it was trained on. store : of rows.
    seed : of the fit.
    """

    potential: Potential
    model: Model
    kept: Dataset
    store: Store
    seed: int = 0

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols, in the order of LAMMPS' atom types."""
        return self.model.elements or self.kept.elements

    @property
    def diagnostics(self) -> Mapping[str, float]:
        """What the fit chose and found: weights, ridge, errors over folds."""
        return self.potential.diagnostics

    def calculator(self) -> Calculator:
        """A new ASE calculator: energy (eV), forces (eV/Å), and stress (eV/Å³) in periodic cells."""
        return self.potential.calculator()

    def predict(self, structures: Structures, /) -> Predictions:
        """Energies (n,) eV, forces n x (n_atoms, 3) eV/Å, stresses (n, 6) eV/Å³; labels are not needed.

        Raises
        ------
        TamisError : structures that cannot be treated.
        """
        with at_work():
            data = for_any_use(structures)
            check_geometries(data)
            return self.potential.predict(data, self.store)

    def write(self, folder: str | Path) -> list[Path]:
        """Write the family's own files, and ``in.potential`` for LAMMPS, into a folder; returns their paths."""
        return write_potential(self.potential, self.elements, Path(folder))

    def __repr__(self) -> str:
        family = type(self.potential).__name__
        return f"<{family} of {', '.join(self.elements)}, trained on {len(self.kept)} structures>"


def evaluate(
    potential: FittedPotential,
    structures: Structures,
    /,
    *,
    by_group: bool = False,
    properties: Choice | None = None,
    crystal: Mapping[str, Any] | Atoms | None = None,
) -> dict[str, float]:
    """Errors of a potential against labels, and properties and MD if asked.

    Parameters
    ----------
    structures : with labels; which errors there are depends on them.
    by_group : also by group of structures, as ``<name>/<group>``.
    properties : a choice of ``evaluation``: "quick" or "full". None: errors alone.
    crystal : whose properties they are: a periodic structure, or such as {"structure": "diamond", "element": "Si",
        "a": 5.43}; a in Å.

    Returns
    -------
    Name with unit -> value: energy_mae_meV_per_atom, energy_rmse_..., force_mae_eV_per_A, stress_mae_GPa; those of
    properties and MD as in docs/properties.md and docs/dynamics.md.

    Raises
    ------
    TamisError : structures that the checks refuse, or a choice or setting that does not exist.
    """
    with at_work():
        data = read(structures)
        predictions = potential.potential.predict(data, potential.store)
        residuals = Residuals.of(predictions, data, still_force(potential.kept.forces))
        found = metrics_of(residuals, data, by_group)
        if properties is not None:
            found |= _properties(potential, properties, crystal)
    return found


def _simple(crystal: Mapping[str, Any]) -> Crystal:
    node = {"_target_": "tamis.data.crystal.Crystal", **crystal}
    check_config(OmegaConf.create({"crystal": node}))
    built: Crystal = build_part("crystal", node)
    return built


def _properties(
    fitted: FittedPotential, properties: Choice, crystal: Mapping[str, Any] | Atoms | None
) -> dict[str, float]:
    if crystal is None:
        raise TamisError(
            "properties need a crystal; give an ase.Atoms, or one such as "
            'crystal={"structure": "diamond", "element": "Si", "a": 5.43}'
        )
    whose = crystal_of(crystal) if isinstance(crystal, Atoms) else _simple(crystal)
    evaluation = build(fitted.kept, fitted.store, evaluation=properties)["evaluation"]
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(
            potential=fitted.potential,
            pool=fitted.kept,
            kept=fitted.kept,
            crystal=whose,
            reference={},
            label_giver=None,
            store=fitted.store,
            folder=Path(folder),
            seed=fitted.seed,
            own=fitted.model.own_descriptor,
        )
        for measure in evaluation.stages.values():
            findings = measure(subject)
            found |= {name: value for name, value in findings.metrics.items() if np.isfinite(value)}
            for name, reason in findings.problems.items():
                LOG.warning("%s: %s", name, reason)
    return found
