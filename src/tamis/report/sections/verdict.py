"""The answer first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tamis.analysis.arms import Ground
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import mean_effect
from tamis.analysis.endpoint import FORCES
from tamis.analysis.judgement import Answer
from tamis.analysis.protocol import OTHERS, Protocol
from tamis.analysis.trials import UNREADABLE
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SKIPPED, STOPPED
from tamis.report.context import Context
from tamis.report.document import Paragraph, Section, count, number
from tamis.report.words import answer_words, baseline_words, caveats, description

QUESTION = (
    "The question: is a training set that was pruned with a model's own descriptor better for that model than one that "
    "was pruned with another's?"
)
UNJUDGED = (
    "There is no protocol.yaml in the folder of these trials, so nothing is judged: this report describes. A protocol "
    "says what is compared and how it is decided, before anything runs (docs/report.md)."
)
METHOD = (
    "Differences of areas are mean log ratios of errors, paired by split. Intervals (95 %): splits and blocks of test "
    "structures (trajectories, strain modes) are drawn again, independently of each other (crossed bootstrap, 1000 "
    "draws), with as many degrees of freedom as the smaller of the two has. Splits are of one pool and are judged on "
    "one test set: what they say is about this pool. Single models, pruners and cells are described, not judged: of "
    "many intervals some leave out 1 by chance."
)
TWO_QUESTIONS = (
    "'Better' needs two answers. First, whether the own sets give lower errors than the mean of the others, on this "
    "data. Second, whether it is being the own one that matters: some descriptor is always the best of a row, and with "
    "enough splits that is beyond chance, whichever it is. So the own assignment is ranked among all assignments of "
    "descriptors to models, in the matrix without its row and column means."
)


def section(context: Context) -> Section:
    """The answers, or without a protocol how own and other descriptors compare."""
    title = "The verdict" if context.protocol else "Own and other descriptors, in short"
    return Section(title, list(_parts(context)))


def _parts(context: Context) -> Iterator[Paragraph]:
    counts = Counter(trial.status for trial in context.results.trials)
    if counts[RUNNING]:
        unfinished = (
            f"{count(counts[RUNNING], 'trial')} without an end, running or killed: this report is not final."
        )
        yield Paragraph(unfinished, strong=True)
    if not context.forces:
        nothing = "Nothing can be compared: that takes complete trials with descriptors, and a test set."
        yield Paragraph(nothing, strong=True)
    if context.protocol is not None:
        for answer in context.answers:
            yield Paragraph(answer_words(answer, context.protocol), strong=True)
        yield Paragraph(_elements(context.answers))
    judged, told = _judged(context), dict[str, list[str]]()
    for ground, comparison in context.forces.items():
        for words in baseline_words(judged[ground]) if ground in judged else description(comparison):
            name = next(
                start for start in (f"{ground.name}: ", f"{ground.name}, ") if words.startswith(start)
            )
            told.setdefault(words.removeprefix(name), []).append(name[:-2])
    for words, names in told.items():  # settings of a search mostly lack the same
        yield Paragraph(f"{names[0] if len(names) == 1 else f'{len(names)} data sets or settings'}: {words}")


def _judged(context: Context) -> dict[Ground, Comparison]:
    return {
        answer.comparison.ground: answer.comparison
        for answer in context.answers
        if answer.comparison is not None and answer.question.endpoint == FORCES
    }


def method(context: Context) -> Section:
    """What was asked, of how many trials, and what the numbers rest on."""
    counts = Counter(trial.status for trial in context.results.trials)
    statuses = (COMPLETE, FAILED, INTERRUPTED, SKIPPED, STOPPED, RUNNING, UNREADABLE)
    present = [f"{counts[s]} {s}" for s in statuses if counts[s]]
    n_points = sum(len(trial.points) for trial in context.results.trials)
    parts = [
        Paragraph(f"{QUESTION} {_endpoint(context.protocol) if context.protocol else UNJUDGED}"),
        Paragraph(f"Trials: {', '.join(present)}. Retrained potentials: {n_points}."),
        *([Paragraph(METHOD)] if context.forces else []),
        *([Paragraph(TWO_QUESTIONS)] if context.protocol else []),
    ]
    judged = _judged(context)
    parts += [
        Paragraph(f"{ground.name}: {' '.join(caveats(judged.get(ground, comparison)))}")
        for ground, comparison in context.forces.items()
    ]
    return Section("How it was done", parts)


def _endpoint(protocol: Protocol) -> str:
    correction = "" if protocol.correction == "none" else f", corrected ({protocol.correction.capitalize()})"
    return (
        f"The protocol judges {', '.join(protocol.models)} together, on {count(len(protocol.data), 'data set')}"
        f"{correction}, with sets chosen by {protocol.pruner} in {', '.join(protocol.descriptors)}. The endpoint is "
        f"the area under log(test MAE) over log(atoms kept), from {100 * protocol.first:g} to "
        f"{100 * protocol.last:g} % of the pool. Everything else in this report is description."
    )


def _elements(answers: Sequence[Answer]) -> str:
    """The mean over data sets, with the data set as the unit."""
    ratios = {
        answer.data: answer.effect.estimate
        for answer in answers
        if answer.question == answers[0].question and answer.effect is not None and answer.effect.enough
    }
    if len(ratios) < 3:
        return (
            f"Data sets with an interval: {len(ratios)}. The data set is the unit of any statement about materials in "
            "general, which takes three at least, so there is none here."
        )
    effect = mean_effect(list(ratios.values()))
    low, high = effect.ratio_interval()
    against = "the others" if answers[0].question.against == OTHERS else answers[0].question.against
    return (
        f"Over {len(ratios)} data sets as units ({', '.join(ratios)}): ratio of errors, own to {against}, "
        f"{number(effect.ratio, 3)} ({low:.2f} to {high:.2f}). They are not a random sample of materials."
    )
