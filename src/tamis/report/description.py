"""What is in a set of structures, in sentences and a table: what ``tamis describe`` prints."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from tamis.core.errors import TamisError
from tamis.core.messages import listed
from tamis.core.names import printable
from tamis.data.checks import Findings, examine
from tamis.data.dataset import Dataset
from tamis.data.dealing import test_in_words
from tamis.data.overview import Overview
from tamis.data.sources.file import File
from tamis.data.sources.spacing import spacing_of
from tamis.data.trajectories import trajectories
from tamis.report.document import Table, count
from tamis.report.overview import group_table
from tamis.report.terminal import show

SHOWN = 10
"""Problems or doubts of a kind that are printed."""
WIDTH = 160
"""Characters in which the table of groups fits."""


@dataclass(frozen=True, eq=False, repr=False)
class Description:
    """Of a data set; ``print`` shows all of it.

    read : what was taken for what. has : sizes, elements, periodicity. test : trajectories and how a test is held out.
    problems : for which a fit refuses the set. doubts : what deserves a look. overview : the numbers, by group.
    """

    read: Sequence[str]
    has: Sequence[str]
    test: Sequence[str]
    problems: Sequence[str]
    doubts: Sequence[str]
    overview: Overview

    @classmethod
    def of_files(cls, source: File) -> Description:
        """Of files that a trial might refuse.

        Raises
        ------
        TamisError : files that cannot be read, or that hold no structure.
        """
        dataset, problems = source.read()
        if not len(dataset):
            raise TamisError("nothing is left of the data set; correct dataset.drop")
        found = examine(dataset, source.elements or dataset.elements, source.tolerances, source.typed_factors)
        drawn = source.with_test(found.sound) if len(found.sound) else found.sound
        return cls._of(dataset, found, problems, drawn)

    @classmethod
    def of(cls, dataset: Dataset) -> Description:
        """Of a set that has been read."""
        found = examine(dataset, dataset.elements)
        return cls._of(dataset, found, (), found.sound)

    @classmethod
    def _of(cls, dataset: Dataset, found: Findings, problems: Sequence[str], drawn: Dataset) -> Description:
        overview = Overview.of(dataset)
        return cls(
            read=dataset.read_as.splitlines(),
            has=tuple(sentences(overview)),
            test=tuple(on_dependence(drawn)),
            problems=(*problems, *found.problems),
            doubts=found.doubts,
            overview=overview,
        )

    @property
    def table(self) -> Table:
        """A row for each group of structures."""
        return group_table(self.overview)

    def show(self, console: Console) -> None:
        """Print everything."""
        self._say(console, "read", self.read)
        self._say(console, "has", self.has)
        show(self.table, console)
        self._say(console, "test", self.test)
        self._say(console, "refused", _first(self.problems), "red")
        self._say(console, "look at", _first(self.doubts), "yellow")

    def _say(self, console: Console, what: str, lines: Sequence[str], colour: str = "bold") -> None:
        for line in lines:
            say(console, what, line, colour)

    def __str__(self) -> str:
        text = io.StringIO()
        self.show(Console(file=text, width=WIDTH))
        return text.getvalue()

    __repr__ = __str__


def say(console: Console, what: str, line: str, colour: str = "bold") -> None:
    """Print a line under a heading."""
    console.print(f"[{colour}]{f'{what}:':<9}[/]{escape(printable(line))}", highlight=False, soft_wrap=True)


def _first(lines: Sequence[str]) -> Sequence[str]:
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more"]


def sentences(overview: Overview) -> Iterator[str]:
    """Sizes, elements and periodicity."""
    dataset, whole = overview.dataset, overview.whole()
    groups = count(len(overview.groups()), "group")
    yield f"{count(whole.structures, 'structure')} with {whole.atoms:,} atoms, in {groups}"
    elements = ", ".join(f"{symbol} ({n:,} atoms)" for symbol, n in overview.atoms_of_elements())
    yield f"elements {elements}; {count(overview.compositions, 'composition')}"
    directions = [int(atoms.pbc.sum()) for atoms in dataset.structures]
    kinds = ((3, "periodic"), (2, "slabs"), (1, "wires"), (0, "not periodic"))
    yield "; ".join(f"{directions.count(n):,} {name}" for n, name in kinds if n in directions)
    try:
        yield f"atom_spacing {spacing_of(dataset):g} Å, by which default cutoffs scale"
    except TamisError as error:
        yield str(error)


def on_dependence(drawn: Dataset) -> Iterator[str]:
    """Trajectories, what kind of test a trial would make, and free atoms."""
    found = [f"{drawn.ids[a]} to {drawn.ids[b]}" for a, b in trajectories(drawn.structures, drawn.groups)]
    if found:
        yield f"trajectories, by the positions: {listed(found, 3)}"
    if len(drawn):
        yield test_in_words(drawn.test_kind, int(drawn.is_test.sum()), len(drawn))
        yield from drawn.notes
