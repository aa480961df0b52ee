"""`dirigent web`: a link that lets the owner into the pages, once."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig

EXAMPLES = """\
examples:
  dirigent web                                  a link that lets in once, within 10 minutes
  DIRIGENT_WEB__PAGES=true dirigent serve       shows the pages, on this machine
  DIRIGENT_WEB__PASSWORD_FILE=/run/secrets/web  a password instead, needed where others reach the server
  dirigent web --grafana > dirigent.json        a dashboard to import there

From another machine: ssh -L 8385:127.0.0.1:8385 SERVER, or a proxy with HTTPS in front of it and web.public_url.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--grafana", action="store_true", help="print a dashboard for Grafana that shows /metrics")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print a fresh link, or the dashboard. Raises ConfigError when the pages are off."""
    from agent.cli.opening import open_config

    if arguments.grafana:
        from agent.web.dashboard import dashboard

        print(json.dumps(dashboard(), indent=1))
        return 0

    config = open_config(arguments)
    if not (config.web.pages or config.web.password):
        raise ConfigError(
            "The pages are off.",
            hint="Set web.pages to true in dirigent.toml, or web.password, and start `dirigent serve`.",
        )
    code = asyncio.run(_code(config))
    print(f"{_address(config)}/admin/login?code={quote(code)}\nIt lets in once, within 10 minutes.")
    return 0


async def _code(config: AppConfig) -> str:
    from agent.cli.people import journal
    from agent.web.admin.entry import new_code

    async with journal(config) as store:
        await store.audit("web link", "", {"by": "command line"})
        return await new_code(store, time.time())


def _address(config: AppConfig) -> str:
    from agent.web.server import USUAL_PORT

    web = config.web
    if web.public_url:
        return str(web.public_url).rstrip("/")
    host = "127.0.0.1" if web.host in {"0.0.0.0", "::"} else web.host  # noqa: S104 - compared, not listened on
    return f"http://[{host}]:{web.port or USUAL_PORT}" if ":" in host else f"http://{host}:{web.port or USUAL_PORT}"
