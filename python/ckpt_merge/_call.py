"""A command, from its arguments to its document."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from ._values import shown, words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ._document import Document
    from ._evaluate import Evaluators
    from ._events import Events


#: Options that are commands of a shell, and may be functions.
SCORING = ("eval", "validate")
#: Commands that leave a page in the folder of their trials.
STUDIES = ("search", "soup", "forecast", "grid")


def call(
    function: str,
    first: Sequence[Any],
    options: dict[str, Any],
    *,
    progress: bool = False,
    argument: str = "",
    **facts: Collection[str],
) -> Document:
    """Runs a command.

    first: its positional arguments. options: all that the function was given, by name. progress: whether the
    command says how far it is. argument: the name of the positional argument. facts: of the options, as in
    words_of.
    """
    options = {name: value for name, value in options.items() if name != argument}
    check_progress(options.get("progress"))
    functions = {name: options[name] for name in SCORING if is_function(function, name, options.get(name))}
    if not functions:
        return documented(function, first, options, facts, progress=progress)
    from ._evaluate import Evaluators

    if options.get("submit"):
        named = next(iter(functions))
        raise TypeError(f"{function}(): a job cannot call a function of this process: give a command for {named}")
    with Evaluators(functions, threads=options.get("parallel") not in (None, 1)) as evaluators:
        options.update(evaluators.commands())
        return documented(function, first, options, facts, progress=progress, evaluators=evaluators)


def watching(
    function: str, first: Sequence[Any], options: dict[str, Any], *, progress: bool, argument: str, **facts: Collection[str]
) -> Events:
    """Runs a command that goes on."""
    from ._events import Events

    options = {name: value for name, value in options.items() if name not in (argument, "progress")}
    functions = {name: options[name] for name in SCORING if is_function(function, name, options.get(name))}
    evaluators = None
    if functions:
        from ._evaluate import Evaluators

        evaluators = Evaluators(functions, threads=options.get("parallel") not in (None, 1))
        options.update(evaluators.commands())
    words = words_of(function, first, options, **facts)
    about = {"cwd": options.get("cwd"), "env": options.get("env")}
    return Events(words, once=options.get("once") is True, evaluators=evaluators, **about)


def is_function(function: str, name: str, value: Any) -> bool:
    if value is None or isinstance(value, str) or callable(value):
        return callable(value)
    raise TypeError(f"{function}(): {name} is a command or a function, and not {shown(value)}")


def documented(
    function: str,
    first: Sequence[Any],
    options: Mapping[str, Any],
    facts: Mapping[str, Collection[str]],
    *,
    progress: bool,
    evaluators: Evaluators | None = None,
) -> Document:
    words = words_of(function, first, options, **facts)
    told = progress and tells(function, options)
    words[1:1] = [b"--json", b"--progress=json"] if told else [b"--json"]
    about = {"cwd": options.get("cwd"), "env": options.get("env")}
    document = run(words, options.get("progress"), lines=not told, evaluators=evaluators, **about)
    return with_page(function, document, options)


def tells(function: str, options: Mapping[str, Any]) -> bool:
    """Whether a command that knows --progress takes it with these options."""
    if function == "grid":
        return options.get("eval") is None and options.get("scores") is None
    return function != "keep" or bool(options.get("strip"))


def with_page(function: str, document: Document, options: Mapping[str, Any]) -> Document:
    """The document, which knows the page that was written: what `out` names, or what a study has in its folder."""
    import os

    page = options.get("out")
    folder = document.get("folder") or options.get("dir")
    if folder is None and function == "grid":
        folder = f"{os.fsdecode(options.get('output') or '')}.scores"
    if page is None and folder is not None and function in STUDIES:
        page = os.path.join(os.fsdecode(folder), "report.html")
    if page is not None:
        document._page = os.path.join(os.fsdecode(options.get("cwd") or os.getcwd()), os.fsdecode(page))
    return document


def run(
    words: Sequence[bytes], progress: Any, *, lines: bool, cwd: Any, env: Any, evaluators: Evaluators | None = None
) -> Document:
    """Runs a command that prints one document. lines: what it says for people is heard, too.

    Raises MergeError, and KeyboardInterrupt once all is cleaned up.
    """
    from ._process import Process
    from ._progress import listener

    process = Process(words, cwd=cwd, env=env, lines=lines, evaluators=evaluators)
    try:
        with listener(progress) as listen:
            for event in process.events():
                listen(event)
        return process.document()
    except KeyboardInterrupt:
        process.cancel(signal.SIGINT)
        raise
    except BaseException:
        process.cancel(signal.SIGTERM)
        raise


def check_progress(progress: Any) -> None:
    if not callable(progress) and not any(progress is one for one in (True, False, None)):
        raise TypeError(f"progress is True, False, or a function of an event, and not {shown(progress)}")
