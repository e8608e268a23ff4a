"""Samples of crystals, and calculators that are wrong on purpose; child processes import them from here."""

import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from tamis.data.crystal import Crystal
from tamis.data.sources.stillinger_weber import calculator as stillinger_weber
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.relaxation import StoppingCriteria
from tamis.models.base import Potential

SILICON = Crystal(structure="diamond", element="Si", a=5.5)
COPPER = Crystal(structure="fcc", element="Cu", a=3.6)
TIGHT = StoppingCriteria(fmax=1e-5, max_steps=100, max_displacement=0.5)
LOOSE = StoppingCriteria(fmax=0.005, max_steps=200, max_displacement=1.5)


def sw_sample(folder: Path, crystal: Crystal = SILICON) -> Sample:
    return Sample(crystal, stillinger_weber(folder))


def emt_sample(crystal: Crystal = COPPER) -> Sample:
    return Sample(crystal, EMT())


def all_of(measured: Property, sample: Sample) -> Measured:
    total = Measured()
    for part in measured.measure(sample):
        total = total.plus(part)
    return total


class Constant(Calculator):
    """The same energy for everything; NaN for instance. No forces, no stress."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, energy: float, force: float = 0.0) -> None:
        super().__init__()
        self.energy, self.force = energy, force

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(self.atoms), 3))
        forces[0, 0] = self.force
        self.results = {"energy": self.energy, "forces": forces, "stress": np.zeros(6)}


@dataclass(frozen=True, eq=False)
class Given(Potential):
    """A potential that is a calculator."""

    inner: Calculator

    def calculator(self) -> Calculator:
        return self.inner

    def write(self, folder: Path) -> list[Path]:
        return []

    def lammps(self, folder: Path) -> None:
        return None


@dataclass(frozen=True)
class Crashing(Property):
    """Takes its process with it, after something was found."""

    def measure(self, sample: Sample) -> Iterator[Measured]:
        yield Measured({"before_eV": 1.0})
        crash(0)


@dataclass(frozen=True)
class Hanging(Property):
    """Never ends, after something was found."""

    def measure(self, sample: Sample) -> Iterator[Measured]:
        yield Measured({"before_hanging_eV": 1.0})
        time.sleep(1000.0)


@dataclass(frozen=True)
class Easy(Property):
    """One value, and one that is not finite on request."""

    value: float

    def measure(self, sample: Sample) -> Iterator[Measured]:
        yield Measured({"easy_eV": self.value, "easy_GPa": 2.0})


@dataclass(frozen=True)
class InProcess(Property):
    """The number of its process and of its calculator; fails afterwards on request."""

    fails: bool = False

    def measure(self, sample: Sample) -> Iterator[Measured]:
        yield Measured({"process_eV": os.getpid(), "calculator_eV": id(sample.calculator)})
        if self.fails:
            raise PropertyError("as asked for")


def count(n: int) -> Iterator[int]:
    yield from range(n)


def hang(n: int) -> Iterator[int]:
    yield n
    time.sleep(1000.0)


def crash(n: int) -> Iterator[int]:
    ctypes.string_at(n)


def crash_later(n: int) -> Iterator[int]:
    yield n
    crash(0)


def fail(n: int) -> Iterator[int]:
    yield n
    raise ZeroDivisionError("nothing to divide by")


def slowly(pause: float) -> Iterator[float]:
    for _ in range(4):
        time.sleep(pause)
        yield pause


def process_id(_: None) -> Iterator[int]:
    yield os.getpid()
