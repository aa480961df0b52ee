"""`dirigent pair`: a code that lets one person in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig

EXAMPLES = """\
examples:
  dirigent pair             a member: may ask; what changes something outside, an owner has to allow
  dirigent pair --owner     an owner: their words are trusted, and they may approve

The person sends the bot /pair CODE in a private chat. `dirigent people` lists who is in.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--owner", action="store_true", help="let an owner in instead of a member")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print a fresh code."""
    from agent.cli.opening import open_config

    code = asyncio.run(_make(open_config(arguments), owner=arguments.owner))
    print(f"/pair {code}\nSend this to the bot within 10 minutes; it lets in one {_role(owner=arguments.owner)}.")
    return 0


def _role(*, owner: bool) -> str:
    return "owner" if owner else "member"


async def _make(config: AppConfig, *, owner: bool) -> str:
    from agent.channels.pairing import make_code
    from agent.cli.people import journal
    from agent.domain.people import Role

    async with journal(config) as store:
        await store.audit("pairing code", "", {"role": _role(owner=owner), "by": "command line"})
        return await make_code(store, Role(_role(owner=owner)))
