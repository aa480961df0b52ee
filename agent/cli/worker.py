"""`dirigent worker`: carries requests out, one of any number of workers, until it is stopped."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig

EXAMPLES = """\
examples:
  dirigent worker
  dirigent worker --runs 4                       at most four requests at the same time
  dirigent worker --metrics-port 9101            its own figures for Prometheus
  DIRIGENT_ENGINE=workers DIRIGENT_STORE_FILE=/run/secrets/store dirigent worker

In dirigent.toml: engine = "workers", and store = "postgresql://user:password@host/database", the same for `dirigent
serve` and for every worker. Start as many as you like, on as many machines as you like; the sessions' files have to be
the same for all (a shared folder, or sessions.storage).

Each process keeps up to nine connections to PostgreSQL (its max_connections is 100 at first), and needs them directly
or through a pooler that pools sessions, not transactions.

SIGTERM or Ctrl-C: it takes up nothing more, lets what runs go on for workers.drain_seconds, and leaves the rest to the
other workers, which repeat no finished step. When a worker dies, the others take its requests over within seconds.
Warnings go to standard error, everything to logs/dirigent.log in the home.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument(
        "--runs", type=_number, default=0, metavar="N", help="requests at the same time (limits.runs_total)"
    )
    made.add_argument(
        "--metrics-port", type=_port, default=0, metavar="P", help="show this worker's own /metrics and /health there"
    )
    made.epilog = EXAMPLES
    return made


def _number(text: str) -> int:
    import argparse

    if not text.isdecimal() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1,000")
    return int(text)


def _port(text: str) -> int:
    import argparse

    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65,535")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Work until stopped. Raises ConfigError where runs are not shared."""
    from agent.cli.opening import open_config

    config = open_config(arguments, to_stderr=True)
    if config.engine != "workers":
        raise ConfigError(
            'There is nothing for a worker here: engine is "local", so `dirigent serve` does all itself.',
            hint='Set engine = "workers" and store = "postgresql://…" in dirigent.toml, for `serve` as well.',
        )
    asyncio.run(work(config, arguments.runs, arguments.metrics_port))
    return 0


async def work(config: AppConfig, runs: int = 0, metrics_port: int = 0) -> None:
    """Join everything, say what is in use, and work until SIGINT or SIGTERM."""
    from agent.cli.chat import opened
    from agent.cli.door import open_metrics
    from agent.cli.serve import in_words, until_stopped
    from agent.parts import make_engine, sandbox_policy
    from sandbox.boxes import rung_of

    engine = make_engine(config, works=True, runs=runs)
    async with opened(config, engine=engine) as (app, model):
        rung = await rung_of(sandbox_policy(config))
        print(f"{model}\n{in_words(rung)}", flush=True)
        works = [one.run() for one in open_metrics(app, rung.name, metrics_port)] if metrics_port else []
        await until_stopped(works, f"Working, on up to {runs or config.limits.runs_total} runs; Ctrl-C ends it.")
        seconds = config.workers.drain_seconds
        print(f"Ending: what runs goes on for up to {seconds:g} s; Ctrl-C leaves it to other workers now.", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, engine.hurry)
