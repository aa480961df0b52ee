"""How refusals and errors look from outside: a status, what happened, and the way on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse

from agent.errors import DirigentError, NotFound, PlanError
from agent.web.api import Reused
from agent.web.guard import TooLarge, TooSlow
from agent.web.tokens import Refused

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

CLOSE = {"Connection": "close"}


def answer_errors(made: FastAPI) -> None:
    """Have an application's errors answered."""
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(DirigentError, _failed)
    made.add_exception_handler(TooLarge, _too_large)
    made.add_exception_handler(TooSlow, _too_slow)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse({"error": error.said, "hint": error.hint}, error.status, headers)


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DirigentError)
    statuses = ((NotFound, 404), (Reused, 409), (PlanError, 422))
    usual = 503 if error.transient else 400
    status = next((number for kind, number in statuses if isinstance(error, kind)), usual)
    return JSONResponse({"error": error.message, "hint": error.hint}, status)


async def _too_large(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": "A body may have at most 1 MiB."}, 413, CLOSE)


async def _too_slow(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"error": "The body did not come in time."}, 408, CLOSE)
