"""The command line: this process becomes Node's."""

from __future__ import annotations

import os
import sys


def main() -> None:
    from ._errors import NodeError
    from ._node import engine, find_node

    try:
        words = [find_node(), engine(), *sys.argv[1:]]
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    # What signals end is this process then, and its exit code is that of the command.
    os.execv(words[0], words)
