"""Keyword arguments as words of a command line."""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Union

    from ._document import Document

    Function = TypeVar("Function", bound=Callable[..., Any])
    #: Scores the model in a folder: a number, or a mapping with score, and stderr or scores of single items.
    Score = Union[float, Mapping[str, Any]]
    #: It may take what else is known of the evaluation as well: trial, out, gpu, server.
    Evaluator = Union[Callable[[str], Score], Callable[[str, Document], Score]]
    Progress = Union[bool, Callable[[Document], None], None]
else:
    Function = TypeVar("Function")

#: Keyword arguments that are no options of the command.
OWN = ("progress", "cwd", "env")


def known_words(function: Function) -> Function:
    """The function with another TypeError for keywords that it does not have: one that says which is meant."""
    code = function.__code__
    start = code.co_argcount
    words = frozenset(code.co_varnames[start : start + code.co_kwonlyargcount])

    @wraps(function)
    def checked(*given: Any, **options: Any) -> Any:
        if not words.issuperset(options):
            raise TypeError(unknown(function.__name__, next(word for word in options if word not in words), words))
        return function(*given, **options)

    return cast("Function", checked)


def unknown(function: str, word: str, words: Collection[str]) -> str:
    from difflib import get_close_matches

    plain = word.lstrip("-").replace("-", "_")
    near = [plain] if plain in words else [f"{plain}_"] if f"{plain}_" in words else get_close_matches(plain, words, 1)
    return f"{function}() has no option {word!r}" + (f": did you mean {near[0]!r}?" if near else "")


def words_of(
    function: str,
    first: Sequence[Any],
    options: Mapping[str, Any],
    *,
    flags: Collection[str] = (),
    negated: Collection[str] = (),
    lists: Collection[str] = (),
    paths: Collection[str] = (),
) -> list[bytes]:
    """The command line of a call, without the program.

    flags: True gives the option. negated: False gives --no-OPTION. lists: given once for each value. paths:
    what the file system has names for.

    Raises TypeError and ValueError for a value that no option takes.
    """
    words = [function.encode()]
    for name, value in options.items():
        if value is None or name in OWN:
            continue
        about = f"{function}(): {name}"
        option = f"--{name.rstrip('_').replace('_', '-')}".encode()
        if name in flags or name in negated:
            if not isinstance(value, bool):
                raise TypeError(f"{about} is True or False, and not {shown(value)}")
            if value and name in flags:
                words.append(option)
            if not value and name in negated:
                words.append(b"--no-" + option[2:])
        elif name in lists:
            several = value if isinstance(value, (list, tuple)) else [value]
            words += [option + b"=" + word(one, about, path=name in paths) for one in several]
        elif isinstance(value, (list, tuple)):
            words.append(option + b"=" + b",".join(word(one, about) for one in value))
        else:
            words.append(option + b"=" + word(value, about, path=name in paths))
    given = [word(one, f"{function}(): a path", path=True) for one in first]
    return [*words, b"--", *given] if given else words


def word(value: Any, what: str, *, path: bool = False) -> bytes:
    """Paths as the file system has them; other text as the engine reads it, whatever the locale."""
    if isinstance(value, bool) or value is None:
        raise TypeError(f"{what} is not {shown(value)}")
    if path and not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{what} is text, bytes or a Path object, and not {shown(value)}, of type {type(value).__name__}")
    if isinstance(value, (bytes, os.PathLike)):
        made = os.fsencode(value)
    elif isinstance(value, str):
        made = fs_encoded(value) if path else value.encode("utf-8", "surrogateescape")
    elif isinstance(value, (int, float)):
        made = repr(value).encode()
    else:
        # Numbers of other libraries: numpy's, torch's of one element.
        plain = number(value)
        if plain is None:
            raise TypeError(f"{what} is not {shown(value)}, of type {type(value).__name__}")
        return word(plain, what)
    if b"\0" in made:
        raise ValueError(f"{what} holds a NUL character: {shown(value)}")
    try:
        made.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8, and the engine opens no such path: {shown(value)}") from None
    return made


def fs_encoded(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        # The locale has no such letters, so this name does not come from a list of a folder.
        return path.encode("utf-8", "surrogateescape")


def number(value: Any) -> int | float | None:
    """The number that an object of another library holds; None where it holds none, or several."""
    item = getattr(value, "item", None)
    try:
        plain = item() if callable(item) else None
    except Exception:
        return None
    return plain if isinstance(plain, (int, float)) and not isinstance(plain, bool) else None


#: A command in backquotes, which stays as it is, or an option.
OPTION = r"`[^`]*`|(?<![\w-])-o\b|(?<![\w-])--(no-)?([a-z][a-z\d]*(?:-[a-z\d]+)*)(?![\w-])"


def spoken(text: str, function: str) -> str:
    """A message that speaks of options of the command line, with their names here."""
    import re

    from . import _commands

    kinds = {} if function not in _commands.__all__ else getattr(_commands, function).__annotations__

    def here(found: re.Match[str]) -> str:
        name = "output" if found[0] == "-o" else (found[2] or "").replace("-", "_")
        name = f"{name}_" if f"{name}_" in kinds else name
        if name not in kinds:
            return found[0]
        return f"{name}={'False' if found[1] else 'True'}" if str(kinds[name]).startswith("bool") else name

    return re.sub(OPTION, here, text)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
