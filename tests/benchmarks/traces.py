"""What a span costs: with traces off, on (with no collector there), and on for a request that is not sampled.

    .venv/bin/python -m tests.benchmarks.traces [--spans 20000]

A run with ten steps has about fifty spans. Targets, in CPU time: off ≤ 5 µs, on ≤ 500 µs, not sampled ≤ 250 µs a span;
ending takes at most 4 s though nobody answers. Exits with 1 when one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from agent import tracing
from agent.config.tracing import Tracing

NOBODY = "http://127.0.0.1:9"
TOLD = {"dirigent.step.id": "s1", "gen_ai.tool.name": "web.fetch"}
TARGETS = {"off": 5.0, "on": 500.0, "not sampled": 250.0}
MOST_SECONDS = 4.0


def span_cost(spans: int) -> float:
    """Return the CPU microseconds of one span with attributes."""
    began = time.process_time()
    for _ in range(spans):
        with tracing.begin("step s1", TOLD, of="E-00000001") as span:
            span.set({"dirigent.step.status": "ok"})
    return (time.process_time() - began) / spans * 1e6


async def measured(spans: int) -> tuple[dict[str, float], float]:
    """Return the microseconds of a span in each case, and the longest time that ending took."""
    costs, longest = {"off": span_cost(spans)}, 0.0
    for name, sample in (("on", 1.0), ("not sampled", 0.0)):
        tracing.start(Tracing(endpoint=NOBODY, sample=sample))
        costs[name] = span_cost(spans)
        began = time.monotonic()
        await tracing.stop()
        longest = max(longest, time.monotonic() - began)
    return costs, longest


def main() -> int:
    """Measure, print, and say whether a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=20_000)
    costs, longest = asyncio.run(measured(parser.parse_args().spans))
    for name, cost in costs.items():
        print(f"{name:<12} {cost:8.2f} µs a span (target {TARGETS[name]:g})")
    print(f"{'the end':<12} {longest:8.2f} s (target {MOST_SECONDS:g})")
    return int(longest > MOST_SECONDS or any(cost > TARGETS[name] for name, cost in costs.items()))


if __name__ == "__main__":
    sys.exit(main())
