"""What a user leaves out: structures by their ids, and whole groups or files by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.messages import listed
from tamis.core.suggestions import suggest

GROUP, FILE = "group:", "file:"


@dataclass(frozen=True)
class Drop:
    """ids : of structures. groups : whole groups. files : whole files; with the path in the ids, or the name alone."""

    ids: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Drop:
        """From entries such as ``set.xyz#12``, ``group:liquid`` and ``file:old.xyz``."""
        found: dict[str, set[str]] = {"": set(), GROUP: set(), FILE: set()}
        for entry in entries:
            kind = next((kind for kind in (GROUP, FILE) if entry.startswith(kind)), "")
            found[kind].add(entry.removeprefix(kind))
        return cls(*(frozenset(names) for names in found.values()))

    def has_file(self, path: str) -> bool:
        """Whether a file is left out as a whole."""
        return not self.files.isdisjoint((path, Path(path).name))

    def of_structures(self, ids: Sequence[str], groups: Sequence[str]) -> NDArray[np.bool_]:
        """True for structures that are left out, (n,)."""
        dropped = [
            not self.ids.isdisjoint((name, _short(name)))
            or group in self.groups
            or self.has_file(name.rpartition("#")[0])
            for name, group in zip(ids, groups, strict=True)
        ]
        return np.array(dropped, dtype=np.bool_)

    def refuse_unknown(self, ids: Sequence[str], groups: Iterable[str], files: Iterable[str] = ()) -> None:
        """Refuse names that do not exist: a number that is one off would keep the wrong structure.

        Parameters
        ----------
        files : beside those that stand in the ids.
        """
        if not (self.ids or self.groups or self.files):
            return
        paths = {*files, *(name.rpartition("#")[0] for name in ids)}
        like = f"ids look like {', '.join(ids[:2])}, and the last is {ids[-1] if ids else 'none'}"
        problems = [
            *_unknown(self.ids, {*ids, *map(_short, ids)}, "", like),
            *_ambiguous(self.ids - set(ids), ids),
            *_unknown(self.groups, groups, GROUP, "the groups are"),
            *_unknown(
                self.files, {*paths, *(Path(path).name for path in paths)}, FILE, "the files are", paths
            ),
        ]
        if problems:
            raise TamisError(f"dataset.drop names {'; and '.join(problems)}")


def _short(name: str) -> str:
    """An id with the name of its file alone."""
    return name.rpartition("/")[2]


def _ambiguous(names: Iterable[str], ids: Iterable[str]) -> Iterator[str]:
    """A sentence if one of ``names``, without its folder, stands for structures of several files."""
    found: dict[str, list[str]] = {}
    for name in ids:
        found.setdefault(_short(name), []).append(name)
    for name in sorted(names):
        if len(meant := found.get(name, [])) > 1:
            yield f"{name}, which may be {listed(meant)}; give the folder, too"


def _unknown(
    names: Iterable[str], known: Iterable[str], kind: str, words: str, shown: Iterable[str] | None = None
) -> Iterator[str]:
    """A sentence if the data set does not have one of ``names``."""
    if missing := sorted(set(names) - set(known)):
        there = f" {listed(sorted(set(known if shown is None else shown)))}" if kind else ""
        yield (
            f"{', '.join(kind + name for name in missing)}, which the data set does not have; "
            f"{suggest(missing[0], set(known))}{words}{there}"
        )
