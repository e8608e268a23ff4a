"""Hides passwords and keys in texts that are written, printed or sent."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

HIDDEN = "***"
IN_ADDRESS = re.compile(r"(://[^\s:/@]*):(?:[^\s'\"]|['\"](?![\s,:;)\]}]|$))*@")
"""user:password@ of a URL, up to the last @: a password may hold one, a slash, and a quote that closes nothing."""
TOKEN_IN_ADDRESS = re.compile(r"(https?\\?://)[^\s:/@'\"]{16,}@")
"""A token: a long user name without a password in the address of a web server."""
IN_PAIR = re.compile(
    r"(?i)\b((?:\w*(?:password|secret|token|access_?key|api_?key)|passwd|pwd)\\?=)[^\s&;,'\"]+"
)
"""password=... in the query of a URL, or in a connection string."""
IN_ENVIRONMENT = re.compile(r"(?:^PG|^|_)(?:PASSWORD|PASSWD|SECRET|TOKEN|ACCESS_KEY|API_KEY)(?:_|$)")
"""Names of environment variables with secret values, such as PGPASSWORD and AWS_SECRET_ACCESS_KEY."""
SHORTEST = 6
"""Characters; a shorter value of such a variable is not hidden, since ordinary words may contain it."""


def redacted(value: Any) -> Any:
    """A copy of a text, mapping or sequence with secrets replaced by ``***``.

    Secrets are passwords in URLs and connection strings, and the values of environment variables with telling names.
    """
    secrets = [
        text for name, text in os.environ.items() if IN_ENVIRONMENT.search(name) and len(text) >= SHORTEST
    ]
    known = re.compile("|".join(map(re.escape, sorted(secrets, key=len, reverse=True)))) if secrets else None
    return _walk(value, known)


def _walk(value: Any, known: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        if "@" in value:
            value = IN_ADDRESS.sub(rf"\1:{HIDDEN}@", value)
            value = TOKEN_IN_ADDRESS.sub(rf"\1{HIDDEN}@", value)
        if "=" in value:
            value = IN_PAIR.sub(rf"\1{HIDDEN}", value)
        return value if known is None else known.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {key: _walk(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, known) for item in value]
    return value


class RedactingFormatter(logging.Formatter):
    """Formats log records, tracebacks included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted."""
        return str(redacted(super().format(record)))
