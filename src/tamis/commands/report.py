"""``tamis-report``: from folders of trials to a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from tamis.analysis.arms import study_of
from tamis.analysis.comparison import corrected_verdicts
from tamis.analysis.kept_sets import read_kept_sets
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands.arguments import appears_whole, default_uri, new_name, read_arguments
from tamis.commands.endings import in_a_sentence
from tamis.report.context import Context, context_of
from tamis.report.document import Document
from tamis.report.files import write_document
from tamis.report.links import UI, Links, read_links
from tamis.report.sections import (
    curves,
    front,
    groups,
    hypothesis,
    matrix,
    physics,
    problems,
    pruners,
    runs,
    selections,
    verdict,
)
from tamis.report.words import verdict_words

SECTIONS = (
    *(verdict, matrix, hypothesis, curves, selections, groups, physics, pruners, front, problems, runs),
)
USAGE = (
    "usage: tamis-report <folder of trials>... [out=<new folder>] [title=...] [tracking.uri=sqlite:///...] "
    f"[ui={UI}]"
)


def main() -> None:
    """Entry point of the console script."""
    with in_a_sentence():
        options = {"out": "", "title": "", "tracking.uri": default_uri(), "ui": UI}
        folders, chosen = read_arguments(sys.argv[1:], options, USAGE)
        out = new_name(Path(chosen["out"]) if chosen["out"] else folders[0] / "report")
        links = read_links(chosen["tracking.uri"], chosen["ui"])
        context, document = make_report(folders, links, chosen["title"])
        with appears_whole(out) as scratch:
            write_document(document, scratch)
    console = Console(soft_wrap=True, highlight=False)
    p = corrected_verdicts(list(context.primary.values()))
    for comparison in context.primary.values():
        console.print(verdict_words(comparison, p[comparison.ground]), markup=False)
    console.print(f"report: {(out / 'report.html').absolute()}", markup=False)


def make_report(folders: Sequence[Path], links: Links, title: str = "") -> tuple[Context, Document]:
    """Read the trials below ``folders`` and put their report together; nothing is computed but statistics."""
    trials = read_trials(find_trials(folders))
    study = study_of(trials)
    context = context_of(study, links, read_kept_sets(folders, trials))
    today = f"{datetime.now():%Y-%m-%d %H:%M}"
    document = Document(
        title or f"Training sets pruned in descriptor space: {', '.join(f.resolve().name for f in folders)}",
        f"Made on {today} from {len(study.trials)} trials in {', '.join(map(str, folders))}.",
        [module.section(context) for module in SECTIONS],
    )
    return context, document


if __name__ == "__main__":
    main()
