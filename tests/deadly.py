"""A data set that ends the process that reads it, as a lack of memory would."""

import os
from pathlib import Path
from typing import Any


class Deadly:
    """Its ``load`` notes each death in the file ``notes``."""

    def __init__(self, notes: str, **settings: Any) -> None:
        self.notes = notes

    def load(self) -> None:
        with Path(self.notes).open("a") as file:
            file.write("dead\n")
        os._exit(1)
