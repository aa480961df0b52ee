"""Telegram's webhook mode: updates come here instead of being fetched. The channel decides about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Request, Response

from agent.web.guard import TooLarge, TooSlow, body_of

TelegramHook = Callable[[Mapping[str, str], bytes], Awaitable[int]]
"""Takes the headers (names in small letters) and the body, checks the secret, and returns the status to answer with."""


def router(on_telegram: TelegramHook) -> APIRouter:
    """Return the routes `POST /telegram` and `POST /telegram/ANYTHING`: what follows is the owner's choice."""
    made = APIRouter()

    @made.post("/telegram")
    @made.post("/telegram/{path:path}")
    async def update(request: Request) -> Response:
        try:
            body = await body_of(request)
        except TooLarge:
            return Response(status_code=413)
        except TooSlow:
            return Response(status_code=408)
        return Response(status_code=await on_telegram(dict(request.headers), body))

    return made
