"""`dirigent migrate-store`: the journal into another database, whole and proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from sqlalchemy.engine import URL

    from agent.store.copying import Copied

EXAMPLES = """\
examples:
  dirigent migrate-store --to postgresql://dirigent@db.example.org/dirigent
  dirigent migrate-store --from postgresql://dirigent@db.example.org/dirigent --to journal-of-today.db

Stop Dirigent first. The target must be empty; the source stays as it is. Everything is copied in one transaction, each
table compared row by row, the audit log checked; when anything is wrong, the target stays empty. Then set
`store` in dirigent.toml (or DIRIGENT_STORE) to the new address. The password need not stand in the address:
~/.pgpass and PGPASSWORD work, too.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--to", required=True, metavar="ADDRESS", help="an empty database: postgresql://…, or a new file")
    made.add_argument(
        "--from", dest="source", default="", metavar="ADDRESS", help="the journal (default: the one in use)"
    )
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Copy, and say how to use the copy. Raises ConfigError."""
    from agent.cli.opening import open_config
    from agent.parts import journal_of
    from agent.store.copying import copy_journal
    from agent.store.dialect import url_of

    config = open_config(arguments)
    source, target = url_of(arguments.source or journal_of(config)), url_of(arguments.to)
    copied = copy_journal(source, target, lambda table, rows: print(f"  {table}: {rows}"))
    _tell(copied, target)
    return 0


def _tell(copied: Copied, target: URL) -> None:
    print(f"Copied and compared: {sum(copied.rows.values())} rows in {len(copied.rows)} tables.")
    chain = copied.chain
    if chain.broken is None:
        print(f"The audit log fits: {chain.count} entries, head {chain.head or '-'}.")
    else:
        print(f"The audit log does not fit from entry {chain.broken.id} on; it is as in the source.")
    address = target.set(drivername=target.get_backend_name()).render_as_string(hide_password=True)
    print(f'Now set `store = "{address}"` in dirigent.toml, or DIRIGENT_STORE, and start Dirigent.')
