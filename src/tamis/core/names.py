"""Names of groups, studies and files, written where only some characters are allowed.

Allowed names stay as they are. Each forbidden byte becomes ``:`` and two hexadecimal digits, as with ``%`` in web
addresses: ``surface(110)`` becomes ``surface:28110:29``. So two texts never get the same name. A name that is too long
is cut, and ends with ``:.`` and a hash of the whole text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LONGEST_KEY = 250
"""Characters in the name of an MLflow metric, parameter or tag, and of a run in databases."""
LONGEST_FOLDER = 200
"""Bytes in the name of a folder; file systems allow 255, and some need part of them for themselves."""
HASH_DIGITS = 12
_OWN = r":(?=[0-9a-f]{2}|[.-])"
"""A colon of the text that looks like one of an encoded byte."""
NOT_IN_KEYS = re.compile(rf"{_OWN}|[^/\w.\- :]|^ | $")
"""Characters that MLflow 3 refuses (mlflow.utils.validation), and spaces at an end, which some databases ignore."""
NOT_IN_FOLDERS = re.compile(rf"{_OWN}|[\x00-\x1f\x7f\\'\"`$?#*<>|&;\ud800-\udfff\u0085\u2028\u2029]|^ | $")
"""Characters with a special meaning for file systems, shells, Hydra or addresses of databases."""


def mlflow_key(text: str) -> str:
    """The name of an MLflow metric, parameter or tag; the text itself if MLflow allows it."""
    return cut_short(_safe(text, NOT_IN_KEYS), text, LONGEST_KEY)


def mlflow_keys(texts: Iterable[str]) -> dict[str, str]:
    """Text -> name within one run; names that some databases do not distinguish (``Bulk``, ``bulk``) get a hash."""
    keys = {text: mlflow_key(text) for text in texts}
    alike = Counter(map(_as_databases_compare, keys.values()))
    return {
        text: _with_hash(key, text, LONGEST_KEY) if alike[_as_databases_compare(key)] > 1 else key
        for text, key in keys.items()
    }


def folder_name(text: str) -> str:
    """A relative path with the slashes of ``text``; it never leads outside of the folder where it begins."""
    parts = (part for part in _safe(text, NOT_IN_FOLDERS).split("/"))
    whole = text.split("/")
    return "/".join(
        cut_short(part, own, LONGEST_FOLDER, bytes_count=True) for part, own in zip(parts, whole, strict=True)
    )


def printable(text: str) -> str:
    r"""The text with ``\xfc`` for a byte that is no UTF-8 in a file name: safe for files, databases and terminals."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(map(_whole, text))
    return text


def in_figure(text: str) -> str:
    """The text as matplotlib shows it: ``$`` would begin a formula, and legends skip names with a leading ``_``."""
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def said_of(error: BaseException) -> str:
    """A sentence about a file name that is no UTF-8 and could not be written; empty for any other error."""
    if not isinstance(error, UnicodeEncodeError) or printable(error.object) == error.object:
        return ""
    whole = printable(error.object)
    return (
        f"the name of a file or folder is no UTF-8 ({whole if len(whole) < 200 else whole[:200] + '...'}), and cannot "
        "be written where only UTF-8 is allowed; give it another name"
    )


def cut_short(name: str, text: str, longest: int, bytes_count: bool = False) -> str:
    """``name``, or its beginning and a hash of the ``text`` that it stands for, within ``longest`` characters."""
    length = len(name.encode()) if bytes_count else len(name)
    if length <= longest:
        return name
    return _with_hash(name, text, longest, bytes_count)


def quoted(text: str) -> str:
    """The text as the value of an override for Hydra, with any characters."""
    # backslashes count only before a quote; $ begins an interpolation, which one backslash keeps from being one
    inner = re.sub(r"(\\*)(?='|$)", lambda found: found[1] * 2, text).replace("'", r"\'")
    return "'" + inner.replace("${", r"\${") + "'"


def _safe(text: str, wrong: re.Pattern[str]) -> str:
    letters = wrong.sub(lambda found: _as_bytes(found[0]), text)
    return "/".join(
        ":-" if part == "" else _as_bytes(part) if part in (".", "..") else part
        for part in letters.split("/")
    )


def _as_bytes(text: str) -> str:
    return "".join(f":{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def _with_hash(name: str, text: str, longest: int, bytes_count: bool = False) -> str:
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    room = longest - HASH_DIGITS - 2
    head = name.encode()[:room].decode(errors="ignore") if bytes_count else name[:room]
    return f"{head.rstrip('/ .')}:.{digits}"


def _as_databases_compare(key: str) -> str:
    """The key without case and accents."""
    letters = unicodedata.normalize("NFKD", key)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _whole(letter: str) -> str:
    code = ord(letter)
    if not 0xD800 <= code < 0xE000:
        return letter
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code < 0xDD00 else f"\\u{code:04x}"
