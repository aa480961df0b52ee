"""The checks of `dirigent doctor` and `dirigent init`: each tries the real thing and says what to do when it fails."""

from __future__ import annotations

import email.utils
import os
import platform
import shutil
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.logs import redact

if TYPE_CHECKING:
    from agent.config import AppConfig

MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}
LOW_MB, TOO_LOW_MB = 1024, 100
SKEW_SECONDS = 30
TELEGRAM_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `state`: ok, warn (works, with a limit) or fail; `remedy` is the next thing to do."""

    name: str
    state: str
    text: str
    remedy: str = ""

    @property
    def lines(self) -> list[str]:
        """What a person reads."""
        said = [f"{MARKS[self.state]} {self.name:<9} {self.text}"]
        return [redact(line) for line in [*said, *([f"            → {self.remedy}"] if self.remedy else [])]]


def check_python() -> Finding:
    """Say which interpreter runs this."""
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    return Finding("python", "ok" if good else "fail", version, "" if good else "Install Python 3.11 or newer.")


def check_home(config: AppConfig) -> Finding:
    """Look at who can get into the home: what is in it is read by nobody else then, whatever mode it has."""
    folder = config.folder
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding("home", "warn", f"{folder}: others on this machine can read it", f"chmod go-rwx {folder}")
    return Finding("home", "ok", str(folder))


def check_time(config: AppConfig) -> Finding:
    """Say what time it is here, and see that it is not before what was written here already.

    Where Telegram is set up, its clock is compared too (`check_telegram`).
    """
    now = time.time()
    said = time.strftime("%Y-%m-%d %H:%M:%S %Z (UTC%z)", time.localtime(now))
    written = [path.stat().st_mtime for path in (Path(__file__), config.folder / "journal.db") if path.exists()]
    behind = max(written) - now
    if behind <= SKEW_SECONDS:
        return Finding("time", "ok", said)
    text = f"{said}, which is {behind:.0f} s before the newest file of this installation"
    return Finding("time", "warn", text, "Schedules fire at the wrong time: sudo timedatectl set-ntp true")


def check_disk(config: AppConfig) -> Finding:
    """Look at the space left where the home is."""
    free = shutil.disk_usage(config.folder).free // 2**20
    text = f"{free / 1024:.1f} GB free"
    if free < TOO_LOW_MB:
        return Finding("disk", "fail", text, f"Free some space: the journal cannot grow. du -sh {config.folder}/*")
    if free < LOW_MB:
        return Finding(
            "disk", "warn", text, f"Little is left; sessions may use it up. du -sh {config.folder}/sessions/*"
        )
    return Finding("disk", "ok", text)


async def check_store(config: AppConfig) -> Finding:
    """Open the journal, which migrates it, and read from it."""
    from agent.parts import journal_of
    from agent.store.sql import SqlStore

    store = SqlStore(journal_of(config))
    try:
        await store.open()
        runs = await store.unfinished_runs()
    except Exception as error:
        hint = str(getattr(error, "hint", "")) or "Is the disk full, or the file not yours? The log says more."
        return Finding("journal", "fail", str(getattr(error, "message", error)), hint)
    finally:
        await store.close()
    said = f"{len(runs)} unfinished" if runs else "nothing unfinished"
    return Finding("journal", "ok", f"{said}; kept in PostgreSQL" if config.store is not None else said)


async def check_workers(config: AppConfig) -> Finding:
    """Say how many workers live, where they do the work, and how much waits for them."""
    from agent.parts import make_engine

    if config.engine == "local":
        return Finding("workers", "ok", "none needed: `dirigent serve` and `chat` do the work")
    engine = make_engine(config)
    try:
        await engine.start(_nothing)
        load = await engine.load()
    finally:
        await engine.stop()
    work = f"{load.at_work} runs at work, {load.waiting} waiting"
    if not load.workers:
        return Finding("workers", "fail", f"none is running; {work}", "dirigent worker")
    alive = ", ".join(f"{one.name.rpartition('/')[0]} ({one.at_work} of {one.slots})" for one in load.workers)
    return Finding("workers", "ok", f"{len(load.workers)} alive: {alive}; {work}")


async def _nothing(_run_id: int) -> None:
    """Work on nothing: who only looks is no worker."""


async def check_sandbox(config: AppConfig) -> Finding:
    """Try what this machine can wall off, or ask the sidecar; say what programs may reach."""
    from agent.parts import sandbox_policy
    from sandbox.api import SandboxError
    from sandbox.boxes import rung_of

    try:
        rung = await rung_of(sandbox_policy(config))
    except SandboxError as error:
        return Finding("sandbox", "fail", error.message, error.remedy)
    hosts = config.sandbox.allow_hosts
    network = f"; programs may reach {', '.join(hosts)}" if hosts else ""
    users = "; each session is a user of its own" if rung.own_users else ""
    state = "fail" if not rung.safe else "warn" if rung.remedy else "ok"
    return Finding("sandbox", state, f"{rung.name}: {rung.stance}{users}{network}", rung.remedy)


def check_files() -> Finding:
    """Say how files of sessions are opened: programs may put links in their place at any moment."""
    from sandbox.workspace import how

    if how() == "openat2":
        return Finding("files", "ok", "what programs leave is opened without following links (openat2)")
    said = "what programs leave is opened folder by folder, for lack of openat2: as safe, and slower"
    remedy = "Linux 5.6 or newer has openat2; in a container its seccomp profile has to let it through."
    return Finding("files", "warn", said, remedy)


async def check_sessions(config: AppConfig) -> list[Finding]:
    """Write into where sessions' files are kept, when that is not the home, and read it back."""
    from agent.errors import DirigentError
    from agent.housekeeping import mirror_of
    from agent.memory.replace import update_file

    try:
        if (mirror := mirror_of(config)) is not None:
            await mirror.check()
            return [Finding("sessions", "ok", f"{len(await mirror.sessions())} in {mirror.address}")]
        if config.sessions.folder is None:
            return []
        probe = config.sessions_folder / f".check-{os.getpid()}"
        try:  # as SESSION.json is written: with a lock, and renamed into its place
            await update_file(probe, lambda _before: "written to see whether it can be")
        finally:
            probe.unlink(missing_ok=True)
    except DirigentError as error:
        return [Finding("sessions", "fail", error.message, error.hint)]
    except OSError as error:
        text = f"{config.sessions_folder} cannot be written: {error.strerror}"
        remedy = "Is it mounted, with locks that work, and yours? See `sessions.folder` in `dirigent settings`."
        return [Finding("sessions", "fail", text, remedy)]
    return [Finding("sessions", "ok", f"kept in {config.sessions_folder}; locks work")]


async def check_model(config: AppConfig) -> Finding:
    """Find the model and make one tiny call."""
    from agent.llm.detect import build_model, check, detect

    found = await detect(config)
    llm = build_model(config, found)
    if llm is None:
        chosen = config.model == "offline"
        return Finding("model", "ok" if chosen else "warn", found.why, found.remedy)
    try:
        checked = await check(llm)
    finally:
        await llm.close()
    if not checked.ok:
        return Finding("model", "fail", f"{found.why} {checked.error}", checked.hint)
    return Finding("model", "ok", f"{found.why} It answered in {checked.seconds:.1f} s.")


async def check_telegram(config: AppConfig) -> list[Finding]:
    """Ask Telegram who the bot is, and compare the clocks."""
    if config.telegram_token is None:
        return [Finding("telegram", "warn", "no bot token", "`dirigent init` sets one up; `dirigent chat` needs none.")]
    answer = await _get_me(config)
    if isinstance(answer, Finding):
        return [answer]
    body, date = answer
    if not body.get("ok"):
        said = body.get("description", "no reason given")
        remedy = "Ask @BotFather for the token (/mybots, API Token), then `dirigent init`."
        return [Finding("telegram", "fail", f"Telegram refuses the token: {said}", remedy)]
    return [_bot(body["result"]), *_owners(config), *_clock(date)]


def _bot(me: dict[str, Any]) -> Finding:
    reads = "reads all messages of groups" if me.get("can_read_all_group_messages") else "in groups sees mentions only"
    return Finding("telegram", "ok", f"@{me.get('username', '?')}, {reads}")


def _owners(config: AppConfig) -> list[Finding]:
    if config.owners:
        return []
    remedy = "Write to the bot: it tells you your id. Then `dirigent init --owner ID`, or DIRIGENT_OWNERS=ID."
    return [Finding("owners", "warn", "nobody may give the bot orders yet", remedy)]


async def _get_me(config: AppConfig) -> tuple[dict[str, Any], str] | Finding:
    import httpx

    assert config.telegram_token is not None
    url = f"{config.telegram_base_url.rstrip('/')}/bot{config.telegram_token.get_secret_value()}/getMe"
    try:
        async with httpx.AsyncClient(timeout=TELEGRAM_SECONDS) as client:
            answer = await client.get(url)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        text = f"{config.telegram_base_url} cannot be reached ({type(error).__name__})"
        remedy = "Is there a network, a proxy (HTTPS_PROXY), a firewall? Then `dirigent doctor` again."
        return Finding("telegram", "fail", text, remedy)
    told = body if isinstance(body, dict) else {}
    return told, answer.headers.get("date", "")


def _clock(date: str) -> list[Finding]:
    try:
        skew = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return []
    if abs(skew) <= SKEW_SECONDS:
        return [Finding("clock", "ok", "agrees with Telegram's")]
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} Telegram's"
    return [Finding("clock", "warn", text, "Schedules fire at the wrong time: sudo timedatectl set-ntp true")]


def check_plugins(config: AppConfig) -> Finding:
    """Load every plugin."""
    from agent.parts import load_catalogue
    from agent.policy.owners_word import less_careful

    catalogue = load_catalogue(config, again=True)
    tools = len(catalogue.tools())
    if catalogue.broken:
        listed = "; ".join(f"{plugin.name}: {plugin.error}" for plugin in catalogue.broken)
        return Finding("plugins", "fail", listed, "Correct or remove them; `dirigent plugins` shows where they lie.")
    said = f"{len(catalogue.plugins)} plugins, {tools} tools"
    remarks = {plugin.name: catalogue.remark(plugin.name) for plugin in catalogue.plugins}
    if listed := "; ".join(f"{name}: {remark}" for name, remark in remarks.items() if remark):
        return Finding("plugins", "warn", f"{said}; {listed}", "Look at what is different before you accept it.")
    looser = {name: less_careful(tool.declared, tool.now) for name, tool in catalogue.set_by_owner.items()}
    if listed := "; ".join(f"{name} ({', '.join(what)})" for name, what in looser.items() if what):
        text = f"{said}; less careful than their authors meant them to be: {listed}"
        return Finding("plugins", "warn", text, "That is your word under [tools] in dirigent.toml; `dirigent plugins`.")
    return Finding("plugins", "ok", said)


def check_skills(config: AppConfig) -> Finding:
    """Say which skills there are, and what is wrong with the others."""
    from agent.skills import Skills

    skills = Skills.of(config)
    usable, broken = skills.usable(), skills.broken()
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return Finding("skills", "warn", f"{broken[0].message}{more}", "dirigent skills check")
    return Finding("skills", "ok", f"{len(usable)} usable" if usable else "none; `dirigent skills new` makes one")
