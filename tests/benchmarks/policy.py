"""How long the rule of consent takes for a call, and what the audit log costs: `python -m tests.benchmarks.policy`.

Everything is in microseconds, the best of several rounds. The bounds are what the program ends with 1 beyond.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from agent.config import AppConfig
from agent.domain.messages import Destination
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Run
from agent.logs import redact
from agent.policy import consent
from agent.policy.gate import Policy, Proposal, ruled
from plugins.api import ToolSpec, spec_of, tool

CALLS, ROUNDS = 2_000, 5
BOUNDS = {"decide": 50.0, "judge": 150.0}


@tool(effect="once", content_args=["text"])
def mail(to: str, text: str, cc: str = "") -> str:
    """Write to somebody."""
    return to


class NoJournal:
    """A journal without rules."""

    async def get_value(self, _key: str) -> str | None:
        """Return nothing."""
        return None


def micros(work: Callable[[], Any], calls: int = CALLS) -> float:
    """Return how long one call takes at best, in microseconds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        best = min(best, (time.perf_counter() - began) / calls)
    return best * 1e6


def proposal(spec: ToolSpec, label: Provenance) -> Proposal:
    """Return a call as a run of ten steps makes it."""
    args = {"to": "ada@example.org", "text": "I come at six. " * 20, "cc": ""}
    files = {f"file-{number}.txt": USER for number in range(20)}
    run = Run("bench:1", "write to ada@example.org that I come at six", Destination("bench", "1"))
    return Proposal(run, "s1", spec, args, dict.fromkeys(args, label), label, file_labels=files)


def measured() -> dict[str, float]:
    """Return what each part takes, in microseconds."""
    spec = spec_of(mail)
    assert spec is not None
    tainted = Provenance.union(
        Provenance.of(f"web:site{number}.example#s{number}", trusted=False) for number in range(10)
    )
    clean, asked = proposal(spec, USER), proposal(spec, tainted)
    found = {
        "decide": micros(lambda: consent.decide(spec, clean.labels, clean.control)),
        "decide, asks": micros(lambda: consent.decide(spec, asked.labels, asked.control)),
        "judge": micros(lambda: ruled(clean, "normal")),
    }
    policy: Any = Policy(NoJournal(), AppConfig())  # type: ignore[arg-type]

    async def many() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            await policy.decide(clean)
        return (time.perf_counter() - began) / CALLS * 1e6

    found["judge with rules"] = asyncio.run(many())
    row = json.dumps({"run": "a1b2c3d4", "step": "s1", "tool": "mail.send", "rule": "allow", "because": "your message"})
    found["redact a row"] = micros(lambda: redact(row))
    return found


def main() -> int:
    """Print the table; 1 when a bound is passed."""
    found = measured()
    for name, value in found.items():
        print(f"{name:<20} {value:8.1f} µs" + (f"   (at most {BOUNDS[name]:g})" if name in BOUNDS else ""))
    return int(any(found[name] > most for name, most in BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
