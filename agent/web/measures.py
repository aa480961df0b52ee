"""`GET /metrics` in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response

from agent.web.tokens import check_metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def router(page: Callable[[], Awaitable[bytes]], *, token: str, metrics_token: str) -> APIRouter:
    """Return the route: for this machine without a token, for others with `metrics_token` (or the API's)."""
    made = APIRouter()

    @made.get("/metrics")
    async def metrics(request: Request) -> Response:
        check_metrics(request, token, metrics_token)
        return Response(await page(), media_type=CONTENT_TYPE)

    return made
