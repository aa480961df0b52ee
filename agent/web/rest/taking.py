"""Bodies of calls: read within bounds after the caller was let in, checked, and described in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Header, Query
from pydantic import BaseModel, ValidationError

from agent.errors import PlanError
from agent.web import shapes
from agent.web.guard import body_of

if TYPE_CHECKING:
    from starlette.requests import Request

Shape = TypeVar("Shape", bound=BaseModel)
Limit = Annotated[int, Query(ge=1, le=200)]
Before = Annotated[
    int, Query(ge=0, le=2**53, description="Only what is older than this `id`: the way to the next page.")
]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


def taking(model: type[BaseModel], *, needed: bool = True) -> dict[str, Any]:
    """Return how the OpenAPI document describes a body; the library would read it before anybody was let in."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"content": content, "required": needed, "description": str(model.__doc__)}}


def refusing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the described answers of a route beside the usual ones."""
    said = {
        400: "it cannot be done",
        404: "there is none",
        408: "the body did not come in time",
        409: "it is not as it was",
        413: "the body is over 1 MiB",
        422: "what was sent is not right",
    }
    return {status: problem(said[status]) for status in statuses}


def problem(about: str) -> dict[str, Any]:
    """Return the description of an answer that says what is wrong."""
    schema = {"$ref": f"#/components/schemas/{shapes.Problem.__name__}"}
    return {"description": about, "content": {"application/problem+json": {"schema": schema}}}


BODY = refusing(400, 408, 413, 422)


async def read(request: Request, model: type[Shape]) -> Shape:
    """Return what a call's body says. Raises PlanError naming each mistake, TooLarge, TooSlow."""
    try:
        return model.model_validate_json(await body_of(request) or b"{}")
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise PlanError(said, hint="GET /api/openapi.json describes what can be sent.") from None
