"""The protocol decides what a report judges: its questions are counted, not what lies in the folder."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.composing import choices, composed
from tests.report_folders import BASES, comparisons, report, write_protocol, write_study, write_trial

from tamis.analysis.contrasts import Effect
from tamis.analysis.hypothesis import BETTER, EQUIVALENT, NOT_ASKED, NOT_SHOWN, UNDECIDABLE, outcome_of
from tamis.analysis.protocol import PROTOCOL_FILE, Protocol, read_protocol
from tamis.commands.report import make_report
from tamis.core.errors import TamisError
from tamis.parts import plain
from tamis.report.links import Links

IS_BETTER = "are better for it than those chosen by the others."
BOTH = ("Si", "Mo")


def answers(folder: Path):
    return make_report([folder], Links())[0].answers


def test_reporting_one_element_alone_does_not_make_a_difference(tmp_path):
    """Three models and five descriptors have 60 assignments: p is 1/30 for each element, and 1/15 after Holm."""
    folder = write_protocol(tmp_path / "sweep", BOTH)
    for element in BOTH:
        write_study(folder / element, element=element)
    both, alone = answers(folder), answers(folder / "Mo")
    assert [a.outcome for a in both] == [NOT_SHOWN, NOT_SHOWN]
    assert [a.outcome for a in alone] == [UNDECIDABLE, NOT_SHOWN]
    assert both[1].p == pytest.approx(1 / 15) == alone[1].p
    text = report(folder / "Mo")
    assert IS_BETTER not in text and "the answer would be 'own is better'" in text
    assert "2 data sets of the protocol" in text and "Missing: all trials" in text


def test_more_data_sets_than_the_protocol_has_change_nothing(tmp_path):
    folder = write_protocol(tmp_path / "sweep")
    write_study(folder / "Si")
    before = report(folder)
    for more in ({"element": "Mo"}, {"split": "grouped"}):
        write_study(folder / "more" / str(len(more)) / next(iter(more.values())), own_gain=-0.3, **more)
    (answer,) = answers(folder)
    assert answer.outcome == BETTER and answer.p == pytest.approx(1 / 30)
    assert IS_BETTER in before and IS_BETTER in report(folder)


def test_without_a_protocol_nothing_is_judged(tmp_path):
    text = report(write_study(tmp_path))
    assert "so nothing is judged" in text and IS_BETTER not in text and "| p |" not in text
    assert "mlearn Si: Averaged over snap, ace, chimes, test errors of forces are" in text
    assert answers(tmp_path) == []


@pytest.mark.parametrize(
    ("left_out", "words"),
    [("ace-soap-*", "Missing: ace with soap"), ("chimes-*", "Missing: chimes with ace")],
    ids=["descriptor", "model"],
)
def test_what_the_protocol_needs_and_nobody_ran_leaves_the_question_open(tmp_path, left_out, words):
    write_study(write_protocol(tmp_path))
    for path in tmp_path.glob(f"{left_out}/record.json"):
        path.unlink()
    (answer,) = answers(tmp_path)
    assert answer.outcome == UNDECIDABLE and words in report(tmp_path)


def test_only_models_of_the_protocol_are_judged_together(tmp_path):
    """A model that nobody plans with, with one seed: it is shown, and the verdict is that of the others."""
    write_study(write_protocol(tmp_path))
    before = answers(tmp_path)[0].effect
    for descriptor in BASES:
        write_trial(tmp_path / f"gap-{descriptor}", "gap", descriptor, "fps", 0)
    (comparison,) = comparisons(tmp_path)
    assert "gap" in comparison.models and answers(tmp_path)[0].effect == before


def test_trials_of_other_blocks_are_not_judged(tmp_path):
    """Trials of block ``physics`` would give longer curves and another effect."""
    write_study(write_protocol(tmp_path, block="primary") / "a", block="primary")
    before = answers(tmp_path)[0].effect
    write_study(
        tmp_path / "b", block="physics", own_gain=-1.0, fractions=(0.02, 0.04, 0.1, 0.3, 0.4, 0.5, 1.0)
    )
    assert answers(tmp_path)[0].effect == before


def test_trials_on_two_grounds_are_ambiguous(tmp_path):
    folder = write_protocol(tmp_path)
    write_study(folder / "usual")
    write_study(folder / "matched", model_r_cut=6.0, r_cut=6.0, seeds=range(3))
    (answer,) = answers(folder)
    assert answer.outcome == UNDECIDABLE and answer.comparison is None
    assert "mlearn Si; mlearn Si, basis.r_cut=6.0" in report(folder)


def test_the_next_question_is_asked_only_after_an_answer(tmp_path):
    questions = [{"against": "others", "endpoint": "forces"}, {"against": "random", "endpoint": "energies"}]
    for gain, second in ((0.2, BETTER), (0.0, NOT_ASKED)):
        folder = write_study(write_protocol(tmp_path / str(gain), questions=questions), own_gain=gain)
        assert answers(folder)[1].outcome == second
    assert "is not asked" in report(folder)


@pytest.mark.parametrize(
    ("estimate", "error", "p", "outcome"),
    [
        (-0.001, 0.005, 0.8, EQUIVALENT),
        (-0.001, 0.05, 0.8, NOT_SHOWN),
        (-0.1, 0.005, 0.01, BETTER),
        (-0.025, 0.005, 0.2, NOT_SHOWN),
        (np.nan, np.nan, np.nan, UNDECIDABLE),
    ],
)
def test_equivalent_is_what_lies_within_the_margin(estimate, error, p, outcome):
    assert outcome_of(Effect(estimate, error, 20.0, 21, 21.0), p, 0.05, 0.03) == outcome


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": []}, "protocol.models is empty"),
        ({"level": 1.5}, "level is 1.5"),
        ({"correction": "hope"}, "choose one of holm, none"),
        ({"first": 0.6}, "not below protocol.last"),
        ({"questions": [{"against": "fate"}]}, "choose one of others, random, stratified"),
        ({"questions": [{"versus": "others"}]}, "a question has against and endpoint"),
        ({"pruners": ["fps"]}, "pruners"),
        ({"margin": {"_target_": "os.system"}}, "os.system"),
    ],
)
def test_a_protocol_that_says_something_else_is_refused(tmp_path, change, words):
    with pytest.raises(TamisError, match=words):
        read_protocol([write_protocol(tmp_path, **change)])


def test_a_file_that_is_no_protocol_is_refused(tmp_path):
    for text in ("[1, 2]", "a: [", "models: [snap]"):
        (tmp_path / PROTOCOL_FILE).write_text(text)
        with pytest.raises(TamisError, match=r"protocol\.yaml"):
            read_protocol([tmp_path])


def test_folders_with_different_protocols_are_refused(tmp_path):
    folders = [write_protocol(tmp_path / name, models=name) for name in ("snap", "ace")]
    assert read_protocol(folders[:1]).models == ("snap",)
    with pytest.raises(TamisError, match="differ; report each comparison for itself"):
        read_protocol(folders)
    assert read_protocol([folders[0], tmp_path]) == read_protocol(folders[:1])


@pytest.mark.parametrize("name", [name for name in choices("protocol") if name != "none"])
def test_each_protocol_is_read_as_it_was_composed(tmp_path, name):
    node = plain(composed(f"protocol={name}").protocol, resolve=True)
    (tmp_path / PROTOCOL_FILE).write_text(yaml.safe_dump(node))
    made = read_protocol([tmp_path])
    assert isinstance(made, Protocol) and made.models == tuple(node["models"])


@pytest.mark.parametrize("name", ["study", "study_quick"])
def test_the_plan_runs_what_its_protocol_needs(name):
    """Every arm of the protocol is in the block that it judges."""
    config = composed(f"experiment={name}", *(["dataset.root=/data"] if name == "study" else []))
    protocol, plan = config.protocol, config.plan
    block = plan.blocks[protocol.block]
    assert set(protocol.models) <= set(block.product.model)
    entries = [dict(entry) for name in block.sets for entry in plan.sets[name]]
    pruned = {entry["descriptor"] for entry in entries if entry["pruner"] == protocol.pruner}
    assert set(protocol.descriptors) <= pruned
    for data in protocol.data:
        for key, value in data.items():
            assert value in block.product.get(key, [value])


def test_no_protocol_is_the_default():
    assert composed().protocol is None
