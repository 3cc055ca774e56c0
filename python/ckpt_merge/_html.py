"""What a notebook shows of a document."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ._document import SHOWN, is_table, snake

if TYPE_CHECKING:
    from ._document import Document

#: Pages larger than this are named and not shown.
MOST_PAGE = 8_000_000
LONGEST = 80


def document_html(document: Document) -> str:
    page = report_page(document)
    if page is not None:
        return f'<iframe srcdoc="{escape(page, quote=True)}" style="width:100%;height:640px;border:0"></iframe>'
    rows = document.rows()
    facts = {key: value for key, value in document.items() if not is_nested(value) and key not in ("schema", "version")}
    parts = []
    if facts:
        parts.append(table(["", ""], [[snake(key), text(value)] for key, value in facts.items()], head=False))
    if rows:
        columns = [key for key in dict.fromkeys(key for row in rows for key in row) if not all(is_nested(row.get(key)) for row in rows)]
        parts.append(table([snake(key) for key in columns], [[text(row.get(key)) for key in columns] for row in rows[:SHOWN]]))
        if len(rows) > SHOWN:
            parts.append(f"<p>and {len(rows) - SHOWN:,} more: to_pandas() has all of them</p>")
    for warning in document.get("warnings") or []:
        parts.append(f"<p>warning[{escape(str(warning.get('code')))}]: {escape(str(warning.get('message')))}</p>")
    return "".join(parts)


def report_page(document: Document) -> str | None:
    """The page that the command wrote; None where there is none, or it is too large."""
    path = document._page
    if path is None or not path.endswith(".html"):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            page = file.read(MOST_PAGE + 1)
    except (OSError, UnicodeDecodeError):
        return None
    return page if len(page) <= MOST_PAGE else None


def is_nested(value: Any) -> bool:
    return isinstance(value, dict) or is_table(value) or value == [] or value == {}


def text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    shown = ", ".join(map(text, value)) if isinstance(value, list) else str(value)
    # The end of a path says more than its middle.
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2 - 1]}…{shown[-LONGEST // 2 :]}"


def table(columns: list[str], rows: list[list[str]], *, head: bool = True) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    top = f"<thead>{line(columns, 'th')}</thead>" if head else ""
    return f"<table>{top}<tbody>{body}</tbody></table>"
