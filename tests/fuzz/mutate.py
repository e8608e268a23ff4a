"""Ways to spoil good input: bytes, words and lines of text, values of JSON."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

Rng = np.random.Generator

NUMBERS = (
    *("0", "-0", "1", "-1", "2", "3", "1e-300", "1e300", "1e308", "-1e308", "1e999", "nan", "inf", "-inf"),
    *("2147483647", "2147483648", "-2147483649", "9223372036854775807", "9223372036854775808", "1" * 400),
    *("0x10", "1_000", "1,5", "1e", ".", "+", "٣", "1d5", "100000", "1000000", "1e9", "0.5", "1e-3", "4.2"),
)
WORDS = (
    *("", " ", "\t", "\0", "'", '"', "`", "\\", "/", "..", "../../etc/passwd", "/dev/zero", "~", "$", "$x$"),
    *(
        "$\\frac$",
        "${",
        "}",
        "${x}",
        "${oc.env:HOME}",
        "${tamis.times:1,2}",
        "{}",
        "{a: 1}",
        "[]",
        "[1,2]",
        "=",
        ",",
    ),
    *(
        "null",
        "None",
        "true",
        "no",
        "???",
        "<b>",
        "<script>alert(1)</script>",
        "&amp;",
        "&",
        "%s",
        "{0}",
        "#",
        "!",
    ),
    *(
        "Si",
        "Ge",
        "X",
        "Uuo",
        "si",
        "é",
        "Å",
        "日本",
        "\u202e",
        "\ufeff",
        "💥",
        "\ud800",
        "a" * 5000,
        "!!python/name:os.system",
    ),
    *(
        "|",
        "\n",
        "\r",
        "\n\n",
        ";",
        "*",
        "?",
        "@",
        "-",
        "--",
        "-1",
        "a=b",
        "a.b",
        "javascript:alert(1)",
        "=1+1",
    ),
)
NUMBER = re.compile(rb"(?<![\w.+-])[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.+-])")


def pick(rng: Rng, things: Any) -> Any:
    """One of ``things``."""
    return things[int(rng.integers(len(things)))]


def word(rng: Rng) -> str:
    """A word or a number that is awkward somewhere."""
    return str(pick(rng, NUMBERS if rng.random() < 0.4 else WORDS))


def spoiled(rng: Rng, data: bytes) -> bytes:
    """``data`` with one to a few changes; rarely without any."""
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.3 else 1):
        data = pick(rng, CHANGES)(rng, data)
    return data


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _flip(rng: Rng, data: bytes) -> bytes:
    if not data:
        return data
    out = bytearray(data)
    out[int(rng.integers(len(out)))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _cut(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _span(rng: Rng, data: bytes) -> tuple[int, int]:
    begin = int(rng.integers(len(data) + 1))
    return begin, min(len(data), begin + int(rng.geometric(0.05)))


def _delete(rng: Rng, data: bytes) -> bytes:
    begin, end = _span(rng, data)
    return data[:begin] + data[end:]


def _repeat(rng: Rng, data: bytes) -> bytes:
    begin, end = _span(rng, data)
    return data[:end] + data[begin:end] * int(rng.integers(1, 20)) + data[end:]


def _insert(rng: Rng, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    new = _encoded(word(rng)) if rng.random() < 0.8 else rng.bytes(int(rng.integers(1, 9)))
    return data[:place] + new + data[place:]


def _number(rng: Rng, data: bytes) -> bytes:
    """One number becomes another."""
    found = list(NUMBER.finditer(data))
    if not found:
        return _insert(rng, data)
    one = pick(rng, found)
    return data[: one.start()] + _encoded(str(pick(rng, NUMBERS))) + data[one.end() :]


def _word(rng: Rng, data: bytes) -> bytes:
    """One word becomes another, or one that stands elsewhere in the file."""
    words = list(re.finditer(rb"\S+", data))
    if not words:
        return _insert(rng, data)
    one = pick(rng, words)
    new = _encoded(word(rng)) if rng.random() < 0.5 else pick(rng, words)[0]
    return data[: one.start()] + new + data[one.end() :]


def _line(rng: Rng, data: bytes) -> bytes:
    """A line goes, comes twice, or changes its place."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return _insert(rng, data)
    i, j = int(rng.integers(len(lines))), int(rng.integers(len(lines) + 1))
    how = rng.random()
    taken = lines[i] if how < 0.3 else lines.pop(i)
    if how < 0.7:
        lines.insert(min(j, len(lines)), taken)
    return b"".join(lines)


CHANGES = (_flip, _cut, _delete, _repeat, _insert, _number, _number, _number, _word, _word, _line, _line)

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**30, -(2**63), 1e308, 1e-308, float("nan"), float("inf"), 0.5, 1e9),
    *(
        [],
        {},
        [[]],
        [1, 2],
        ["a"],
        {"a": 1},
        {"_target_": "os.getcwd"},
        [None],
        [[[[]]]],
        {"": {}},
        [1e9] * 3,
    ),
)


def value(rng: Rng) -> Any:
    """Something that JSON can hold."""
    return copy.deepcopy(pick(rng, VALUES)) if rng.random() < 0.6 else word(rng)


def spoiled_json(rng: Rng, content: Any) -> Any:
    """A copy with a changed, missing, added or renamed entry somewhere."""
    whole = [copy.deepcopy(content)]
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 1):
        _spoil(rng, whole)
    return whole[0]


def _spoil(rng: Rng, whole: list[Any]) -> None:
    place: Any = whole
    key: Any = 0
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.85:
        place = place[key]
        key = pick(rng, list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
    how = rng.random()
    if how < 0.6 or place is whole:
        place[key] = value(rng)
    elif how < 0.75:
        del place[key]
    elif how < 0.85 and isinstance(place, dict):
        place[word(rng)] = place.pop(key)
    elif isinstance(place, dict):
        place[word(rng)] = value(rng)
    else:
        place.insert(key, copy.deepcopy(place[key]) if rng.random() < 0.5 else value(rng))
