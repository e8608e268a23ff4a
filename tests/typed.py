"""Commands as they are typed, in this process."""

import argparse
from types import ModuleType

from tamis.commands.endings import in_a_sentence


def typed(command: ModuleType, *arguments: object) -> int:
    """The exit status of a module of ``tamis.commands`` with these arguments; errors end as on the command line."""
    parser = argparse.ArgumentParser(prog=f"tamis {command.__name__.rpartition('.')[2]}")
    command.add_arguments(parser)
    try:
        with in_a_sentence():
            return int(command.run(parser.parse_args(list(map(str, arguments)))))
    except SystemExit as ended:
        return int(ended.code or 0)
