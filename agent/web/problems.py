"""An answer that says what is wrong, as RFC 9457 has it, with the way on."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse


def problem(status: int, said: str, hint: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an answer with a status that says what happened and what to do."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": said, "error": said, "hint": hint}
    return JSONResponse(body, status, dict(headers or {}), "application/problem+json")
