"""The files of mlearn: reading, checksums, downloads, splits."""

import functools
import http.server
import json
import subprocess
import threading
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from hydra.utils import instantiate
from tests.composing import composed

from tamis.core.errors import TamisError
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.dataset import split_dataset
from tamis.data.dealing import test_in_words as in_words
from tamis.data.sources.mlearn import Mlearn, MlearnEntry, ase_stress, block_of
from tamis.data.sources.mlearn_files import PINS, blob_id, objection
from tamis.records.record import TrialRecord, read_record
from tamis.trial import _describe


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


def block(group: str, description: str, element: str = "Si", energy_per_atom: float = -5.4) -> str:
    atoms = bulk(element, "diamond", a=5.4)
    frame = MlearnEntry(
        "x", atoms, energy_per_atom * len(atoms), np.zeros((2, 3)), np.zeros(6), group, description
    )
    return block_of(element, frame)


def test_blocks_come_from_descriptions():
    def aimd(rest: str) -> str:
        return block("AIMD-NVT", f"Snapshot 3 of 9 of AIMD NVT simulation {rest}")

    assert aimd("for normal structure at 1518 K") == aimd("at 1518 K") == "AIMD-NVT 1518 K"
    assert aimd("for expanded structure at 300 K") == "AIMD-NVT expanded 300 K"
    assert block("Elastic", "Si 2x2x2 cell, mode 3, strain -0.08") == "Elastic mode 3"
    assert block("Elastic", "Ground state crystal") == "Elastic Ground state crystal"
    surface = block("Surface", "Si_surface_mp/Si_mp-149_(1_1_1)_reconstructed")
    assert surface == "Surface (1_1_1)_reconstructed"


@pytest.mark.parametrize(("element", "limit"), [("Si", -5.0), ("Ge", -4.2), ("Mo", -10.5)])
@pytest.mark.parametrize("label", ["300 K", "3374 K"])
def test_frames_with_a_vacancy_are_named_by_their_energy_not_their_label(element, limit, label):
    said = f"Snapshot 3 of 9 of Vacancy AIMD NVT simulation at {label}"
    assert block("Vacancy", said, element, limit + 0.01) == "Vacancy hot"
    assert block("Vacancy", said, element, limit - 0.01) == "Vacancy cold"
    assert block("Vacancy", said, "Li", 0.0) == "Vacancy cold"
    assert block("Vacancy", said, "Cu", limit) == f"Vacancy {label}"


def vacancies(root: Path, element: str, labels_and_energies: list[tuple[int, float]]) -> None:
    entries = []
    for i, (kelvin, energy) in enumerate(labels_and_energies):
        made = entry(i, f"Snapshot {i} of 9 of Vacancy AIMD NVT simulation at {kelvin} K", group="Vacancy")
        made["outputs"] |= {"energy": 8 * energy}
        for site in made["structure"]["sites"]:
            site["species"] = [{"element": element, "occu": 1}]
        entries.append(made)
    (root / element).mkdir(exist_ok=True)
    (root / element / "training.json").write_text(json.dumps(entries[:-1]))
    (root / element / "test.json").write_text(json.dumps(entries[-1:]))


def test_how_many_frames_were_moved_is_said_with_the_data(root):
    vacancies(root, "Si", [(300, -4.7), (300, -5.3), (3374, -5.3), (3374, -4.7), (300, -4.7)])
    data = mlearn(root).load()
    assert [b.split()[1] for b in data.blocks] == ["hot", "cold", "cold", "hot", "hot"]
    assert data.notes[0].startswith("3 of 5 frames with a vacancy have another temp")
    assert "above -5 eV/atom" in data.notes[0]
    assert data.subset([0]).notes == data.notes


def test_notes_of_elements_without_hot_frames_and_without_a_known_limit(root):
    vacancies(root, "Li", [(300, -1.9), (907, -1.91), (907, -1.9)])
    data = mlearn(root, element="Li", elements=("Li",)).load()
    assert set(data.blocks) == {"Vacancy cold"} and data.notes[0].startswith("2 of 3 frames")
    vacancies(root, "Cu", [(300, -3.7), (3000, -3.71), (300, -3.7)])
    data = mlearn(root, element="Cu", elements=("Cu",)).load()
    assert set(data.blocks) == {"Vacancy 300 K", "Vacancy 3000 K"}
    assert "which energies of Cu are hot is not known" in data.notes[0]


def test_hot_vacancies_are_held_out_with_the_hottest_bulk(root):
    bulks = [
        entry(10 + i, f"Snapshot 1 of 9 of AIMD NVT simulation at {k} K") for i, k in enumerate((300, 3374))
    ]
    vacancies(root, "Si", [(300, -4.7), (300, -5.3), (3374, -5.3), (3374, -4.7)])
    path = root / "Si" / "training.json"
    path.write_text(json.dumps([*json.loads(path.read_text()), *bulks]))
    data = mlearn(root, split="grouped").load()
    tested = {b for b, t in zip(data.blocks, data.is_test, strict=True) if t}
    assert tested == {"Vacancy hot", "AIMD-NVT 3374 K"}


def test_notes_go_into_records_and_come_back(root, tmp_path):
    vacancies(root, "Si", [(300, -4.7), (300, -5.3), (3374, -5.3), (3374, -4.7), (300, -4.7)])
    data = mlearn(root).load()
    described = _describe(data, split_dataset(data, 0.25, np.random.default_rng(0)), ["a sentence"], "")
    assert described.notes == (*data.notes, "a sentence") and data.notes
    TrialRecord(config={}, dataset=described).save(tmp_path)
    assert read_record(tmp_path).dataset == described


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


def test_halves_exchange_pool_and_test_set(root):
    first, second = (mlearn(root, split="halves", half=h).load() for h in (0, 1))
    others = [mlearn(root, split="halves", repetition=r).load() for r in (1, 2, 3, 4)]
    assert (first.is_test == ~second.is_test).all() and first.is_test.sum() == 3
    assert any((first.is_test != o.is_test).any() for o in others) and first.fingerprint != second.fingerprint
    assert first.test_kind == "half" and "the other half" in in_words("half", 3, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"element": "Fe"}, "element is 'Fe'; choose one of Cu, Ge, Li, Mo, Ni, Si"),
        ({"split": "random"}, "split is 'random'; choose one of published, grouped, halves"),
        ({"held_out": ("Vacancy",)}, "held_out is for dataset.split=grouped"),
        ({"held_out": ("Vacancy",), "split": "halves"}, "held_out is for dataset.split=grouped; with halves"),
        ({"half": 1}, "repetition=0 and dataset.half=1 are for dataset.split=halves"),
        ({"half": 2, "split": "halves"}, "half is 2; it must be a whole number from 0 to 1"),
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


def pin_of(data: bytes, kind: str) -> str:
    return f"{kind}:{blob_id(data) if kind == 'git' else sha256(data).hexdigest()}"


def pinned(monkeypatch, element: str, pins: dict[str, str]) -> None:
    monkeypatch.setitem(PINS, element, pins)


def test_every_file_of_every_element_is_pinned():
    assert set(PINS) == {"Si", "Ge", "Li", "Mo", "Ni", "Cu"}
    for pins in PINS.values():
        assert set(pins) == {"training", "test"}
        for pin in pins.values():
            assert objection(b"other bytes", pin)
            assert len(pin) == {"sha256": 71, "git": 44}[pin.partition(":")[0]]


def test_a_blob_id_is_what_git_says(tmp_path):
    (tmp_path / "x").write_bytes(b'[{"a": 1}]\n' * 1000)
    said = subprocess.run(
        ["git", "hash-object", str(tmp_path / "x")], capture_output=True, text=True, check=True
    )
    assert blob_id((tmp_path / "x").read_bytes()) == said.stdout.strip()


@pytest.mark.parametrize("known", ["sha256", "git"])
def test_local_copies_are_checked_by_whatever_pins_them(root, monkeypatch, known):
    pins = {}
    for name in ("training", "test"):
        pins[name] = pin_of((root / "Si" / f"{name}.json").read_bytes(), known)
    pinned(monkeypatch, "Si", pins)
    assert len(mlearn(root, verify=True).load()) == 6
    text = (root / "Si" / "training.json").read_text()
    (root / "Si" / "training.json").write_text(text.replace("-43.0", "-43.1", 1))
    name = "git blob id" if known == "git" else "SHA-256"
    with pytest.raises(
        TamisError, match=rf"training.json has {name} \w+, expected is \w+: damaged, or another"
    ):
        mlearn(root, verify=True).load()


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


@pytest.mark.parametrize("known", ["sha256", "git"])
def test_a_download_is_checked_and_kept(root, server, tmp_path, monkeypatch, known):
    contents = {n: (root / "Si" / f"{n}.json").read_bytes() for n in ("training", "test")}
    pinned(monkeypatch, "Si", {n: pin_of(data, known) for n, data in contents.items()})
    source = mlearn(None, base_url=server, cache=str(tmp_path / "cache"))
    first = source.load()
    (root / "Si" / "training.json").unlink()
    assert source.load().fingerprint == first.fingerprint
    kept = tmp_path / "cache" / "mlearn" / "Si" / "training.json"
    kept.write_text("[]")
    with pytest.raises(TamisError, match="cannot download"):
        source.load()  # the damage was noticed, and the server has it no more
    (root / "Si" / "training.json").write_bytes(contents["training"])
    assert source.load().fingerprint == first.fingerprint and kept.read_bytes() == contents["training"]


def test_nickel_and_copper_load_with_nothing_but_their_name(root, server, tmp_path, monkeypatch):
    """As the real files would, which no test can download: made files under the pins' own kinds of sums."""
    for element in ("Ni", "Cu"):
        vacancies(root, element, [(300, -3.7), (3000, -3.6), (300, -3.7)])
        folder = root / element
        train, test = ((folder / f"{n}.json").read_bytes() for n in ("training", "test"))
        pinned(monkeypatch, element, {"training": pin_of(train, "git"), "test": pin_of(test, "sha256")})
        config = composed("dataset=mlearn", f"dataset.element={element}").dataset
        config.base_url, config.cache = server, str(tmp_path / "cache")  # where, not what
        assert len(instantiate(config, _convert_="all").load()) == 3


def test_a_download_of_other_bytes_is_refused(server, tmp_path):
    with pytest.raises(
        TamisError, match=r"is not the file that was pinned \(it has SHA-256 \w+, expected is"
    ):
        mlearn(None, base_url=server, cache=str(tmp_path / "cache")).load()


def test_an_unreachable_download(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(
        TamisError, match=r"cannot download http://127.0.0.1:9/Si/training.json .* dataset.root=<folder>"
    ):
        mlearn(None, cache=str(tmp_path)).load()
