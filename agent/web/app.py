"""The web application: routers joined behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.routing import Route

from agent.web import api, health, hooks, measures, telegram
from agent.web.answers import answer_errors
from agent.web.guard import Guard, hosts_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr
    from starlette.types import ASGIApp

    from agent.config import Web
    from agent.web.admin.house import House
    from agent.web.hooks import Receive
    from agent.web.rooms import Rooms
    from agent.web.telegram import TelegramHook


def web_app(
    web: Web,
    *,
    receive: Receive,
    is_well: Callable[[], Awaitable[bool]],
    on_telegram: TelegramHook | None = None,
    telegram_url: str = "",
    rooms: Rooms | None = None,
    metrics: Callable[[], Awaitable[bytes]] | None = None,
    house: House | None = None,
    programs: ASGIApp | None = None,
) -> FastAPI:
    """Return the web application of an agent.

    `receive` takes webhooks, `is_well` says whether the journal can be read and written. Without `on_telegram` there is
    no route for Telegram's webhook mode; `telegram_url` is where Telegram calls. `rooms` are what the API
    works with, `house` what the owner's pages work with, `metrics` returns the page of metrics, `programs` answers at
    `/mcp`; without them there are no routes for them.
    """
    made = FastAPI(title="Dirigent", docs_url=None, redoc_url=None, openapi_url=None)
    made.include_router(health.router(is_well))
    made.include_router(hooks.router(receive, per_minute=web.per_minute))
    if on_telegram is not None:
        made.include_router(telegram.router(on_telegram))
    if rooms is not None:
        read_token = _said(web.read_token)
        made.include_router(api.router(rooms, _said(web.token), read_token=read_token, decides=web.token_decides))
    if metrics is not None:
        made.include_router(measures.router(metrics, token=_said(web.token), metrics_token=_said(web.metrics_token)))
    if programs is not None:
        from agent.web.programs import ProgramDoor

        door = ProgramDoor(programs, _said(web.token), hosts_of(web, telegram_url))
        made.router.routes.append(Route("/mcp", door, include_in_schema=False))
    if house is not None:
        from agent.web.admin.joining import add_pages

        add_pages(made, house)
    answer_errors(made)
    made.add_middleware(Guard, hosts=hosts_of(web, telegram_url))
    return made


def _said(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""
