"""Files of potentials: params.txt, n2p2's three, gap.xml with its points, SNAP's two, python-ace's yaml."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from tests.composing import composed
from tests.fuzz.kinds import Kind, WrongAnswer
from tests.fuzz.mutate import NUMBER, Rng, pick, spoiled

from tamis.bases.base import LinearBasis
from tamis.core.errors import TamisError

Files = Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class Format:
    """files: of a good potential. read: what the program makes of a folder with such files. calculator: of that."""

    files: Files
    read: Callable[[Path], Any]
    calculator: Callable[[Any], Calculator]
    energy: float = np.nan


def silicon() -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def linear_basis(*overrides: str) -> LinearBasis:
    from hydra.utils import instantiate

    basis: LinearBasis = instantiate(composed(*overrides).descriptor, _convert_="all")
    return basis


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def written(folder: Path, basis: LinearBasis) -> Files:
    """The files of a basis with made-up coefficients."""
    place = folder / "good"
    place.mkdir()
    rng = np.random.default_rng(3)
    basis.write(place, 0.01 * rng.normal(size=basis.n_features), rng.normal(size=len(basis.elements)))
    return files_in(place)


def finished(form: Format, folder: Path) -> Format:
    """With the energy of the good potential; its calculator is compiled on the way."""
    place = folder / "unchanged"
    place.mkdir()
    for name, data in form.files.items():
        (place / name).write_bytes(data)
    return dataclasses.replace(form, energy=energy_of(form.calculator(form.read(place))))


def energy_of(calculator: Calculator) -> float:
    """Of the test structure; an error of ours where it is not finite, as ``tamis.trial`` has it."""
    energy = float(calculator.get_property("energy", silicon()))
    if not np.isfinite(energy) or not np.isfinite(calculator.get_property("forces", silicon())).all():
        raise TamisError("not finite")
    return energy


def run_spoiled(rng: Rng, form: Format, folder: Path) -> None:
    """One file of the potential is spoiled, or missing, or another's."""
    files = dict(form.files)
    name = pick(rng, sorted(files))
    how = rng.random()
    if how < 0.94:
        files[name] = spoiled(rng, files[name])
    elif how < 0.97:
        del files[name]
    else:
        files[name] = files[pick(rng, sorted(files))]
    energy = evaluated(form, files, folder)
    if files == form.files and not np.isclose(energy, form.energy, rtol=1e-9):
        raise WrongAnswer("the energy of the good potential has changed")


def evaluated(form: Format, files: Files, folder: Path) -> float:
    place = folder / "potential"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, data in files.items():
        (place / name).write_bytes(data)
    return energy_of(form.calculator(form.read(place)))


def run_number(rng: Rng, form: Format, folder: Path) -> None:
    """A coefficient that becomes twice as large changes the energy, or is refused."""
    name = pick(rng, sorted(form.files))
    data = form.files[name]
    numbers = [
        one for one in NUMBER.finditer(data) if is_coefficient(one[0]) and counts(name, data, one.start())
    ]
    if not numbers:
        raise TamisError("no coefficient in this file")
    one = pick(rng, numbers)
    changed = f"{2.0 * float(one[0]):.17g}".encode()
    files = {**form.files, name: data.replace(one[0], changed)}  # equal ones may have to stay equal
    energy = evaluated(form, files, folder)
    if energy == form.energy:
        line = data[: one.end()].splitlines()[-1].decode() + " ..."
        raise WrongAnswer(f"{name}: {line!r} with {changed!r} gives the same energy")


def is_coefficient(text: bytes) -> bool:
    """A fitted number, with many digits, and not so small that its change is lost in rounding."""
    return len(re.sub(rb"[eE].*|\D", b"", text)) > 9 and abs(float(text)) > 1e-4


def counts(name: str, data: bytes, place: int) -> bool:
    """Not where a number has no say: penalties of near atoms, ranges where sigma scales, metadata of python-ace."""
    begin = data.rfind(b"\n", 0, place) + 1
    column = len(data[begin:place].split())
    return not {b"PENALTY", b"E0_Si:"} & set(data[begin:place].split()) and not (
        name == "scaling.data" and column in (2, 3)
    )


# the formats


def chimes(folder: Path) -> Format:
    from tamis.bases.chimes.reader import read_params

    orders = (
        "descriptor.order_2b=5",
        "descriptor.order_3b=3",
        "descriptor.order_4b=2",
        "descriptor.r_cut_4b=4.2",
    )
    files = written(folder, linear_basis("descriptor=chimes", *orders))
    form = Format(
        files, lambda place: read_params(place / "params.txt"), lambda found: found[0].calculator(*found[1:])
    )
    return finished(form, folder)


def snap(folder: Path) -> Format:
    from tamis.bases.snap import read_snap

    files = written(folder, linear_basis("descriptor.twojmax=4"))
    return finished(Format(files, read_snap, lambda found: found[0].calculator(*found[1:])), folder)


def nnp(folder: Path) -> Format:
    from tamis.models.nnp.files import read_n2p2, write_n2p2
    from tamis.models.nnp.network import Network, n_parameters
    from tamis.models.nnp.potential import NnpPotential
    from tamis.models.nnp.scaling import Scaling

    table = linear_basis("descriptor=acsf", "descriptor.angular_zeta=[1.0,4.0]").table  # type: ignore[attr-defined]
    rng, m = np.random.default_rng(4), len(table.functions)
    spread = rng.uniform(0.5, 1.5, size=m)
    shape = (m, 4, 1)
    potential = NnpPotential(
        table=table,
        scalings=(Scaling("sigma", 0.1 * spread, 0.1 * spread + spread, 0.3 * spread, spread),),
        networks=(Network(shape, "tl", rng.normal(size=n_parameters(shape))),),
        offsets=np.array([-3.123456789012]),
    )
    place = folder / "good"
    place.mkdir()
    write_n2p2(place, potential)
    return finished(Format(files_in(place), read_n2p2, lambda found: found.calculator()), folder)


def gap(folder: Path) -> Format:
    from tamis.bases.gap.files import pair_term, soap_term, write_gap
    from tamis.bases.soap import SoapBasis
    from tamis.models.trainers.gap_fit import read_gap

    soap = SoapBasis(("Si",), 4.0, 3, 2, 0.5, 0.5)
    points = soap.values(silicon())[:4]
    place = folder / "good"
    place.mkdir()
    rng = np.random.default_rng(5)
    pair = pair_term(
        "distance_2b cutoff=4.0 cutoff_transition_width=1.0 Z1=14 Z2=14",
        np.array([[2.1234567890123], [2.6234567890123], [3.1234567890123]]),
        0.1 * rng.normal(size=3),
        np.array([1.0, 1.0, 0.9]),
        0.5,
    )
    write_gap(
        place, [soap_term(soap.settings("Si"), points, rng.normal(size=4), 2), pair], {"Si": -3.123456789012}
    )
    return finished(Format(files_in(place), read_gap, lambda found: found), folder)


def ace(folder: Path) -> Format:
    from tamis.models.trainers.pacemaker import OFFSETS, POTENTIAL, read_ace

    small = ("descriptor=ace", "descriptor.n_functions_per_element=12", "descriptor.spline_spacing=0.01")
    files = {
        POTENTIAL: written(folder, linear_basis(*small))["ace.yaml"],
        OFFSETS: b'{"Si": -3.123456789012}',
    }
    return finished(Format(files, read_ace, lambda found: found), folder)


KINDS = tuple(
    Kind(f"{name} {what}", form, run, share)
    for name, form, share in (
        ("chimes", chimes, 2.5),
        ("snap", snap, 2.5),
        ("n2p2", nnp, 2.5),
        ("gap", gap, 0.2),  # each case starts a process
        ("ace", ace, 0.2),
    )
    for what, run, share in (("files", run_spoiled, share), ("numbers", run_number, share / 6))
)
