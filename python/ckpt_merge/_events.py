"""A watch, as an iterator."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._document import Document
    from ._evaluate import Evaluators


class Events:
    """What happens in a watch, as it happens: iterate over it, and close it to end the watch.

    Each event has a type: started, waiting, round, merge, merged, scored, unscored, hook, removed, idle, failed. A
    function that scores is called while the next event is waited for. The last event of a
    watch with ``once`` is followed by ``summary``, the document of all of it. Raises MergeError where the watch
    fails, and KeyboardInterrupt once it has cleaned up.
    """

    def __init__(
        self, words: Sequence[bytes], *, once: bool, cwd: Any, env: Any, evaluators: Evaluators | None = None
    ) -> None:
        from ._process import Process

        words = [words[0], b"--progress=json", *([b"--json"] if once else []), *words[1:]]
        self.summary: Document | None = None
        self._once = once
        self._evaluators = evaluators
        if evaluators is not None:
            evaluators.__enter__()
        try:
            self._process = Process(words, cwd=cwd, env=env, evaluators=evaluators)
        except BaseException:
            self._let_go()
            raise
        self._events = self._process.events()
        self._over = False

    def _let_go(self) -> None:
        """No function is called any more."""
        if self._evaluators is not None:
            self._evaluators.__exit__()
            self._evaluators = None

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Document:
        if self._over:
            raise StopIteration
        try:
            return next(self._events)
        except StopIteration:
            self._over = True
            self._let_go()
            if self._once:
                self.summary = self._process.document()
            else:
                code = self._process.wait()
                if code != 0:
                    raise self._process.error(code) from None
            raise
        except KeyboardInterrupt:
            self._over = True
            self._process.cancel(signal.SIGINT)
            self._let_go()
            raise

    def close(self) -> None:
        """Ends the watch, and waits until it has cleaned up. A merge under way is gone on with by the next."""
        self._over = True
        self._process.cancel(signal.SIGTERM)
        self._let_go()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A process that nobody listens to any more; of one that could not be started there is nothing to end.
        process = getattr(self, "_process", None)
        if process is not None and process.is_running():
            process.child.terminate()
        if getattr(self, "_evaluators", None) is not None:
            self._let_go()
