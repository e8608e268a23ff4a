"""Reasons, lists and other texts as messages show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tamis.core.names import printable
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from rich.console import Console


def in_one_line(reason: str, longest: int = 300) -> str:
    """The first two lines of a reason as one, without secrets, cut where they are too long."""
    text = printable(redacted(" ".join(line.strip() for line in reason.splitlines()[:2])))
    return text if len(text) <= longest else f"{text[:longest]} ..."


def listed(names: Sequence[str], most: int = 10, what: str = "more", between: str = ", ") -> str:
    """Up to ``most`` of the names, and how many more there are."""
    rest = f" and {len(names) - most} {what}" if len(names) > most else ""
    return between.join(names[:most]) + rest


def reason_of(error: BaseException) -> str:
    """What an error says; its class if it says nothing."""
    return str(error).strip() or type(error).__name__


def plain_console() -> Console:
    """The terminal, for text as it is: lines are not wrapped, numbers not coloured."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_failure(reason: str, status: str = "failed") -> None:
    """Print what went wrong to the standard error, so that files and pipes get tables and nothing else."""
    from rich.console import Console
    from rich.markup import escape

    colour = "red" if status == "failed" else "yellow"
    text = f"[{colour}]{status}[/]: {escape(printable(redacted(reason)))}"
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)
