"""The subcommands of ``tamis``, one file each."""
