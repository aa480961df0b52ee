"""How fast the command line answers: `--help` against an empty interpreter, `chat` until it is ready and until it answers.

    .venv/bin/python tests/benchmarks/start_up.py [--runs 20] [--json]

Targets: `--help` ≤ 12 times an empty interpreter; `chat` ready ≤ 1.5 s, and with ten unchanged plugins of the owner's at
most 1.3 times that (they take about 2 ms of CPU). `first_answer` is a whole `chat "what time is it"`
without a model: started, planned, carried out, answered, ended. Exits with 1 when one is missed. The runs of what
is compared take turns, so that a busy machine slows them alike; medians are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_RATIO = 12.0
MOST_SECONDS = 1.5
MOST_FOR_PLUGINS = 1.3
PLUGIN = '''"""Greets."""
from plugins.api import tool

@tool
def {name}(whom: str, often: int = 1) -> str:
    """Greet somebody."""
    return f"Hello {{whom}}" * often
'''
EMPTY = [sys.executable, "-c", "pass"]
HELP = [sys.executable, "-P", "-m", "agent", "--help"]
WRAPPED = [str(ROOT / "dirigent"), "--help"]
CHAT = [sys.executable, "-P", "-m", "agent", "chat", "--model", "offline"]
FIRST_ANSWER = [*CHAT, "what time is it"]


def seconds(command: list[str], env: dict[str, str]) -> float:
    """Return the wall seconds of a command; chat ends at once because its input does: ready means at its first prompt."""
    begun = time.perf_counter()
    subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - begun


def measure(runs: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DIRIGENT_", "OPENAI_"))}
        env["DIRIGENT_HOME"] = home
        commands = {"empty": EMPTY, "help": HELP, "wrapper_help": WRAPPED}
        times: dict[str, list[float]] = {name: [] for name in (*commands, "chat", "chat_plugins", "first_answer")}
        more = {**env, "DIRIGENT_HOME": f"{home}/more"}
        (Path(home) / "more" / "plugins").mkdir(parents=True)
        for number in range(10):
            name = f"greet{number}"
            (Path(home) / "more" / "plugins" / f"{name}.py").write_text(PLUGIN.format(name=name), encoding="utf-8")
        seconds(CHAT, more)  # described the first time
        for command in (*commands.values(), CHAT, FIRST_ANSWER):
            seconds(command, env)  # byte code and the journal are made the first time
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(seconds(command, env))
        for _ in range(max(3, runs // 4)):
            times["chat"].append(seconds(CHAT, env))
            times["chat_plugins"].append(seconds(CHAT, more))
            times["first_answer"].append(seconds(FIRST_ANSWER, env))
    medians = {f"{name}_s": round(statistics.median(taken), 4) for name, taken in times.items()}
    return {**medians, "help_ratio": round(medians["help_s"] / medians["empty_s"], 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.runs)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<16} {value}")
    slow = found["chat_plugins_s"] > found["chat_s"] * MOST_FOR_PLUGINS
    return int(found["help_ratio"] > MOST_RATIO or found["chat_s"] > MOST_SECONDS or slow)


if __name__ == "__main__":
    raise SystemExit(main())
