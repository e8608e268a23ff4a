"""Laws of names: they may stand where they are meant for, and two texts never have one."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric

from tamis.analysis.test_errors import ERRORS_FILE, CachedTestErrors
from tamis.core.names import (
    LONGEST_KEY,
    folder_name,
    in_figure,
    mlflow_key,
    mlflow_keys,
    printable,
    quoted,
)
from tamis.data.dataset import Dataset
from tamis.evaluation.errors import Residuals, write_per_structure
from tamis.report.style import label, legend, panel

HARD = (
    *("", " ", ".", "..", "/", "a//b", "x/", "/x", "./x", "x/..", "surface(110)", "a@b", "a,b", "50%", "T=300K"),
    *("bulk+vac", "a\nb", "a\n", "'", '"', "\\", "x\\'", "${x}", "Bulk", "bulk", "é", "e\u0301", "硅", "😀"),
    *("surface:28110:29", "surface:2e", ":", ":-", ":.", "a:b", "\udcfc", ":fc", "x" * 300, "x" * 301, "é" * 300),
)  # fmt: skip
texts = st.text(max_size=40) | st.text("ab:./ (-2e8", max_size=12) | st.sampled_from(HARD)
any_text = st.text(st.characters(), max_size=40) | st.sampled_from(HARD)


@pytest.mark.parametrize("text", HARD)
def test_mlflow_takes_every_name(text):
    for name in (text, f"test/force_mae_eV_per_A/{text}"):
        _validate_metric(mlflow_key(name), 1.0, 0, 0)


@given(any_text)
def test_mlflow_takes_the_name_of_any_text(text):
    _validate_metric(mlflow_key(text), 1.0, 0, 0)
    mlflow_key(text).encode()


@given(texts, texts)
@example("surface(110)", "surface:28110:29")
@example("", ":-")
@example(".", ":2e")
@example("\udcfc", ":fc")
def test_two_texts_never_have_one_name(one, other):
    assert (mlflow_key(one) == mlflow_key(other)) == (one == other)
    assert (folder_name(one) == folder_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["test/force_mae_eV_per_A", "Bulk 3: a", "a:b", "硅", "vacancy_1.2-x"])
def test_a_name_that_may_stand_stays(name):
    assert mlflow_key(name) == name
    assert folder_name(name) == name


def test_names_that_a_database_takes_for_one_are_told_apart():
    keys = mlflow_keys(["x/Bulk", "x/bulk", "x/bülk", "x/other"])
    assert len({key.casefold() for key in keys.values()}) == 4
    assert keys["x/other"] == "x/other"
    assert all(len(key) <= LONGEST_KEY for key in mlflow_keys(["a" * 300, "A" * 300]).values())


@pytest.mark.parametrize("text", HARD)
def test_a_folder_can_be_made_and_is_below(text, tmp_path):
    name = folder_name(text)
    (tmp_path / name).mkdir(parents=True)
    assert tmp_path in (tmp_path / name).resolve().parents


@pytest.mark.parametrize("text", [text for text in HARD if "\udcfc" not in text])
def test_hydra_reads_what_is_quoted(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    read = override.value()
    read = read.replace(r"\${", "${")  # what OmegaConf makes of it, as the next test says
    assert read == text


def test_what_is_quoted_is_no_interpolation():
    from omegaconf import OmegaConf

    (override,) = OverridesParser.create().parse_overrides([f"key={quoted('a/${x}')}"])
    assert OmegaConf.create({"key": override.value(), "x": 1}).key == "a/${x}"


def test_bytes_that_are_no_text_are_shown():
    assert printable(os.fsdecode(b"M\xfcller.xyz")) == r"M\xfcller.xyz"
    assert printable("Müller 硅") == "Müller 硅"
    assert printable("\ud800") == r"\ud800"


@pytest.mark.parametrize("text", ["$\\frac$", "a$b$c", "_hidden", "50% & x", "\udcfc"])
def test_a_figure_shows_the_text(text, tmp_path):
    figure, ax = panel(text)
    ax.plot([1, 2], [1, 2], label=in_figure(text))
    legend(ax)
    label(ax, text, text)
    figure.savefig(tmp_path / "figure.png")
    assert len(figure.legends[0].get_texts()) == 1


def test_names_in_the_table_of_test_errors(tmp_path):
    """Groups with commas, quotes and line breaks are read as they were written."""
    groups = ("a,b", 'a"b', "a\nb", "x\u2028y", "", "\udcfc")
    n = len(groups)
    dataset = Dataset(
        structures=tuple(bulk("Si") for _ in groups),
        energies=np.zeros(n),
        forces=tuple(np.zeros((2, 3)) for _ in groups),
        stresses=np.zeros((n, 6)),
        groups=groups,
        blocks=groups,
        ids=tuple(f"{group}#{i}" for i, group in enumerate(groups)),
        is_test=np.ones(n, dtype=bool),
    )
    residuals = Residuals(np.arange(n) * 1.0, tuple(np.ones(6) for _ in groups), (), np.ones(n, dtype=bool))
    write_per_structure(tmp_path / ERRORS_FILE, residuals, dataset, 5)
    found = CachedTestErrors().read(SimpleNamespace(folder=tmp_path, points=[0]))
    assert found.layout.groups == dataset.groups == (*groups[:-1], r"\xfc")
    assert found.energies.tolist() == [list(range(n))]
