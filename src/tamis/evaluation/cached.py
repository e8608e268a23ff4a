"""JSON files of results that are computed once, such as those of a label-giver."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically

LOG = logging.getLogger(__name__)


class CachedFile:
    """A JSON file whose name follows from everything that its content depends on.

    folder : None keeps nothing. name : how the file's name begins. identity : what the content depends on; goes to
    JSON.
    """

    def __init__(self, folder: Path | None, name: str, identity: Any) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
        self.path = folder and folder / f"{name}-{digest}.json"

    def read(self) -> Any:
        """The content; None where there is none, or where the file is damaged."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            LOG.warning("%s is damaged (%s) and is computed again", self.path, error)
            return None

    def write(self, content: Any) -> None:
        """Keep the content; where that is impossible, warn."""
        if self.path is None:
            return
        try:
            write_atomically(self.path, json.dumps(content).encode())
        except TamisError as error:
            LOG.warning("%s; the references are computed each time", error)
