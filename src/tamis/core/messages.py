"""Reasons and other texts as a terminal shows them."""

from tamis.core.names import printable
from tamis.core.secrets import redacted


def in_one_line(reason: str, longest: int = 300) -> str:
    """The first two lines of a reason as one, without secrets, cut where they are too long."""
    text = printable(redacted(" ".join(line.strip() for line in reason.splitlines()[:2])))
    return text if len(text) <= longest else f"{text[:longest]} ..."
