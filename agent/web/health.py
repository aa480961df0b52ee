"""A sign of life for whoever watches the process: nothing in it is worth hiding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from loguru import logger


def router(is_well: Callable[[], Awaitable[bool]]) -> APIRouter:
    """Return the route `GET /health`: 200 while all is well, else 503."""
    made = APIRouter()

    @made.get("/health")
    async def health() -> JSONResponse:
        try:
            well = await is_well()
        except Exception as error:
            logger.opt(exception=error).error("the journal cannot be used")
            well = False
        return JSONResponse({"status": "ok" if well else "failing"}, 200 if well else 503)

    return made
