"""What was used and what it cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one model call, or of one tool call that costs money.

    `money` is in US dollars; None means that the price of the model is unknown. `estimated` is True when the server
    reported no usage and the tokens were counted here.
    """

    kind: str
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float | None = None
    estimated: bool = False
