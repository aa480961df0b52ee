"""What models cost and how much they can read: `prices.json`, adds and overrides by the configuration.

The file holds US dollars per million prompt and completion tokens and the context size in tokens, from the providers'
price lists. Cached prompt tokens are counted at the full price, so what is reported is never too low.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import TypeVar

Entry = TypeVar("Entry")

MILLION = 1_000_000
LOCAL_WINDOW = 8_000
HOSTED_WINDOW = 128_000
# `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`, `gpt-4-0613`, `gemini-2.0-flash-001`, `…-latest`, `…-preview-05-20`.
DATED = re.compile(
    r"^(-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{3,4}|-latest|-preview(-\d{2}-\d{2})?|-exp(-\d{2}-\d{2})?)?(:[\w-]+)?$"
)
NO_OVERRIDES: Mapping[str, tuple[float, float]] = {}


@functools.cache
def _list() -> dict[str, dict[str, float]]:
    stored = resources.files("agent.llm").joinpath("prices.json").read_text(encoding="utf-8")
    prices: dict[str, dict[str, float]] = json.loads(stored)
    return prices


def _lookup(model: str, table: Mapping[str, Entry]) -> Entry | None:
    """Find a model by its name, without its date, and without the vendor that a router puts before it."""
    for name in (model, model.rpartition("/")[2]):
        if name in table:
            return table[name]
        fitting = [known for known in table if name.startswith(known) and DATED.match(name[len(known) :])]
        if fitting:
            return table[max(fitting, key=len)]
    return None


def price(
    model: str,
    prompt_tokens: int,
    completion_tokens: int,
    overrides: Mapping[str, tuple[float, float]] = NO_OVERRIDES,
) -> float | None:
    """Return the US dollars that a call costs, or None for a model whose price is unknown.

    `overrides` is `llm.prices` of the configuration: model → dollars per million prompt and completion tokens.
    """
    rates = _lookup(model, overrides)
    if rates is None:
        known = _lookup(model, _list())
        if known is None:
            return None
        rates = (known["prompt"], known["completion"])
    return (prompt_tokens * rates[0] + completion_tokens * rates[1]) / MILLION


def known_window(model: str) -> int | None:
    """Return the context size of a known hosted model in tokens, or None."""
    known = _lookup(model, _list())
    return None if known is None else int(known["window"])


def assumed_window(model: str, *, local: bool) -> int:
    """Return the context size in tokens to go by when the server does not tell: local ones are often started small."""
    return LOCAL_WINDOW if local else known_window(model) or HOSTED_WINDOW
