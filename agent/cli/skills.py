"""`dirigent skills`: which skills there are, what they say, what is wrong with them, and a new one to fill in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse

    from agent.config import AppConfig
    from agent.skills import Skill

EXAMPLES = """\
examples:
  dirigent skills
  dirigent skills show invoices
  dirigent skills check                     all of them; exit code 1 when one can't be used
  dirigent skills check ~/downloads/invoices
  dirigent skills new invoices              makes skills/invoices/SKILL.md to fill in

A skill is a folder with a SKILL.md: `name` and `description` between two lines `---`, then instructions. Scripts and
other files beside it can be read and run inside the sandbox. What it says counts as your own word, so put only into
skills/ what you have read. It is used when its description fits a request, or by `/skill NAME WORDS`.
"""
ACTIONS = ("list", "show", "check", "new")
FRESH = """\
---
name: {name}
description: Say in one or two sentences what this does, and when it is to be used.
---
# How to do it

1. Say what to do, step by step, as you would to a colleague.
2. Name the files beside this one that are needed, and when.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    made.add_argument("name", nargs="?", default="", metavar="NAME", help="a skill, or with `check` also a folder")
    made.add_argument("--json", action="store_true", help="list as JSON")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say. Raises DirigentError for what can't be done."""
    from agent.cli.opening import open_config

    config = open_config(arguments)
    if arguments.action in {"show", "new"} and not arguments.name:
        raise DirigentError(f"Which skill? `dirigent skills {arguments.action} NAME`.")
    if arguments.action == "show":
        return _show(config, arguments.name)
    if arguments.action == "new":
        return _new(config, arguments.name)
    if arguments.action == "check":
        return _check(config, arguments.name)
    return _list(config, as_json=arguments.json)


def _list(config: AppConfig, *, as_json: bool) -> int:
    from agent.skills import Skills

    skills = Skills.of(config)
    usable, broken = skills.usable(), skills.broken()
    if as_json:
        told = [{**as_data(skill), "error": ""} for skill in usable]
        told += [{"name": "", "error": error.message} for error in broken]
        print(json.dumps(told, ensure_ascii=False, indent=1))
        return 0
    for skill in usable:
        print(f"{skill.name}\n    {skill.description}")
    for error in broken:
        print(f"! {error.message}")
    if not (usable or broken):
        print(
            f"There are no skills in {', '.join(map(str, config.skill_places))}. `dirigent skills new NAME` makes one."
        )
    return 0


def as_data(skill: Skill) -> dict[str, object]:
    """Return a skill as JSON values, without its instructions."""
    return {
        "name": skill.name,
        "description": skill.description,
        "folder": str(skill.folder),
        "files": list(skill.files),
        "license": skill.license,
        "compatibility": skill.compatibility,
        "remarks": list(skill.remarks),
    }


def _show(config: AppConfig, name: str) -> int:
    from agent.skills import Skills

    skill = Skills.of(config).find(name)
    print(f"{skill.name} ({skill.folder})\n{skill.description}\n\n{skill.body}")
    for file in skill.files:
        print(f"- {file}")
    return 0


def _check(config: AppConfig, name: str) -> int:
    from agent.skills import SkillError, Skills, read_skill

    shelf = Skills.of(config)
    wrong = [] if name else shelf.broken()
    there = [] if name else shelf.usable()
    if name:
        try:
            folder = Path(name).expanduser()
            there = [read_skill(folder.absolute()) if folder.is_dir() else shelf.find(name)]
        except SkillError as refused:
            wrong = [refused]
    for skill in there:
        print(f"✓ {skill.name}: {len(skill.body):,} characters, {len(skill.files)} files beside it")
        for remark in skill.remarks:
            print(f"    {remark}")
    for error in wrong:
        print(f"✗ {error}")
    return int(bool(wrong))


def _new(config: AppConfig, name: str) -> int:
    from agent.skills.reading import MANUAL, NAME, NAME_CHARS, NAMES

    if not NAME.fullmatch(name) or len(name) > NAME_CHARS:
        raise DirigentError(f"A skill can't be called {name!r}: {NAMES}.", hint="dirigent skills new monthly-report")
    folder = config.skill_places[0] / name
    if folder.exists():
        raise DirigentError(f"{folder} is there already.", hint=f"`dirigent skills check {name}` looks at it.")
    folder.parent.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=0o755)
    (folder / MANUAL).write_text(FRESH.format(name=name), encoding="utf-8")
    print(f"{folder / MANUAL} is made. Fill it in, then `dirigent skills check {name}`.")
    return 0
