from importlib.metadata import EntryPoint

import pytest

from tamis.core import plugins as module
from tamis.core.compose import _composed, composed


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path with a choice, and entry points that lead to it and to nothing."""
    choice = tmp_path / "parts_of_a_user" / "conf" / "pruner" / "mine.yaml"
    choice.parent.mkdir(parents=True)
    choice.write_text("_target_: parts_of_a_user.Mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = {"good": "parts_of_a_user", "gone": "no_such_parts"}
    entries = [EntryPoint(name, value, module.GROUP) for name, value in names.items()]
    monkeypatch.setattr(module, "entry_points", lambda group: entries)
    module.plugins.cache_clear()
    _composed.cache_clear()
    yield
    module.plugins.cache_clear()
    _composed.cache_clear()


def test_a_broken_plugin_is_named_and_harms_no_other(installed):
    assert [plugin.choices for plugin in module.working_plugins()] == [("pruner/mine",)]
    (said,) = module.problems()
    assert "gone" in said and "no_such_parts" in said
    assert module.trusted_packages() == {"parts_of_a_user"}


def test_choices_of_a_plugin_are_found(installed):
    assert composed("pruner=mine").pruner._target_ == "parts_of_a_user.Mine"
