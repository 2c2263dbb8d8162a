"""The command line `memsvc`: the SDK's verbs for people and scripts.

Results go to stdout, progress and messages to stderr; `--json` gives one envelope. The server's own
commands (`serve`, `doctor`, `bench`) join through the entry-point group `memsvc.commands`.
"""

from memsvc_client.cli.app import main

__all__ = ["main"]
