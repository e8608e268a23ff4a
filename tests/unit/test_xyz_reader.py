"""Extended XYZ is read as ASE reads it, whatever stands in the header, but for what ASE loses without a word."""

import gzip
from io import StringIO
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.core.errors import TamisError
from tamis.data.readers.reader import Results
from tamis.data.readers.xyz import Block, blocks, read_xyz, usual_frame

WORDS = (
    "bulk",
    "T",
    "F",
    "true",
    "3",
    "-7",
    "2.5",
    "1e-3",
    "-.5",
    "nan",
    "inf",
    "1_000",
    "07",
    "1d5",
    "T F T",
    "1 2 3",
    "1 2.5",
    "0.1,0.2",
    "a b",
    "1 a",
    "  ",
    "_JSON [1, 2]",
    '_JSON {\\"a\\": 1}',
    "{1 2}",
    "[3 4]",
    "'x y'",
    "a=b",
    "é",
    "1" * 25,
    "+3",
    "1e999",
    "T,F",
    "uid",
)
KEYS = (
    "energy",
    "free_energy",
    "stress",
    "virial",
    "dipole",
    "magmom",
    "config_type",
    "my key",
    "uid",
    "pbc",
    "REF_energy",
    "charge",
    "Lattice",
    "a-b",
    "9x",
    "forces",
)
COLUMNS = (
    "species:S:1:pos:R:3",
    "species:S:1:pos:R:3:forces:R:3",
    "Z:I:1:pos:R:3",
    "pos:R:3:species:S:1",
    "species:S:1:pos:R:3:tag:I:1:ok:L:1:name:S:1",
    "species:S:1:pos:R:3:move_mask:L:1",
    "species:S:1:pos:R:3:charge:R:1",
    "species:S:1:pos:R:3:two:I:2:flags:L:3",
    "species:S:1",
    "pos:R:3",
    "species:S:1:pos:R:3:forces:R",
    "species:S:1:pos:R:3:magmoms:R:1:masses:R:1",
    "species:S:1:pos:R:3:pos:R:3",
    "species:S:1:pos:I:3",
    "species:S:1:pos:R:3:bad:X:1",
    "species:S:1:pos:R:3:numbers:I:1",
    "species:S:1:pos:R:3:initial_charges:R:1",
)
NINE = (
    '"4 0 0 0 4 0 0 0 4"',
    '"3.9 0 0 0.1 4 0 0 0 4.2"',
    '"4,0,0,0,4,0,0,0,4"',
    '"4 0 0"',
    '"4 0 0 0 x 0 0 0 4"',
    "{4 0 0 0 4 0 0 0 4}",
)


def same(one: object, other: object) -> bool:
    """Equal, with the same type; NaN equals NaN."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
        )
    return type(one) is type(other) and (one == other or (one != one and other != other))


def check(ours: Atoms, theirs: Atoms) -> None:
    for name in ("positions", "numbers", "pbc"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(ours.cell.array, theirs.cell.array)
    results = [{} if one.calc is None else dict(one.calc.results) for one in (ours, theirs)]
    for mine, yours in ((ours.info, theirs.info), (ours.arrays, theirs.arrays), results):
        assert mine.keys() == yours.keys()
        assert all(same(mine[key], yours[key]) for key in mine), (mine, yours)


def values(draw: st.DrawFn, odd: bool) -> str:
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        key = draw(
            st.sampled_from(KEYS if odd else ("energy", "free_energy", "config_type", "REF_energy", "a-b"))
        )
        word = draw(
            st.sampled_from(WORDS if odd else (*WORDS[:9], "T F T", "1 2 3", "0.1,0.2", "a b", "+3", "T,F"))
        )
        ways = ["{}={}", '{}="{}"', "{}= {}", "{}", "{}={}{}"]
        parts.append(
            draw(st.sampled_from(ways if odd or " " not in word else ways[1:2])).format(key, word, word)
        )
    for key in ("Lattice", draw(st.sampled_from(["stress", "virial"]))):
        if draw(st.booleans()):
            parts.append(f"{key}={draw(st.sampled_from(NINE if odd else NINE[:3]))}")
    if draw(st.booleans()):
        parts.append(
            f"pbc={draw(st.sampled_from(['T', 'F', QUOTED, '1', QUOTED.lower()] if odd else ['F', QUOTED]))}"
        )
    return " ".join(draw(st.permutations(parts)))


QUOTED = '"T F T"'
CELLS = {
    "S": ("Cu", "cu", "Zz", "O"),
    "R": ("0.5", "1", "-2e-1", "x", "nan"),
    "I": ("1", "29", "2.0", "99999999999"),
    "L": ("T", "F", "True", "0"),
}


@st.composite
def frames(draw: st.DrawFn) -> str:
    """One frame that a program or, where it is odd, nobody would write."""
    odd, row_odd = draw(st.sampled_from([False, False, True])), draw(st.sampled_from([False, False, True]))
    columns = draw(st.sampled_from(COLUMNS if row_odd else COLUMNS[:5] + COLUMNS[6:8]))
    named = columns != COLUMNS[0] or draw(st.booleans())
    comment = f"{values(draw, odd)} {f'Properties={columns}' if named else ''}"
    fields = columns.split(":")
    kinds = [kind for kind, n in zip(fields[1::3], fields[2::3], strict=False) for _ in range(int(n))]
    n_atoms = draw(st.integers(1, 3))
    rows = []
    for _ in range(n_atoms):
        words = [draw(st.sampled_from(CELLS.get(kind, ("0",))[: None if row_odd else 2])) for kind in kinds]
        words += ["7"] * (row_odd and draw(st.booleans()))
        rows.append(" ".join(words[: 2 if row_odd and draw(st.booleans()) else None]))
    return "\n".join([str(n_atoms), comment, *rows]) + "\n"


@settings(derandomize=True, max_examples=600, deadline=None, database=None)
@given(frames())
def test_any_frame_is_read_as_ase_reads_it_or_left_to_it(text):
    (block,) = blocks(iter(text.splitlines(keepends=True)))
    ours = usual_frame(block)
    if ours is not None:
        check(ours, ase.io.read(StringIO(text), format="extxyz"))


def labelled() -> list[Atoms]:
    """What ASE itself writes: results, arrays of all kinds, texts, JSON, truth values."""
    made = []
    for i in range(4):
        atoms = bulk("NaCl", "rocksalt", a=5.6 + 0.01 * i) * (1, 1, i + 1)
        n, rng = len(atoms), np.random.default_rng(i)
        atoms.pbc = [True, i != 1, True]
        atoms.set_array("tags", np.arange(n))
        atoms.set_array("ok", rng.random(n) > 0.5)
        atoms.set_array("name", np.array([f"atom{k}" for k in range(n)]))
        atoms.info |= {
            "config_type": "bulk",
            "step": i,
            "x": 0.1 * i,
            "done": True,
            "v": np.arange(3.0),
            "text": "a b",
        }
        atoms.info |= {"flags": np.array([True, False]), "virial": rng.normal(size=(3, 3))}
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-1.5 * i,
            forces=rng.normal(size=(n, 3)),
            stress=rng.normal(size=6),
            magmoms=np.ones(n),
        )
        made.append(atoms)
    return made


@pytest.mark.parametrize("name", ["set.xyz", "set.xyz.gz"])
def test_what_ase_writes_is_read_without_it_and_the_same(tmp_path, name):
    ase.io.write(tmp_path / "plain.xyz", labelled(), format="extxyz")
    data = (tmp_path / "plain.xyz").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    ours, theirs = list(read_xyz(tmp_path / name)), ase.io.read(tmp_path / "plain.xyz", ":")
    assert len(ours) == len(theirs) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert isinstance(one.calc, Results)
        check(one, other)


@pytest.mark.parametrize(
    "comment",
    [
        'Lattice="4 0 0 0 4 0 0 0 4" note="it is \\"quoted\\"" energy=-1.0',
        'Lattice="4 0 0 0 4 0 0 0 4" parts="_JSON [[1, 2], [3, 4]]" energy=-1.0',
        "Lattice={4 0 0 0 4 0 0 0 4} energy=-1.0",
        "Lattice=[4 0 0 0 4 0 0 0 4] note='in quotes' energy = -1.0",
        'Lattice="4 0 0 0 4 0 0 0 4" uid=123 energy=nan',
    ],
)
def test_what_is_unusual_is_left_to_ase(tmp_path, comment):
    path = tmp_path / "set.xyz"
    path.write_text(f"1\n{comment}\nCu 0 0 0\n" * 2)
    assert usual_frame(Block("1\n", comment, ["Cu 0 0 0\n"], [])) is None
    for one, other in zip(read_xyz(path), ase.io.read(path, ":"), strict=True):
        check(one, other)


def test_cell_vectors_behind_a_frame_are_read(tmp_path):
    path = tmp_path / "set.xyz"
    path.write_text("1\nfrom ADF\nCu 0 0 0\nVEC1 4 0 0\nVEC2 0 5 0\n" * 2)
    found = list(read_xyz(path))
    assert len(found) == 2 and found[1].pbc.tolist() == [True, True, False] and found[1].cell[1, 1] == 5.0


@pytest.mark.parametrize("gap", ["\n", "  \n\n"])
def test_frames_behind_an_empty_line_are_not_lost_without_a_word(tmp_path, gap):
    frame, path = "1\nenergy=-1.0\nCu 0 0 0\n", tmp_path / "set.xyz"
    path.write_text(frame + frame + gap)
    assert len(list(read_xyz(path))) == 2
    path.write_text(frame + gap + frame)
    assert len(ase.io.read(path, ":")) == 1
    with pytest.raises(
        TamisError, match="frame 1 or later, cannot be read .more lines stand behind an empty one"
    ):
        list(read_xyz(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n\nCu 0 0 0\n", "frame 0 or later, .*it says 2 atoms, and 2 lines follow"),
        ("1\n\nCu 0 0 0\n3\n\nCu 0 0 0\n", "frame 1 or later, .*it says 3 atoms, and 2 lines follow"),
        ("1\n\nCu 0 0 0", "it does not end with a whole line"),
    ],
)
def test_a_cut_file_is_refused_with_the_frame(tmp_path, text, message):
    path = tmp_path / "set.xyz"
    path.write_text(text)
    with pytest.raises(TamisError, match=message):
        list(read_xyz(path))


def test_no_atoms_below_none(tmp_path: Path):
    (tmp_path / "set.xyz").write_text("-3\n\nCu 0 0 0\n")
    with pytest.raises(ValueError, match="a frame of -3 atoms"):
        list(read_xyz(tmp_path / "set.xyz"))
