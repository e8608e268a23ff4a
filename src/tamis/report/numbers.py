"""Numbers as they are printed."""

from __future__ import annotations

import math


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits; empty for None and NaN."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def p_value(p: float) -> str:
    """Two digits, and no more zeros than anyone believes."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def count(n: int, noun: str) -> str:
    """``1 split``, ``2 splits``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
