"""Tab completion of subcommands, groups, choices and keys.

eval "$(tamis completion)"            in ~/.bashrc; in ~/.zshrc after: autoload -U bashcompinit && bashcompinit
"""

from argparse import ArgumentParser, Namespace

from tamis.commands import COMMANDS

SCRIPT = """\
_tamis() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}"
    if [ "$COMP_CWORD" -gt 1 ] && [[ " {commands} " == *" ${{COMP_WORDS[1]}} "* ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
    else
        COMPREPLY=($(COMP_POINT=$COMP_POINT COMP_LINE=$COMP_LINE tamis -sc query=bash))
        if [ "$COMP_CWORD" -eq 1 ]; then
            COMPREPLY+=($(compgen -W "{commands}" -- "$word"))
        fi
    fi
}}
COMP_WORDBREAKS=${{COMP_WORDBREAKS//=}}
complete -o nospace -o default -F _tamis tamis
"""


def add_arguments(parser: ArgumentParser) -> None:
    """``tamis completion`` has none."""


def run(arguments: Namespace) -> int:
    """Print the script for the shell; returns the exit status."""
    print(SCRIPT.format(commands=" ".join(COMMANDS)))
    return 0
