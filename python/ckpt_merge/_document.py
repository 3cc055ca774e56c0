"""JSON documents of the engine as objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-not-found,import-untyped,unused-ignore] # pyright: ignore

#: What a document lists, by its schema: the rows of its table.
ROWS = {
    "ckpt-merge/average": "outputs",
    "ckpt-merge/plan": "outputs",
    "ckpt-merge/grid": "outputs",
    "ckpt-merge/grid-plan": "outputs",
    "ckpt-merge/grid-scores": "outputs",
    "ckpt-merge/ls": "checkpoints",
    "ckpt-merge/inspect": "tensors",
    "ckpt-merge/verify": "files",
    "ckpt-merge/diff": "pairs",
    "ckpt-merge/routers": "layers",
    "ckpt-merge/search": "trials",
    "ckpt-merge/forecast": "points",
    "ckpt-merge/doctor": "checks",
    "ckpt-merge/keep": "keep",
    "ckpt-merge/strip": "copies",
    "ckpt-merge/strip-plan": "copies",
    "ckpt-merge/watch": "merges",
    "ckpt-merge/watch-scores": "endpoints",
}
#: Rows that a notebook shows; pandas has all of them.
SHOWN = 60


class Document(Dict[str, Any]):
    """An object of a JSON document: a dict whose keys are attributes too, in the spelling of Python.

    ``document["bytesRead"]`` and ``document.bytes_read`` are the same. Lists are lists, null is None.
    """

    __slots__ = ("_page",)

    def __init__(self, *given: Any, **fields: Any) -> None:
        super().__init__(*given, **fields)
        #: The page that the command wrote; a notebook shows it.
        self._page: str | None = None

    def __getattr__(self, name: str) -> Any:
        for key in (name, camel(name)):
            if key in self:
                return self[key]
        # What is asked of every object (copying, pickling, notebooks) is not what people look for.
        known = "" if name.startswith("_") else f"; there are {', '.join(map(snake, self))}"
        raise AttributeError(f"this document has no {name!r}{known}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(snake(key) for key in self)]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (dict(self), self._page)

    def rows(self) -> list[Document]:
        """What the document lists: outputs of a merge, checkpoints of a run, tensors of a checkpoint."""
        schema = self.get("schema")
        key = ROWS.get(schema) if isinstance(schema, str) else None
        if key is None or not isinstance(self.get(key), list):
            lists = [key for key, value in self.items() if is_table(value)]
            key = lists[0] if lists else None
        return [] if key is None else [row for row in self[key] if isinstance(row, Document)]

    def to_pandas(self) -> DataFrame:
        """The rows as a DataFrame, a column for each field. Raises ImportError without pandas."""
        from pandas import json_normalize  # pyright: ignore[reportMissingImports]

        return json_normalize(self.rows()).rename(columns=snake)

    def _repr_html_(self) -> str:
        from ._html import document_html

        return document_html(self)


def _restored(fields: dict[str, Any], page: str | None) -> Document:
    document = Document(fields)
    document._page = page
    return document


def is_table(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(row, dict) for row in value)


def parse(text: str) -> Any:
    """JSON with documents for its objects. Raises ValueError."""
    import json

    return json.loads(text, object_hook=Document)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
