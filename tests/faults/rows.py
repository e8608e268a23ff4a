"""The store of values and design rows."""

from __future__ import annotations

import os
from pathlib import Path

from ase.build import bulk
from tests.composing import composed
from tests.faults.scenario import Scenario

from tamis.core.errors import TamisError
from tamis.parts import build_part
from tamis.store import Store, read_block


class SharedStore(Scenario):
    """Two processes make the rows of the same structures in one store."""

    N_STRUCTURES = 4

    def prepare(self, folder: Path) -> None:
        node = composed("descriptor=chimes", "descriptor.order_2b=4", "descriptor.order_3b=3").descriptor
        self.basis = build_part("descriptor", node)
        self.structures = [bulk("Si") for _ in range(self.N_STRUCTURES)]
        for i, atoms in enumerate(self.structures):
            atoms.rattle(0.05, seed=i)
        self._fill(folder / "right")
        self.right = self._blocks(folder / "right")

    def _fill(self, root: Path) -> None:
        Store(root, n_jobs=1).prepare(self.basis, self.structures)

    @staticmethod
    def _blocks(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*/*/*.npy")}

    def run(self, folder: Path) -> None:
        other = os.fork()
        try:
            self._fill(folder / "store")
        except TamisError as error:
            if other:
                os.waitpid(other, 0)
                raise
            os.write(2, str(error).encode())
            os._exit(1)
        if other == 0:
            os._exit(0)
        if os.waitpid(other, 0)[1] != 0:
            raise SystemExit(1)

    def complete(self, folder: Path) -> dict[str, bytes]:
        found = self._blocks(folder / "store")
        for name, content in found.items():
            assert read_block(folder / "store" / name) is not None, f"{name} is damaged"
            assert content == self.right[name], f"{name} is not what the basis gives"
        return found

    def check(self, folder: Path) -> None:
        assert self.complete(folder) == self.right, "rows are missing"
        Store(folder / "store", n_jobs=1).values(self.basis, self.structures)
