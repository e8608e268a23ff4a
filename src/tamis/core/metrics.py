"""All metrics: what they are called, in which unit they are, and which values are better.

A name is ``<stage>/<what>_<unit>``; a group of structures or an MD run follows after another slash, as in
``test/force_mae_eV_per_A/Surface``. No name stands anywhere else in the code.
"""

from __future__ import annotations

from enum import Enum

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SETS = (TRAIN, VALIDATION, TEST)
"""Parts of a data set on which errors are measured."""
TRANSFER = "transfer/"
"""Further sets on which the same potential is measured, each after its name."""
ENERGY_MAE, ENERGY_RMSE = "energy_mae_meV_per_atom", "energy_rmse_meV_per_atom"
FORCE_MAE, FORCE_RMSE = "force_mae_eV_per_A", "force_rmse_eV_per_A"
STRESS_MAE, STRESS_RMSE = "stress_mae_GPa", "stress_rmse_GPa"
RMSE_OF = {ENERGY_MAE: ENERGY_RMSE, FORCE_MAE: FORCE_RMSE, STRESS_MAE: STRESS_RMSE}
ENERGY_SHIFTED_MAE = "energy_shifted_mae_meV_per_atom"
"""Of a transfer set: without the mean error, since another calculation may have another zero."""
MAES = (ENERGY_MAE, FORCE_MAE, STRESS_MAE)
ERRORS = (ENERGY_MAE, ENERGY_RMSE, FORCE_MAE, FORCE_RMSE, STRESS_MAE, STRESS_RMSE)
"""Errors of a part; see ``error``."""

KEPT_STRUCTURES, KEPT_ATOMS = "kept/structures", "kept/atoms"
FRACTION_OF_STRUCTURES, FRACTION_OF_ATOMS = "kept/fraction_of_structures", "kept/fraction_of_atoms"
SIZES = (KEPT_STRUCTURES, KEPT_ATOMS, FRACTION_OF_STRUCTURES, FRACTION_OF_ATOMS)
"""How much a point of a learning curve keeps."""
PEAK_MEMORY = "memory/process_peak_MiB"
MEMORY, SECONDS, FIT = "memory/", "seconds/", "fit/"

PROPERTIES = "properties/"
LATTICE_CONSTANT = "lattice_constant_A"
LATTICE_LENGTH, LATTICE_ANGLE = "lattice_{}_A", "lattice_{}_deg"
"""Of a crystal that is not cubic."""
ENERGY_PER_ATOM = "energy_eV_per_atom"
EOS_VOLUME, EOS_BULK_MODULUS = "eos_volume_A3_per_atom", "eos_bulk_modulus_GPa"
EOS_DERIVATIVE = "eos_bulk_modulus_derivative"
EOS_MINIMA, EOS_CONCAVE = "eos_extra_minima", "eos_concave_points"
ELASTIC_CONSTANT = "elastic_C{}_GPa"
C11, C12, C44 = "elastic_C11_GPa", "elastic_C12_GPa", "elastic_C44_GPa"
BULK_MODULUS, SHEAR_MODULUS = "elastic_bulk_modulus_GPa", "elastic_shear_modulus_GPa"
YOUNGS_MODULUS, POISSON_RATIO = "elastic_youngs_modulus_GPa", "elastic_poisson_ratio"
UNSTABLE_MODES = "elastic_unstable_modes"
PHONON_LOWEST, PHONON_HIGHEST = "phonon_{}_lowest_THz", "phonon_{}_highest_THz"
"""At a special point of the Brillouin zone."""
PHONON_IMAGINARY = "phonon_imaginary_percent"
SURFACE, SURFACE_UNRELAXED = "surface_{}_J_per_m2", "surface_{}_unrelaxed_J_per_m2"
"""Of the plane with these Miller indices."""
VACANCY_UNRELAXED, VACANCY_FORMATION = "vacancy_formation_unrelaxed_eV", "vacancy_formation_eV"
VACANCY_MIGRATION = "vacancy_migration_eV"
VACANCY_UNRELAXED_OF = "vacancy_{}_formation_unrelaxed_eV"
VACANCY_FORMATION_OF = "vacancy_{}_formation_eV"
"""Of the atoms of this element in a compound."""
WALL = "wall_{}_percent"
"""Of the dimer or the crystal: how near atoms come before the energy no longer rises."""
PROPERTIES_FAILED = "properties/failed"

MD = "md/"
STABLE_FRACTION, STEPS, TIME_TO_FAILURE = "md/stable_fraction", "md/steps", "md/time_to_failure_ps"
MD_FAILURES, MD_FAILURES_OF_CAUSE = "md/failures", "md/failures_{}"
OUT_OF_TIME, MS_PER_STEP = "md/out_of_time", "md/ms_per_step"
HEATING_FAILURE, COMPRESSION_FAILURE = "md/heating_failure_K", "md/compression_failure_volume_ratio"
"""Where a ramp failed; of one that survived its end, which is a bound only."""
RAMP_SURVIVED, RAMP_OUT_OF_TIME = "md/{}_survived", "md/{}_out_of_time"
RDF_ERROR = "md/rdf_error"
MD_VOLUME, MD_VOLUME_ERROR = "md/volume_A3_per_atom", "md/volume_error_percent"
DIFFUSION, DIFFUSION_ERROR = "md/diffusion_A2_per_ps", "md/diffusion_error_percent"
NVE_DRIFT = "md/nve_drift_meV_per_atom_per_ps"
OUTSIDE_KEPT = "md/outside_kept_{}_space_fraction"
"""In the common space, or in that of the model's own descriptor."""


class Better(Enum):
    """Which of two values of a metric is better."""

    LOWER = "the lower one"
    HIGHER = "the higher one"
    NEARER_TO_ZERO = "the one nearer to zero"
    NEITHER = "neither: the metric describes, or has a reference"


UNITS = {
    "meV_per_atom_per_ps": "meV/atom/ps",
    "meV_per_atom": "meV/atom",
    "eV_per_atom": "eV/atom",
    "eV_per_A": "eV/Å",
    "A3_per_atom": "Å³/atom",
    "A2_per_ps": "Å²/ps",
    "J_per_m2": "J/m²",
    "percent": "%",
    "GPa": "GPa",
    "THz": "THz",
    "MiB": "MiB",
    "eV": "eV",
    "deg": "°",
    "ms_per_step": "ms/step",
    "ps": "ps",
    "K": "K",
    "per_A": "1/Å",
    "A": "Å",
}
"""Unit at the end of a name -> how it is written; a longer one comes before those that it ends with."""
METRICS = {
    Better.LOWER: (
        *(
            *ERRORS,
            ENERGY_SHIFTED_MAE,
            PEAK_MEMORY,
            SECONDS + "{}",
            EOS_MINIMA,
            EOS_CONCAVE,
            UNSTABLE_MODES,
            PHONON_IMAGINARY,
            WALL,
        ),
        *(PROPERTIES_FAILED, MD_FAILURES, MD_FAILURES_OF_CAUSE, OUT_OF_TIME, MS_PER_STEP, RDF_ERROR),
        *(COMPRESSION_FAILURE, RAMP_OUT_OF_TIME),
        OUTSIDE_KEPT,
    ),
    Better.HIGHER: (STABLE_FRACTION, STEPS, TIME_TO_FAILURE, HEATING_FAILURE, RAMP_SURVIVED),
    Better.NEARER_TO_ZERO: (MD_VOLUME_ERROR, DIFFUSION_ERROR, NVE_DRIFT),
    Better.NEITHER: (
        *(*SIZES, FIT + "{}", MD_VOLUME, DIFFUSION, LATTICE_CONSTANT, LATTICE_LENGTH, LATTICE_ANGLE),
        *(ENERGY_PER_ATOM, EOS_VOLUME),
        *(EOS_BULK_MODULUS, EOS_DERIVATIVE, ELASTIC_CONSTANT, BULK_MODULUS, SHEAR_MODULUS, YOUNGS_MODULUS),
        *(POISSON_RATIO, PHONON_LOWEST, PHONON_HIGHEST, SURFACE, SURFACE_UNRELAXED, VACANCY_UNRELAXED),
        *(VACANCY_FORMATION, VACANCY_MIGRATION, VACANCY_UNRELAXED_OF, VACANCY_FORMATION_OF),
    ),
}
"""All metrics by direction: errors without their part, properties without their prefix."""


def error(part: str, quantity: str) -> str:
    """Name of an error, one of ``ERRORS``, on a part of the data set."""
    return f"{part}/{quantity}"


def of_group(name: str, group: str) -> str:
    """Name of a metric for one group of structures, or one MD run."""
    return f"{name}/{group}"


def is_of_group(name: str) -> bool:
    """Whether this is the error of one group of structures."""
    if name.startswith(TRANSFER):
        return name.count("/") > 2
    return name.startswith(tuple(f"{part}/" for part in SETS)) and name.count("/") > 1


def is_of_test(name: str) -> bool:
    """Whether this is an error on the test set or a transfer set, by which nothing may be chosen."""
    return name.startswith((f"{TEST}/", TRANSFER))


def transfer(name: str) -> str:
    """The part of the transfer set of that name."""
    return f"{TRANSFER}{name}"


def seconds(stage: str) -> str:
    """Name of the wall time of a stage of a trial."""
    return f"{SECONDS}{stage}"


def diagnostic(name: str) -> str:
    """Name of what a fit tells about itself."""
    return f"{FIT}{name}"


def measured_property(name: str) -> str:
    """Full name of a property."""
    return f"{PROPERTIES}{name}"


IN_PERCENT = ("A3_per_atom", "J_per_m2", "GPa", "THz", "A")
"""Units of properties that are compared by their relative error."""
AS_IT_IS = ("eV_per_atom", "eV", "deg")
"""Units of properties that have no natural zero, or may be near it: they are compared by the difference."""


def property_error(name: str, value: float, reference: float) -> tuple[str, float] | None:
    """Name and value of a property's error; None for counts and the like, whose right value is known."""
    for unit in (*IN_PERCENT, *AS_IT_IS):
        if name.endswith(f"_{unit}"):
            what = name.removesuffix(f"_{unit}")
            if unit in AS_IT_IS:
                return f"{what}_error_{unit}", value - reference
            return f"{what}_error_percent", 100.0 * (value / reference - 1.0)
    return None


def is_property_error(name: str) -> bool:
    """Whether this is the error of a property, and not its value."""
    return name.startswith(PROPERTIES) and "_error_" in name


def property_of_error(name: str) -> str:
    """The property that this is the error of, without its unit."""
    return name.removeprefix(PROPERTIES).partition("_error_")[0]


def unit_of(name: str) -> str:
    """The unit in a metric's name, as tables write it; empty where there is none."""
    if name.startswith(SECONDS):
        return "s"
    whole = "/".join(name.removeprefix(TRANSFER).split("/")[:2])
    return next((text for unit, text in UNITS.items() if whole.endswith((f"_{unit}", f"/{unit}"))), "")
