"""gap_fit, the trainer of Gaussian approximation potentials: Bartók, Csányi, Int. J. Quantum Chem. 115, 1051 (2015)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, chemical_symbols
from ase.io import write

from tamis.bases.gap.files import GAP_FILE, gap_lammps, quip_potential, read_gap_xml
from tamis.bases.soap import SoapBasis
from tamis.core.errors import TamisError
from tamis.core.fields import Above, OneOf, Whole
from tamis.core.geometry import in_vacuum
from tamis.core.interrupts import interruptible_quip
from tamis.data.dataset import Dataset
from tamis.engines.first_reading import read_elsewhere_first, use_once
from tamis.models.trainers.base import (
    FilePotential,
    Trainer,
    as_periodic,
    draw_seed,
    reference_energies,
)
from tamis.models.trainers.programs import Program, Workshop

STRUCTURES = "kept.xyz"
SPARSE_METHODS = ("cur_points", "cluster", "uniform", "random", "covariance", "fuzzy", "skip_sparse")
GAP_FIT = Program("upstream_gap_fit", 'it comes with quippy-ase: pip install "tamis[gap]"')
SIGMA = "ref_sigma"
"""End of the keys of a structure's own sigmas."""
FULL_MATRIX = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""Where the 9 components of a symmetric matrix stand in Voigt order."""


@dataclass(frozen=True)
class GapFit(Trainer):
    """A sparse Gaussian process on SOAP, and on distances where wanted, trained by QUIP's gap_fit.

    basis: SOAP of the kernel delta² (p . p')^zeta; zeta: its exponent.
    delta: eV per atom, what the SOAP term may explain.
    n_sparse: sparse points of each element, at most as many as the kept structures have atoms of it.
    sparse_method: how gap_fit chooses them.
    n_sparse_2b: points of the distance term of each pair of elements; 0 leaves the term out.
    theta_2b: Å, length of its kernel. delta_2b: eV, what it may explain.
    energy_sigma: eV per atom. force_sigma: eV/Å. virial_sigma: eV per atom: standard deviations of the labels.
    jitter: added to the diagonal of the covariance of the sparse points, eV².
    reference_energies: element -> energy of a free atom, eV; None: of isolated atoms, else what fits the kept energies.
    program: gap_fit, as name or path.
    """

    basis: SoapBasis
    zeta: Annotated[float, Above(0.0)]
    delta: Annotated[float, Above(0.0, "eV")]
    n_sparse: Annotated[int, Whole(1)]
    sparse_method: Annotated[str, OneOf(*SPARSE_METHODS)]
    n_sparse_2b: Annotated[int, Whole(0)]
    theta_2b: Annotated[float, Above(0.0, "Å")]
    delta_2b: Annotated[float, Above(0.0, "eV")]
    energy_sigma: Annotated[float, Above(0.0, "eV")]
    force_sigma: Annotated[float, Above(0.0, "eV/Å")]
    virial_sigma: Annotated[float, Above(0.0, "eV")]
    jitter: Annotated[float, Above(0.0, "eV²")]
    reference_energies: Mapping[str, float] | None
    program: Annotated[str, GAP_FIT]

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Run gap_fit once."""
        write_structures(shop.folder / STRUCTURES, kept, self.basis.r_cut, self.sigmas)
        arguments = self.arguments(kept, draw_seed(rng))
        shop.run(self.program, *arguments, makes=(GAP_FILE, f"{GAP_FILE}.sparseX.*"))
        return FilePotential(
            files=shop.read(GAP_FILE, f"{GAP_FILE}.sparseX.*"),
            logs=shop.logs,
            reader=load_gap,
            pair_lines=partial(
                gap_lammps, elements=self.elements, label=read_gap_xml(shop.folder / GAP_FILE).tag
            ),
            diagnostics=shop.figures | {"n_sparse": float(sum(self._n_sparse(kept).values()))},
        )

    @property
    def sigmas(self) -> tuple[float, float, float]:
        """Of energies, forces and virials."""
        return self.energy_sigma, self.force_sigma, self.virial_sigma

    def arguments(self, kept: Dataset, seed: int) -> list[str]:
        """All arguments of gap_fit; those that are left out have no effect with one kind of labels."""
        energies = reference_energies(kept, self.elements, self.reference_energies)
        e0 = ":".join(f"{element}:{energy!r}" for element, energy in energies.items())
        return [
            f"at_file={STRUCTURES}",
            f"gp_file={GAP_FILE}",
            f"gap={{{' : '.join(self.terms(kept))}}}",
            f"default_sigma={{{' '.join(map(repr, self.sigmas))} 0.0}}",
            f"e0={{{e0}}}",
            f"sparse_jitter={self.jitter!r}",
            f"rnd_seed={seed}",
            "energy_parameter_name=ref_energy",
            "force_parameter_name=ref_forces",
            "virial_parameter_name=ref_virial",
            f"sigma_parameter_name={'none' if kept.weights is None else SIGMA}",
            "do_copy_at_file=F",
            "sparse_separate_file=T",
        ]

    def terms(self, kept: Dataset) -> list[str]:
        """gap_fit's text for each coordinate: SOAP by central element, distances by pair of elements."""
        n_sparse = self._n_sparse(kept)
        soap = [
            f"{nested(self.basis.settings(element))} n_sparse={n_sparse[element]} sparse_method={self.sparse_method} "
            f"covariance_type=dot_product zeta={self.zeta!r} delta={self.delta!r} add_species=F"
            for element in self.elements
        ]
        if self.n_sparse_2b == 0:
            return soap
        pairs = [(a, b) for i, a in enumerate(self.elements) for b in self.elements[i:]]
        return soap + [
            f"distance_2b cutoff={self.basis.r_cut!r} "
            f"cutoff_transition_width={self.basis.cutoff_transition_width!r} "
            f"Z1={atomic_numbers[a]} Z2={atomic_numbers[b]} n_sparse={self.n_sparse_2b} sparse_method=uniform "
            f"covariance_type=ard_se theta_uniform={self.theta_2b!r} delta={self.delta_2b!r} add_species=F"
            for a, b in pairs
        ]

    def _n_sparse(self, kept: Dataset) -> dict[str, int]:
        symbols = [symbol for atoms in kept.structures for symbol in atoms.get_chemical_symbols()]
        return {element: min(self.n_sparse, symbols.count(element)) for element in self.elements}


def write_structures(path: Path, kept: Dataset, r_cut: float, sigmas: tuple[float, float, float]) -> None:
    """extxyz with ref_energy, ref_forces and, where every component has a label, ref_virial = -V stress, 9 numbers.

    Labels that are missing, or of weight 0, are left out. Other weights become sigmas of the structure, in place of
    ``sigmas`` of energy, forces and virial (eV per atom, eV/Å, eV per atom). No key is called ``stress``: gap_fit would
    fit it without being asked.
    """
    frames = []
    for i, (atoms, weights) in enumerate(zip(kept.structures, kept.label_weights, strict=True)):
        frame = as_periodic(atoms, r_cut)
        if weights[0] > 0.0:
            frame.info["ref_energy"] = kept.energies[i]
        if weights[1] > 0.0:
            frame.arrays["ref_forces"] = kept.forces[i]
        if weights[2] > 0.0 and np.isfinite(kept.stresses[i]).all():
            frame.info["ref_virial"] = (-atoms.cell.volume * kept.stresses[i])[FULL_MATRIX].ravel()
        if kept.weights is not None:
            root = np.sqrt(
                len(atoms)
            )  # gap_fit multiplies by it what it is told for all structures, not these
            of_frame = (root * sigmas[0], sigmas[1], root * sigmas[2])
            for kind, sigma, weight in zip(("energy", "force", "virial"), of_frame, weights, strict=True):
                if weight > 0.0:
                    frame.info[f"{kind}_{SIGMA}"] = sigma / np.sqrt(weight)
        frames.append(frame)
    write(path, frames, format="extxyz", write_results=False)


class QuipCalculator(Calculator):
    """quippy's evaluation of a gap.xml: all properties in one pass; structures need not be periodic."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, path: Path, r_cut: float) -> None:
        super().__init__()
        self.engine, self.r_cut = quip_potential(path), r_cut

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Energy (eV), forces (eV/Å), stress (eV/Å³; only where the cell is periodic in all directions)."""
        super().calculate(atoms, properties, system_changes)
        boxed = in_vacuum(self.atoms, self.r_cut)
        whole = bool(self.atoms.pbc.all())
        with interruptible_quip():
            self.engine.calculate(boxed, ["energy", "forces", *(["stress"] if whole else [])])
        self.results = {name: self.engine.results[name] for name in ("energy", "free_energy", "forces")}
        if whole:
            self.results["stress"] = self.engine.results["stress"]


def nested(settings: str) -> str:
    """A descriptor's text as part of a longer one: lists keep their braces only if these are doubled."""
    return settings.replace("{", "{{").replace("}", "}}")


def read_gap(folder: Path) -> QuipCalculator:
    """Calculator of the gap.xml and its files of sparse points in ``folder``.

    Raises
    ------
    TamisError : a file is missing or damaged.
    """
    read_gap_xml(folder / GAP_FILE)
    read_elsewhere_first(_use_once, folder)
    return load_gap(folder)


def load_gap(folder: Path) -> QuipCalculator:
    """``read_gap`` for files that were written just now, without the other process."""
    path = folder / GAP_FILE
    settings = " ".join(node.text or "" for node in read_gap_xml(path).iter("descriptor"))
    cutoffs = [float(number) for number in re.findall(r"\bcutoff=([0-9.eE+-]+)", settings)]
    if not cutoffs:
        raise TamisError(f"{path} names no descriptor with a cutoff: gap_fit has not written it")
    return QuipCalculator(path, max(cutoffs))


def _use_once(folder: Path) -> None:
    numbers = {int(free_atom.get("Z", 0)) for free_atom in read_gap_xml(folder / GAP_FILE).iter("e0")}
    use_once(load_gap(folder), [chemical_symbols[number] for number in sorted(numbers)])
