"""What docs/engines.md says reads a potential's files does, and gives the energies and forces of the fit.

The table "Files and what reads them" is run as it stands: a line of Python is executed, a command is run, a line for
LAMMPS goes into an input. A line whose reader is not in READERS fails, and so does a call of a reader anywhere in the
README or the docs that is no line of the table.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from tests.families import small_model
from tests.training import labelled

from tamis.core.errors import MissingEngineError
from tamis.core.units import KCAL_PER_MOL_PER_EV
from tamis.engines.lammps import start_lammps
from tamis.models.base import Potential
from tamis.models.files import write_potential
from tamis.models.trainers.n2p2 import write_structures
from tamis.store import Store

TOP = Path(__file__).parents[2]
DOCS = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
ELEMENTS = ("Au", "Cu")
FREE_ATOMS = {"Cu": -50.0, "Au": -100.0}
ALLOY = ("dataset=file", "dataset.train=none", "dataset.elements=[Cu,Au]", "dataset.atom_spacing=2.3")
QUICK = {
    "ace": ("model.basis.n_functions_per_element=30",),
    "nnp": ("model.n_networks=1", "model.max_iterations=5"),
}
Answer = tuple[float, np.ndarray]
"""Energy, eV, and forces (n_atoms, 3), eV/Å."""


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    model: str
    reader: str
    typed: str


def lines() -> list[Line]:
    section = (
        (TOP / "docs" / "engines.md").read_text().split("## Files and what reads them")[1].split("\n## ")[0]
    )
    rows = [re.split(r" \| ", row.strip("| ")) for row in section.splitlines() if row.startswith("|")][2:]
    return [Line(model, reader, typed.strip("`")) for model, _, reader, typed in rows]


# ---- what is fitted


class ShiftedEMT(EMT):
    """The effective medium theory of Cu and Au, with free atoms as far down as all-electron codes have them."""

    def calculate(self, *arguments, **more) -> None:
        super().calculate(*arguments, **more)
        shift = sum(FREE_ATOMS[symbol] for symbol in self.atoms.get_chemical_symbols())
        for name in ("energy", "free_energy"):
            self.results[name] = self.results[name] + shift


def alloy(i: int, repeat: int = 1) -> Atoms:
    """Rattled, strained fcc with gold and copper at random, 4 atoms times ``repeat`` cubed."""
    rng = np.random.default_rng(i)
    atoms = bulk("Cu", "fcc", a=3.7 + 0.02 * (i % 8), cubic=True).repeat(repeat)
    atoms.symbols[:] = rng.choice(ELEMENTS, len(atoms))
    atoms.symbols[:2] = ELEMENTS
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.08, rng=rng)
    return atoms


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Potential, Path]]:
    """The potential of a model and the folder with its files, fitted once."""
    kept = labelled([alloy(i) for i in range(16)], ShiftedEMT())
    known: dict[str, tuple[Potential, Path]] = {}

    def fit(model: str) -> tuple[Potential, Path]:
        if model not in known:
            store = Store(tmp_path_factory.mktemp("store"), 1)
            made = small_model(model, *ALLOY, *QUICK.get(model, ()))
            made.prepare(kept, store)
            potential = made.fit(kept, kept.subset([]), store, np.random.default_rng(0))
            folder = tmp_path_factory.mktemp(model) / "potential"
            write_potential(potential, ELEMENTS, folder)
            known[model] = potential, folder
        return known[model]

    return fit


# ---- readers


def by_python(typed: str, folder: Path, atoms: Atoms) -> Answer:
    """A line that ends with an expression for a calculator, typed into Python in the folder."""
    program = [
        "import numpy",
        "from ase.io import read",
        "atoms = read('in.xyz')",
        *typed.split("; ")[:-1],
        f"atoms.calc = {typed.split('; ')[-1]}",
        "energy = numpy.ravel(atoms.get_potential_energy())[0]",
        "numpy.savetxt('answer', [[energy] * 3, *atoms.get_forces()], fmt='%.17g')",
    ]
    return _answer([sys.executable, "-c", "\n".join(program)], folder, atoms)


def by_lammps(typed: str, folder: Path, atoms: Atoms) -> Answer:
    """A line of a LAMMPS input."""
    lmp = start_lammps()
    write(folder / "atoms.data", atoms, format="lammps-data", specorder=list(ELEMENTS), masses=True)
    script = [
        "units metal",
        "atom_modify map array sort 0 0",
        f"read_data {folder / 'atoms.data'}",
        "thermo_modify norm no",
    ]
    path = folder / "in.run"
    path.write_text("\n".join([*script, f"shell cd {folder}", typed, "run 0", ""]))
    lmp.file(str(path))
    forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
    energy = lmp.get_thermo("pe")
    lmp.close()
    rotation = read(folder / "atoms.data", format="lammps-data").cell.array
    turned = np.linalg.solve(atoms.cell.array, rotation)  # LAMMPS wants a triangular cell
    return energy, forces @ turned.T


def by_chimescalc(typed: str, folder: Path, atoms: Atoms) -> Answer:
    cell = " ".join(f"{x:.16g}" for x in atoms.cell.array.ravel())
    rows = [
        f"{s} {x:.16g} {y:.16g} {z:.16g}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    ]
    (folder / "in.xyz").write_text("\n".join([str(len(atoms)), cell, *rows]) + "\n")
    said = _run(shlex.split(typed), folder).split("Success!")[-1].splitlines()
    energy = float(said[said.index("Energy (kcal/mol):    ") + 1])
    begin = said.index("Forces (kcal/mol/A): ") + 1
    forces = np.array([line.split() for line in said[begin : begin + len(atoms)]], dtype=float)
    return energy / KCAL_PER_MOL_PER_EV, forces / KCAL_PER_MOL_PER_EV


def by_nnp_predict(typed: str, folder: Path, atoms: Atoms) -> Answer:
    write_structures(folder / "input.data", labelled([atoms], ShiftedEMT()), np.zeros(1, dtype=bool), 6.0)
    _run(shlex.split(typed), folder)
    return _column(folder / "energy.out", "Ennp")[0], np.stack(
        [_column(folder / "nnforces.out", name) for name in ("fx", "fy", "fz")], axis=1
    )


def _column(path: Path, name: str) -> np.ndarray:
    comments = [line.lstrip("# ").split() for line in path.read_text().splitlines() if line[0] == "#"]
    header = [words for words in comments if name in words][-1]
    return np.loadtxt(path, ndmin=2)[:, header.index(name)]


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def _answer(command: list[str], folder: Path, atoms: Atoms) -> Answer:
    _run(command, folder)
    table = np.loadtxt(folder / "answer")
    return float(table[0, 0]), table[1:]


@dataclass(frozen=True)
class Reader:
    """How a line is run.

    digits: relative to the largest force, what the reader prints. style: the pair style of LAMMPS that it needs.
    program: that it needs, of those that users build by hand. slow: it has a fast test elsewhere.
    """

    run: Callable[[str, Path, Atoms], Answer]
    digits: float = 1e-8
    style: str = ""
    program: str = ""
    slow: bool = False

    @property
    def upstream(self) -> bool:
        return bool(self.program) or self.style not in ("", "snap")

    def skip_where_it_is_missing(self) -> None:
        if self.program and shutil.which(self.program) is None:
            pytest.skip(f"{self.program} is not on the PATH")
        if self.style:
            lmp = start_lammps()
            here = lmp.has_style("pair", self.style)
            lmp.close()
            if not here:
                pytest.skip(f"this LAMMPS has no pair_style {self.style}")


READERS = {
    "LAMMPS": Reader(by_lammps, style="snap"),
    "ASE's lammpslib": Reader(by_python, style="snap"),
    "python-ace": Reader(by_python),
    "quippy": Reader(by_python, 1e-5),  # weights of a million eV cancel
    "LAMMPS with ML-PACE": Reader(by_lammps, 1e-6, style="pace"),
    "LAMMPS with ML-QUIP": Reader(by_lammps, 1e-5, style="quip"),
    "chimes_calculator": Reader(by_chimescalc, 1e-5, program="chimescalc"),
    "LAMMPS with ML-HDNNP": Reader(by_lammps, 1e-6, style="hdnnp"),
    "tamis": Reader(by_python, 1e-5, slow=True),  # gap is read by quippy
    "n2p2": Reader(by_nnp_predict, 1e-6, program="nnp-predict"),
}


def marked(line: Line) -> object:
    upstream = line.reader in READERS and READERS[line.reader].upstream
    slow = line.reader in READERS and READERS[line.reader].slow
    marks = [pytest.mark.upstream] * upstream + [pytest.mark.slow] * slow
    return pytest.param(line, marks=marks, id=f"{line.model} by {line.reader}")


@pytest.mark.parametrize("line", map(marked, lines()))
def test_a_reader_gives_the_energies_and_forces_of_the_fit(line, fits, tmp_path):
    assert line.reader in READERS, f"no test knows how {line.reader} reads {line.model}"
    reader = READERS[line.reader]
    reader.skip_where_it_is_missing()
    try:
        potential, folder = fits(line.model)
    except MissingEngineError as error:
        pytest.skip(str(error))
    place = Path(shutil.copytree(folder, tmp_path / "potential"))
    atoms = alloy(40, repeat=2)
    write(place / "in.xyz", atoms, format="extxyz", columns=["symbols", "positions"], write_results=False)
    atoms = read(place / "in.xyz")  # as printed there
    energy, forces = reader.run(line.typed, place, atoms)
    atoms.calc = potential.calculator()
    expected = atoms.get_forces()
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=max(reader.digits, 1e-9))
    np.testing.assert_allclose(forces, expected, atol=reader.digits * np.abs(expected).max())
    # and that is the label: a missing free atom is 50 or 100 eV
    shift = sum(FREE_ATOMS[symbol] for symbol in atoms.get_chemical_symbols())
    assert abs(energy - shift) < 5.0 * len(atoms)


def test_the_table_has_a_line_for_every_model_and_lines_for_all_readers():
    table = lines()
    assert {line.model for line in table} == {"snap", "ace", "gap", "chimes", "nnp"}
    assert {line.reader for line in table} == set(READERS)


CALL = re.compile(
    r"`([^`\n]*\b(?:PyACECalculator|LAMMPSlib|Potential|nnp-predict|chimescalc|quip|include)[ (][^`]*)`"
)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_reader_is_called_outside_the_table(path):
    """So that every sentence that says what to type is one that the test above has run."""
    known = {line.typed for line in lines()}
    assert set(CALL.findall(path.read_text())) <= known


def test_the_b_basis_of_ace_lacks_free_atoms_and_says_them(fits, tmp_path):
    """Why the docs name ace.yace: python-ace has no place for them in ace.yaml but the metadata."""
    pyace = pytest.importorskip("pyace")
    potential, folder = fits("ace")
    atoms = alloy(40, repeat=2)
    atoms.calc = pyace.PyACECalculator(str(folder / "ace.yaml"))
    bare = float(np.ravel(atoms.get_potential_energy())[0])
    said = pyace.BBasisConfiguration(str(folder / "ace.yaml")).metadata
    free = sum(float(said[f"E0_{symbol}"]) for symbol in atoms.get_chemical_symbols())
    atoms.calc = potential.calculator()
    assert bare + free == pytest.approx(atoms.get_potential_energy(), rel=1e-9)
    assert abs(free) > 50 * len(atoms)
