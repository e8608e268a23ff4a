"""What the store of rows holds, and clearing what has not been used for a time.

tamis store                       descriptors, structures, size, last use
tamis store --clear 30            remove what has not been used for 30 days
tamis store --clear 0             remove everything
"""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from tamis.core.errors import TamisError
from tamis.core.messages import plain_console

DAY_S = 86400.0


@dataclass(frozen=True)
class Kept:
    """Blocks of one kind of one basis.

    folder: of the basis; n: blocks, one a structure; size: bytes; used: when one was last read or written, seconds.
    """

    folder: Path
    n: int
    size: int
    used: float

    @property
    def days(self) -> float:
        """Days since the last use."""
        return max(0.0, (time.time() - self.used) / DAY_S)


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of ``tamis store``."""
    parser.add_argument(
        "--root", type=Path, default=Path(".tamis/store"), help="of the store; default: %(default)s"
    )
    parser.add_argument(
        "--clear", type=float, metavar="DAYS", help="remove what was not used for so many days"
    )


def run(arguments: Namespace) -> int:
    """Show or clear the store; returns the exit status."""
    root: Path = arguments.root
    if not root.is_dir():
        raise TamisError(f"there is no store in {root}; name the folder of store.root with --root")
    if arguments.clear is not None and not arguments.clear >= 0:
        raise TamisError(f"--clear is {arguments.clear}; a number of days from 0 on is needed")
    found = sorted(contents(root), key=lambda kept: -kept.size)
    out = plain_console()
    if arguments.clear is not None:
        old = [kept for kept in found if kept.days >= arguments.clear]
        for kept in old:
            shutil.rmtree(kept.folder)
        out.print(
            f"removed {len(old)} of {len(found)} bases, {_size(sum(kept.size for kept in old))}", markup=False
        )
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("basis", "blocks", "size", "last used"):
        table.add_column(heading, justify="left" if heading == "basis" else "right")
    for kept in found:
        table.add_row(kept.folder.name, str(kept.n), _size(kept.size), f"{kept.days:.1f} days ago")
    out.print(table)
    out.print(
        f"{root}: {_size(sum(kept.size for kept in found))}; remove what is old with --clear DAYS",
        markup=False,
    )
    return 0


def contents(root: Path) -> Iterator[Kept]:
    """What is kept of each basis."""
    for folder in root.iterdir():
        if folder.is_dir():
            stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
            used = max((max(stat.st_atime, stat.st_mtime) for stat in stats), default=folder.stat().st_mtime)
            yield Kept(folder, len(stats), sum(stat.st_size for stat in stats), used)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
