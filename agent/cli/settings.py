"""`dirigent settings`: every setting with its default and its explanation, from where it is defined."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("word", nargs="?", default="", help="only settings whose name or explanation has this word")
    made.add_argument("--json", action="store_true", help="one JSON array, for programs")
    made.epilog = "Set them in dirigent.toml or as environment variables; `dirigent doctor` shows what is in force."
    return made


def run(arguments: argparse.Namespace) -> int:
    """Print the reference."""
    from agent.config.reference import settings_reference

    word = arguments.word.lower()
    found = [s for s in settings_reference() if word in s.key or word in s.text.lower()]
    if arguments.json:
        print(json.dumps([asdict(setting) for setting in found], ensure_ascii=False, indent=1))
        return 0
    for setting in found:
        kind = " | ".join(setting.choices) if setting.choices else setting.kind
        default = f" = {setting.default}" if setting.default else ""
        print(f"{setting.key}{default}  ({kind}; {setting.env})")
        print("    " + setting.text.replace("\n", "\n    "))
    return 0 if found else 1
