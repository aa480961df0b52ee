"""`GET /metrics` in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request, Response

from agent.config import Web
from agent.web import health
from agent.web.answers import answer_errors
from agent.web.guard import Guard, hosts_of
from agent.web.tokens import check_metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_app(page: Callable[[], Awaitable[bytes]], is_well: Callable[[], Awaitable[bool]], web: Web) -> FastAPI:
    """Return the web application of a process that shows only `/metrics` and `/health`, such as a worker's."""
    made = FastAPI(title="Dirigent", docs_url=None, redoc_url=None, openapi_url=None)
    made.include_router(health.router(is_well))
    token = web.metrics_token.get_secret_value() if web.metrics_token is not None else ""
    made.include_router(router(page, token="", metrics_token=token))
    answer_errors(made)
    made.add_middleware(Guard, hosts=hosts_of(web, ""))
    return made


def router(page: Callable[[], Awaitable[bytes]], *, token: str, metrics_token: str) -> APIRouter:
    """Return the route: for this machine without a token, for others with `metrics_token` (or the API's)."""
    made = APIRouter()

    @made.get("/metrics")
    async def metrics(request: Request) -> Response:
        check_metrics(request, token, metrics_token)
        return Response(await page(), media_type=CONTENT_TYPE)

    return made
