"""`dirigent export`: everything of an installation in one file."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from agent.archive import Report

EXAMPLES = """\
examples:
  dirigent export                               dirigent-20261121-0930.tar.gz in this folder
  dirigent export /backup/dirigent.tar.gz --without-secrets
  dirigent import /backup/dirigent.tar.gz --home /srv/new

In it: the journal as of one moment (also while Dirigent works; one in PostgreSQL becomes a file), sessions with their
files and memory, pipelines, plugins, settings and, unless left out, secrets. Only you can read the file; keep it so.
Logs stay where they are. Files that a storage keeps (`sessions.storage`) are fetched first; after an import elsewhere,
`dirigent migrate-sessions` takes them to the storage that is set there.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("file", nargs="?", default="", help="the file to write (default: by date, in this folder)")
    made.add_argument("--without-secrets", action="store_true", help="leave out secrets/ and secret settings")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Write the file; return 1 when something had to be passed over."""
    from agent.archive import export
    from agent.cli.moving import sessions_here
    from agent.cli.opening import open_config, secrets_of

    config = open_config(arguments)
    file = Path(arguments.file or time.strftime("dirigent-%Y%m%d-%H%M.tar.gz")).expanduser()
    hidden = list(secrets_of(config)) if arguments.without_secrets else None
    if config.sessions.storage:  # the copies in the home may lack what other hosts have done
        asyncio.run(sessions_here(config))
    sessions = config.sessions_folder
    if config.store is None:
        report = export(config.folder, file, hidden, sessions=sessions)
    else:
        address = config.store.get_secret_value()
        taken = partial(_taken_from, address)
        report = export(config.folder, file, hidden, journal=taken, address=address, sessions=sessions)
    tell(report, f"Written: {file}")
    if not arguments.without_secrets:
        print("It holds your secrets: keep it where only you can read it.")
    return int(bool(report.notes))


def _taken_from(address: str, copy: Path) -> None:
    """Write a journal that a database server keeps into a file."""
    from agent.store.copying import copy_journal
    from agent.store.dialect import url_of

    copy_journal(url_of(address), url_of(copy), in_use=True)


def tell(report: Report, what: str) -> None:
    """Print what was done, and what was passed over."""
    print(f"{what} ({report.files} files, {report.size / 1e6:.1f} MB)")
    for note in report.notes:
        print(f"  passed over: {note}")
