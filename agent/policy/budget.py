"""What may be spent: every call that costs something is set aside before it and settled after it, by account.

A run spends on several accounts at once: its own, its project's, the chat's, the person's, the day's and the month's.
Each has its cap in the settings (or in the run or project itself). A call that could pass one of them is not made.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.ledger import Cap
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.errors import OverBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.config import Limits
    from agent.domain.ledger import Balance, Reservation, Usage
    from agent.domain.project import Project
    from agent.domain.run import Run
    from agent.store.protocol import Store

LEAST_ANSWER = 256
ENOUGH_ANSWER = 4_000  # an answer that may have so many tokens does not wait for more
WAIT_SECONDS = 60.0  # for what other calls have set aside, which most of them give back
LOOK_SECONDS = 0.5  # how often to look for what other processes have given back
DUST = 2e-9  # dollars; less than the journal's sums can tell


@dataclass(frozen=True, slots=True)
class Account:
    """One account with its cap: `name` is what people call it, `setting` where its cap is set, `raise_it` how."""

    cap: Cap
    name: str
    setting: str
    raise_it: str
    warn_at: float
    tells: Destination


@dataclass(frozen=True, slots=True)
class Held:
    """What is set aside for one call, which may write `answer` tokens. `id` is 0 once it is settled."""

    id: int
    answer: int
    whole: bool = True
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """What a call may take: `prompt` and at most `answer` tokens. `money` is US dollars by the length of the answer."""

    money: Callable[[int], float]
    prompt: int = 0
    answer: int = 0


class Budget:
    """The spending of one run, on all its accounts. `money` is what the run has spent so far, in US dollars."""

    def __init__(
        self,
        store: Store,
        run: Run,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.time,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self._store = store
        self._run = run
        self._limits = limits
        self._clock = clock
        self._wait = wait
        self._cap = run.budget
        self._given_back = asyncio.Event()
        self._warned: set[tuple[str, float]] = set()
        self.asking = asyncio.Lock()  # one question about money at a time
        self.money = 0.0

    @property
    def own_cap(self) -> float | None:
        """What the run itself may spend, in US dollars; None means no limit."""
        return self._cap if self._cap is not None else self._limits.money or None

    async def load(self) -> None:
        """Take over what the run has spent before (it may have been interrupted)."""
        self.money = (await self._store.balance(f"run:{self._run.id}")).money

    # --- one call -----------------------------------------------------------------------------------------------
    async def hold(self, need: Need) -> Held:
        """Set aside what a call may take; a shorter answer when not all of it is there.

        Waits a while for what other calls have set aside. Raises OverBudget when the call could pass a cap.
        """
        answer, patience = need.answer, self._clock() + self._wait
        while True:
            accounts = await self.accounts()
            self._given_back.clear()
            made = await self._store.reserve(
                [account.cap for account in accounts],
                money=need.money(answer),
                tokens=need.prompt + answer,
                run_id=self._run.id,
            )
            if not made.refused:
                return Held(made.id, answer, whole=answer == need.answer, accounts=accounts)
            if await self._was_raised():
                continue
            fits = _fitting(need, accounts, made.balances)
            waits = _others_hold(made) and self._clock() < patience
            if min(ENOUGH_ANSWER if waits else LEAST_ANSWER, need.answer) <= fits < answer:
                answer = fits
            elif waits:
                await self._until_given_back()
                answer = need.answer
            else:
                refused = self._refusal(made, accounts, need.money(min(LEAST_ANSWER, need.answer)), need.prompt)
                detail = {"run_id": self._run.id, "refused_by": made.refused, "said": refused.message}
                await self._store.audit("budget", self._run.session_id, detail)
                raise refused

    async def settle(self, held: Held, usage: Sequence[Usage], step_id: str = "") -> None:
        """Put what a call has really used in the place of what was set aside, and warn where little is left."""
        balances = await self._store.settle(held.id, self._run.session_id, self._run.id, step_id, usage)
        self._given_back.set()
        for account, balance in zip(held.accounts, balances, strict=False):
            if account.cap.account == f"run:{self._run.id}":
                self.money = balance.money
            await self._warn(account, balance)

    # --- accounts -----------------------------------------------------------------------------------------------
    async def accounts(self) -> tuple[Account, ...]:
        """Return what the run spends on now, with the caps as they are now."""
        run, limits = self._run, self._limits
        day = time.strftime("%Y-%m-%d", time.localtime(self._clock()))
        own = Cap(f"run:{run.id}", self.own_cap, limits.tokens or None)
        made = [self._set(own, "this request", "limits.money")]
        if run.project:
            made.append(self._of_project(await self._store.get_project(run.project)))
        made.append(self._capped(f"session:{run.session_id}", "this chat", "money_per_session"))
        if run.user_id:
            made.append(self._capped(f"user:{run.user_id}:{day}", "one person today", "money_per_user_day"))
        made.append(self._capped(f"day:{day}", "today", "money_per_day"))
        made.append(self._capped(f"month:{day[:7]}", "this month", "money_per_month"))
        return tuple(made)

    def _capped(self, account: str, name: str, setting: str) -> Account:
        return self._set(Cap(account, getattr(self._limits, setting) or None), name, f"limits.{setting}")

    def _set(self, cap: Cap, name: str, setting: str) -> Account:
        raise_it = f"Raise `{setting}` in dirigent.toml if this is wanted."
        return Account(cap, name, setting, raise_it, self._limits.warn_at, self._run.dest)

    def _of_project(self, project: Project | None) -> Account:
        name = self._run.project
        command = f"dirigent projects budget {name}"
        raise_it = f"`{command} AMOUNT` changes it."
        cap = Cap(f"project:{name}", project.budget if project else None)
        warn_at = project.warn_at if project else self._limits.warn_at
        return Account(cap, f"project {name}", command, raise_it, warn_at, project.dest if project else self._run.dest)

    async def _was_raised(self) -> bool:
        """Look whether a person has let the run spend more meanwhile."""
        present = (await self._store.get_run(self._run.id)).budget
        if present == self._cap:
            return False
        self._cap = present
        return True

    async def left(self) -> tuple[float, Account] | None:
        """Return the least that is left on any account, in US dollars, and that account; None without any cap."""
        accounts = [account for account in await self.accounts() if account.cap.money is not None]
        stands = [await self._store.balance(account.cap.account) for account in accounts]
        found = [
            ((account.cap.money or 0.0) - balance.money, account)
            for account, balance in zip(accounts, stands, strict=True)
        ]
        return min(found, key=lambda pair: pair[0]) if found else None

    # --- refusing, waiting, warning -----------------------------------------------------------------------------
    def refuse(self, account: Account, used: float, needs: float) -> OverBudget:
        """Return the error for what may take `needs` dollars more on an account where `used` are spent or set aside."""
        cap = account.cap.money or 0.0
        refused = OverBudget(
            f"The budget of {account.name} is {dollars(cap)}: {dollars(used)} is used, "
            f"and what comes next may take {dollars(needs)}.",
            hint=account.raise_it,
            account=account.cap.account,
            value=cap,
            used=used,
            setting=account.setting,
        )
        refused.pauses = account.cap.account == f"run:{self._run.id}"
        return refused

    def _refusal(self, made: Reservation, accounts: Sequence[Account], needs: float, prompt: int) -> OverBudget:
        account, balance = next(
            (account, balance)
            for account, balance in zip(accounts, made.balances, strict=True)
            if account.cap.account == made.refused
        )
        used = balance.money + balance.reserved_money
        if account.cap.money is not None and used + needs > account.cap.money - DUST:
            return self.refuse(account, used, needs)
        tokens, most = balance.tokens + balance.reserved_tokens, account.cap.tokens or 0
        return OverBudget(
            f"The limit on tokens of one run is {most:,}: {tokens:,} are used, "
            f"and what comes next takes {prompt:,} or more.",
            hint="Raise `limits.tokens` in dirigent.toml if this is wanted.",
            account=account.cap.account,
            value=most,
            used=tokens,
            setting="limits.tokens",
        )

    async def _until_given_back(self) -> None:
        try:
            async with asyncio.timeout(min(LOOK_SECONDS, self._wait)):
                await self._given_back.wait()
        except TimeoutError:
            pass  # another process may have given something back

    async def _warn(self, account: Account, balance: Balance) -> None:
        """Tell the chat once that little of a budget is left; the message's key keeps it at once for good."""
        cap = account.cap.money
        if not cap or balance.money < cap * account.warn_at or (account.cap.account, cap) in self._warned:
            return
        self._warned.add((account.cap.account, cap))
        told = _warning(account, balance, cap)
        if account.cap.account == f"project:{self._run.project}":
            await self._store.warn_project(self._run.project, told)
        elif await self._store.get_message(told.key) is None:
            await self._store.post(told)


def _warning(account: Account, balance: Balance, cap: float) -> OutboundMessage:
    text = f"⚠️ {dollars(balance.money)} of the {dollars(cap)} for {account.name} is spent. {account.raise_it}"
    key = f"budget:{account.cap.account}:{cap:g}"
    return OutboundMessage(account.tells, MessageKind.NOTICE, key, {"text": text})


def _fitting(need: Need, accounts: Sequence[Account], balances: Sequence[Balance]) -> int:
    """Return how many tokens the answer may have so that every cap holds; below 0 when not even the prompt fits."""
    base = need.money(0)
    each = (need.money(need.answer) - base) / need.answer if need.answer else 0.0
    fits = float(need.answer)
    for account, balance in zip(accounts, balances, strict=True):
        cap = account.cap
        if cap.money is not None:
            free = cap.money - balance.money - balance.reserved_money - base - DUST
            fits = min(fits, free / each if each else (fits if free >= 0 else -1.0))
        if cap.tokens is not None:
            fits = min(fits, cap.tokens - balance.tokens - balance.reserved_tokens - need.prompt)
    return int(fits) if fits >= 0 else -1


def _others_hold(made: Reservation) -> bool:
    return any(
        balance.account == made.refused and (balance.reserved_money or balance.reserved_tokens)
        for balance in made.balances
    )


def dollars(money: float) -> str:
    """Return US dollars as people write them: cents, and as many further digits as a small amount needs."""
    return f"${money:.2f}" if money >= 0.1 or money == round(money, 2) else f"${money:.4f}"
