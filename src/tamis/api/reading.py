"""ASE calculators of potential files, whichever of the five families they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ase.calculators.calculator import Calculator

from tamis.core.errors import TamisError
from tamis.records.record import RECORD_FILE


def calculator(folder: str | Path, /) -> Calculator:
    """ASE's calculator of the potential whose files are in a folder, as a trial or ``write`` leaves them.

    tamis' own, but for ace and gap, which python-ace and quippy read.

    Parameters
    ----------
    folder : of a trial, or with the files of one family: SNAP's two, ace.yaml, gap.xml, params.txt or input.nn.

    Raises
    ------
    TamisError : there are none or those of several families, or they are damaged. MissingEngineError : python-ace or
    quippy is not installed.
    """
    place = Path(folder)
    if not place.is_dir():
        raise TamisError(f"{place} is no folder; give that of a trial, or of a potential's files")
    if (place / RECORD_FILE).is_file():
        place /= "potential"
    found = [read for pattern, read in READERS.items() if any(place.glob(pattern))]
    if len(found) != 1:
        raise TamisError(
            f"{place} has the files of {len(found)} families of potentials; one is needed: {', '.join(READERS)}."
            " Give a trial's folder, or the folder of a potential's files"
        )
    return found[0](place)


def _snap(folder: Path) -> Calculator:
    from tamis.bases.snap import read_snap

    basis, coefficients, offsets = read_snap(folder)
    return basis.calculator(coefficients, offsets)


def _ace(folder: Path) -> Calculator:
    from tamis.models.trainers.pacemaker import read_ace

    return read_ace(folder)


def _gap(folder: Path) -> Calculator:
    from tamis.models.trainers.gap_fit import read_gap

    return read_gap(folder)


def _chimes(folder: Path) -> Calculator:
    from tamis.models.trainers.chimes_lsq import read_chimes

    return read_chimes(folder)


def _nnp(folder: Path) -> Calculator:
    from tamis.models.nnp.potential import read_n2p2

    return read_n2p2(folder).calculator()


READERS: dict[str, Callable[[Path], Calculator]] = {
    "*.snapcoeff": _snap,
    "ace.yaml": _ace,
    "gap.xml": _gap,
    "params.txt": _chimes,
    "input.nn": _nnp,
}
"""A file that only one family has -> what reads its folder."""
