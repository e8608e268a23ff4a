"""Tables of pacemaker: what pandas writes is read, and nothing is unpickled, whatever the pickle asks for."""

import gzip
import importlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from tests.format_files import table
from tests.labelled_copper import copper
from tests.vasp_files import write_vasprun

from tamis.core.errors import TamisError
from tamis.core.trust import Recorded, recorded_data
from tamis.data.dataset import Dataset
from tamis.data.readers.pacemaker import read_pacemaker
from tamis.data.readers.pickled_arrays import PACKAGES, plain
from tamis.data.sources.file import File
from tamis.models.trainers.pacemaker import write_structures


def check_copper(path: Path) -> list[Atoms]:
    frames = list(read_pacemaker(path))
    for atoms, one in zip(frames, copper(), strict=True):
        np.testing.assert_array_equal(atoms.positions, one.positions)
        np.testing.assert_array_equal(atoms.cell.array, one.cell.array)
        np.testing.assert_array_equal(atoms.arrays["forces"], one.arrays["forces"])
        assert atoms.info["energy"] == one.info["energy"] and (atoms.numbers == 29).all() and atoms.pbc.all()
    return frames


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_pandas_writes_is_read(tmp_path, protocol):
    path = tmp_path / "set.pckl.gzip"
    table().to_pickle(path, compression="gzip", protocol=protocol)
    frames = check_copper(path)
    assert frames[1].calc.results == {"energy": 99.0, "magmom": 2.5}
    last = frames[-1]
    assert (last.info["name"], last.info["w_energy"], last.info["step"]) == ("run 1", 11.5, 11)
    assert last.info["config"] == "no. 11" and last.info["converged"] is False
    assert "name" not in frames[4].info
    np.testing.assert_array_equal(last.arrays["w_forces"], np.full(4, 2.0))
    data = File(train=str(path), group_key="name", drop=[f"{path}#4"]).load()
    assert set(data.groups) == {"run 0", "run 1"} and len(data) == 11
    np.testing.assert_array_equal(data.stresses[0], copper()[0].info["stress"])


ARRAYS = (
    *(
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(6, dtype=">i2"),
    ),
    *(np.array(["a", "çé"]), np.array([True, False]), np.float32(1.5), np.array([[1], None], dtype=object)),
    *(
        np.empty((0, 3)),
        np.arange(24.0).reshape(2, 3, 4)[:, ::2],
        np.array(2.5),
        np.array(["x", 1], dtype=object),
    ),
)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_come_back_as_numpy_has_them(array, protocol):
    found = plain(recorded_data(pickle.dumps(array, protocol=protocol), PACKAGES))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.shape == array.shape


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]"])
def test_texts_of_every_kind_and_an_index(tmp_path, dtype):
    made = table()[["ase_atoms", "energy", "forces", "name"]]
    made["name"] = made["name"].astype(dtype)
    made.columns = made.columns.astype("object" if dtype == "object" else "str")
    made.set_index(pd.Index([f"row {i}" for i in range(12)])).to_pickle(tmp_path / "a.pkl")
    frames = check_copper(tmp_path / "a.pkl")
    assert [atoms.info.get("name") for atoms in frames[3:6]] == ["run 1", None, "run 1"]
    assert frames[7].info["index"] == "row 7"


def test_tables_of_pandas_before_1_3(tmp_path, monkeypatch):
    """Their managers were pickled by a state; its layout is in the name 0.14.1."""
    managers = importlib.import_module("pandas.core.internals.managers")
    numbered = table()[["ase_atoms", "energy", "forces"]]
    numbered.columns = numbered.columns.astype(object)

    class BlockManager:
        def __init__(self, frame: pd.DataFrame) -> None:
            self.frame = frame

        def __reduce__(self):
            blocks = [
                {"values": block.values, "mgr_locs": block.mgr_locs.indexer}
                for block in self.frame._mgr.blocks
            ]
            axes = list(self.frame._mgr.axes)
            return type(self), (), (axes, [], [], {"0.14.1": {"axes": axes, "blocks": blocks}})

    class DataFrame:
        def __reduce__(self):
            return type(self), (), {"_data": BlockManager(numbered), "_typ": "dataframe"}

    for made, module in ((BlockManager, managers), (DataFrame, pd)):
        made.__module__, made.__qualname__ = module.__name__, made.__name__
        monkeypatch.setattr(module, made.__name__, made)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(DataFrame(), protocol=4))
    check_copper(tmp_path / "a.pkl")


def test_a_list_of_structures_is_read(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(list(copper())))
    check_copper(tmp_path / "a.pkl")


def test_what_the_trainer_writes_is_read_and_pandas_reads_the_same(tmp_path):
    frames = copper()
    kept = Dataset(
        structures=tuple(Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in frames),
        energies=np.array([a.info["energy"] for a in frames]),
        forces=tuple(a.arrays["forces"] for a in frames),
        stresses=np.full((12, 6), np.nan),
        groups=("all",) * 12,
        blocks=tuple(map(str, range(12))),
        ids=tuple(map(str, range(12))),
        is_test=np.zeros(12, dtype=bool),
    )
    path = tmp_path / "kept.pckl.gzip"
    write_structures(path, kept, {"Cu": -1.25}, 4.0)
    ours = File(train=str(path)).load()
    np.testing.assert_allclose(ours.energies, kept.energies + 4 * 1.25, rtol=1e-14)
    theirs = pd.read_pickle(path, compression="gzip")  # as pacemaker does
    np.testing.assert_array_equal(ours.energies, theirs["energy_corrected"])
    np.testing.assert_array_equal(ours.forces[5], theirs["forces"][5])
    np.testing.assert_array_equal(ours.structures[5].positions, theirs["ase_atoms"][5].positions)


def test_a_set_that_pacemakers_own_collector_made_is_read(tmp_path):
    """pace_collect gathers runs of VASP."""
    program = shutil.which("pace_collect", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("python-ace, which has pace_collect, is not installed")
    for run, part in (("cold", copper()[:6]), ("hot", copper()[6:])):
        (tmp_path / run).mkdir()
        write_vasprun(tmp_path / run / "vasprun.xml", part, [0.02] * 6)
    path = tmp_path / "set.pckl.gzip"
    options = ["--selection", "all", "--free-atom-energy", "Cu:-0.5", "--output-dataset-filename", str(path)]
    subprocess.run([program, "-wd", str(tmp_path), *options], check=True, capture_output=True, cwd=tmp_path)
    data = File(train=str(path), group_key="name").load()
    assert {Path(group).parent.name for group in data.groups} == {"cold", "hot"}  # names of files
    made = np.sort([atoms.info["stress"][0] for atoms in copper()])
    np.testing.assert_allclose(np.sort(data.stresses[:, 0]), made, atol=1e-7)
    theirs = pd.read_pickle(path, compression="gzip")
    np.testing.assert_array_equal(data.energies, theirs["energy"])
    np.testing.assert_array_equal(
        [frame.info["energy_corrected"] for frame in data.frames], theirs["energy_corrected"]
    )
    for i, atoms in enumerate(theirs["ase_atoms"]):
        np.testing.assert_array_equal(data.structures[i].positions, atoms.positions)
        np.testing.assert_array_equal(data.forces[i], theirs["forces"][i])


# pickles that would run something


class Bomb:
    """Calls ``function`` with ``args`` when it is unpickled."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def bombs(mark: Path) -> dict[str, object]:
    text = f"open({str(mark)!r}, 'w').close()"
    return {
        "os.system": Bomb(os.system, f"touch {mark}"),
        "builtins.eval": Bomb(eval, text),
        "builtins.exec": Bomb(exec, text),
        "builtins.open": Bomb(open, str(mark), "w"),
        "numpy.save": Bomb(np.save, str(mark) + ".npy", 1.0),
        "pandas.to_pickle": Bomb(pd.to_pickle, 1.0, str(mark)),
        "getattr of a method": Bomb(Bomb(getattr, mark, "touch")),
    }


@pytest.mark.parametrize("name", bombs(Path("x")))
@pytest.mark.parametrize("place", ["alone", "in a list", "in a cell", "in info", "as a column"])
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path, name, place):
    mark = tmp_path / "mark"
    bomb = bombs(mark)[name]
    if name == "getattr of a method":
        bomb = Bomb(eval, f"__import__('pathlib').Path({str(mark)!r}).touch()")
    made = table()
    atoms = Atoms("Cu", info={"bomb": bomb})
    content = {
        "alone": bomb,
        "in a list": [bomb],
        "in a cell": made.assign(energy=[bomb] * 12),
        "in info": made.assign(ase_atoms=[atoms] * 12),
        "as a column": made.assign(bomb=[[bomb]] * 12),
    }[place]
    path = tmp_path / "set.pkl"
    path.write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(TamisError, match=r"cannot be read as a table of pacemaker .*convert it"):
        list(read_pacemaker(path))
    assert not list(tmp_path.glob("mark*"))
    pickle.loads(path.read_bytes())
    assert list(tmp_path.glob("mark*"))  # the bomb works


def test_nothing_is_imported_for_a_pickle():
    found = recorded_data(pickle.dumps([np.float64(1.5), slice(1, 2)]), PACKAGES)
    assert all(isinstance(one, Recorded) for one in found)
    assert found[1].args == (1, 2, None) and found[1].name == "builtins.slice"


def test_what_a_pickle_sets_on_a_class_stays_with_that_pickle():
    class Setter:
        def __reduce__(self):
            return slice, (1, 2), {"name": "numpy.ndarray"}

    first = recorded_data(pickle.dumps(Setter()), PACKAGES)
    second = recorded_data(pickle.dumps(slice(1)), PACKAGES)
    assert first.state == {"name": "numpy.ndarray"}
    assert first.name == second.name == "builtins.slice" and Recorded.name == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": 1}, "it holds dict, which is no table"),
        ([1, 2], "some of its structures are none of ASE"),
        (table().drop(columns="ase_atoms"), "it has no column ase_atoms, but converged, energy"),
        (table().assign(ase_atoms=1), "some of its structures are none of ASE"),
        (
            table().assign(when=pd.Timestamp("2026-01-01")),
            "DatetimeArray of pandas; numbers and texts are read",
        ),
        (table().assign(kind=pd.Categorical(["a"] * 12)), "it holds a pandas.*Categorical of pandas"),
        (Path("x"), "the pickled data name pathlib"),
    ],
)
def test_what_is_no_table_of_structures_is_refused_with_the_way_out(tmp_path, content, says):
    path = tmp_path / "set.pckl.gzip"
    path.write_bytes(gzip.compress(pickle.dumps(content, protocol=4)))
    with pytest.raises(TamisError, match=says) as caught:
        File(train=str(path)).load()
    assert "pandas.read_pickle" in str(caught.value) and str(path) in str(caught.value)


def test_an_array_whose_bytes_do_not_fit_its_shape_is_refused():
    data = pickle.dumps([Atoms("Cu4", positions=np.zeros((4, 3)))], protocol=4)
    damaged = data.replace(b"K\x04K\x03\x86", b"K\x05K\x03\x86")
    assert damaged != data
    with pytest.raises(TamisError, match=r"shape \(5, 3\) has 96 bytes"):
        plain(recorded_data(damaged, PACKAGES))
