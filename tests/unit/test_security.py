"""What comes from elsewhere runs nothing, reads and writes nothing outside its folder, and stays small."""

from __future__ import annotations

import ast
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from tests.composing import composed
from tests.report_folders import write_trial

from tamis.analysis.arms import results_of
from tamis.analysis.trials import read_trials
from tamis.bases.gap.files import read_gap_xml
from tamis.commands.selections import describe
from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.trust import check_trusted, plain_data
from tamis.data.sources.archive import read_archive
from tamis.data.sources.mlearn_files import PINS, objection
from tamis.records.record import read_record
from tamis.report.document import Cell, Document, Paragraph, Section, Table
from tamis.report.files import to_latex
from tamis.report.html import to_html
from tamis.store import read_block
from tamis.sweeps.point_files import retrain

SOURCE = Path(__file__).parents[2] / "src"
FORBIDDEN = {
    "pickle": "unpickles",
    "dill": "unpickles",
    "cloudpickle": "unpickles",
    "marshal": "unpickles",
    "shelve": "unpickles",
    "tarfile": "unpacks archives, whose names may lead out of a folder",
}
CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load"), ("os", "system"), ("os", "popen")}
UNSAFE |= {("torch", "load"), ("joblib", "load"), ("np", "fromfile"), ("pd", "read_pickle")}


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def test_no_module_can_run_what_it_reads():
    # that trust.py is right: test_a_pickle_of_anything_but_plain_data_is_refused
    # the law of descriptors unpickles what it has pickled itself, and reads nothing
    pickling = {SOURCE / "tamis" / "core" / "trust.py", SOURCE / "tamis" / "testing" / "descriptors.py"}
    assert pickling <= set(sources())
    for path in sources():
        check_runs_nothing(ast.parse(path.read_text()), {"pickle"} if path in pickling else set())


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from tarfile import open",
        "eval('1')",
        "yaml.load(x)",
        "np.load(x)",
        "run(x, shell=True)",
    ],
)
def test_what_runs_what_it_reads_is_found(text):
    with pytest.raises(AssertionError):
        check_runs_nothing(ast.parse(text), set())


def check_runs_nothing(tree: ast.Module, guarded: set[str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [module] if module else [alias.name for alias in node.names]
            tops = {name.split(".")[0] for name in names if name} - guarded
            assert not [FORBIDDEN[top] for top in tops & FORBIDDEN.keys()]
        if not isinstance(node, ast.Call):
            continue
        keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        assert not keywords.get("shell") and not keywords.get("allow_pickle")
        called = node.func
        if isinstance(called, ast.Name):
            assert called.id not in CALLS
        elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            assert (called.value.id, called.attr) not in UNSAFE
            if (called.value.id, called.attr) == ("np", "load"):
                assert keywords.get("allow_pickle") is False


@pytest.mark.parametrize("made", [Path("x"), Path, print, np.float64(1.0), OSError()], ids=repr)
def test_a_pickle_of_anything_but_plain_data_is_refused(made):
    with pytest.raises(TamisError, match="only numbers, texts and containers"):
        plain_data(pickle.dumps({"a": [made]}))


def test_a_pickle_of_plain_data_is_read():
    data = {(1, 2): [3, (4.5, "six")], "seven": {8, None}, b"9": True}
    assert plain_data(pickle.dumps(data)) == data
    for damaged in (b"", pickle.dumps(data)[:-3], b"no pickle"):
        with pytest.raises(TamisError, match="cannot be read"):
            plain_data(damaged)


# a configuration from elsewhere


class Trap:
    """Leaves a file behind when it is made."""

    def __init__(self, path: str) -> None:
        Path(path).touch()


def hostile(folder: Path, target: str = "subprocess.call", **arguments: Any) -> Path:
    """A complete trial whose data set would run a program."""
    place = write_trial(folder / "trial", fractions=(0.5, 1.0))
    record = json.loads((place / "record.json").read_text())
    record["config"]["dataset"] = {"_target_": target, "element": "Si", "root": "x", **arguments}
    (place / "record.json").write_text(json.dumps(record))
    return place


TRAPS = {
    "elsewhere": ("subprocess.call", {"args": ["touch", "MARK"]}),
    "through tamis": ("tamis.records.record.subprocess.call", {"args": ["touch", "MARK"]}),
    "a path": ("pathlib.Path.touch", {"self": "MARK"}),
    "a test": ("tests.unit.test_security.Trap", {"path": "MARK"}),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_record_from_elsewhere_runs_nothing(trap, tmp_path):
    mark = tmp_path / "mark"
    target, arguments = TRAPS[trap]
    arguments = json.loads(json.dumps(arguments).replace("MARK", str(mark)))
    place = hostile(tmp_path, target, **arguments)
    (trial,) = read_trials([place])
    assert trial.status == "complete"
    (tmp_path / "out").mkdir()
    with pytest.raises(TamisError, match="no class of tamis"):
        retrain(results_of([trial]).points[0], tmp_path / "out")
    assert any("no class of tamis" in problem for problem in describe([trial]).problems)
    with pytest.raises(TamisError, match="dataset._target_ is .*no class of tamis"):
        check_trusted(read_record(place).config, "record.json")
    assert not mark.exists()


def test_the_trap_works(tmp_path):
    """What is refused above would have run."""
    instantiate({"_target_": "tests.unit.test_security.Trap", "path": str(tmp_path / "mark")})
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"store": {"_target_": "tamis.store.Store", "root": "${oc.env:HOME}"}},
            "hold values and no interpolations",
        ),
        (
            {"model": {"_target_": "tamis.models.linear.LinearModel", "_partial_": True}},
            "model._partial_ is no argument",
        ),
        (
            {"model": {"_target_": "tamis.models.linear.LinearModel", "_args_": [1]}},
            "model._args_ is no argument",
        ),
        ({"model": {"program": "/tmp/evil"}}, "only programs on the PATH"),
        ({"model": {"train_program": "./evil"}}, "only programs on the PATH"),
        ({"model": {"solve_program": "evil.py"}}, "only programs on the PATH"),
        ({"model": {"_target_": 7}}, "model._target_ is 7"),
        ({"model": {"_target_": "tamis.records.record.write_atomically"}}, "no class of tamis"),
        ({"model": {"_target_": "tamis.trial.run_trial"}}, "no class of tamis"),
        ({"model": [{"deep": {"_target_": "os.getcwd"}}]}, r"model.0.deep._target_"),
    ],
)
def test_what_a_record_may_not_say(change, says):
    with pytest.raises(TamisError, match=says):
        check_trusted(change, "record.json")


def test_a_package_that_the_user_names_is_trusted(monkeypatch):
    config = {"descriptor": {"_target_": "tests.sampling.Easy", "value": 1.0}}
    with pytest.raises(TamisError, match="TAMIS_TRUST=tests"):
        check_trusted(config, "record.json")
    monkeypatch.setenv("TAMIS_TRUST", "other, tests")
    check_trusted(config, "record.json")
    with pytest.raises(TamisError, match="no class of tamis"):  # another package through it
        check_trusted({"descriptor": {"_target_": "tests.sampling.Crystal.__init__"}}, "record.json")
    with pytest.raises(TamisError, match="no class of tamis"):
        check_trusted({"descriptor": {"_target_": "subprocess.Popen"}}, "record.json")


@pytest.mark.parametrize(
    "model", ["snap", "ace", "gap", "nnp", "chimes", "upstream_gap_fit", "upstream_n2p2"]
)
def test_own_records_are_trusted(model):
    from omegaconf import OmegaConf

    config = composed(f"model={model}", "evaluation=full", "dataset=mlearn")
    plain = OmegaConf.to_container(
        OmegaConf.masked_copy(config, [k for k in config if k not in ("hydra", "search")]), resolve=True
    )
    check_trusted(plain, "record.json")  # type: ignore[arg-type]


# files that would unpickle, grow or lead elsewhere


class Bomb:
    def __reduce__(self) -> Any:
        return (Trap, (self.path,))

    def __init__(self, path: str) -> None:
        self.path = path


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    mark = tmp_path / "mark"
    array = np.array([Bomb(str(mark))], dtype=object)
    with (tmp_path / "set.npz").open("wb") as file:
        np.savez(file, fingerprint=array)
    with pytest.raises(TamisError, match="damaged"):
        read_archive(tmp_path / "set.npz")
    import zlib

    np.save(tmp_path / "block.npy", array, allow_pickle=True)
    data = (tmp_path / "block.npy").read_bytes()
    write_atomically(tmp_path / "block.npy", data + zlib.crc32(data).to_bytes(4, "little"))
    assert read_block(tmp_path / "block.npy") is None
    assert not mark.exists()
    pickle.loads(pickle.dumps(Bomb(str(mark))))
    assert mark.exists()  # the bomb works


def test_an_archive_with_a_bomb_is_refused(tmp_path):
    """A member that says it is a gigabyte: numpy would ask for the memory first."""
    with (tmp_path / "set.npz").open("wb") as file:
        np.savez(file, fingerprint=np.array("x"), n_atoms=np.zeros(3))
    with zipfile.ZipFile(tmp_path / "set.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }"
        pad = header + b" " * (63 - (10 + len(header)) % 64) + b"\n"
        archive.writestr("zeros.npy", b"\0" * 10**6)
    with pytest.raises(TamisError, match="compressed"):
        read_archive(tmp_path / "set.npz")
    with zipfile.ZipFile(tmp_path / "set.npz", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("energies.npy", b"\x93NUMPY\x01\x00" + len(pad).to_bytes(2, "little") + pad)
    with pytest.raises(TamisError, match="damaged"):
        read_archive(tmp_path / "set.npz")


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l11;</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_has_no_entities(tmp_path, text, encoding):
    (tmp_path / "gap.xml").write_bytes(text.encode(encoding))
    with pytest.raises(TamisError, match="document type|damaged"):
        read_gap_xml(tmp_path / "gap.xml")


# pages and names


WORDS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "a&b", "'x'")


@pytest.mark.parametrize("word", WORDS)
def test_words_of_data_stay_words_in_the_page(word):
    table = Table("t", word, [word], [[Cell(word, link=word)], [word]], notes=word, folded=True)
    page = to_html(
        Document(word, word, [Section(word, [Paragraph(word), Paragraph(word, strong=True), table])])
    )
    inside = page[page.index("<body>") :]
    assert "<script" not in inside and "<img" not in inside and 'href="javascript' not in page
    assert "onerror" not in page.replace("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;", "")


def test_links_lead_to_the_web_alone():
    rows = [[Cell("a", link="http://127.0.0.1:5000/#/x")], [Cell("b", link="file:///etc/passwd")]]
    page = to_html(Document("", "", [Section("s", [Table("t", "", ["c"], rows)])]))
    assert 'href="http://127.0.0.1:5000/#/x"' in page and "file:///" not in page


def test_a_title_cannot_leave_its_comment_in_latex():
    text = to_latex(Table("t", "title\n\\input{/etc/passwd}", ["a"], [["\\write18{x}"]]))
    assert text.splitlines()[0] == "% title \\input{/etc/passwd}"
    assert "\\write18" not in text


def test_elements_and_choices_become_no_paths():
    from tamis.report.context import LONGEST_NAME, file_name

    assert file_name("../../etc", "a/b\0c") == "etc-a-b-c"
    assert len(file_name("é" * 5000)) == LONGEST_NAME
    for config in ("dataset.element=../../x", "dataset.elements=[../../x]"):
        with pytest.raises(Exception, match="choose one of .*Cu|chemical symbol"):
            instantiate(composed("dataset=mlearn", config).dataset)


# addresses


def test_downloads_are_pinned():
    config = composed("dataset=mlearn").dataset
    assert config.base_url.startswith("https://")
    part = config.base_url.rstrip("/").split("/")
    assert any(len(p) == 40 and set(p) <= set("0123456789abcdef") for p in part)  # a commit, not a branch
    for pins in PINS.values():
        for pin in pins.values():
            assert objection(b"[]", pin), "a download is taken unchecked"


def test_servers_listen_on_this_machine_alone():
    from tamis.report.links import UI

    assert UI == "http://127.0.0.1:5000"
    assert composed().tracking.uri.startswith("sqlite:///")
    for path in (*SOURCE.rglob("*.py"), *config_folder().rglob("*.yaml")):
        assert "0.0.0.0" not in path.read_text()
