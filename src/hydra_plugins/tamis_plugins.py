"""Adds the folders of plug-ins (``tamis.core.plugins``) to where Hydra looks for choices of tamis."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from tamis.core.conf_folder import config_folder
from tamis.core.plugins import working_plugins


class TamisPlugins(SearchPathPlugin):
    """Hydra makes one for each program of Hydra's in the environment; those of others are left alone."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders where the program is tamis."""
        of_program = [place.path for place in search_path.get_path() if place.provider == "main"]
        if not any(path and path.removeprefix("file://") == str(config_folder()) for path in of_program):
            return
        for plugin in working_plugins():
            search_path.append(f"plug-in {plugin.name}", f"file://{plugin.folder}")
