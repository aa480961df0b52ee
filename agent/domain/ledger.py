"""What was used and what it cost, and what is set aside for what is under way."""

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


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent on one account, such as `run:ID`, `project:NAME`, `session:ID`, `user:ID`, `day:2026-11-21`.

    `money` in US dollars and `tokens` are the most that may be spent and reserved together; None means no limit.
    """

    account: str
    money: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """Where an account stands. `reserved_*` is set aside for calls that have not ended yet. Money in US dollars."""

    account: str
    money: float = 0.0
    tokens: int = 0
    reserved_money: float = 0.0
    reserved_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for one call, on each of `accounts`. `balances` are those accounts afterwards, in order.

    When `refused` names an account, nothing was set aside, because that account's cap would be passed.
    """

    id: int
    run_id: int | None
    money: float
    tokens: int
    balances: tuple[Balance, ...] = ()
    refused: str = ""
