from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class CkptMergeError(Exception):
    """What this package raises."""


class NodeError(CkptMergeError):
    """There is no Node that runs the engine, or the package is damaged."""


class EngineError(CkptMergeError):
    """The process of the engine ended without saying why: it was killed, or something is wrong with it."""


class TryAgain(Exception):
    """Raised by a function that scores: what it needs is not there now. It is called again after 10 s, 1 min, 5 min."""


class Skip(Exception):
    """Raised by a function that scores: this model is passed over, which counts as no failure."""


class MergeError(CkptMergeError):
    """A command failed.

    code: of the table in docs/troubleshooting.md, as E_NOT_FOUND.
    details: what it is about, as file and tensor.
    help: what to do next; may be empty.
    exit_code: of the command.
    """

    def __init__(
        self, message: str, *, code: str, details: Mapping[str, Any], help: str, exit_code: int
    ) -> None:
        super().__init__(message)
        self.code = code
        self.details = details
        self.help = help
        self.exit_code = exit_code

    def __str__(self) -> str:
        text = f"[{self.code}] {self.args[0]}"
        return f"{text}\n  help: {self.help}" if self.help else text

    def __reduce__(self) -> tuple[Any, ...]:
        # Pools of processes send errors through pickle, which gives the message alone otherwise.
        about = {"code": self.code, "details": self.details, "help": self.help, "exit_code": self.exit_code}
        return _restored, (type(self), self.args[0], about)


def _restored(kind: type[MergeError], message: str, about: dict[str, Any]) -> MergeError:
    return kind(message, **about)


class UsageError(MergeError):
    """What was asked for cannot be (exit code 2)."""


class InputError(MergeError):
    """An input is missing, unreadable, invalid or incompatible (exit code 3)."""


class OutputExistsError(MergeError):
    """The output exists (exit code 4)."""


class MismatchError(MergeError):
    """A verification found a mismatch (exit code 5)."""


class SpaceError(MergeError):
    """There is not enough space or memory (exit code 6)."""


class TemporaryError(MergeError):
    """Trying again helps (exit code 75)."""


#: By exit code; any other is a MergeError.
BY_EXIT_CODE = {
    2: UsageError,
    3: InputError,
    4: OutputExistsError,
    5: MismatchError,
    6: SpaceError,
    75: TemporaryError,
}


class MergeWarning(UserWarning):
    """A warning of a command. Its text begins with the code, as [W_UNKNOWN_TENSORS]."""
