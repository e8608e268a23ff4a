"""What a notebook does with tamis: ``import tamis`` has the names of this module (docs/python.md).

The same parts as on the command line, with the same defaults, without a run folder. Every function takes structures as
a ``Dataset``, one or several ``ase.Atoms``, or files; nothing is held out of them, except for what a ``Dataset`` marks
for testing.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from hydra.errors import HydraException
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tamis.core.compose import composed
from tamis.core.config_check import check_config
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.fields import Whole
from tamis.core.names import quoted
from tamis.core.threads import limited
from tamis.data.checks import check_geometries
from tamis.data.dataset import Dataset
from tamis.data.plausibility import set_isolated_apart
from tamis.data.reach import cutoff_doubts
from tamis.data.signal import still_force
from tamis.data.sources.file import File
from tamis.data.sources.given import NAME, Given
from tamis.data.sources.spacing import spacing_of
from tamis.evaluation.base import Subject
from tamis.evaluation.errors import Residuals, metrics_of
from tamis.models.base import Model, Potential, Predictions
from tamis.models.files import write_potential
from tamis.parts import Seeds, build_part, effective, plain
from tamis.report.description import Description
from tamis.selection.budget import PART, AtomsBudget, Budget, FractionBudget, StructuresBudget
from tamis.selection.features import features_of
from tamis.store import Store

LOG = logging.getLogger(__name__)
TURN = RLock()

Structures = Dataset | Atoms | str | Path | Iterable[Atoms] | Iterable[str] | Iterable[Path]
"""A data set, structures in memory, or files: a path, a folder, a glob, or several of them."""
Choice = str | Mapping[str, Any]
"""Name of a file in ``conf/<group>``; or a mapping with it as ``name``, and with the settings that differ."""


def read(structures: Structures, /, **settings: Any) -> Dataset:
    """Read and check structures with energies, as ``dataset=file`` does, and leave nothing out for testing.

    Parameters
    ----------
    structures : files, or ``ase.Atoms`` with labels in ``info``, ``arrays`` or a calculator's results. A ``Dataset``
        is returned as it is.
    settings : keys of ``dataset=file`` (docs/data.md), such as ``units="atomic"``, ``energy_key="dft_energy"``,
        ``test="test.xyz"`` or ``test_fraction=0.1``, which mark structures for testing.

    Returns
    -------
    Dataset : eV, eV/Å, eV/Å³. Free atoms are set apart in ``isolated``.

    Raises
    ------
    TamisError : a setting that does not exist, files that cannot be read, or structures that the checks refuse.
    """
    if isinstance(structures, Dataset):
        _refuse(settings)
        return structures
    with _at_work():
        source = _source(structures, settings)
        dataset = source.load()
        return _with_scale(dataset, source)


def describe(structures: Structures, /, **settings: Any) -> Description:
    """Say what is in structures, what would be refused and what is suspicious, as ``tamis describe`` does.

    Parameters
    ----------
    structures, settings : as for ``read``; with a ``Dataset`` there are no settings.

    Returns
    -------
    Description : ``print`` shows all of it; ``problems``, ``doubts`` and ``overview`` have the parts.

    Raises
    ------
    TamisError : files that cannot be read, or a setting that does not exist.
    """
    if isinstance(structures, Dataset):
        _refuse(settings)
        return Description.of(structures)
    with _at_work():
        return Description.of_files(_source(structures, settings))


def prune(
    pool: Structures,
    /,
    descriptor: Choice = "snap",
    pruner: Choice = "fps",
    *,
    atoms: float | None = None,
    structures: float | None = None,
    seed: int = 0,
    latent: Choice = "standard",
    store: Store | str | Path | Mapping[str, Any] | None = None,
) -> NDArray[np.intp]:
    """Choose structures to train on. Labels are not needed.

    Parameters
    ----------
    pool : where to choose from. Structures that a ``Dataset`` marks for testing are not chosen.
    descriptor, pruner, latent : a choice of the group of that name, such as "soap" or {"name": "soap", "r_cut": 5.0}.
    atoms, structures : how much is kept at most: a number (a whole one), or a part of the pool (0.2). Give one.
    seed : of the pruner's random choices, ``seed.select`` on the command line.
    store : folder of descriptor values and rows, which later calls read; or settings, such as {"n_jobs": 1}. None:
        .tamis/store in the working directory.

    Returns
    -------
    (n_kept,) indices into ``pool`` (of files: structures in the order in which they are read), in the order of choice.
    Free atoms, references for energies, come first, and are beside the budget.

    Raises
    ------
    TamisError : a choice or setting that does not exist, a budget out of range, or structures that cannot be treated.
    """
    budget = _budget(atoms, structures)
    with _at_work():
        whole = _for_any_use(pool)
        check_geometries(whole)
        places = {name: i for i, name in enumerate(whole.ids)}
        bonded = set_isolated_apart(whole).training
        built = _Parts.of(whole, store, descriptor=descriptor, pruner=pruner, latent=latent)
        space, chooser = built["descriptor"], built["pruner"]
        cutoff_doubts(bonded, {"descriptor": space})
        features = features_of(bonded, space, built["latent"], chooser, built.store)
        (limit,) = budget.limits(bonded.n_atoms)
        rng = np.random.default_rng(Seeds(split=0, select=seed, fit=0).of_choice)
        selection = chooser.select(features, limit, rng)
    free = bonded.isolated.ids if bonded.isolated is not None else ()
    chosen = [bonded.ids[i] for i in selection.indices]
    # those that reading a Dataset has set apart are not among its structures
    return np.array([places[name] for name in (*free, *chosen) if name in places], dtype=np.intp)


def fit(
    structures: Structures,
    /,
    model: Choice = "snap",
    *,
    tuning: Structures | None = None,
    seed: int = 0,
    store: Store | str | Path | Mapping[str, Any] | None = None,
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
    with _at_work():
        data = read(structures).training
        built = _Parts.of(data, store, model=model)
        trained: Model = built["model"]
        if trained.needs_tuning_set != (tuning is not None):
            need = "needs" if trained.needs_tuning_set else "does not use"
            raise TamisError(
                f"this model {need} structures for tuning; see tuning=, and model.tuning in its file"
            )
        cutoff_doubts(data, {"model": trained})
        aside = data.subset([]) if tuning is None else read(tuning)
        for part in (data, aside):
            trained.prepare(part, built.store)
        rng = np.random.default_rng(Seeds(split=0, select=0, fit=seed).of_fit)
        potential = trained.fit(data, aside, built.store, rng)
    if potential.problem:
        LOG.warning("%s", potential.problem)
    return FittedPotential(potential, trained, data, built.store, seed)


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
        with _at_work():
            data = _for_any_use(structures)
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
    crystal: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Errors of a potential against labels, and properties and MD if asked.

    Parameters
    ----------
    structures : with labels; which errors there are depends on them.
    by_group : also by group of structures, as ``<name>/<group>``.
    properties : a choice of ``evaluation``: "quick" or "full". None: errors alone.
    crystal : whose properties they are, such as {"structure": "diamond", "element": "Si", "a": 5.43}; a in Å.

    Returns
    -------
    Name with unit -> value: energy_mae_meV_per_atom, energy_rmse_..., force_mae_eV_per_A, stress_mae_GPa; those of
    properties and MD as in docs/properties.md and docs/dynamics.md.

    Raises
    ------
    TamisError : structures that the checks refuse, or a choice or setting that does not exist.
    """
    with _at_work():
        data = read(structures)
        predictions = potential.potential.predict(data, potential.store)
        residuals = Residuals.of(predictions, data, still_force(potential.kept.forces))
        found = metrics_of(residuals, data, by_group)
        if properties is not None:
            found |= _properties(potential, properties, crystal)
    return found


def _properties(
    fitted: FittedPotential, properties: Choice, crystal: Mapping[str, Any] | None
) -> dict[str, float]:
    if crystal is None:
        raise TamisError(
            'properties need a crystal; give one, such as crystal={"structure": "diamond", "element": "Si", "a": 5.43}'
        )
    whose = build_part("crystal", {"_target_": "tamis.data.crystal.Crystal", **crystal})
    evaluation = _Parts.of(fitted.kept, fitted.store, evaluation=properties)["evaluation"]
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


class _Parts(dict[str, Any]):
    """Objects by the group of their choice, and the store."""

    store: Store

    @classmethod
    def of(
        cls, data: Dataset, store: Store | str | Path | Mapping[str, Any] | None, **choices: Choice
    ) -> _Parts:
        """Build the objects as the command line would for ``data``."""
        named = {group: _named(group, choice) for group, choice in choices.items()}
        config = plain(
            composed(*(f"{group}={quoted(name)}" for group, (name, _) in named.items())), resolve=False
        )
        nodes = {group: _changed(config[group], settings) for group, (_, settings) in named.items()}
        if not isinstance(store, Store):
            given = store if isinstance(store, Mapping) else {} if store is None else {"root": str(store)}
            nodes["store"] = _changed(config["store"], given)
        nodes["dataset"] = {"elements": list(data.whole_elements or data.elements)}
        if "dataset.atom_spacing" in str(nodes):
            nodes["dataset"]["atom_spacing"] = data.atom_spacing or spacing_of(data)
        whole = OmegaConf.create(nodes)
        check_config(whole)
        found = plain(whole, resolve=True)
        if "pruner" in found:
            found = effective(found)
        parts = cls({group: build_part(group, found[group]) for group in choices})
        parts.store = store if isinstance(store, Store) else build_part("store", found["store"])
        return parts


def _named(group: str, choice: Choice) -> tuple[str, Mapping[str, Any]]:
    """The name of a choice and its settings."""
    if isinstance(choice, str):
        return choice, {}
    if isinstance(choice, Mapping) and isinstance(choice.get("name"), str):
        return choice["name"], {key: value for key, value in choice.items() if key != "name"}
    raise TamisError(
        f"{group} is {choice!r}; give the name of a choice, or a mapping with its name and settings, such as "
        '{"name": "soap", "r_cut": 5.0}'
    )


def _changed(node: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the configuration with other values; mappings are merged."""
    found = dict(node)
    for key, value in settings.items():
        inner = found.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            value = _changed(inner, value)
        found[key] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return found


def _source(structures: Structures, settings: Mapping[str, Any]) -> File:
    """A source for structures that are no ``Dataset``."""
    given = [structures] if isinstance(structures, Atoms | str | Path) else _listed(structures)
    in_memory = [one for one in given if isinstance(one, Atoms)]
    names = [str(one) for one in given if isinstance(one, str | Path)]
    if not given or len(given) not in (len(in_memory), len(names)):
        found = ", ".join(sorted({type(one).__name__ for one in given})) or "nothing"
        raise TamisError(
            f"the structures are {found}; give a Dataset, one or more ase.Atoms, or one or more names of files"
        )
    node = plain(composed("dataset=file"), resolve=False)["dataset"]
    # the first two follow from the data, which would be read for it
    mine = {
        "elements": None,
        "atom_spacing": None,
        "test_fraction": 0.0,
        **settings,
        "train": names or [NAME],
    }
    whole = OmegaConf.create({"dataset": _changed(node, mine)})
    check_config(whole)
    source: File = build_part("dataset", plain(whole, resolve=True)["dataset"])
    return Given.of(in_memory, source) if in_memory else source


def _listed(structures: Any) -> list[Any]:
    return list(structures) if isinstance(structures, Iterable) else [structures]


def _refuse(settings: Mapping[str, Any]) -> None:
    if settings:
        raise TamisError(
            f"{', '.join(settings)}: a Dataset has been read already; give settings with files or ase.Atoms"
        )


def _for_any_use(structures: Structures) -> Dataset:
    """Structures that may lack labels, or have wrong ones: what asks for no labels does not judge them."""
    if isinstance(structures, Dataset):
        return structures
    source = _source(structures, {})
    return _with_scale(source.read()[0], source)


def _with_scale(dataset: Dataset, source: File) -> Dataset:
    """With what default cutoffs follow from, so that parts of the set have the same ones."""
    spacing = source.atom_spacing
    try:
        spacing = spacing or spacing_of(dataset)
    except TamisError:  # a default cutoff that needs it will say so
        spacing = None
    elements = source.elements or tuple(sorted({*dataset.elements, *dataset.free_energies}))
    scaled = replace(dataset, whole_elements=elements, atom_spacing=spacing)
    return dataset.sharing_copies(scaled, np.arange(len(dataset)))


def _budget(atoms: float | None, structures: float | None) -> Budget:
    """A whole number is a count, any other a part."""
    given = {
        of: amount for of, amount in (("atoms", atoms), ("structures", structures)) if amount is not None
    }
    if len(given) != 1:
        raise TamisError(
            "give how much may be kept, either as atoms or as structures: atoms=0.2 is a part of all atoms, atoms=1000 "
            "a number of them"
        )
    ((of, amount),) = given.items()
    if isinstance(amount, int | np.integer):
        count = int(Whole(1).apply(of, amount))
        return AtomsBudget(count) if of == "atoms" else StructuresBudget(count)
    return FractionBudget(float(PART.apply(of, amount)), of)


@contextmanager
def _at_work() -> Iterator[None]:
    """Compute as a trial does, on one thread; errors of Hydra and OmegaConf become TamisError.

    Threads take turns: engines have one state for the whole process, and so has the number of their threads.
    """
    try:
        with TURN, limited():
            yield
    except (HydraException, OmegaConfBaseException) as error:
        raise TamisError(explain(error)) from error
