"""`dirigent logs`: what the log says of one request, from its message to its delivered answer."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from agent.errors import NotFound

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig
    from agent.domain.run import Run
    from agent.store.protocol import Store

EXAMPLES = """\
examples:
  dirigent logs                     which ids the newest requests have
  dirigent logs E-7F2A91C4          the id that an error message shows
  dirigent logs 6Jw2kQxA            the name of a run, as the pages and the API give it
  dirigent logs E-7F2A91C4 --lines 50

Every line about a request carries its id, in whatever process it was written; log_level says how much there is.
"""
CORRELATION = re.compile(r"E-[0-9A-F]{4,8}")
RECENT = 20
REQUEST_CHARS = 60


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("ref", nargs="?", default="", metavar="REF", help="an id (E-…) or a run; without one, a list")
    made.add_argument("--lines", type=int, default=2_000, metavar="N", help="the newest lines (default: 2000)")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print the lines. Raises NotFound for a run that there is not."""
    from agent.cli.opening import open_config

    return asyncio.run(_run(open_config(arguments), arguments.ref, max(arguments.lines, 1)))


async def _run(config: AppConfig, ref: str, most: int) -> int:
    from agent.logs import lines_of

    if CORRELATION.fullmatch(ref.upper()):
        corr_id = ref.upper()
    else:
        from agent.cli.people import journal

        async with journal(config) as store:
            if not ref:
                print("\n".join(map(_line, await store.recent_runs(limit=RECENT))) or "Nothing was asked for yet.")
                return 0
            corr_id = await _id_of(store, ref)
    lines = await asyncio.to_thread(lines_of, config.folder / "logs", corr_id, most)
    print("\n".join(lines) or f"The log holds nothing of {corr_id}: it was not worth a line, or is too long ago.")
    return 0


async def _id_of(store: Store, ref: str) -> str:
    found = await store.find_run(ref)
    if found is None:
        raise NotFound(f"There is no run {ref!r}.", hint="`dirigent logs` lists the newest.")
    return found.corr_id


def _line(run: Run) -> str:
    words = " ".join((run.title or run.request).split())[:REQUEST_CHARS]
    return f"{run.corr_id:<12} {run.ref:<12} {run.status.value.lower():<17} {words}"
