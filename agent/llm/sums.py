"""Answers taken together: the end of a stream, a text as checked JSON, what two calls have used."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agent.domain.ledger import Usage
from agent.llm.protocol import Finished
from agent.llm.structured import read_shape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.llm.protocol import Notice, TextDelta


async def last(answer: AsyncGenerator[TextDelta | Notice | Finished, None]) -> Finished:
    """Read an answer to its end and return that."""
    async with aclosing(answer) as items:
        async for item in items:
            if isinstance(item, Finished):
                return item
    raise AssertionError("an answer ends with Finished or an error")


def reshaped(finished: Finished, schema: dict[str, Any], usage: Usage) -> Finished:
    """Return the answer with its text as checked JSON. Raises ValueError."""
    return Finished(finished.reason, usage, read_shape(finished.text, schema), finished.tool_requests)


def sum_of(first: Usage, second: Usage) -> Usage:
    """Return what two calls have used together; money only where it is known of both."""
    money = None if first.money is None or second.money is None else first.money + second.money
    return Usage(
        first.kind,
        first.model,
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        money,
        first.estimated or second.estimated,
    )
