"""Merges checkpoints of a pre-training run: exact, whole or not at all, at the speed of the disk.

Each function is a command of ``merge`` with its options as keyword arguments, and returns what the command
prints with ``--json``::

    import ckpt_merge

    ckpt_merge.average("run", last=10, output="merged")
    for event in ckpt_merge.watch("run", output="merges"):
        print(event.type)
"""

from typing import TYPE_CHECKING

from . import _commands
from ._commands import *  # noqa: F403
from ._document import Document
from ._errors import (
    CkptMergeError,
    EngineError,
    InputError,
    MergeError,
    MergeWarning,
    MismatchError,
    NodeError,
    OutputExistsError,
    Skip,
    SpaceError,
    TemporaryError,
    TryAgain,
    UsageError,
)
from ._events import Events

__all__ = [
    "CkptMergeError",
    "Document",
    "EngineError",
    "Events",
    "InputError",
    "MergeError",
    "MergeWarning",
    "MismatchError",
    "NodeError",
    "OutputExistsError",
    "Skip",
    "SpaceError",
    "TemporaryError",
    "TryAgain",
    "UsageError",
    "__version__",
]
__all__ += _commands.__all__

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._node import package_version

    return package_version()
