"""Evaluators that are functions of this process."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._document import Document
from ._errors import Skip, TryAgain
from ._values import number, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from queue import SimpleQueue

#: What an address of a socket has room for, its end included.
LONGEST_ADDRESS = 107
#: A request is a path and a few words.
MOST_REQUEST = 1 << 20


class Evaluators:
    """Functions that the engine calls: each evaluation is a small program that asks for it through a socket."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], *, threads: bool) -> None:
        """threads: whether several may run at a time; else each runs in the thread that waits for the command."""
        if not sys.executable:
            raise RuntimeError("sys.executable names no Python, which is needed to call a function for each model")
        self._functions = functions
        self._threads = threads
        self._folder = ""
        self._server: socket.socket | None = None
        #: What the last function raised.
        self.raised: Exception | None = None

    def commands(self) -> dict[str, str]:
        """The commands in the functions' place. They are the same each time: a search goes on with `resume`."""
        return {
            option: f'"$CKPT_MERGE_PYTHON" -IS "$CKPT_MERGE_BRIDGE" {option} "$MERGE_MODEL" \'{name_of(function)}\''
            for option, function in self._functions.items()
        }

    def variables(self) -> dict[str, str]:
        bridge = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_bridge.py")
        return {"CKPT_MERGE_PYTHON": sys.executable, "CKPT_MERGE_BRIDGE": bridge, "CKPT_MERGE_SOCKET": self._address()}

    def _address(self) -> str:
        return os.path.join(self._folder, "socket")

    def __enter__(self) -> Evaluators:
        import tempfile

        # Nobody else may enter it.
        self._folder = tempfile.mkdtemp(prefix="ckpt-merge-")
        if len(os.fsencode(self._address())) > LONGEST_ADDRESS:
            os.rmdir(self._folder)
            self._folder = tempfile.mkdtemp(prefix="ckpt-merge-", dir="/tmp")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self._address())
        self._server.listen(64)
        return self

    def __exit__(self, *about: object) -> None:
        assert self._server is not None
        # Closing alone does not wake the thread that accepts.
        try:
            self._server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._server.close()
        for remove, path in ((os.unlink, self._address()), (os.rmdir, self._folder)):
            try:
                remove(path)
            except OSError:
                pass

    def listen(self, queue: SimpleQueue[Any]) -> None:
        threading.Thread(target=self._accept, args=(queue,), daemon=True).start()

    def _accept(self, queue: SimpleQueue[Any]) -> None:
        assert self._server is not None
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            queue.put(connection)

    def answer(self, connection: socket.socket) -> None:
        if self._threads:
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        else:
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        import json

        with connection:
            try:
                with connection.makefile("rb") as file:
                    request = json.loads(file.readline(MOST_REQUEST))
                answer = self._score(request["option"], request["model"], request["about"])
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError, KeyError):
                # The evaluation was ended meanwhile, and nobody waits for its score.
                pass

    def _score(self, option: str, model: str, about: Mapping[str, str]) -> dict[str, Any]:
        import traceback

        function = self._functions[option]
        try:
            known = {key: int(value) if key == "trial" and value.isdigit() else value for key, value in about.items()}
            score = function(model, Document(known)) if takes_two(function) else function(model)
            answer = {"code": 0, "result": as_json(score, name_of(function))}
        except TryAgain as error:
            return {"code": 75, "said": f"{error}\n"}
        except Skip as error:
            return {"code": 125, "said": f"{error}\n"}
        except Exception as error:
            self.raised = error
            # From the function on: what called it is of nobody's interest.
            seen = error.__traceback__.tb_next if error.__traceback__ is not None else None
            lines = traceback.format_exception(type(error), error, seen or error.__traceback__)
            return {"code": 1, "said": "".join(lines)}
        return answer


def as_json(score: Any, name: str) -> str:
    """What a function returned, as an evaluator prints it. Raises TypeError for what is no score."""
    import json

    plain = score if isinstance(score, (int, float)) and not isinstance(score, bool) else number(score)
    if plain is not None:
        return json.dumps({"score": plain})
    if not isinstance(score, Mapping):
        raise TypeError(f"{name} returned {shown(score)}: a number is needed, or a dict with 'score'")
    return json.dumps(dict(score), default=plainly)


def plainly(value: Any) -> Any:
    """Numbers and arrays of other libraries. Raises TypeError for anything else."""
    plain = number(value)
    if plain is not None:
        return plain
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    raise TypeError(f"a score cannot hold {shown(value)}, of type {type(value).__name__}")


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether it wants to know more than the model: a second parameter without a default."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    needed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    return len(needed) >= 2


def name_of(function: Any) -> str:
    import re

    named = function if hasattr(function, "__qualname__") else type(function)
    return re.sub(r"[^\w.<>-]", "_", f"{getattr(named, '__module__', '')}.{named.__qualname__}", flags=re.ASCII)
