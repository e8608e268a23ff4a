"""Checks of configurations and pickled data that come from files of others.

``_target_`` names what is called, so a configuration is a program. People compose their own (conf/, the command line),
but a ``record.json`` may come from anybody. From such a file, only classes of tamis are built, and of the packages that
the user trusts (plug-ins that are installed, ``TAMIS_TRUST``), and only programs on the PATH are run. Pickled data may
hold nothing but plain numbers, texts and containers; of objects in them, what the pickle says is written down, and no
class is imported or called.
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from hydra.utils import get_class

from tamis.core.errors import TamisError
from tamis.core.plugins import trusted_packages

OWN = "tamis"
TRUST = "TAMIS_TRUST"
"""Environment variable with the names of other packages whose classes may be built, such as my_parts,our_lab."""


def check_trusted(config: Mapping[str, Any], where: object) -> None:
    """Raise TamisError if ``config`` names anything that may not be built or run.

    Parameters
    ----------
    config : resolved configuration, plain dictionaries and lists. where : the file, for the message.
    """
    for name, value in _leaves(config, ""):
        key = name.rpartition(".")[2]
        if isinstance(value, str) and "${" in value:
            raise TamisError(
                f"{where}: {name} is {value!r}, but records hold values and no interpolations; it is not run"
            )
        if key == "_target_":
            _check_target(name, value, where)
        elif key.startswith("_"):
            raise TamisError(f"{where}: {name} is no argument of a class of tamis; the record is not run")
        elif (key == "program" or key.endswith("_program")) and not _is_bare(value):
            raise TamisError(
                f"{where}: {name} is {value!r}; of a record only programs on the PATH are run: put it there and write "
                "its bare name, or run tamis with this configuration yourself"
            )


def _leaves(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
            if str(key).startswith("_") and isinstance(value, Mapping | list | tuple):
                yield (f"{name}.{key}" if name else str(key)), value
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _leaves(value, f"{name}.{i}")
    else:
        yield name, node


def _check_target(name: str, target: Any, where: object) -> None:
    """Allow only dataclasses of trusted packages; a path in one may lead elsewhere (tamis.core.trust.logging)."""
    of_user = filter(None, os.environ.get(TRUST, "").replace(",", " ").split())
    found, trusted = None, {OWN, *trusted_packages(), *of_user}
    package = str(target).partition(".")[0]
    if isinstance(target, str) and package in trusted:
        try:
            found = get_class(target)
        except Exception:  # the import of a wrong name may raise anything
            found = None
    if found is None or not is_dataclass(found) or found.__module__.partition(".")[0] not in trusted:
        raise TamisError(
            f"{where}: {name} is {target!r}, which is no class of tamis; a record from elsewhere could run any program "
            f"through it, so it is not run (if it is yours, and the record, too: {TRUST}={package})"
        )


def _is_bare(program: Any) -> bool:
    """A name that is looked up on the PATH."""
    return (
        isinstance(program, str)
        and "/" not in program
        and "\\" not in program
        and not program.endswith(".py")
    )


class _PlainUnpickler(pickle.Unpickler):
    """Loads numbers, texts and containers, and refuses anything that a module defines."""

    def find_class(self, module: str, name: str) -> Any:
        raise TamisError(
            f"the pickled data name {module}.{name}; only numbers, texts and containers are read"
        )


def plain_data(pickled: bytes) -> Any:
    """The content of a pickle that holds plain data; loading it runs no code.

    Raises
    ------
    TamisError : it names a class or a function, or is no pickle.
    """
    try:
        return _PlainUnpickler(io.BytesIO(pickled)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise TamisError(f"the pickled data cannot be read ({type(error).__name__}: {error})") from error


class Recorded:
    """What a pickle says of an object: the class or function that would make it, and with what.

    name : of the module and the class, as the pickle spells it; nothing of this name is imported.
    args : arguments with which it would be called. state : what would be set on the object then; None: nothing.
    """

    name = ""

    def __new__(cls, *args: Any) -> Recorded:
        """Keep the arguments, whatever they are."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __init__(self, *args: Any) -> None:
        self.args: tuple[Any, ...]
        self.state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Recorder(pickle._Unpickler):  # the one in C takes gigabytes for a damaged number of a memory cell
    """Loads numbers, texts and containers, and a ``Recorded`` for everything that a module defines."""

    packages: tuple[str, ...] = ()

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] not in self.packages:
            raise TamisError(
                f"the pickled data name {module}.{name}; only numbers, texts, containers and objects of "
                f"{', '.join(package for package in self.packages if not package.startswith('_'))} are read"
            )
        return type("Recorded", (Recorded,), {"name": f"{module}.{name}"})


def recorded_data(pickled: bytes, packages: tuple[str, ...]) -> Any:
    """The content of a pickle, in which a ``Recorded`` stands for each object; loading it runs no code of others.

    Parameters
    ----------
    packages : whose objects may occur.

    Raises
    ------
    TamisError : it names something else, or is no pickle.
    """
    recorder = _Recorder(io.BytesIO(pickled))
    recorder.packages = packages
    try:
        return recorder.load()
    except TamisError:
        raise
    except Exception as error:  # whatever a damaged pickle leads to
        raise TamisError(f"the pickled data cannot be read ({type(error).__name__}: {error})") from error
