"""`dirigent init`: asks what is needed, writes it down, tries it for real, and says how to go on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.cli.asking import line, numbers, secret
from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from agent.config import AppConfig

EXAMPLES = """\
examples:
  dirigent init                                          asks for everything
  dirigent init --token 123:ABC --owner 4711 --no-input  for scripts; the model is looked for
  dirigent init --base-url http://localhost:11434/v1 --model qwen3 --no-input

Secrets are written to files of their own in secrets/ in the home, readable by you only. What the environment sets
(DIRIGENT_TELEGRAM_TOKEN, OPENAI_API_KEY) stays there and is not written down.
"""
TOP_KEY = re.compile(r"^\s*([A-Za-z0-9_]+)\s*=")
OWNER_ONLY = 0o600
HEAD = "# Settings of Dirigent; `dirigent settings` explains them all.\n"


@dataclass
class Answers:
    """What is to be written: settings for dirigent.toml, secrets for files of their own."""

    settings: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--token", help="the bot's token from @BotFather")
    made.add_argument(
        "--owner", action="append", type=int, default=[], metavar="ID", help="a Telegram user id; repeatable"
    )
    made.add_argument("--base-url", metavar="URL", help="the model server, any that speaks OpenAI's protocol")
    made.add_argument("--key", help="the model server's key")
    made.add_argument("--model", metavar="NAME", help="the model's name, `auto`, or `offline`")
    made.add_argument(
        "--no-input", action="store_true", help="ask nothing; take what the options and the environment say"
    )
    made.add_argument("--no-test", action="store_true", help="do not try the bot and the model")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Ask, write, test. Returns 1 when something that was set up does not work; what was written stays."""
    from agent.cli.opening import open_config

    config = open_config(arguments)
    answers = from_options(arguments)
    if not arguments.no_input and sys.stdin.isatty():
        asyncio.run(_ask(config, answers))
    write(config.folder, answers)
    print(f"Written: {config.folder / 'dirigent.toml'}")
    return 0 if arguments.no_test else asyncio.run(_test(arguments))


def from_options(arguments: argparse.Namespace) -> Answers:
    """Return what the options say."""
    given = {
        "owners": sorted(set(arguments.owner)) or None,
        "openai_base_url": arguments.base_url,
        "model": arguments.model,
    }
    secret = {"telegram_token": arguments.token, "openai_api_key": arguments.key}
    return Answers(
        {name: value for name, value in given.items() if value is not None},
        {name: value.strip() for name, value in secret.items() if value},
    )


# --- asking -------------------------------------------------------------------------------------------------------
async def _ask(config: AppConfig, answers: Answers) -> None:
    print("Enter keeps what is in [brackets].\n")
    _ask_telegram(config, answers)
    await _ask_model(config, answers)


def _ask_telegram(config: AppConfig, answers: Answers) -> None:
    if "telegram_token" not in answers.secrets:
        print("Telegram: talk to @BotFather, /newbot, and paste the token here. Enter to go without.")
        known = "kept" if config.telegram_token else ""
        answers.secrets |= _secret("telegram_token", "Token", known)
    has_token = bool(config.telegram_token or answers.secrets.get("telegram_token"))
    if has_token and "owners" not in answers.settings:
        print("\nOwners: the Telegram user ids that may give orders; without one the bot tells a stranger their id.")
        owners = numbers(line("Ids, with commas", ",".join(map(str, config.owners))))
        if owners:
            answers.settings["owners"] = owners


async def _ask_model(config: AppConfig, answers: Answers) -> None:
    if answers.settings.keys() & {"model", "openai_base_url"} or "openai_api_key" in answers.secrets:
        return
    from agent.llm.detect import detect

    found = await detect(config)
    print(f"\nModel: {found.why}")
    if found and line("Use it? y/n", "y").lower().startswith("y"):
        return
    print("The address of a server that speaks OpenAI's protocol; Enter for OpenAI itself, `offline` for none.")
    address = line("Address", config.openai_base_url or "")
    if address == "offline":
        answers.settings["model"] = "offline"
        return
    if address:
        answers.settings["openai_base_url"] = address
    answers.secrets |= _secret("openai_api_key", "Key, if it wants one", "kept" if config.openai_api_key else "")
    answers.settings["model"] = line("Model", config.model)


def _secret(name: str, label: str, known: str) -> dict[str, str]:
    value = secret(label, known)
    return {name: value} if value else {}


# --- writing ------------------------------------------------------------------------------------------------------
def write(folder: Path, answers: Answers) -> None:
    """Change the given keys of dirigent.toml, keeping everything else in it, and write each secret to its own file.

    Raises ConfigError when a value is not allowed; nothing is written then.
    """
    from agent.config import load_config

    load_config(home=folder, **answers.settings, **answers.secrets)
    file = folder / "dirigent.toml"
    before = file.read_text("utf-8") if file.exists() else HEAD
    after = with_keys(before, answers.settings)
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        keys = ", ".join(answers.settings)
        raise ConfigError(f"{file} has {keys} on several lines.", hint="Put each on one line, then again.") from None
    for name, value in answers.secrets.items():
        (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
        write_private(folder / "secrets" / name, value + "\n")
    write_private(file, after)


def write_private(file: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(file)


def with_keys(text: str, settings: dict[str, Any]) -> str:
    """Return a TOML text with these top-level keys set; its comments, order and tables stay as they are."""
    lines = text.splitlines()
    top = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    left = dict(settings)
    for number in range(top):
        match = TOP_KEY.match(lines[number])
        if match and match[1] in left:
            lines[number] = f"{match[1]} = {_toml(left.pop(match[1]))}"
    lines[top:top] = [f"{name} = {_toml(value)}" for name, value in left.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- testing ------------------------------------------------------------------------------------------------------
async def _test(arguments: argparse.Namespace) -> int:
    from agent.cli.checks import check_model, check_telegram
    from agent.cli.opening import open_config

    config = open_config(arguments)
    print("\nTrying it:")
    found = [await check_model(config), *await check_telegram(config)]
    for finding in found:
        print("\n".join(finding.lines))
    failed = any(finding.state == "fail" for finding in found)
    print(f"\n{_next(config, failed=failed)}")
    return int(failed)


def _next(config: AppConfig, *, failed: bool) -> str:
    if failed:
        return "Correct what is marked ✗ with `dirigent init` again; `dirigent doctor` checks everything."
    if config.telegram_token is not None:
        return "Ready: `dirigent serve` starts the bot, `dirigent chat` talks to it here."
    return "Ready: `dirigent chat` starts a conversation."
