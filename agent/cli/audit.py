"""`dirigent audit`: what was done, on whose word; and whether the log is as it was written."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from agent.app import App
    from agent.domain.audit import AuditEntry, Chain

EXAMPLES = """\
examples:
  dirigent audit                                        the newest entries
  dirigent audit --kind approval --since 7d
  dirigent audit --kind network                         what sandboxed work reached, or was kept from
  dirigent audit --session telegram:4711 --since 2026-11-01 --json
  dirigent audit verify                                 check the whole log; shows its head
  dirigent audit verify --head 3f9c...                  and that an earlier head is still in it

Each entry is sealed with a hash over itself and the one before it. Note the head somewhere else now and then: who can
change the journal could make the whole log anew, or cut its end off, but not so that it still holds the head you noted.
"""
ACTIONS = ("list", "verify")
SHOWN = 50
AT_ONCE = 2_000
UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
AGO = re.compile(r"(\d{1,6})([mhdw])")
HASH = re.compile(r"[0-9a-f]{64}")


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("--session", metavar="S", help="list: only of this chat, such as telegram:4711")
    made.add_argument("--kind", metavar="K", help="list: only such entries, such as approval or 'effect begun'")
    made.add_argument("--since", default="", metavar="WHEN", help="list: from a date, or 30m, 12h, 7d, 4w ago")
    made.add_argument("--limit", type=int, default=SHOWN, metavar="N", help=f"list: the newest N (default: {SHOWN})")
    made.add_argument("--head", default="", metavar="HASH", help="verify: a head noted earlier, to be in the log still")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """List or verify; 1 when the log does not fit. Raises ConfigError for a time or a head that is none."""
    from agent.cli.opening import open_config

    since = _since(arguments.since, time.time())
    if arguments.head and not HASH.fullmatch(arguments.head.lower()):
        raise ConfigError(f"--head {arguments.head!r} is no head.", hint="A head has 64 letters and digits, 0-9 a-f.")
    return asyncio.run(_run(open_config(arguments), arguments, since))


def _since(text: str, now: float) -> float:
    ago = AGO.fullmatch(text.strip())
    if ago:
        return now - int(ago[1]) * UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        hint = "Write a date such as 2026-11-20 or 2026-11-20T14:00, or how long ago: 30m, 12h, 7d, 4w."
        raise ConfigError(f"--since {text!r} is no time.", hint=hint) from None


async def _run(config: Any, arguments: argparse.Namespace, since: float) -> int:
    from agent.cli.opening import journal_open

    async with journal_open(config) as app:
        if arguments.action == "verify":
            return await _verify(app, arguments)
        await _list(app, arguments, since)
    return 0


async def _list(app: App, arguments: argparse.Namespace, since: float) -> None:
    found = await app.store.audit_entries(
        session_id=arguments.session, kind=arguments.kind, since=since, limit=max(1, arguments.limit)
    )
    if arguments.json:
        print(json.dumps([_data(entry) for entry in found], ensure_ascii=False, indent=1))
        return
    for entry in found:
        print(_line(entry))
    if not found:
        print("No such entries." if arguments.session or arguments.kind or since else "No entries yet.")


def _line(entry: AuditEntry) -> str:
    from agent.channels.terminal.face import clean

    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
    facts = " ".join(f"{name}={_value(value)}" for name, value in entry.facts.items())
    chat = f" [{entry.session_id}]" if entry.session_id else ""
    return clean(f"{entry.id} {when}{chat} {entry.kind}: {facts}")


def _value(value: Any) -> str:
    if isinstance(value, str) and HASH.fullmatch(value):
        return f"{value[:12]}…"
    return json.dumps(value, ensure_ascii=False)


def _data(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "kind": entry.kind,
        "session": entry.session_id,
        "detail": entry.facts,
        "hash": entry.seal,
    }


async def _verify(app: App, arguments: argparse.Namespace) -> int:
    from agent.domain.audit import Chain

    chain = Chain(met=arguments.head.lower())
    while (entries := await app.store.audit_after(chain.last_id, AT_ONCE)) and chain.take(entries):
        pass
    missing = bool(chain.met) and not chain.found
    if arguments.json:
        print(json.dumps({"fits": chain.broken is None and not missing, **_checked(chain)}, indent=1))
    elif chain.broken is not None:
        print(
            f"Entry {chain.broken.id} does not fit the one before it: it, or what stood before it, was changed or "
            f"removed. {chain.count} entries fit before it.\n  {_line(chain.broken)}"
        )
    else:
        print(f"{chain.count} entries, all as they were written.\nhead {chain.head or '-'}")
        if missing:
            print("The head that you gave is not in the log: its end was cut off, or it was made anew.")
    return 1 if chain.broken is not None or missing else 0


def _checked(chain: Chain) -> dict[str, Any]:
    broken = chain.broken.id if chain.broken is not None else None
    return {"entries": chain.count, "head": chain.head, "broken": broken, "found": chain.found if chain.met else None}
