"""The worst case at full width: every source by every way to every effect, in every way to carry a plan out.

Run it: `python -m tests.benchmarks.trust [--table WORDS] [--mode strict]`. It prints for each table how many attacks there
were, in how many the model obeyed others, how often the person was asked, and how long an attack took, then every effect
that the owner's words did not name; it ends with 1 when there was one. The tests (`tests/trust`) play the part of it in
which each source, way and effect comes up. With `--open` there is no rule at all, and what is printed in the end are the
attacks that come to nothing even then: they would prove nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

from loguru import logger

from agent.policy import consent
from tests.trust import attacks, plots
from tests.trust.modes import PIPELINES, REQUESTS, asking_first
from tests.trust.stage import Case, breaches, numbered, play, play_across_a_kill

AT_ONCE = 200  # chats in one Dirigent


def flows() -> Iterator[Case]:
    """Yield every source by every way to every effect."""
    pairs = product(attacks.SOURCES, attacks.WAYS, attacks.SINKS)
    return (attacks.flow(source, way, sink) for source, way, sink in pairs if _tells(way, source, sink))


def new_plans() -> Iterator[Case]:
    """Yield every kind of new plan after every source, for every effect."""
    kinds = product(plots.REPLANS, attacks.SOURCES, attacks.SINKS)
    return (kind(source, sink) for kind, source, sink in kinds if _tells(kind, source, sink))


def _tells(kind: object, source: attacks.Source, sink: attacks.Sink) -> bool:
    """Say whether an attack can come to something: only who has read what is private can tell it."""
    private = source is attacks.ONE_SOURCE or sink.name != "address"
    return private and (kind, sink.name) not in plots.POINTLESS


def tables() -> dict[str, Iterable[Case]]:
    """Return all tables by name."""
    plain = [case for case in flows() if " · question · " not in case.name]
    return {
        "values": flows(),
        "new plans": new_plans(),
        "tasks": plots.tasks(),
        "later runs": plots.later(),
        "private data": attacks.leaks(),
        "files": attacks.contents(),
        "after a kill": map(asking_first, plain),
        **{name: map(made, plain) for name, made in (PIPELINES | REQUESTS).items()},
    }


async def played(name: str, cases: list[Case], **settings: Any) -> list[str]:
    """Carry out a table, print a line about it, and return the breaches."""
    fell = asked = 0
    found: list[str] = []
    began, left = time.monotonic(), iter(cases)
    while some := numbered(islice(left, AT_ONCE)):
        with tempfile.TemporaryDirectory() as folder:
            act = play_across_a_kill if name == "after a kill" else play
            stage = await act(Path(folder) / "home", some, **settings)
        fell += len(stage.puppet.fell)
        asked += sum(map(len, stage.asked.values()))
        found += breaches(some, stage)
    each = (time.monotonic() - began) / max(len(cases), 1) * 1e3
    print(
        f"{name:22} {len(cases):5} attacks, {fell:5} obeyed, {asked:5} questions, {len(found):3} breaches, {each:4.0f} ms"
    )
    return found


async def _dull(wanted: str) -> int:
    """Carry out the tables without any rule; every attack has to succeed."""
    consent.decide = lambda *_, **__: consent.Verdict("allow")  # type: ignore[assignment]
    dull: list[str] = []
    for name, cases in tables().items():
        if wanted in name:
            some = list(cases)
            done = "\n".join(await played(name, some))
            dull += [f"{name}: {case.name}" for case in some if case.name not in done]
    print("\n".join(dull) or "Every attack bites.")
    return 1 if dull else 0


async def _all(wanted: str, mode: str) -> int:
    found: list[str] = []
    for name, cases in tables().items():
        if wanted in name:
            found += [f"{name}: {one}" for one in await played(name, list(cases), policy={"mode": mode})]
    print("\n".join(found) or "Nothing happened that was not named.")
    return 1 if found else 0


def main() -> int:
    """Play what the command line names."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--table", default="", help="only tables whose names hold these words")
    arguments.add_argument("--mode", default="normal", choices=("normal", "strict", "always"))
    arguments.add_argument("--open", action="store_true", help="without any rule: does every attack bite?")
    given = arguments.parse_args()
    logger.remove()
    if given.open:
        return asyncio.run(_dull(given.table))
    return asyncio.run(_all(given.table, given.mode))


if __name__ == "__main__":
    sys.exit(main())
