"""A plan of many trials: blocks, each a product of overrides with its own number of seeds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, product
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.fields import Whole
from tamis.core.suggestions import suggest
from tamis.sweeps.overrides import written

PLAIN = re.compile(r"[\w./+-]+")
"""What needs no quotes on Hydra's command line."""
DATA = "dataset"
"""Keys of this group vary more slowly than the seeds: trials on one data set share what they read."""


Planned = tuple[str, tuple[str, ...]]
"""The name of a block, "" without a plan, and the overrides of one of its trials."""


@dataclass(frozen=True)
class Block:
    """A product with its own seeds.

    seeds: how many, counted from 0.
    product: key -> list of values; the product of these lists is taken.
    sets: names of the plan's sets; the product is taken with each of them, too.
    """

    seeds: int
    product: Mapping[str, Sequence[Any]]
    sets: Sequence[str]


@dataclass(frozen=True)
class Plan:
    """Blocks, and the sets that they are made of.

    sets: name -> list of entries (key -> value), overrides that belong together.
    blocks: name -> what makes a ``Block``: seeds, product, sets.
    chunk: seeds run in batches of this size, one batch of every block, then the next, so that a sweep that is not
        finished has a little of everything.
    """

    sets: Mapping[str, Sequence[Mapping[str, Any]]]
    blocks: Mapping[str, Mapping[str, Any]]
    chunk: int

    def __post_init__(self) -> None:
        Whole(1).apply("plan.chunk", self.chunk)
        for name, entries in self.sets.items():
            if not entries or any(not isinstance(entry, Mapping) or not entry for entry in entries):
                raise TamisError(f"plan.sets.{name} must be a list of overrides, each {{key: value, ...}}")
        if not self.blocks:
            raise TamisError("plan.blocks is empty; give at least one block")
        for name in self.blocks:
            self._check(name, self.block(name))

    def block(self, name: str) -> Block:
        """The block of that name.

        Raises
        ------
        TamisError : a key that no block has, or one that is missing.
        """
        given, known = self.blocks[name], [field.name for field in fields(Block)]
        for key in given:
            if key not in known:
                raise TamisError(
                    f"plan.blocks.{name}.{key} is no setting; {suggest(key, known)}a block has {', '.join(known)}"
                )
        if missing := [key for key in known if key not in given]:
            raise TamisError(f"plan.blocks.{name} has no {', '.join(missing)}")
        return Block(**given)

    def _check(self, name: str, block: Block) -> None:
        where = f"plan.blocks.{name}"
        if isinstance(block.seeds, bool) or not isinstance(block.seeds, int) or block.seeds < 1:
            raise TamisError(f"{where}.seeds is {block.seeds!r}; a whole number from 1 on is needed")
        for key, values in block.product.items():
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise TamisError(f"{where}.product.{key} is {values!r}; a list of values is needed")
        for chosen in block.sets:
            if chosen not in self.sets:
                raise TamisError(
                    f"{where}.sets has {chosen}, which is no set; {suggest(chosen, self.sets)}"
                    f"plan.sets has {', '.join(self.sets)}"
                )
        of_sets = ({key for entry in self.sets[chosen] for key in entry} for chosen in block.sets)
        keys = Counter(chain(block.product, *of_sets))
        if twice := sorted(key for key, n in keys.items() if n > 1):
            raise TamisError(
                f"{where} sets {', '.join(twice)} twice; once is allowed, in product or in one of its sets"
            )
        if seeded := [key for key in keys if key.partition(".")[0] == "seed"]:
            raise TamisError(
                f"{where} sets {', '.join(seeded)}; say how many seeds there are with {where}.seeds"
            )

    def trials(self, only: Mapping[str, Sequence[str]] | None = None) -> Iterator[Planned]:
        """Every trial, in the order in which they are best run.

        Batches of seeds come first, then blocks, then data sets, then seeds, then sets, then what else varies:
        neighbours share the data set and the latent space, and a model or two. A trial that is in several blocks comes
        each time.

        Parameters
        ----------
        only : key -> the values that are wanted of it.

        Raises
        ------
        TamisError : a value that the plan does not have.
        """
        wanted = {key: set(values) for key, values in (only or {}).items()}
        self._check_values(wanted)
        most = max(self.block(name).seeds for name in self.blocks)
        for start in range(0, most, self.chunk):
            for name in self.blocks:
                for pairs, seed in self._chunk(name, start):
                    if all(dict(pairs).get(key) in values for key, values in wanted.items()):
                        yield name, (*(f"{key}={value}" for key, value in pairs), *seeds_of(seed))

    def varied(self) -> dict[str, set[str]]:
        """Key -> the values that the plan gives it, as they are typed."""
        found: dict[str, set[str]] = {}
        for name in self.blocks:
            block = self.block(name)
            for key, values in block.product.items():
                found.setdefault(key, set()).update(map(typed, values))
            for entry in (entry for chosen in block.sets for entry in self.sets[chosen]):
                for key, value in entry.items():
                    found.setdefault(key, set()).add(typed(value))
        return found

    def _check_values(self, wanted: Mapping[str, set[str]]) -> None:
        known = self.varied()
        for key, values in wanted.items():
            if unknown := sorted(values - known[key]):
                raise TamisError(
                    f"the plan has no {key}={unknown[0]}; it varies {key} over {', '.join(sorted(known[key]))}"
                )

    def _chunk(self, name: str, start: int) -> Iterator[tuple[tuple[tuple[str, str], ...], int]]:
        block = self.block(name)
        data = [key for key in block.product if key.partition(".")[0] == DATA]
        rest = [key for key in block.product if key not in data]
        sets = [self.sets[chosen] for chosen in block.sets]
        for values in product(*(block.product[key] for key in data)):
            for seed in range(start, min(start + self.chunk, block.seeds)):
                for entries in product(*sets):
                    for others in product(*(block.product[key] for key in rest)):
                        named = [*zip(data, values, strict=True), *zip(rest, others, strict=True)]
                        named += [item for entry in entries for item in entry.items()]
                        yield tuple((key, typed(value)) for key, value in named), seed


def seeds_of(seed: int) -> list[str]:
    """One number seeds the split, the pruner's choice and the fit: the same for every descriptor and model."""
    return [f"seed.{name}={seed}" for name in ("split", "select", "fit")]


def typed(value: Any) -> str:
    """A value as Hydra's command line has it, its texts in quotes where they need them."""
    return written(value, _in_quotes)


def _in_quotes(text: str) -> str:
    if PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "\\'") + "'"  # Hydra leaves interpolations in quotes as they are
