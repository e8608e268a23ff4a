"""Potentials and calculators with known faults, which a child process can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from tamis.data.sources.stillinger_weber import R_CUT, pair_lines
from tamis.engines.lammps import LammpsCalculator
from tamis.models.base import Potential


@dataclass(frozen=True, eq=False)
class PairStyle(Potential):
    """A pair style with its files outside."""

    commands: tuple[str, ...]
    native: bool = True

    def calculator(self) -> Calculator:
        return LammpsCalculator(self.commands, ("Si",), R_CUT)

    def write(self, folder: Path) -> list[Path]:
        return []

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        return self.commands if self.native else None


@dataclass(frozen=True, eq=False)
class Faulty(Potential):
    """No forces for some calls, then a fault: nan, raise, sleep, kill."""

    fault: str
    calls: int

    def calculator(self) -> Calculator:
        return FaultyCalculator(self.fault, self.calls)

    def write(self, folder: Path) -> list[Path]:
        return []

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        return None


class FaultyCalculator(Calculator):
    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, fault: str, calls: int) -> None:
        super().__init__()
        self.fault, self.left = fault, calls

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)) -> None:
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(self.atoms), 3))
        self.left -= 1
        if self.left < 0:
            if self.fault == "nan":
                forces[0, 0] = np.nan
            elif self.fault == "raise":
                raise RuntimeError("the engine is broken")
            elif self.fault == "sleep":
                time.sleep(3600)
            elif self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        self.results = {"energy": 0.0, "forces": forces, "stress": np.zeros(6)}


def stillinger_weber(folder: Path) -> PairStyle:
    return PairStyle(pair_lines(folder))


def with_hole(folder: Path) -> PairStyle:
    """Stillinger-Weber with a well of 20 eV at 1.7 Å, in the wall that it has there."""
    _, line = pair_lines(folder)
    depth, width = 20.0, 0.15
    return PairStyle(
        (
            "pair_style hybrid/overlay sw gauss/cut 3.0",
            line.replace("* * ", "* * sw "),
            f"pair_coeff 1 1 gauss/cut {-depth * width * np.sqrt(2.0 * np.pi)} 1.7 {width}",
        )
    )
