"""Bodies of calls: read within bounds after the caller was let in, checked, and described in the OpenAPI document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Header, Query
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import from_json

from agent.errors import PlanError
from agent.web.guard import body_of
from agent.web.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

REF = "#/components/schemas/{model}"
Shape = TypeVar("Shape", bound=BaseModel)
Limit = Annotated[int, Query(ge=1, le=200)]
Before = Annotated[
    int, Query(ge=0, le=2**53, description="Only what is older than this `id`: the way to the next page.")
]
Called = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Key = Annotated[str | SkipJsonSchema[None], Header(alias="Idempotency-Key", min_length=1, max_length=200)]


def taking(model: type[BaseModel], *, needed: bool = True) -> dict[str, Any]:
    """Return how the OpenAPI document describes a body; the library would read it before anybody was let in."""
    content = {"application/json": {"schema": {"$ref": REF.format(model=model.__name__)}}}
    return {"requestBody": {"content": content, "required": needed, "description": str(model.__doc__)}}


def refusing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the described answers of a route beside the usual ones."""
    said = {
        400: "it cannot be done",
        404: "there is none",
        408: "the body did not come in time",
        409: "it is not as it was",
        412: "it is another one by now",
        413: "the body is over 1 MiB",
        422: "what was sent is not right",
        428: "it does not say which one it was",
    }
    return {status: problem(said[status]) for status in statuses}


def problem(about: str) -> dict[str, Any]:
    """Return the description of an answer that says what is wrong."""
    schema = {"$ref": REF.format(model=Problem.__name__)}
    return {"description": about, "content": {"application/problem+json": {"schema": schema}}}


BODY = refusing(400, 408, 413, 422)
DESCRIBED = "GET /api/openapi.json describes what can be sent."


async def read(request: Request, model: type[Shape], *, needed: bool = True) -> Shape:
    """Return what a call's body says; one that is not `needed` may be empty.

    Raises PlanError naming each mistake, TooLarge, TooSlow.
    """
    body = await body_of(request)
    try:
        return model.model_validate(_json(body) if body or needed else {})
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise PlanError(said, hint=DESCRIBED) from None


def _json(body: bytes) -> Any:
    try:
        value = from_json(body, allow_inf_nan=False)
        json.dumps(value, allow_nan=False)  # 1e999 is JSON, but no number that could be kept
    except ValueError as error:
        raise PlanError([f"body: this is not JSON that can be used: {error}"], hint=DESCRIBED) from None
    return value
