"""The owner's own rules: never this tool; always allow exactly this call, for a while; contacts that are known.

A "never" always wins. An "allow" turns a question into a yes for one pattern of one tool: it pins every argument but
the tool's free text (`content_args`), ends by itself, and covers nothing that pays, deletes, installs, or touches
credentials or schedules, and no call that takes files, whose contents may have changed. Rules lie in the journal.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import DirigentError, NotFound
from agent.policy.rule import is_strict, leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.store.protocol import Store
    from plugins.api import ToolSpec

KEY = "policy:rules"
DAYS, MOST_DAYS = 30.0, 365.0
MOST_RULES = 200
DAY = 86_400.0
PLACE = re.compile(r"https?://[^/?#\s*]+/[^*]*\*")


@dataclass(frozen=True, slots=True)
class OwnRule:
    """One rule. `tool` is a full name, for "never" also a plain one or a pattern such as `web.*`.

    `args` are the pinned arguments of an "allow"; an address of what only reads may end in `*` after its host. `until`
    is in seconds since 1970, None for good. `by` is who made it.
    """

    number: int
    kind: Literal["never", "allow"]
    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    until: float | None = None
    by: str = ""
    at: float = 0.0

    def in_words(self) -> str:
        """Return the rule as a person reads it."""
        pinned = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.args.items())
        day = time.strftime("%Y-%m-%d", time.localtime(self.until)) if self.until is not None else ""
        return (
            f"{self.kind} {self.tool}"
            + (f"({pinned})" if self.kind == "allow" else "")
            + (f" until {day}" if day else "")
        )


@dataclass(frozen=True, slots=True)
class OwnRules:
    """All rules, and known contacts and accounts by name."""

    rules: tuple[OwnRule, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    last: int = 0

    def forbids(self, spec: ToolSpec) -> OwnRule | None:
        """Return the rule that forbids a tool, None when there is none."""
        return next((one for one in self.rules if one.kind == "never" and names(one.tool, spec)), None)

    def allows(self, spec: ToolSpec, args: Mapping[str, Any], now: float) -> OwnRule | None:
        """Return the rule that allows exactly this call, None when there is none. `args` are all, defaults included."""
        if refusal(spec):
            return None
        standing = (one for one in self.rules if one.kind == "allow" and (one.until or 0) > now)
        return next((one for one in standing if one.tool == spec.full_name and covers(one, spec, args)), None)


NO_RULES = OwnRules()


def names(pattern: str, spec: ToolSpec) -> bool:
    """Say whether a name or a pattern means a tool."""
    wanted = pattern.casefold()
    return wanted == spec.name.casefold() or fnmatch.fnmatchcase(spec.full_name.casefold(), wanted)


def refusal(spec: ToolSpec) -> str:
    """Return why calls of a tool can't be allowed beforehand; "" when they can."""
    if not leaves(spec):
        return "it is never asked about for what it does outside"
    if is_strict(spec, "normal", unattended=False) or spec.reads_all:
        return "it may pay, delete, install, or touch credentials or schedules"
    return ""


def covers(one: OwnRule, spec: ToolSpec, args: Mapping[str, Any]) -> bool:
    """Say whether a call is the one that a rule allows: every argument pinned or as the tool has it by default."""
    if any(args.get(name) for name in spec.file_parameters):
        return False
    free = set(spec.content_args)
    fields = spec.arguments.model_fields
    defaults = {name: info.default for name, info in fields.items() if not info.is_required()}
    reads = spec.effect == "read"
    pinned = {**defaults, **one.args}
    return all(name in free or (name in pinned and _same(pinned[name], value, reads)) for name, value in args.items())


def _same(pinned: Any, value: Any, reads: bool) -> bool:  # noqa: FBT001
    if reads and isinstance(pinned, str) and isinstance(value, str) and PLACE.fullmatch(pinned):
        start = pinned[:-1]
        return value.startswith(start) and not re.search(r"(^|/)\.\.?(/|$)|\\|%2e", value[len(start) :], re.IGNORECASE)
    return json.dumps(pinned, sort_keys=True, default=str) == json.dumps(value, sort_keys=True, default=str)


# --- kept in the journal --------------------------------------------------------------------------------------------
async def rules_of(store: Store) -> OwnRules:
    """Return the rules as they are now."""
    written = await store.get_value(KEY)
    return read(written) if written else NO_RULES


def read(written: str) -> OwnRules:
    """Read what the journal has."""
    stored = json.loads(written)
    rules = tuple(OwnRule(**one) for one in stored["rules"])
    return OwnRules(rules, stored["known"], stored["last"])


async def forbid(store: Store, tool: str, specs: Sequence[ToolSpec], by: str) -> OwnRule:
    """Never have a tool called, by name or pattern. Raises NotFound when there is no such tool."""
    if not any(names(tool, spec) for spec in specs):
        raise NotFound(f"There is no tool {tool!r}.", hint="`dirigent plugins` lists them.")
    return await _add(store, OwnRule(0, "never", tool, by=by, at=time.time()))


async def allow(store: Store, spec: ToolSpec, args: Mapping[str, Any], by: str, *, days: float = DAYS) -> OwnRule:
    """Allow one pattern of a tool's calls for `days`. Raises DirigentError for what can't be allowed beforehand."""
    why = refusal(spec)
    if why:
        raise DirigentError(f"{spec.full_name} can't be allowed beforehand: {why}.", hint="Agree to each call instead.")
    if not 0 < days <= MOST_DAYS:
        raise DirigentError(
            f"A rule may hold for up to {MOST_DAYS:g} days, not {days:g}.", hint="Say it with --days 30."
        )
    _check_pinned(spec, args)
    now = time.time()
    return await _add(store, OwnRule(0, "allow", spec.full_name, dict(args), now + days * DAY, by, now))


def _check_pinned(spec: ToolSpec, args: Mapping[str, Any]) -> None:
    fields = spec.arguments.model_fields
    unknown = [name for name in args if name not in fields]
    if unknown:
        raise DirigentError(f"{spec.full_name} has no argument {unknown[0]!r}.", hint=f"It has {', '.join(fields)}.")
    files = [name for name in args if name in spec.file_parameters]
    if files:
        raise DirigentError(
            f"A rule can't allow the file {files[0]!r}: by then it may hold something else.", hint="Agree to each call."
        )
    free = {*spec.content_args, *args}
    missing = [name for name, info in fields.items() if info.is_required() and name not in free]
    if missing:
        said = f"The rule has to say what {missing[0]!r} of {spec.full_name} is."
        raise DirigentError(said, hint=f"Add {missing[0]}=VALUE. Only free text may be left out.")
    for value in args.values():
        if isinstance(value, str) and "*" in value and not (spec.effect == "read" and PLACE.fullmatch(value)):
            hint = "Only an address that is read may end in `*`, after its host: https://example.org/*"
            raise DirigentError(f"{value!r} is no exact value.", hint=hint)


async def _add(store: Store, rule: OwnRule) -> OwnRule:
    present = await rules_of(store)
    now = time.time()
    kept = [one for one in present.rules if one.until is None or one.until > now]
    if len(kept) >= MOST_RULES:
        raise DirigentError(f"There are {MOST_RULES} rules already.", hint="`dirigent rules remove N` takes one back.")
    made = OwnRule(present.last + 1, rule.kind, rule.tool, rule.args, rule.until, rule.by, rule.at)
    await _write(store, OwnRules((*kept, made), present.known, made.number), "rule added", asdict(made))
    return made


async def remove(store: Store, number: int, by: str) -> OwnRule:
    """Take a rule back. Raises NotFound."""
    present = await rules_of(store)
    gone = next((one for one in present.rules if one.number == number), None)
    if gone is None:
        raise NotFound(f"There is no rule {number}.", hint="`dirigent rules` lists them.")
    kept = tuple(one for one in present.rules if one is not gone)
    told = {**asdict(gone), "by": by}
    await _write(store, OwnRules(kept, present.known, present.last), "rule removed", told)
    return gone


async def know(store: Store, name: str, value: str, by: str) -> None:
    """Mark a contact or account as known under a name; an empty value forgets it. Raises NotFound, DirigentError."""
    plain, worth = " ".join(name.split()), value.strip()
    if not plain:
        raise DirigentError("A known contact needs a name.", hint="dirigent rules know bob bob@example.org")
    present = await rules_of(store)
    others = {one: other for one, other in present.known.items() if one.casefold() != plain.casefold()}
    if not worth and len(others) == len(present.known):
        raise NotFound(f"Nobody is known as {plain!r}.", hint="`dirigent rules` lists who is.")
    known = {**others, plain: worth} if worth else others
    told = {"name": plain, "value": worth, "by": by}
    await _write(store, OwnRules(present.rules, known, present.last), "known" if worth else "no longer known", told)


async def _write(store: Store, rules: OwnRules, what: str, told: Mapping[str, Any]) -> None:
    written = json.dumps(
        {"rules": [asdict(one) for one in rules.rules], "known": dict(rules.known), "last": rules.last}
    )
    # Requested at once, they share a commit.
    await asyncio.gather(store.set_value(KEY, written), store.audit(what, "", dict(told)))


def permitted(specs: Iterable[ToolSpec], rules: OwnRules) -> tuple[ToolSpec, ...]:
    """Return the tools that no rule forbids."""
    return tuple(spec for spec in specs if rules.forbids(spec) is None)


def told_planner(specs: Iterable[ToolSpec], rules: OwnRules) -> str:
    """Return what a planner is told of the tools that it does not have; "" when none is forbidden."""
    gone = [spec.full_name for spec in specs if rules.forbids(spec) is not None]
    return f"\n\nThe owner's rules forbid these tools; say so where one is needed: {', '.join(gone)}." if gone else ""
