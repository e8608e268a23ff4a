"""Content-addressed store of basis values, their gradients and design rows: each structure is featurised only once.

One file per structure and basis: ``<root>/<basis key>/<kind>/<hex digit>/<structure key>.npy``. Several processes may
share a store, and any of them may be killed.
"""

from tamis.store.block_files import read_block
from tamis.store.blocks import make_block
from tamis.store.keys import basis_identity, basis_key
from tamis.store.store import Store

__all__ = ["Store", "basis_identity", "basis_key", "make_block", "read_block"]
