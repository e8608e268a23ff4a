"""The files of mlearn: downloads and local copies, and the sums by which they are recognised."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically

LOG = logging.getLogger(__name__)

FILES = ("training", "test")
TIMEOUT_S = 30
PINS = {
    "Cu": {
        "training": "git:9804a3c4335bc6cb796d67b3e90a8f203844ab40",
        "test": "sha256:1805a315ce8d0ce4a18bb761df4c4f619909ce114d598d426015d0071edc98c2",
    },
    "Ge": {
        "training": "sha256:43dee02009a5167f94c7aafce19051222bcfc328c46181750cc2a2018187ca00",
        "test": "sha256:737ea6159c9dd27ebee7fb8ffae22f15e20466884927771248ca4f5b2cd3f093",
    },
    "Li": {
        "training": "sha256:1cac01475c5a4fb85771ee1fd23366a6b8abfb9891e0c9e088b6e37228e147b3",
        "test": "sha256:554d0ce60b35a07b357be3a80bf04f68eb8fc97b5a88328caf08c860b5e9b260",
    },
    "Mo": {
        "training": "sha256:b13305fca0d0d2631ab080c8fcf13c743ee79a911712fb65a34ca88fadf09f9a",
        "test": "sha256:68169e2927c2115daa2f504805fcb9548ee65daf2dd015428807ba92f8e13bb8",
    },
    "Ni": {
        "training": "git:70f0abe1a2cc06ada3fcd7e5bc68e2139b942228",
        "test": "sha256:dccbfa14ddff5d1d35f658c48b68f6b431f95496a5261ef8b8f4d1d41e36008a",
    },
    "Si": {
        "training": "sha256:ae6d4b0a65b00e0fcf7ba0a6fad366716710d2f0d21d70199203089c6866b500",
        "test": "sha256:d452b30a89f23bff76f7cc529b7b6c2d159ea81ccd5a4599fb1a18207654fa91",
    },
}
"""Element -> file -> the sum that pins its bytes, of the commit that ``conf/dataset/mlearn.yaml`` names: SHA-256,
or git's id from the tree of that commit for files that were not at hand."""


def objection(data: bytes, pin: str) -> str:
    """The reason why ``data`` are not the pinned bytes; empty if they are.

    Parameters
    ----------
    pin : ``sha256:`` or ``git:`` and hexadecimal digits.
    """
    kind, _, expected = pin.partition(":")
    name, actual = (
        ("git blob id", blob_id(data)) if kind == "git" else ("SHA-256", hashlib.sha256(data).hexdigest())
    )
    return "" if actual == expected.lower() else f"has {name} {actual}, expected is {expected}"


def blob_id(data: bytes) -> str:
    """Git's id of a file with this content, as ``git hash-object`` prints it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def local_copy(root: Path, element: str, name: str, pin: str | None) -> Path:
    """The file ``name``.json of an element under ``root``; None as ``pin`` leaves it unchecked."""
    candidates = [root / element / f"{name}.json", root / "data" / element / f"{name}.json"]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise TamisError(
            f"no {element}/{name}.json under dataset.root={root}; looked for "
            f"{' and '.join(map(str, candidates))}; correct the root, or leave it null to download"
        )
    if pin is None:
        LOG.warning("%s is used unchecked (dataset.verify=false)", path)
    elif reason := objection(_content(path), pin):
        raise TamisError(
            f"{path} {reason}: damaged, or another version; get it again, or set dataset.verify=false if the "
            "change is meant"
        )
    return path


def download(url: str, pin: str, cache: Path, element: str) -> Path:
    """Fetch ``url`` into ``cache/mlearn/<element>``, unless it is there already, and check it either way."""
    import pooch
    import requests

    path = cache / "mlearn" / element / url.rsplit("/", 1)[-1]
    if path.is_file() and not objection(_content(path), pin):
        return path
    received = io.BytesIO()
    try:
        pooch.HTTPDownloader(timeout=TIMEOUT_S)(url, received, None)
    except (requests.RequestException, OSError, ValueError) as error:
        raise TamisError(
            f"cannot download {url} into {cache} ({error}); check the network and dataset.base_url, or give a local "
            "copy of the mlearn data with dataset.root=<folder>"
        ) from error
    if reason := objection(received.getvalue(), pin):
        raise TamisError(
            f"{url} is not the file that was pinned (it {reason}); check dataset.base_url, or give a local copy "
            "with dataset.root=<folder>"
        )
    write_atomically(path, received.getvalue())
    return path


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TamisError(f"cannot read {path} ({error.strerror}); get it again") from error
