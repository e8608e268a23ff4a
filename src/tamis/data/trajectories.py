"""Finds trajectories, whose frames are no independent test of each other, in sets with a drawn test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.data.dataset import Dataset

Array = NDArray[np.float64]

FEWEST_FRAMES = 5
"""Frames; the average over fewer says little."""
CORRELATED = 0.3
"""Correlation of displacements in successive frames; independent frames have less than 0.1."""
SAME_CELL = 0.1
"""Largest relative change of a cell's lengths between frames of one trajectory."""
FAR_MORE = 2.0
"""A test set this many times as large as asked for is reported."""


def doubts_of_test(dataset: Dataset, fraction: float) -> tuple[str, ...]:
    """Sentences on a drawn test set that is too large, empty, or not independent of training.

    Parameters
    ----------
    dataset : as ``tamis.data.dataset.draw_test`` gives it. fraction : of the structures, that was asked for.
    """
    n, whole = int(dataset.is_test.sum()), "blocks (dataset.block_key) are held out whole"
    if dataset.blocks_whole and fraction > 0.0 and n == 0:
        return (
            f"no structure is for testing, although dataset.test_fraction is {fraction:g}: {whole}, and no group has "
            "two; give another file as dataset.test, or set dataset.block_key=null",
        )
    if dataset.test_kind == "blocks" and n > FAR_MORE * fraction * len(dataset):
        return (
            f"{n} of {len(dataset)} structures are for testing, although dataset.test_fraction is {fraction:g}: "
            f"{whole}, and they are large; choose some with dataset.held_out, or give another file as dataset.test",
        )
    return _of_trajectories(dataset) if dataset.test_kind == "random" else ()


def _of_trajectories(dataset: Dataset) -> tuple[str, ...]:
    """A sentence if the test set is a random choice of frames of a trajectory."""
    found = trajectories(dataset.structures, dataset.groups)
    if not found:
        return ()
    first, last = (dataset.ids[i] for i in found[0])
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"the test set is a random choice of frames of one trajectory ({first} to {last}{more}): errors on it are too "
        "small for anything else; name the trajectories with dataset.block_key or dataset.block_from, or give another "
        "file as dataset.test",
    )


def trajectories(structures: Sequence[Atoms], groups: Sequence[str]) -> list[tuple[int, int]]:
    """First and last frame of each trajectory, as far as positions show it.

    Frames of one group are looked at first: independent frames before or behind a trajectory would hide it.
    """
    follows = _may_follow(structures) if len(structures) else []
    found = list(_runs(structures, groups, follows))
    if found or len(set(groups)) <= 1:
        return found
    return list(_runs(structures, [""] * len(structures), follows))


def _runs(
    structures: Sequence[Atoms], groups: Sequence[str], follows: Sequence[bool]
) -> Iterator[tuple[int, int]]:
    begin = 0
    for end in range(1, len(structures) + 1):
        if end == len(structures) or groups[end - 1] != groups[end] or not follows[end - 1]:
            if end - begin >= FEWEST_FRAMES and correlation(structures[begin:end]) > CORRELATED:
                yield begin, end - 1
            begin = end


def correlation(structures: Sequence[Atoms]) -> float:
    """Correlation of displacements from the average positions between each frame and the next; 0: nothing moves.

    Frames that were drawn independently about one crystal have about -1 / number of frames.
    """
    scaled = np.array([_relative_positions(atoms) for atoms in structures])
    steps = np.diff(scaled, axis=0)
    steps -= np.round(steps) * structures[0].pbc  # an atom that left the cell came in on the other side
    path = np.concatenate([np.zeros_like(scaled[:1]), np.cumsum(steps, axis=0)])
    moved = path - path.mean(axis=0)
    moved -= moved.mean(axis=1, keepdims=True)  # the whole crystal may drift
    if structures[0].pbc.any():
        moved = moved @ structures[0].cell.complete().array
    square = float(np.mean(moved**2))
    return float(np.mean(moved[1:] * moved[:-1])) / square if square > 1e-12 else 0.0


def _relative_positions(atoms: Atoms) -> Array:
    """Positions in units of the cell; in Å without one."""
    if not atoms.pbc.any():
        return np.asarray(atoms.positions)
    return np.asarray(np.linalg.solve(atoms.cell.complete().array.T, atoms.positions.T).T)


def _may_follow(structures: Sequence[Atoms]) -> list[bool]:
    """Whether the next structure may be the next frame, of each but the last; none with numbers that are not finite."""
    cells = np.array([atoms.cell.array for atoms in structures])
    whole = [a.cell.array if a.pbc.all() else a.cell.complete().array for a in structures]
    finite = np.isfinite([float(atoms.positions.sum()) for atoms in structures])
    with np.errstate(invalid="ignore"):
        sound = finite & (np.abs(np.linalg.det(whole)) >= 1e-6)
    lengths = np.maximum(np.abs(cells).max(axis=(1, 2)), 1e-9)
    alike = np.abs(np.diff(cells, axis=0)).max(axis=(1, 2)) <= SAME_CELL * lengths[:-1]
    return [
        may
        and len(one) == len(other)
        and bool((one.numbers == other.numbers).all() & (one.pbc == other.pbc).all())
        for may, one, other in zip(
            (sound[:-1] & sound[1:] & alike).tolist(), structures[:-1], structures[1:], strict=True
        )
    ]
