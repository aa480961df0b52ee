"""Which model is there? What is configured, else what `OPENAI_*` says, else the usual servers on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.llm.addresses import is_local, without_credentials
from agent.llm.prices import assumed_window, known_window
from agent.llm.probe import LOCAL_SERVERS, LocalServer, Offer, Unreachable, ask_models, ask_window, is_open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.config import AppConfig
    from agent.llm.protocol import LLM

OPENAI_URL = "https://api.openai.com/v1"
LOCAL_SECONDS = 2.0
HOSTED_SECONDS = 5.0
PREFERRED = ("gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini", "gpt-5", "gpt-4.1", "gpt-4o")
REMEDY = (
    "Set OPENAI_API_KEY, or OPENAI_BASE_URL for another server, or start a local one (such as Ollama); "
    '`model = "offline"` in dirigent.toml works without any.'
)


@dataclass(frozen=True, slots=True)
class Detected:
    """The model to use, or (falsy, `name` is "") why there is none.

    `window` is its context size in tokens. `why` is one sentence for the person: what is in use and for which reason.
    `source` is `config`, `OPENAI_BASE_URL`, `OPENAI_API_KEY`, the name of a local server, `offline` or `none`.
    `reasons` say what was tried, `remedy` what to do. `sends_key` is False for servers that were merely found: whatever
    happens to listen on a usual port is not given the key of another.
    """

    name: str = ""
    base_url: str = field(default="", repr=False)
    window: int = 0
    why: str = ""
    source: str = "none"
    reasons: tuple[str, ...] = ()
    remedy: str = ""
    sends_key: bool = False

    def __bool__(self) -> bool:
        return bool(self.name)


@dataclass(frozen=True, slots=True)
class Checked:
    """What one tiny call came to: seconds until the answer was there, and its text, or the error and the way on."""

    ok: bool
    seconds: float
    text: str = ""
    error: str = ""
    hint: str = ""


async def detect(config: AppConfig, *, servers: Sequence[LocalServer] = LOCAL_SERVERS) -> Detected:
    """Find the model to use. Never raises for what is missing: the reasons are in the result.

    Asks over the network only what is not configured, with short limits; ports here that refuse cost nothing.
    """
    if config.model == "offline":
        return Detected(source="offline", why="No model is used: the configuration says offline.")
    if config.openai_base_url:
        return await _at(config, config.openai_base_url, "OPENAI_BASE_URL")
    if config.openai_api_key is not None and config.openai_api_key.get_secret_value():
        return await _at(config, OPENAI_URL, "OPENAI_API_KEY")
    return await _on_this_machine(config, servers)


async def open_model(config: AppConfig, *, servers: Sequence[LocalServer] = LOCAL_SERVERS) -> LLM | None:
    """Return a client for the model that `detect` finds, or None. The caller closes it."""
    return build_model(config, await detect(config, servers=servers))


def build_model(config: AppConfig, detected: Detected) -> LLM | None:
    """Return a client for a detected model (needs a running loop: it begins to load the SDK), or None without one."""
    if not detected:
        return None
    from agent.llm.openai_client import OpenAIModel

    key = _key(config) if detected.sends_key else None
    model = OpenAIModel(detected.name, detected.base_url, key, config.llm, window=detected.window)
    model.warm()
    return model


async def check(llm: LLM) -> Checked:
    """Make one tiny call and say how it went. Never raises for what the model does wrong."""
    from agent.errors import ModelError
    from agent.llm.protocol import ChatMessage, LLMRequest

    clock = asyncio.get_running_loop().time
    begun = clock()
    question = (ChatMessage("user", "Answer with the single word: ready"),)
    try:
        answer = await llm.complete(LLMRequest("check", question))
    except ModelError as error:
        return Checked(ok=False, seconds=clock() - begun, error=error.message, hint=error.hint)
    return Checked(ok=True, seconds=clock() - begun, text=answer.text.strip())


def _key(config: AppConfig) -> str | None:
    return config.openai_api_key.get_secret_value() if config.openai_api_key is not None else None


async def _at(config: AppConfig, base_url: str, source: str) -> Detected:
    """Choose a model at a configured address."""
    base_url = base_url.rstrip("/")
    shown = without_credentials(base_url)
    seconds = LOCAL_SECONDS if is_local(base_url) else HOSTED_SECONDS
    named = config.model != "auto"
    needs_list = not named or (config.llm.window == 0 and known_window(config.model) is None)
    offers: tuple[Offer, ...] = ()
    trouble = ""
    if needs_list:
        try:
            offers = await ask_models(base_url, _key(config), seconds)
        except Unreachable as error:
            trouble = str(error)
    if named:
        chosen = _named(offers, config.model) or Offer(config.model)
        if offers and chosen not in offers:
            trouble = f"the server lists only {', '.join(offer.id for offer in offers[:8])}"
        why = f"Using {config.model} at {shown}: it is configured" + (f" (but {trouble})." if trouble else ".")
    elif trouble and source == "OPENAI_API_KEY" and "key" not in trouble:
        why = f"Using {PREFERRED[0]} at {shown}: a key is set, but {trouble}, so the name is an assumption."
        chosen = Offer(PREFERRED[0])
    else:
        picked = pick(offers)
        if picked is None:
            return _nothing(trouble or f"the server at {shown} offers no chat model")
        chosen = picked
        why = f"Using {chosen.id} at {shown}: {source} is set, and it is the first fitting model there."
    found = Detected(chosen.id, base_url, why=why, source="config" if named else source, sends_key=True)
    return await _with_window(config, found, chosen, reachable=bool(offers))


async def _on_this_machine(config: AppConfig, servers: Sequence[LocalServer]) -> Detected:
    """Ask the usual local servers, all at once; the first in their order that has a fitting model wins."""
    asked = await asyncio.gather(*(_ask_local(server) for server in servers))
    reasons = ["no OPENAI_API_KEY and no OPENAI_BASE_URL is set"]
    wanted = "" if config.model == "auto" else config.model
    for server, (offers, trouble) in zip(servers, asked, strict=True):
        chosen = pick(offers) if not wanted else _named(offers, wanted)
        if chosen is None:
            reasons.append(trouble or _lacks(server, offers, wanted))
            continue
        because = f"{wanted} is configured" if wanted else "no other model is configured"
        why = f"Using {chosen.id} with {server.name} at {server.base_url}: {because}, and {server.name} runs here."
        found = Detected(chosen.id, server.base_url, why=why, source=server.name)
        return await _with_window(config, found, chosen, reachable=True)
    return _nothing(*reasons)


async def _ask_local(server: LocalServer) -> tuple[tuple[Offer, ...], str]:
    if not await is_open(server.base_url):
        return (), f"{server.name} does not run at {server.base_url}"
    try:
        return await ask_models(server.base_url, None, LOCAL_SECONDS), ""
    except Unreachable as error:
        return (), f"{server.name}: {error}"


def _lacks(server: LocalServer, offers: Sequence[Offer], wanted: str) -> str:
    if not wanted:
        return f"{server.name} at {server.base_url} has no chat model"
    has = ", ".join(offer.id for offer in offers[:8]) or "no model"
    return f"{server.name} at {server.base_url} does not have {wanted} (it has {has})"


async def _with_window(config: AppConfig, found: Detected, chosen: Offer, *, reachable: bool) -> Detected:
    """Add the context size: configured, told by the server, known of the model, or assumed."""
    window = config.llm.window or chosen.window
    local = is_local(found.base_url)
    if not window and local and reachable:
        window = await ask_window(found.base_url, chosen.id, LOCAL_SECONDS)
    return replace(found, window=window or assumed_window(chosen.id, local=local))


def _nothing(*reasons: str) -> Detected:
    listed = "; ".join(reasons)
    return Detected(why=f"No model is in use: {listed}.", reasons=reasons, remedy=REMEDY)


def pick(offers: Sequence[Offer]) -> Offer | None:
    """Choose a chat model: a loaded one, else a good and cheap known one, else the first in the server's order."""
    fitting = [offer for offer in offers if offer.chats]
    for offer in fitting:
        if offer.loaded:
            return offer
    for name in PREFERRED:
        for offer in fitting:
            if offer.id == name:
                return offer
    return fitting[0] if fitting else None


def _named(offers: Sequence[Offer], wanted: str) -> Offer | None:
    """Find a model by its name; Ollama lists `llama3.2` as `llama3.2:latest`."""
    return next((offer for offer in offers if offer.id in {wanted, f"{wanted}:latest"}), None)
