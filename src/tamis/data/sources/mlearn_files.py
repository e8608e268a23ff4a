"""The files of mlearn: what proves that one is that of the pinned commit, copies on this machine, downloads."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically

LOG = logging.getLogger(__name__)

FILES = ("training", "test")
TIMEOUT_S = 30


@dataclass(frozen=True)
class Pin:
    """What a file's bytes must be.

    sha256 : of the bytes. blob : git's id of a file, the SHA-1 of ``blob <size>``, a zero byte and the bytes. Either is
    enough, where one is known; where both are, both are asked for.
    """

    sha256: str = ""
    blob: str = ""

    def objection(self, data: bytes) -> str:
        """Why ``data`` are other bytes; empty where they are the pinned ones."""
        for name, expected, actual in (
            ("SHA-256", self.sha256, hashlib.sha256(data).hexdigest()),
            ("git blob id", self.blob, blob_id(data)),
        ):
            if expected and actual != expected.lower():
                return f"has {name} {actual}, expected is {expected}"
        return "" if self.sha256 or self.blob else "has no known sum"


def blob_id(data: bytes) -> str:
    """The name that git gives to a file with this content: ``git hash-object``."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


PINS = {
    "Cu": {
        "test": Pin("1805a315ce8d0ce4a18bb761df4c4f619909ce114d598d426015d0071edc98c2"),
        "training": Pin(
            "9a427b8e21c10d410bc139e98a5bf69c10ca1cdb208d383819cebf4f4be0992f",
            "9804a3c4335bc6cb796d67b3e90a8f203844ab40",
        ),
    },
    "Ge": {
        "test": Pin("737ea6159c9dd27ebee7fb8ffae22f15e20466884927771248ca4f5b2cd3f093"),
        "training": Pin("43dee02009a5167f94c7aafce19051222bcfc328c46181750cc2a2018187ca00"),
    },
    "Li": {
        "test": Pin("554d0ce60b35a07b357be3a80bf04f68eb8fc97b5a88328caf08c860b5e9b260"),
        "training": Pin("1cac01475c5a4fb85771ee1fd23366a6b8abfb9891e0c9e088b6e37228e147b3"),
    },
    "Mo": {
        "test": Pin("68169e2927c2115daa2f504805fcb9548ee65daf2dd015428807ba92f8e13bb8"),
        "training": Pin("b13305fca0d0d2631ab080c8fcf13c743ee79a911712fb65a34ca88fadf09f9a"),
    },
    "Ni": {
        "test": Pin("dccbfa14ddff5d1d35f658c48b68f6b431f95496a5261ef8b8f4d1d41e36008a"),
        "training": Pin(blob="70f0abe1a2cc06ada3fcd7e5bc68e2139b942228"),
    },
    "Si": {
        "test": Pin("d452b30a89f23bff76f7cc529b7b6c2d159ea81ccd5a4599fb1a18207654fa91"),
        "training": Pin("ae6d4b0a65b00e0fcf7ba0a6fad366716710d2f0d21d70199203089c6866b500"),
    },
}
"""By element and file, of the upstream commit that ``conf/dataset/mlearn.yaml`` names. Its tree pins each file by its
blob id; SHA-256 sums are of files that were seen, and of Cu's training file as a third party published it."""


def local_copy(root: Path, element: str, name: str, pin: Pin | None) -> Path:
    """The file ``name``.json of an element under ``root``; pin: None leaves it unchecked."""
    candidates = [root / element / f"{name}.json", root / "data" / element / f"{name}.json"]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise TamisError(
            f"no {element}/{name}.json under dataset.root={root}; looked for "
            f"{' and '.join(map(str, candidates))}; correct the root, or leave it null to download"
        )
    if pin is None:
        LOG.warning("%s is used unchecked (dataset.verify=false)", path)
    elif objection := pin.objection(_content(path)):
        raise TamisError(
            f"{path} {objection}: damaged, or another version; get it again, or set dataset.verify=false if the "
            "change is meant"
        )
    return path


def download(url: str, pin: Pin, cache: Path, element: str) -> Path:
    """Fetch ``url`` into ``cache/mlearn/<element>``, unless it is there already, and check it either way."""
    import pooch
    import requests

    path = cache / "mlearn" / element / url.rsplit("/", 1)[-1]
    if path.is_file() and not pin.objection(_content(path)):
        return path
    received = io.BytesIO()
    try:
        pooch.HTTPDownloader(timeout=TIMEOUT_S)(url, received, None)
    except (requests.RequestException, OSError, ValueError) as error:
        raise TamisError(
            f"cannot download {url} into {cache} ({error}); check the network and dataset.base_url, or give a local "
            "copy of the mlearn data with dataset.root=<folder>"
        ) from error
    if objection := pin.objection(received.getvalue()):
        raise TamisError(
            f"{url} is not the file that was pinned (it {objection}); check dataset.base_url, or give a local copy "
            "with dataset.root=<folder>"
        )
    write_atomically(path, received.getvalue())
    return path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TamisError(f"cannot read {path} ({error.strerror}); get it again") from error
