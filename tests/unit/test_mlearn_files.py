"""The files of mlearn: reading, checksums, downloads, splits."""

import functools
import http.server
import json
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from tamis.exceptions import TamisError
from tamis.sources.mlearn import Mlearn, ase_stress, block_of
from tamis.units import GPA_PER_EV_PER_A3


def entry(
    i: int = 0, description: str = "Snapshot 1 of 9 of AIMD NVT simulation at 300 K", **changes: object
) -> dict:
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=i)
    sites = [{"species": [{"element": "Si", "occu": 1}], "xyz": list(x)} for x in atoms.positions]
    return {
        "structure": {"lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites},
        "outputs": {
            "energy": -43.0 - 0.1 * i,
            "forces": [[0.1 + 0.01 * i, 0.2, 0.3], [-0.1 - 0.01 * i, -0.2, -0.3]] * 4,
            "virial_stress": [1, 2, 3, 4, 5, 6],
        },
        "group": "AIMD-NVT",
        "description": description,
    } | changes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder like mlearn's with six frames of silicon."""
    folder = tmp_path / "Si"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps([entry(i) for i in range(4)]))
    hot = "Snapshot 1 of 9 of AIMD NVT simulation for shrunken structure at 900 K"
    (folder / "test.json").write_text(json.dumps([entry(4), entry(5, hot)]))
    return tmp_path


def mlearn(root: Path | None, **changes: object) -> Mlearn:
    common = {"element": "Si", "elements": ("Si",), "atom_spacing": 2.73, "base_url": "http://127.0.0.1:9"}
    return Mlearn(**(common | {"root": None if root is None else str(root), "verify": False} | changes))


def test_mlearn_frames(root):
    data = mlearn(root).load()
    assert data.ids[:2] == ("Si/training.json#0", "Si/training.json#1") and data.ids[4] == "Si/test.json#0"
    assert list(data.is_test) == [False] * 4 + [True] * 2
    assert data.blocks[4:] == ("AIMD-NVT 300 K", "AIMD-NVT shrunken 900 K")
    np.testing.assert_allclose(data.stresses[0] * GPA_PER_EV_PER_A3, -0.1 * np.array([1, 2, 3, 6, 5, 4]))


def test_both_layouts_of_folders_are_read(root):
    (root / "upstream").mkdir()
    (root / "Si").rename(root / "upstream" / "data")
    (root / "upstream" / "data").rename(root / "Si")
    moved = root / "upstream" / "data"
    moved.mkdir()
    (root / "Si").rename(moved / "Si")
    assert len(mlearn(root / "upstream").load()) == 6


def test_orders_and_masks_of_stresses():
    given = np.arange(1.0, 7.0)
    order = {"xy xz yz": [6, 5, 4], "xy yz xz": [5, 6, 4], "masked": [np.nan] * 3}  # as yz xz xy
    expected = {
        ("Si", "Vacancy"): "xy xz yz",
        ("Ge", "Elastic"): "xy yz xz",
        ("Mo", "Elastic"): "xy xz yz",
        ("Cu", "AIMD-NVT"): "xy xz yz",
        ("Li", "AIMD-NVT"): "xy yz xz",
        ("Li", "Elastic"): "masked",
        ("Si", "Surface"): "masked",
        ("Mo", "Surface"): "masked",
        ("Si", "a group of tomorrow"): "masked",
    }
    for (element, group), name in expected.items():
        found = -10.0 * GPA_PER_EV_PER_A3 * ase_stress(element, group, given)
        np.testing.assert_allclose(found, [1, 2, 3, *order[name]])


def test_blocks_come_from_descriptions():
    def aimd(rest: str) -> str:
        return block_of("AIMD-NVT", f"Snapshot 3 of 9 of AIMD NVT simulation {rest}")

    assert aimd("for normal structure at 1518 K") == aimd("at 1518 K") == "AIMD-NVT 1518 K"
    assert aimd("for expanded structure at 300 K") == "AIMD-NVT expanded 300 K"
    assert block_of("Vacancy", "Snapshot 3 of 9 of Vacancy AIMD NVT simulation at 300 K") == "Vacancy 300 K"
    assert block_of("Elastic", "Si 2x2x2 cell, mode 3, strain -0.08") == "Elastic mode 3"
    assert block_of("Elastic", "Ground state crystal") == "Elastic Ground state crystal"
    assert (
        block_of("Surface", "Si_surface_mp/Si_mp-149_(1_1_1)_reconstructed")
        == "Surface (1_1_1)_reconstructed"
    )


def test_held_out_blocks_and_groups(root):
    data = mlearn(root, split="grouped", held_out=["AIMD-NVT shrunken 900 K"]).load()
    assert list(data.is_test) == [False] * 5 + [True]
    assert list(mlearn(root, split="grouped").load().is_test) == [False] * 5 + [True]
    with pytest.raises(
        TamisError, match="held_out has AIMD-NVT 301 K; choose among the groups AIMD-NVT and the blocks"
    ):
        mlearn(root, split="grouped", held_out=["AIMD-NVT 301 K"]).load()
    with pytest.raises(TamisError, match="leaves no structure for training"):
        mlearn(root, split="grouped", held_out=["AIMD-NVT"]).load()
    with pytest.raises(TamisError, match="leaves no test set"):
        mlearn(root, split="grouped", held_out=[]).load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"element": "Fe"}, "element is Fe; mlearn has Cu, Ge, Li, Mo, Ni, Si"),
        ({"split": "random"}, "split is random; choose published or grouped"),
        ({"held_out": ("Vacancy",)}, "held_out is for dataset.split=grouped"),
        ({"sha256": {"train": "0"}}, "sha256 has train; its keys are training and test"),
    ],
)
def test_choices_that_mlearn_refuses(change, message):
    with pytest.raises(TamisError, match=message):
        mlearn(None, **change)


def test_a_wrong_checksum_shows_both_sums(root):
    actual = sha256((root / "Si" / "training.json").read_bytes()).hexdigest()
    with pytest.raises(TamisError, match=f"training.json has SHA-256 {actual}, expected is ae6d4b0a"):
        mlearn(root, verify=True).load()
    sums = {n: sha256((root / "Si" / f"{n}.json").read_bytes()).hexdigest() for n in ("training", "test")}
    assert len(mlearn(root, verify=True, sha256=sums).load()) == 6


def test_files_of_unknown_checksum_are_refused_unless_the_user_gives_it(root):
    (root / "Si").rename(root / "Ni")
    for place in (root, None):
        with pytest.raises(
            TamisError, match=r"SHA-256 of mlearn's Ni/training.json is not known .* dataset.sha256.training"
        ):
            mlearn(place, element="Ni", elements=("Ni",), verify=True).load()


def test_a_missing_file_says_where_it_was_looked_for(root):
    with pytest.raises(TamisError, match="no Mo/training.json under dataset.root"):
        mlearn(root, element="Mo", elements=("Mo",)).load()


def spoiled(**changes: object) -> dict:
    return entry(1) | changes


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (spoiled(outputs={"forces": [[0.0] * 3] * 8}), "KeyError: 'energy'"),
        (spoiled(structure={}), "KeyError: 'sites'"),
        (spoiled(outputs=entry()["outputs"] | {"forces": [[0.0] * 3] * 7}), r"forces have shape \(7, 3\)"),
        (spoiled(outputs=entry()["outputs"] | {"forces": [[0.0] * 3] * 7 + [[0.0]]}), "ValueError"),
        (
            spoiled(outputs=entry()["outputs"] | {"virial_stress": [1.0] * 5}),
            r"virial_stress has shape \(5,\)",
        ),
        (spoiled(outputs=entry()["outputs"] | {"energy": None}), "TypeError"),
        ("not an object", "TypeError"),
    ],
)
def test_broken_entries_are_named(root, broken, message):
    (root / "Si" / "training.json").write_text(json.dumps([entry(0), broken]))
    with pytest.raises(TamisError, match=rf"Si/training.json#1: .*{message}"):
        mlearn(root).load()


def test_not_a_number_in_json(root):
    worse = [entry(0), spoiled(outputs=entry()["outputs"] | {"energy": float("nan")})]
    (root / "Si" / "training.json").write_text(json.dumps(worse))
    with pytest.raises(TamisError, match="Si/training.json#1: energy is nan"):
        mlearn(root).load()


@pytest.mark.parametrize(("content", "message"), [('[{"structure": ', "truncated"), ("{}", "holds a dict")])
def test_truncated_or_foreign_json(root, content, message):
    (root / "Si" / "training.json").write_text(content)
    with pytest.raises(TamisError, match=rf"training\.json .*{message}"):
        mlearn(root).load()


def test_both_files_empty(root):
    for name in ("training", "test"):
        (root / "Si" / f"{name}.json").write_text("[]")
    with pytest.raises(TamisError, match="hold no structures"):
        mlearn(root).load()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(root, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(Silent, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_download_is_checked_and_kept(root, server, tmp_path):
    sums = {n: sha256((root / "Si" / f"{n}.json").read_bytes()).hexdigest() for n in ("training", "test")}
    source = mlearn(None, base_url=server, sha256=sums, cache=str(tmp_path / "cache"))
    first = source.load()
    (root / "Si" / "training.json").unlink()
    assert source.load().fingerprint == first.fingerprint
    (tmp_path / "cache" / "mlearn" / "Si" / "training.json").write_text("[]")
    with pytest.raises(
        TamisError, match="cannot download"
    ):  # damage was noticed, and the server has it no more
        source.load()


def test_a_download_of_other_bytes_is_refused(server, tmp_path):
    with pytest.raises(TamisError, match="is not the file that was pinned"):
        mlearn(None, base_url=server, cache=str(tmp_path / "cache")).load()


def test_an_unreachable_download(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(
        TamisError, match=r"cannot download http://127.0.0.1:9/Si/training.json .* dataset.root=<folder>"
    ):
        mlearn(None, cache=str(tmp_path)).load()
