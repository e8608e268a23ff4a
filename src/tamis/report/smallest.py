"""What a search for the smallest training set found: lines for the terminal, a page, and facts for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from tamis.analysis.arms import BASELINES
from tamis.analysis.averages import geometric_mean
from tamis.analysis.smallest import WHOLE, Answer
from tamis.core.metrics import (
    ENERGY_MAE,
    FORCE_MAE,
    KEPT_ATOMS,
    KEPT_STRUCTURES,
    TEST,
    VALIDATION,
    error,
    unit_of,
)
from tamis.models.judging import FEW
from tamis.report.document import (
    Cell,
    Document,
    Paragraph,
    Part,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
    count,
    number,
)
from tamis.report.style import FAMILIES, INK, LOOKS, OTHERS, label, legend, look, panel

WORDS = {FORCE_MAE: "force", ENERGY_MAE: "energy"}
RANDOM = "random"
TICKS = (1, 2, 3, 5, 10, 20, 30, 50, 100)
"""Percent of the atoms."""


def facts_of(answer: Answer) -> dict[str, Any]:
    """The answer as plain numbers and words: fractions are of the pool's atoms, ratios by the whole pool's errors."""
    limit = answer.limit
    return {
        "model": answer.model,
        "within_percent": answer.within,
        "judged": list(answer.quantities),
        "chosen_by": answer.taken,
        "split": answer.split,
        "structures": int(answer.kept[KEPT_STRUCTURES]),
        "atoms": int(answer.kept[KEPT_ATOMS]),
        "fraction_of_atoms": answer.part,
        "brackets": {
            name: [c.bracket(limit).low, c.bracket(limit).high] for name, c in answer.curves.items()
        },
        "fractions_by_split": {name: c.by_split(limit) for name, c in answer.curves.items()},
        "left_out": dict(answer.left_out),
    }


def lines_of(answer: Answer) -> list[str]:
    """The answer in four lines for the terminal."""
    return [
        f"smallest:   {_set(answer)}",
        f"validation: {_validation(answer)}",
        f"others:     {_others(answer)}",
        f"test:       {_test(answer)}",
    ]


def page_of(answer: Answer, folder: Path) -> Document:
    """The page; ``folder``: of the trials."""
    found: list[Part] = [Paragraph(f"{text[0].upper()}{text[1:]}.", strong=True) for text in (_set(answer),)]
    found += [Paragraph(f"{name}: {text}.") for name, text in _answers(answer)]
    found.append(Paragraph("The set is kept.extxyz beside this page, and its potential is in potential/."))
    if above := _above_on_test(answer):
        found.append(
            Paragraph(
                f"The test set does not bear this out: {' and '.join(above)} errors are above the limit there. The "
                "size may be luck of few validation structures. Take more splits, a larger validation_fraction, or a "
                "smaller within.",
                strong=True,
            )
        )
    pictures = [
        _picture(answer, i, quantity) for i, quantity in enumerate(answer.quantities) if answer.curves
    ]
    return Document(
        f"The smallest training set for {answer.model}, within {answer.within:g} % of the whole pool's errors",
        f"{count(answer.n_retrains, 'potential')} fitted, {count(answer.n_splits, 'split')} into pool and validation "
        f"set; trials in {folder}.",
        [
            Section("The answer", [*found, Pictures(pictures)]),
            Section("What it costs", [_cost(answer)]),
            Section("The ways of choosing", [_ways(answer), *_left_out(answer)]),
            Section("How sure this is", [Paragraph(text) for text in _doubts(answer)]),
            Section("How it was found", [Paragraph(_how(answer)), _points(answer)]),
        ],
    )


def _answers(answer: Answer) -> Iterator[tuple[str, str]]:
    yield "Validation", _validation(answer)
    yield "Other ways of choosing", _others(answer)
    yield "Test, read after the choice", _test(answer)


def _set(answer: Answer) -> str:
    whole = f"{answer.n_pool} structures, {answer.n_pool_atoms} atoms"
    if answer.taken is None:
        tried = max((float(c.fractions[-1]) for c in answer.curves.values()), default=0.0)
        return (
            f"the whole pool ({whole}): no smaller set is within {answer.within:g} %, up to {_percent(tried)} of "
            "the atoms"
        )
    kept, atoms = (int(answer.kept[name]) for name in (KEPT_STRUCTURES, KEPT_ATOMS))
    return (
        f"{kept} of {answer.n_pool} structures, {atoms} of {answer.n_pool_atoms} atoms ({_percent(answer.part)}), "
        f"chosen by {answer.taken}"
    )


def _validation(answer: Answer) -> str:
    if answer.taken is None:
        return f"the set is the whole pool; up to {answer.limit:.2f} times its errors was allowed"
    curve = answer.curves[answer.taken]
    ratios = curve.ratios[curve.at(answer.fraction)]
    each = [f"{WORDS[q]} MAE {_spread(ratios[:, i])}" for i, q in enumerate(answer.quantities)]
    return f"{', '.join(each)} times the whole pool's{_over(answer)}; up to {answer.limit:.2f} was allowed"


def _over(answer: Answer) -> str:
    return f" (range over {answer.n_splits} splits)" if answer.n_splits > 1 else " (one split)"


def _spread(values: Sequence[float] | Any) -> str:
    """``1.06 (1.01 to 1.12)``: geometric mean and range."""
    middle = f"{geometric_mean(values):.2f}"
    return f"{middle} ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else middle


def _others(answer: Answer) -> str:
    words = []
    for name, curve in answer.curves.items():
        if name == answer.taken:
            continue
        fraction = curve.bracket(answer.limit).high
        if fraction == WHOLE:
            words.append(f"{name} none below the whole pool")
            continue
        part = float(curve.parts[curve.at(fraction)].mean())
        times = ""
        if answer.taken is not None and name == RANDOM:
            taken = answer.curves[answer.taken]
            times = f", {part / float(taken.parts[taken.at(answer.fraction)].mean()):.1f} times as many"
        words.append(f"{name} {_percent(part)}{times}")
    return f"{'; '.join(words) or 'none'} (of the atoms)"


def _test(answer: Answer) -> str:
    keys = [(q, error(TEST, q)) for q in answer.quantities if error(TEST, q) in answer.kept]
    if not keys:
        return "there is no test set"
    words = []
    for q, key in keys:
        ratios = answer.test_ratios[:, answer.quantities.index(q)]
        words.append(f"{WORDS[q]} MAE {number(answer.kept[key])} {unit_of(key)}, {_spread(ratios)}")
    times = f"times the whole pool's{_over(answer)}"
    above = _above_on_test(answer)
    told = f"; {' and '.join(above)} above the limit" if above else ""
    return f"{'; '.join(words)} {times}, on {count(answer.n_test, 'structure')}{told}"


def _above_on_test(answer: Answer) -> list[str]:
    """Kinds of errors whose mean ratio on the test set is above the limit."""
    means = [geometric_mean(column) for column in answer.test_ratios.T]
    return [WORDS[q] for q, mean in zip(answer.quantities, means, strict=True) if mean > answer.limit]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"


def _cost(answer: Answer) -> Table:
    rows: list[Row] = []
    for part in (VALIDATION, TEST):
        for q in (FORCE_MAE, ENERGY_MAE):
            key = error(part, q)
            if key in answer.kept and key in answer.whole:
                whole, kept = answer.whole[key], answer.kept[key]
                judged = " (judged)" if part == VALIDATION and q in answer.quantities else ""
                name = f"{part}, {WORDS[q]} MAE{judged}"
                rows.append(
                    [name, unit_of(key), number(whole), number(kept), f"{kept / whole:.2f}" if whole else ""]
                )
    return Table(
        "cost",
        f"Errors of the set that was written (split {answer.split}, the one in the middle by validation)",
        ["error", "unit", "whole pool", "this set", "ratio"],
        rows,
        notes="Validation errors alone decided. Test errors were read once, for this set.",
    )


def _ways(answer: Answer) -> Table:
    rows: list[Row] = []
    for name, curve in answer.curves.items():
        bracket = curve.bracket(answer.limit)
        taken = Cell(name, tone="good" if name == answer.taken else "")
        splits = curve.by_split(answer.limit)
        by_split = ", ".join(_percent(f) for f in splits)
        sure = curve.bracket_of_all(answer.limit).high
        between = (
            f"{_percent(bracket.low)} to {_percent(bracket.high)}"
            if bracket.low
            else f"≤ {_percent(bracket.high)}"
        )
        if bracket.high == WHOLE:
            rows.append(
                [taken, "none", "", between, *("" for _ in answer.quantities), by_split, _percent(sure)]
            )
            continue
        i = curve.at(bracket.high)
        sizes = [f"{geometric_mean(curve.structures[i]):.0f}", f"{geometric_mean(curve.atoms[i]):.0f}"]
        ratios = [_spread(curve.ratios[i, :, j]) for j in range(len(answer.quantities))]
        rows.append([taken, *sizes, between, *ratios, by_split, _percent(sure)])
    return Table(
        "ways",
        f"Smallest sets within {answer.within:g} %, mean over splits",
        [
            *("chosen by", "structures", "atoms", "between (of the atoms)"),
            *(f"{WORDS[q]} MAE / whole pool's" for q in answer.quantities),
            *("by each split alone", "every split within from"),
        ],
        rows,
        notes="Between: the largest size that fails, and the next one, from which on all that were tried are within. "
        "Ratios: geometric mean and range over splits.",
    )


def _left_out(answer: Answer) -> list[Part]:
    return [Paragraph(f"{name} is left out: {why}") for name, why in answer.left_out.items()]


def _doubts(answer: Answer) -> Iterator[str]:
    if answer.taken is not None:
        curve = answer.curves[answer.taken]
        fraction = answer.fraction
        splits = curve.by_split(answer.limit)
        within = int(np.sum(curve.ratios[curve.at(fraction)].max(axis=1) <= answer.limit))
        yield (
            f"The size is where the mean over {count(answer.n_splits, 'split')} comes within the limit: {within} of "
            f"them are within by themselves. Each split alone would have given {_listed(splits)} of the atoms, to the "
            "sizes that were tried."
        )
        chance = curve.chance(fraction, answer.limit)
        if np.isfinite(chance):
            yield (
                f"The chance that the mean over many splits is above the limit after all is {100 * chance:.0f} % "
                "(Student's t over these splits). It is large by nature, since the smallest set lies at the limit: a "
                "smaller within= buys certainty, a larger splits= shows it."
            )
        else:
            yield "One split shows no spread: take splits=3 or more before the size is relied on."
    if answer.n_validation < FEW:
        yield (
            f"A validation set has {answer.n_validation} distinct structures: too few to decide anything. Give a "
            "larger validation_fraction."
        )
    yield (
        f"The splits are of one data set, each with {answer.n_validation} distinct validation structures or more. What "
        "is said of them holds for this data set, not for new materials or temperatures. The smallest of "
        f"{count(len(answer.curves), 'way')} of choosing is flattered a little; the test errors above are not, where "
        "the test set is independent."
    )
    if answer.missing:
        yield f"These data have no errors of {' and '.join(answer.missing)} to judge; the others decided."


def _listed(fractions: Sequence[float]) -> str:
    return ", ".join(_percent(f) for f in fractions)


def _how(answer: Answer) -> str:
    return (
        "A coarse learning curve for each way of choosing and split, then finer ones within the bracket in which the "
        "geometric mean over splits of each validation error comes within the limit, until its ends differ by a few "
        "per cent or by one structure. A size counts only if all larger ones that were tried are within, too, so that "
        f"a lucky dip is no answer. Nothing below {_percent(answer.smallest)} of the atoms was tried."
    )


def _points(answer: Answer) -> Table:
    rows: list[Row] = []
    for name, curve in answer.curves.items():
        for i, fraction in enumerate(curve.fractions):
            sizes = [f"{geometric_mean(curve.structures[i]):.0f}", f"{geometric_mean(curve.atoms[i]):.0f}"]
            ratios = [_spread(curve.ratios[i, :, j]) for j in range(len(answer.quantities))]
            rows.append([name, _percent(fraction), *sizes, *ratios])
    columns = ["chosen by", "asked for", "structures", "atoms"]
    columns += [f"{WORDS[q]} MAE / whole pool's" for q in answer.quantities]
    return Table("points", "All sizes that were tried", columns, rows, folded=True)


def _picture(answer: Answer, number_of: int, quantity: str) -> Picture:
    """Ratios of one error against the part of the atoms."""
    figure, ax = panel(f"{answer.model}: {WORDS[quantity]} error")
    names = list(answer.curves)
    for name, curve in answer.curves.items():
        (tint, mark), bold = _look(name, names), name == answer.taken
        x = 100 * np.append(curve.parts.mean(axis=1), 1.0)
        ratios = np.vstack([curve.ratios[:, :, number_of], np.ones(answer.n_splits)])
        y = np.exp(np.log(ratios).mean(axis=1))
        dashes = "--" if name == RANDOM else "-"
        ax.plot(
            x,
            y,
            dashes,
            marker=mark,
            ms=4,
            color=tint,
            lw=2.4 if bold else 1.2,
            label=name,
            zorder=3 if bold else 2,
        )
        if answer.n_splits > 1 and (bold or name == RANDOM):
            ax.fill_between(x, ratios.min(axis=1), ratios.max(axis=1), color=tint, alpha=0.15, lw=0)
    ax.axhline(answer.limit, color=INK, lw=0.9, ls=":")
    ax.axhline(1.0, color=INK, lw=0.5)
    if answer.taken is not None:
        curve = answer.curves[answer.taken]
        i = curve.at(answer.fraction)
        part = 100 * float(curve.parts[i].mean())
        ax.plot(
            [part],
            [curve.means[i, number_of]],
            "o",
            ms=9,
            mfc="none",
            mew=1.8,
            color=_look(answer.taken, names)[0],
            zorder=4,
        )
    _axes(ax, answer, number_of)
    label(ax, "% of the pool's atoms", f"validation {WORDS[quantity]} MAE / whole pool's")
    legend(ax, columns=2)
    bands = (
        "Bands: range over splits, of the way that was taken and of random. " if answer.n_splits > 1 else ""
    )
    caption = (
        f"Validation {WORDS[quantity]} error by the whole pool's, geometric mean over "
        f"{count(answer.n_splits, 'split')}, against the atoms kept. {bands}"
        f"Dotted: {answer.limit:.2f}, the limit. Ring: the set that was taken."
    )
    return Picture(f"smallest-{WORDS[quantity]}", caption, figure)


def _axes(ax: Any, answer: Answer, number_of: int) -> None:
    """Logarithmic axes whose ticks are numbers that a person reads; very large ratios of tiny sets are cut."""
    curves = answer.curves.values()
    lowest = min(float(c.parts.min()) for c in curves)
    highest = max(float(c.means[:, number_of].max()) for c in curves)
    bottom = min(float(c.ratios[:, :, number_of].min()) for c in curves)
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(90 * lowest, 112),
        ylim=(min(0.95 * bottom, 0.9), min(highest, 8.0) * 1.15),
    )
    ax.set_xticks([t for t in TICKS if 90 * lowest <= t <= 112], labels=None)
    ax.set_yticks(
        [t for t in (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 8) if ax.get_ylim()[0] <= t <= ax.get_ylim()[1]]
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def _look(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Colour and mark of a way: those of its pruner where it needs no descriptor."""
    if name in BASELINES:
        return look(name, names)
    return OTHERS_FIRST[[n for n in names if n not in BASELINES].index(name) % len(OTHERS_FIRST)]


OTHERS_FIRST = (*(LOOKS[name] for name in FAMILIES), *OTHERS)
"""Looks of ways of choosing: not of descriptors, since several ways may share one."""
