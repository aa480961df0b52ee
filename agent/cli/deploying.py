"""`dirigent deploy`: a folder from which Dirigent starts in containers, on this machine or another."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__
from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

EXAMPLES = """\
examples:
  dirigent deploy /srv/dirigent                     one container and the sandbox's; the journal in a file
  dirigent deploy --workers 4 /srv/dirigent         with PostgreSQL and four workers
  dirigent deploy --token 123:ABC --owner 4711 --base-url http://host.docker.internal:11434/v1 --no-input DIR

Then, in that folder: docker compose up -d --build. README.md there says the rest. Again, with a newer Dirigent: what
the images are built from is replaced; settings and secrets stay; other files that you changed are asked about.
"""
HOUSES = Path(__file__).resolve().parents[2]
DATA = HOUSES / "agent" / "deployment"
PACKAGES = ("agent", "plugins", "sandbox")
IMAGE = "image"
MARK = "VERSION"
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
SETTINGS = "# Settings of Dirigent; `docker compose exec dirigent dirigent settings` explains them all.\n"
ENV = """\
# Values for compose.yaml. What stands here is no secret: those are in secrets/.
DIRIGENT_VERSION={version}
# Telegram user ids that may give orders, with commas.
OWNERS={owners}
# A model's name, `auto`, or `offline`; and the server that has it, when it is not OpenAI's.
MODEL={model}
OPENAI_BASE_URL={base_url}
# Where others reach the pages, such as https://bot.example.org; and their port on this machine.
PUBLIC_URL=
WEB_PORT=8385
TZ={zone}
MEMORY=2g
"""
ENV_WORKERS = """\
WORKERS={workers}
POSTGRES_MEMORY=1g
SANDBOX_MEMORY=8g
"""


@dataclass
class Wishes:
    """What the deployment is to be: settings as `dirigent.toml` would have them, and secrets."""

    workers: int = 0
    owners: list[int] = field(default_factory=list)
    model: str = "auto"
    base_url: str = ""
    token: str = ""
    key: str = ""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("folder", metavar="DIR", help="the folder to write; made when it is not there")
    made.add_argument(
        "--workers", nargs="?", type=int, const=2, metavar="N", help="PostgreSQL and N workers (default 2)"
    )
    made.add_argument("--token", default="", help="the bot's token from @BotFather")
    made.add_argument("--owner", action="append", type=int, default=[], metavar="ID", help="a Telegram user id")
    made.add_argument("--base-url", default="", metavar="URL", help="the model server, as the containers reach it")
    made.add_argument("--key", default="", help="the model server's key")
    made.add_argument("--model", default="", metavar="NAME", help="the model's name, `auto`, or `offline`")
    made.add_argument("--no-input", action="store_true", help="ask nothing; take what the options say")
    made.add_argument("--yes", action="store_true", help="write over files that differ; each is kept as FILE.before")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Ask, check, write, and say how to start it. Raises ConfigError; nothing is written then."""
    folder = Path(arguments.folder).expanduser().absolute()
    asks = not arguments.no_input and sys.stdin.isatty()
    wishes = _wishes(arguments, folder)
    if asks and not (folder / ".env").exists():
        _ask(wishes)
    check(wishes)
    _check_folder(folder)
    differing = list(differences(folder, wishes))
    if differing and not arguments.yes and not (asks and _may_replace(differing)):
        listed = ", ".join(str(path.relative_to(folder)) for path in differing)
        raise ConfigError(
            f"{listed} in {folder} would be written over.",
            hint="--yes does it and keeps each as FILE.before; or name another folder.",
        )
    write(folder, wishes)
    _tell(folder, wishes)
    return 0


def _wishes(arguments: argparse.Namespace, folder: Path) -> Wishes:
    before = 2 if (folder / "secrets" / "store").exists() else 0  # an update keeps the kind; how many, .env says
    return Wishes(
        workers=before if arguments.workers is None else arguments.workers,
        owners=sorted(set(arguments.owner)),
        model=arguments.model or "auto",
        base_url=arguments.base_url,
        token=arguments.token.strip(),
        key=arguments.key.strip(),
    )


def _ask(wishes: Wishes) -> None:
    from agent.cli.asking import line, numbers, secret

    print("Enter leaves it open; everything can be changed later in the folder.\n")
    wishes.token = wishes.token or secret("The bot's token from @BotFather")
    wishes.owners = wishes.owners or numbers(line("Owners: Telegram user ids, with commas", ""))
    wishes.base_url = wishes.base_url or line("Model server (OpenAI's when empty)", "")
    wishes.key = wishes.key or secret("Its key")
    wishes.model = line("Model", wishes.model)


def _may_replace(differing: list[Path]) -> bool:
    from agent.cli.asking import agreed

    print("These are there, and not as they would be written now:")
    for path in differing:
        print(f"  {path}")
    return agreed("Write over them, and keep each as FILE.before?")


# --- checking -----------------------------------------------------------------------------------------------------
def check(wishes: Wishes) -> None:
    """Raise ConfigError for what no Dirigent would start with."""
    from pydantic import ValidationError

    from agent.config import AppConfig
    from agent.config.explain import explain
    from agent.config.sources import Given

    if not 0 <= wishes.workers <= 1_000:
        raise ConfigError(f"{wishes.workers} workers are not possible.", hint="Take 1 to 1,000, or none.")
    given = {"owners": wishes.owners, "model": wishes.model, "openai_base_url": wishes.base_url or None}
    given |= {"telegram_token": wishes.token or None, "openai_api_key": wishes.key or None}
    try:
        AppConfig(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(explain(error, AppConfig, (Given(AppConfig, given),))) from None
    for name, value in (("model", wishes.model), ("base-url", wishes.base_url)):
        if any(sign in value for sign in "\n\r'\"$ #"):
            raise ConfigError(f"--{name} {value!r} holds a sign that .env reads otherwise.", hint="Leave it out.")


def _check_folder(folder: Path) -> None:
    image = folder / IMAGE
    if image.exists() and not (image / MARK).is_file():
        raise ConfigError(f"{image} is not of `dirigent deploy`.", hint="Name another folder, or move that one away.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder.", hint="Name another one.")


def differences(folder: Path, wishes: Wishes) -> Iterator[Path]:
    """Yield the files that are there and differ from what would be written."""
    for name, text in _shown(wishes).items():
        path = folder / name
        if path.exists() and path.read_text("utf-8") != text:
            yield path


def _shown(wishes: Wishes) -> dict[str, str]:
    """Return the files that are the same for everybody, by name."""
    compose = "compose.workers.yaml" if wishes.workers else "compose.yaml"
    return {"compose.yaml": (DATA / compose).read_text("utf-8"), "README.md": (DATA / "README.md").read_text("utf-8")}


# --- writing ------------------------------------------------------------------------------------------------------
def write(folder: Path, wishes: Wishes) -> None:
    """Write everything; settings and secrets that are there stay as they are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What containers read as another user is open to all, and what keeps others away from it is the folder around it.
    for name, mode in (("secrets", 0o755), ("plugins", 0o755), ("backups", 0o777)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(mode)
    folder.chmod(0o700)
    for name, text in _shown(wishes).items():
        _replace(folder / name, text)
    for name, text in _first(wishes).items():
        if not (folder / name).exists():
            _put(folder / name, text)
    _set_version(folder / ".env", wishes)
    _write_image(folder / IMAGE)


def _first(wishes: Wishes) -> dict[str, str]:
    """Return the files that are written once and are the owner's from then on."""
    made = {
        ".env": _env(wishes),
        "dirigent.toml": SETTINGS,
        "secrets/telegram_token": wishes.token,
        "secrets/openai_api_key": wishes.key,
        "secrets/web_password": secrets.token_urlsafe(18),
    }
    if wishes.workers:
        password = secrets.token_hex(24)
        made |= {
            "secrets/postgres_password": password,
            "secrets/store": f"postgresql://dirigent:{password}@postgres/dirigent",
        }
    return made


def _env(wishes: Wishes) -> str:
    text = ENV.format(
        version=__version__,
        owners=",".join(map(str, wishes.owners)),
        model=wishes.model,
        base_url=wishes.base_url,
        zone=os.environ.get("TZ") or _zone(),
    )
    return text + (ENV_WORKERS.format(workers=wishes.workers) if wishes.workers else "")


def _zone() -> str:
    """Return this machine's time zone by name, as /etc/localtime names it."""
    _, found, name = str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")
    return name if found else "UTC"


def _set_version(env: Path, wishes: Wishes) -> None:
    """Have compose build this version; what else is new in .env is added, and nothing of it is changed."""
    lines = env.read_text("utf-8").splitlines()
    named = {line.partition("=")[0] for line in lines}
    lines = [f"DIRIGENT_VERSION={__version__}" if line.startswith("DIRIGENT_VERSION=") else line for line in lines]
    ours = [line for line in _env(wishes).splitlines() if not line.startswith("#")]
    lines += [line for line in ours if line.partition("=")[0] not in named]
    _put(env, "\n".join(lines) + "\n")


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text("utf-8") != text:
        shutil.copyfile(path, path.with_name(f"{path.name}.before"))
    _put(path, text)


def _put(path: Path, text: str) -> None:
    """Write a file in one piece."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, "utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)


def _write_image(image: Path) -> None:
    """Write what the images are built from beside the old, then take its place."""
    fresh, old = image.with_name(f".{IMAGE}.new"), image.with_name(f".{IMAGE}.old")
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir()
    for package in PACKAGES:
        shutil.copytree(HOUSES / package, fresh / package, ignore=NOT_COPIED)
    for name in ("Dockerfile", "requirements.lock"):
        shutil.copyfile(DATA / name, fresh / name)
    shutil.copyfile(DATA / "dockerignore", fresh / ".dockerignore")
    (fresh / MARK).write_text(f"{__version__}\n", "utf-8")
    if image.exists():
        image.rename(old)
    fresh.rename(image)
    shutil.rmtree(old, ignore_errors=True)


def _tell(folder: Path, wishes: Wishes) -> None:
    kind = "PostgreSQL and workers" if wishes.workers else "the journal in a file"
    print(f"Written: {folder} (Dirigent {__version__}, {kind})")
    for name in ("telegram_token", "openai_api_key"):
        if not (folder / "secrets" / name).read_text("utf-8").strip():
            print(f"  secrets/{name} is empty: put it there if there is one")
    print(f"Next: cd {folder} && docker compose up -d --build   (README.md there says more)")
