"""``tamis report``: from folders of trials to a report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.commands.arguments import add_folders, add_tracking, appears_whole, links_of, new_name, set_help

if TYPE_CHECKING:
    from tamis.report.context import Context
    from tamis.report.document import Document
    from tamis.report.links import Links


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Make a report of the trials below some folders: report.html, report.md, tables and figures. What the "
        "folder's protocol.yaml asks is judged, everything else is described.",
        "tamis report multirun/study",
        "tamis report multirun/study multirun/more --out report --no-coverage",
    )
    add_folders(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="new folder; default: FOLDER/report")
    parser.add_argument("--title", default="", help="of the report")
    parser.add_argument(
        "--no-coverage",
        action="store_true",
        help="do not work out coverage, entropy and maps of the kept sets, which takes seconds to minutes",
    )
    add_tracking(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make and write the report; returns the exit status."""
    from rich.console import Console  # these take seconds, and help is shown without

    from tamis.report.files import write_document

    out = new_name(arguments.out or arguments.folders[0] / "report")
    links = links_of(arguments)
    console = Console(soft_wrap=True, highlight=False)
    context, document = make_report(arguments.folders, links, arguments.title, not arguments.no_coverage)
    with appears_whole(out) as scratch:
        write_document(document, scratch)
        answers = _answers(context)
        (scratch / "verdict.md").write_text("".join(f"{words}\n\n" for words in answers))
    for words in answers:
        console.print(words, markup=False)
    console.print(f"report: {(out / 'report.html').absolute()}", markup=False)
    return 0


def _answers(context: Context) -> list[str]:
    """The answers of the protocol, or else how own and others compare, for the terminal."""
    from tamis.report.words import answer_words, description

    if context.protocol is not None:
        return [answer_words(answer, context.protocol) for answer in context.answers]
    return [next(iter(description(comparison))) for comparison in context.forces.values()]


def make_report(
    folders: Sequence[Path], links: Links, title: str = "", with_coverage: bool = False
) -> tuple[Context, Document]:
    """Read the trials below ``folders`` and put their report together."""
    from tamis.analysis.arms import results_of
    from tamis.analysis.coverage import KeptSets
    from tamis.analysis.protocol import read_protocol
    from tamis.analysis.trials import find_trials, read_trials
    from tamis.commands.selections import describe
    from tamis.report.context import context_of
    from tamis.report.document import Document, count
    from tamis.report.sections import (
        curves,
        descriptors,
        front,
        one,
        pairs,
        physics,
        selections,
        short,
        trials,
        verdict,
    )

    found = read_trials(find_trials(folders))
    protocol = read_protocol(folders)
    kept_sets = describe(found) if with_coverage else KeptSets()
    context = context_of(results_of(found), links, protocol, kept_sets)
    sections = (short, verdict, pairs, descriptors, curves, selections, physics, front)
    record = one.record_of(folders)
    if record is None:
        shown = [*(module.section(context) for module in sections), verdict.method(context)]
        heading = "Which training set to take"
    else:
        shown = [one.section(record, folders[0]), selections.section(context)]
        heading = "One trial"
    today = f"{datetime.now():%Y-%m-%d %H:%M}"
    document = Document(
        title or f"{heading}: {', '.join(f.resolve().name for f in folders)}",
        f"Made on {today} from {count(len(found), 'trial')} in {', '.join(map(str, folders))}.",
        [*shown, trials.section(context)],
    )
    return context, document
