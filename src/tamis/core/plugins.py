"""Packages of users that add choices to tamis: entry points of the group ``tamis.plugins``.

An entry point names a package, such as ``my_lab = "my_parts"``. The folder ``conf`` in that package has choices like
those of tamis (``conf/descriptor/mine.yaml``), and classes of the package may be built from records of others: who
installs a plug-in trusts it. Looking for plug-ins imports none of them, so a broken one harms nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from tamis.core.conf_folder import config_folder
from tamis.core.messages import listed

GROUP = "tamis.plugins"


@dataclass(frozen=True)
class Plugin:
    """What an entry point of the group leads to.

    name : of the entry point. package : that it names. distribution : name and version of what was installed.
    folder : with its choices; None where it is broken. choices : such as ``descriptor/mine``.
    problem : why it is left out; empty where it is not.
    """

    name: str
    package: str
    distribution: str
    folder: Path | None
    choices: tuple[str, ...] = ()
    problem: str = ""


@lru_cache(maxsize=1)
def plugins() -> tuple[Plugin, ...]:
    """All installed plug-ins in the order of their names, broken ones with their problem."""
    taken = dict.fromkeys(_choices(config_folder()), "tamis")
    found: list[Plugin] = []
    for entry in sorted(set(entry_points(group=GROUP)), key=lambda entry: (entry.name, entry.value)):
        plugin = _look_at(entry, taken)
        taken |= dict.fromkeys(plugin.choices, f"the plug-in {plugin.name}")
        found.append(plugin)
    return tuple(found)


def working_plugins() -> tuple[Plugin, ...]:
    """Those that add choices."""
    return tuple(plugin for plugin in plugins() if plugin.folder)


def config_folders() -> tuple[Path, ...]:
    """The folder with the choices of tamis, and those of plug-ins."""
    return (config_folder(), *(plugin.folder for plugin in plugins() if plugin.folder))


def files_of(group: str) -> list[Path]:
    """The files of all choices of a group, those of tamis first."""
    return [path for folder in config_folders() for path in sorted((folder / group).glob("*.yaml"))]


def trusted_packages() -> frozenset[str]:
    """Packages whose classes may be built from a record, since the user installed them as plug-ins."""
    return frozenset(plugin.package for plugin in working_plugins())


def problems() -> tuple[str, ...]:
    """A sentence for each broken plug-in."""
    return tuple(
        f"the plug-in {plugin.name} ({plugin.distribution}) is left out: {plugin.problem}"
        for plugin in plugins()
        if plugin.problem
    )


def _look_at(entry: EntryPoint, taken: dict[str, str]) -> Plugin:
    distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"

    def broken(problem: str) -> Plugin:
        return Plugin(entry.name, entry.value, distribution, None, problem=problem)

    if not entry.value.isidentifier():  # to find a package within another would import that
        return broken(f"its entry point is {entry.value!r}; the name of a package is needed, without dots")
    try:
        spec = find_spec(entry.value)
    except (ImportError, ValueError) as error:
        return broken(f"the package {entry.value} cannot be found ({error}); install it again")
    if spec is None or not spec.submodule_search_locations:
        return broken(f"there is no package {entry.value}; install it again, or remove the plug-in")
    folder = Path(next(iter(spec.submodule_search_locations))) / "conf"
    choices = _choices(folder)
    if not choices:
        return broken(f"the package {entry.value} has no conf/GROUP/CHOICE.yaml; put its choices there")
    doubled = sorted(choice for choice in choices if choice in taken)
    if doubled:
        owners = sorted({taken[choice] for choice in doubled})
        return broken(f"it has {listed(doubled)}, which {listed(owners)} has; give its files other names")
    return Plugin(entry.name, entry.value, distribution, folder, choices)


def _choices(folder: Path) -> tuple[str, ...]:
    """Files of groups, such as ``descriptor/snap``; a file beside the groups is none."""
    found = (path.relative_to(folder).with_suffix("") for path in folder.glob("*/**/*.yaml"))
    return tuple(sorted(path.as_posix() for path in found))
