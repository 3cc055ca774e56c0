"""Uses of the package that type checkers accept, and those that they refuse: never run. mypy and pyright report
what is refused here and not marked, and what is marked and not refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ckpt_merge
from ckpt_merge import Document, Events, MergeError


def accepted(model: str, about: Document) -> float:
    return float(about.trial)


def scores(model: str) -> dict[str, Any]:
    return {"score": 1.0, "scores": [1.0]}


merged: Document = ckpt_merge.average("a", Path("b"), b"c", output=Path("merged"), method="ema", alpha=0.2, steps=[1, 2])
resumed: Document = ckpt_merge.average("run", output="m", for_="resume", from_="8B", policy=["role=router:use=newest"], keep=False)
rows: list[Document] = merged.rows()
searched: Document = ckpt_merge.search("run", last=2, output="best", eval=scores, goal="minimize", trials=12)
souped: Document = ckpt_merge.soup("run", output="soup", eval=accepted, validate="sh validate.sh {model}")
events: Events = ckpt_merge.watch("run", output="merges", keep="all")
for event in events:
    name: str = event.type
ckpt_merge.grid("run", windows=["125B", "250B"], output="grid", progress=print)
ckpt_merge.verify("merged", full=True, progress=False, cwd="/", env={"A": "b"})
ckpt_merge.doctor()
version: str = ckpt_merge.__version__
try:
    ckpt_merge.inspect("merged")
except MergeError as error:
    code: str = error.code
    number: int = error.exit_code

ckpt_merge.average("run", methd="ema")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
ckpt_merge.average("run", method="emaa")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ckpt_merge.average("run", last="two")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ckpt_merge.average("run", force="yes")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ckpt_merge.average(7)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ckpt_merge.inspect()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
ckpt_merge.search("run", eval=print)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
