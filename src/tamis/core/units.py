"""Units: the only place that converts.

Inside tamis lengths are Å, energies eV, forces eV/Å, stresses eV/Å³ in ASE's sign (positive in tension) and
Voigt order xx yy zz yz xz xy. Where a value leaves the program its name carries the unit.
"""

import ase.units

GPA_PER_EV_PER_A3 = 1.0 / ase.units.GPa
"""GPa in one eV/Å³ (CODATA through ASE)."""

EV_PER_A3_PER_KBAR = 0.1 * ase.units.GPa
"""eV/Å³ in one kbar."""

MEV_PER_EV = 1000.0

FS_PER_PS = 1000.0

J_PER_M2_PER_EV_PER_A2 = 16.02176634
"""J/m² in one eV/Å², exact since 2019."""

BAR_PER_EV_PER_A3_IN_LAMMPS = 1.6021765e6
"""Bar in one eV/Å³ by LAMMPS' metal units (its ``nktv2p``; CODATA differs in the eighth digit)."""

KCAL_PER_MOL_PER_EV = 1.602176634e-19 * 6.02214076e23 / 4184.0
"""kcal/mol in one eV, exact since 2019 (the constants of older CODATA sets differ in the ninth digit)."""

KJ_PER_KCAL = 4.184

A_PER_BOHR = ase.units.Bohr
"""Å in one Bohr radius (CODATA 2014 through ASE, as in the files that ASE converts)."""

EV_PER_HARTREE = ase.units.Hartree
"""eV in one Hartree (CODATA 2014 through ASE)."""

EV_PER_RYDBERG = ase.units.Rydberg
"""eV in one Rydberg (CODATA 2014 through ASE)."""
