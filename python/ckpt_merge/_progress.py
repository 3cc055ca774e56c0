"""What is shown of a merge that goes on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._document import Document


@contextmanager
def listener(progress: Any) -> Iterator[Callable[[Document], None]]:
    """What hears of each event."""
    if callable(progress):
        yield cast("Callable[[Document], None]", progress)
        return
    bar: Any = None
    shows = progress is True or (progress is None and is_watched())

    def show(event: Document) -> None:
        nonlocal bar
        if not shows:
            return
        if event.get("type") == "said":
            print(event["text"], file=sys.stderr, flush=True)
        elif event.get("type") == "progress":
            bar = bar or tqdm_bar(needed=progress is True)
            if bar is not None:
                advance(bar, event)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def is_watched() -> bool:
    """Whether somebody sees standard error: on a terminal, or in a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def tqdm_bar(*, needed: bool) -> Any:
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        if needed:
            raise
        return None
    return tqdm(unit="B", unit_scale=True, leave=False, delay=0.5)


def advance(bar: Any, event: Document) -> None:
    if "total" in event:
        done, total = event["done"], event["total"]
    else:
        of = "bytesChecked" if event.get("phase") == "check" else "bytesRead"
        done, total = event[of], event[f"{of}Total"]
    # Another phase counts from the beginning.
    if done < bar.n:
        bar.reset()
    bar.total = total
    bar.set_description(event["phase"], refresh=False)
    bar.update(done - bar.n)
