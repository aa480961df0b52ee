"""Joins the pages to the web application: who is not logged in comes to the way in, and mistakes are pages, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from loguru import logger
from starlette.responses import RedirectResponse, Response

from agent.errors import DirigentError, NotFound, correlation_id
from agent.web.admin import changes, pages
from agent.web.admin.entry import Forged, NotIn
from agent.web.admin.rendering import page
from agent.web.guard import TooLarge, TooSlow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import APIRouter, FastAPI
    from starlette.requests import Request

    from agent.web.admin.house import House

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]

SAID = {TooLarge: (413, "That is too much at once."), TooSlow: (408, "That did not come in time.")}


def add_pages(made: FastAPI, house: House) -> None:
    """Add the pages to an application."""
    routers: list[APIRouter] = [pages.open_router(house), changes.open_router(house)]
    routers += [pages.router(house), changes.router(house)]
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                made.router.routes.append(
                    _of_pages(house)(route.path, route.endpoint, methods=list(route.methods or ()))
                )


def _of_pages(house: House) -> type[APIRoute]:
    class PageRoute(APIRoute):
        """A route whose errors are pages."""

        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, include_in_schema=False, **named)

        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()

            async def answered(request: Request) -> Response:
                try:
                    return await handler(request)
                except NotIn:
                    return RedirectResponse("/admin/login", 303)
                except (DirigentError, TooLarge, TooSlow, RequestValidationError) as error:
                    return await _mistake(house, error)
                except Exception as error:
                    number = correlation_id()
                    path = request.url.path
                    logger.bind(corr=number).opt(exception=error).error("{} {} failed", request.method, path)
                    said = f"Something went wrong here (reference {number}). The log says what."
                    return await page(house, None, "error.html", "", status=500, said=said)

            return answered

    return PageRoute


async def _mistake(house: House, error: Exception) -> Response:
    status, said = SAID.get(type(error), (400, "That address is not right."))
    if isinstance(error, DirigentError):
        said = str(error)
        status = 404 if isinstance(error, NotFound) else 403 if isinstance(error, Forged) else 400
    return await page(house, None, "error.html", "", status=status, said=said)
