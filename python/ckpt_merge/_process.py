"""A process of the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from ._document import Document, parse
from ._errors import BY_EXIT_CODE, EngineError, MergeError, MergeWarning
from ._node import engine, find_node
from ._values import spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ._evaluate import Evaluators

#: Seconds that a process has to clean up once its work is cancelled.
PATIENCE = 30
#: Lines for people that are kept, for an error that comes without a document.
SAID = 200


class Process:
    """Reads what the engine prints in threads, so that neither of its pipes fills up."""

    def __init__(
        self,
        words: Sequence[bytes],
        *,
        cwd: Any = None,
        env: Mapping[str, str] | None = None,
        lines: bool = False,
        evaluators: Evaluators | None = None,
    ) -> None:
        command = [os.fsencode(find_node()), os.fsencode(engine()), *words]
        #: What happens: lines of the engine, calls of functions, and None at the end.
        self.queue: SimpleQueue[Any] = SimpleQueue()
        self.evaluators = evaluators
        self._lines = lines
        self._function = words[0].decode()
        #: What was printed for people, newest last.
        self.said: list[str] = []
        self._printed: list[bytes] = []
        self._owner = os.getpid()
        variables = {**os.environ, "NO_COLOR": "1", **({} if evaluators is None else evaluators.variables())}
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**variables, **(env or {}), "MERGE_PARENT": str(self._owner)},
            # Ctrl-C is of this process, which hands it on: in a notebook it comes no other way.
            start_new_session=True,
        )
        if evaluators is not None:
            evaluators.listen(self.queue)
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_document)]
        for thread in self._threads:
            thread.start()

    def _read_lines(self) -> None:
        assert self.child.stderr is not None
        with self.child.stderr as lines:
            for line in lines:
                self.queue.put(line)
        self.queue.put(None)

    def _read_document(self) -> None:
        assert self.child.stdout is not None
        with self.child.stdout as stdout:
            self._printed.append(stdout.read())

    def events(self) -> Iterator[Document]:
        """What happens, until the process has ended; functions that score are called meanwhile."""
        while True:
            thing = self.queue.get()
            if thing is None:
                return
            if not isinstance(thing, bytes):
                assert self.evaluators is not None
                self.evaluators.answer(thing)
                continue
            event = self._event(thing.decode("utf-8", "replace").rstrip("\n"))
            if event is not None:
                yield event

    def _event(self, line: str) -> Document | None:
        if line.startswith("{"):
            try:
                event = parse(line)
            except ValueError:
                event = None
            if isinstance(event, Document) and isinstance(event.get("type"), str):
                return event
        self.said = [*self.said[1 - SAID :], line]
        return Document(type="said", text=line) if self._lines else None

    def document(self) -> Document:
        """What it printed, when it has ended. Raises MergeError and EngineError."""
        code = self.wait()
        try:
            document = parse(b"".join(self._printed).decode("utf-8", "replace"))
        except ValueError:
            document = None
        if isinstance(document, Document) and document.get("schema") != "ckpt-merge/error":
            for warning in document.get("warnings") or []:
                self._warn(warning)
            return document
        cause = None if self.evaluators is None else self.evaluators.raised
        raise self.error(code, document) from cause

    def error(self, code: int, document: Any = None) -> Exception:
        """Why it ended, by what it printed."""
        about = document if isinstance(document, Document) else said_error(self.said)
        if about is not None:
            kind = BY_EXIT_CODE.get(code, MergeError)
            message, help_ = (spoken(str(about.get(key) or ""), self._function) for key in ("message", "help"))
            # Nobody runs a function of this process by hand.
            if self.evaluators is not None:
                help_ = help_.partition(" The first line of the log")[0]
            return kind(message, code=str(about["code"]), details=about.get("details") or {}, help=help_, exit_code=code)
        if code < 0:
            name = signal.Signals(-code).name if -code in {s.value for s in signal.Signals} else f"signal {-code}"
            return EngineError(f"the engine was ended by {name}{': is there memory enough?' if code == -9 else ''}")
        return EngineError("\n".join([f"the engine ended with {code} and printed no document", *self.said[-20:]]))

    def _warn(self, warning: Document) -> None:
        import warnings

        text = f"[{warning.get('code')}] {spoken(str(warning.get('message')), self._function)}"
        # The line that called the package.
        frame, level = sys._getframe(), 1
        while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
            frame, level = frame.f_back, level + 1
        warnings.warn(MergeWarning(text), stacklevel=level)

    def wait(self) -> int:
        code = self.child.wait()
        for thread in self._threads:
            thread.join()
        return code

    def is_running(self) -> bool:
        """Whether there is something to end. Not in a copy of this process that fork made: the child is not its."""
        return self._owner == os.getpid() and self.child.poll() is None

    def cancel(self, signal_number: int) -> None:
        """Asks the process to stop, and waits until it has cleaned up; a second Ctrl-C does not wait."""
        if not self.is_running():
            return
        self.child.send_signal(signal_number)
        try:
            self.child.wait(PATIENCE)
        except BaseException as error:
            # The second of a kind ends it at once.
            self.child.send_signal(signal_number)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise


def said_error(said: Sequence[str]) -> Document | None:
    """The last error that was printed for people."""
    for i in range(len(said) - 1, -1, -1):
        if said[i].startswith("error["):
            code, _, message = said[i][len("error[") :].partition("]: ")
            help_ = [line.strip()[len("help: ") :] for line in said[i + 1 :] if line.strip().startswith("help: ")]
            return Document(code=code, message=message, help=help_[0] if help_ else "")
    return None
