"""Any two ways of choosing against each other, whatever the question of a comparison is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tamis.analysis.contrasts import FEWEST_BLOCKS, FEWEST_SEEDS, LEVEL
from tamis.analysis.endpoint import ENERGIES, FORCES
from tamis.analysis.hypothesis import ALPHA
from tamis.analysis.pairs import ENDPOINTS, Pair
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Row, Section, Table, count, p_value
from tamis.report.words import ratio

ERRORS = {FORCES: "force", ENERGIES: "energy"}
ABOUT = (
    "Ratios below 1: the first way of choosing gives the smaller test errors. Pairs share the split of the pool, and "
    f"the brackets are {100 * LEVEL:g} % intervals (crossed bootstrap over splits and blocks of test structures): they "
    "say what other splits of the same data, and other test structures of the same kinds, would give. All splits are "
    "of one pool, so nothing follows for other data. p: corrected for the pairs of the same budget (Holm), not for the "
    "number of budgets. Without a protocol this describes; it is no verdict."
)


def section(context: Context) -> Section:
    """A table for each data set and model."""
    return Section("Any two ways of choosing", list(parts_of(context.pairs)))


def parts_of(pairs: Sequence[Pair]) -> Iterator[Part]:
    """The answer in words, a table for each data set and model, and what the numbers mean."""
    if not pairs:
        return
    yield from (Paragraph(text) for text in in_words(pairs))
    for ground, model in dict.fromkeys((pair.ground, pair.model) for pair in pairs):
        mine = [pair for pair in pairs if (pair.ground, pair.model) == (ground, model)]
        yield pair_table(mine, file_name("pairs", ground.name, model), f"{model}, {ground.name}")
    yield Paragraph(ABOUT)


def in_words(pairs: Sequence[Pair], most: int = 6) -> list[str]:
    """A sentence for each pair at the first place of each model: the whole curves, or the smallest budget."""
    said = []
    for ground, model in dict.fromkeys((pair.ground, pair.model) for pair in pairs):
        mine = [pair for pair in pairs if (pair.ground, pair.model) == (ground, model)]
        first = [pair for pair in mine if pair.where == mine[0].where]
        if len(first) <= most:
            said += [f"{model}, {ground.name}, {_of_atoms(pair)}: {_sentence(pair)}" for pair in first]
    return said


def _of_atoms(pair: Pair) -> str:
    return f"{pair.where} of the atoms"


def _sentence(pair: Pair) -> str:
    words = []
    for endpoint in ENDPOINTS:
        if (effect := pair.effects.get(endpoint)) is None:
            continue
        if not effect.enough:
            outcome = f"no interval from {count(effect.n_seeds, 'split')}"
        elif pair.p[endpoint] <= ALPHA:
            outcome = f"{'lower' if effect.estimate < 0 else 'higher'}, p {_p(pair, endpoint)}"
        else:
            outcome = f"no difference shown, p {_p(pair, endpoint)}"
        words.append(f"{ERRORS[endpoint]} errors {ratio(effect)} times as large ({outcome})")
    return f"{pair.first} against {pair.second}: {'; '.join(words) or 'no test errors'}."


def _p(pair: Pair, endpoint: str) -> str:
    text = p_value(pair.p.get(endpoint, float("nan")))
    return text if text.startswith("<") else f"= {text}"


def pair_table(pairs: Sequence[Pair], name: str, about: str) -> Table:
    """A row for each pair and budget."""
    rows: list[Row] = []
    breaks = []
    for i, pair in enumerate(pairs):
        row: list[Cell | str] = [pair.where, pair.first, pair.second]
        for endpoint in ENDPOINTS:
            effect, p = pair.effects.get(endpoint), pair.p.get(endpoint, float("nan"))
            shown = effect is not None and p <= ALPHA
            tone = "" if effect is None or not shown else "good" if effect.estimate < 0 else "bad"
            row += [Cell(ratio(effect), tone=tone), p_value(p)]
        rows.append([*row, str(max((e.n_seeds for e in pair.effects.values()), default=0))])
        if i and pair.where != pairs[i - 1].where:
            breaks.append(i)
    few = all(not effect.enough for pair in pairs for effect in pair.effects.values())
    notes = (
        f"No intervals: that takes {FEWEST_SEEDS} splits and {FEWEST_BLOCKS:g} effective blocks of test structures."
        if few
        else f"Green: the first has lower errors, red: higher ones (p ≤ {ALPHA:g} after Holm's correction for "
        f"{count(max(pair.n_pairs for pair in pairs), 'pair')} a budget)."
    )
    return Table(
        name,
        f"Test errors of the first by those of the second, {about}",
        ["% of the atoms", "first", "second", "force MAE", "p", "energy MAE", "p", "splits"],
        rows,
        notes=notes,
        breaks=breaks,
        folded=len(rows) > 60,
    )
