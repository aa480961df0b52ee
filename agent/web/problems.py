"""An answer that says what is wrong, as RFC 9457 has it, with the way on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

PLACE = re.compile(r"[^\s:]+:(\d+):(\d+): (.*)", re.DOTALL)


class Fault(BaseModel):
    """One mistake; of a pipeline with its place in the YAML, counted from 1."""

    detail: str
    line: int | None = None
    column: int | None = None

    @classmethod
    def of(cls, said: str) -> Fault:
        """Return a mistake that is told as `FILE:LINE:COLUMN: what`, or in words alone."""
        found = PLACE.fullmatch(said)
        return cls(detail=said) if found is None else cls(detail=found[3], line=int(found[1]), column=int(found[2]))


class Problem(BaseModel):
    """What went wrong (RFC 9457). `error` is `detail` again; `hint` is the way on; `faults` are all mistakes."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str
    hint: str
    faults: list[Fault] = Field(default_factory=list)


def problem(
    status: int, said: str, hint: str = "", headers: Mapping[str, str] | None = None, faults: Sequence[str] = ()
) -> JSONResponse:
    """Return an answer with a status that says what happened and what to do."""
    found = [Fault.of(one) for one in faults]
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=said, error=said, hint=hint, faults=found)
    return JSONResponse(body.model_dump(), status, dict(headers or {}), "application/problem+json")
