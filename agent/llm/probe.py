"""Asks a server which models it has and how much they can read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.llm.addresses import is_address, is_local, root_of, without_credentials

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 0.3
OLLAMA_DEFAULT = 4_096
NO_CHAT = re.compile(
    r"embed|whisper|tts|dall-e|image|moderation|rerank|realtime|audio|transcri|speech|sora|\bclip\b|bge-|\be5-|"
    r"nomic|minilm|gte-|babbage|davinci|turbo-instruct|search|deep-research|computer-use|guard|codex|colbert|ocr",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that people run on their own machine, and where."""

    name: str
    base_url: str


LOCAL_SERVERS = (
    LocalServer("Ollama", "http://127.0.0.1:11434/v1"),
    LocalServer("LM Studio", "http://127.0.0.1:1234/v1"),
    LocalServer("llama.cpp", "http://127.0.0.1:8080/v1"),
    LocalServer("vLLM", "http://127.0.0.1:8000/v1"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that a server has. `window` is 0 when the server does not tell; `loaded` when it is in memory now."""

    id: str
    window: int = 0
    loaded: bool = False

    @property
    def chats(self) -> bool:
        """True when its name does not say that it is made for something else."""
        return not NO_CHAT.search(self.id)


class Unreachable(Exception):
    """A server could not be asked; the message says why, in words for a person."""


async def is_open(base_url: str) -> bool:
    """Return True when something listens there; costs next to nothing and at most 0.3 s."""
    parts = urlsplit(base_url)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def ask_models(base_url: str, key: str | None, seconds: float) -> tuple[Offer, ...]:
    """Return the models of an OpenAI-compatible server, in its order. Raises Unreachable."""
    shown = without_credentials(base_url)
    if not is_address(base_url):
        raise Unreachable(f"{shown!r} is no address: it must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with _client(base_url, seconds) as client:
        answer = await _get(client, f"{base_url.rstrip('/')}/models", headers, shown)
    if answer.status_code in {401, 403}:
        raise Unreachable(f"the server at {shown} refuses the key" if key else f"the server at {shown} wants a key")
    entries = _json(answer).get("data") if answer.status_code == 200 else None
    if not isinstance(entries, list):
        raise Unreachable(f"what answers at {shown} is no model server ({answer.status_code})")
    return tuple(_offer(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str))


async def _get(client: httpx.AsyncClient, url: str, headers: dict[str, str], shown: str) -> httpx.Response:
    import httpx

    try:
        return await client.get(url, headers=headers)
    except httpx.TimeoutException:
        raise Unreachable(f"the server at {shown} does not answer in time") from None
    except httpx.ConnectError:
        raise Unreachable(f"nothing answers at {shown}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(f"the server at {shown} cannot be asked ({type(error).__name__})") from None


def _client(base_url: str, seconds: float) -> httpx.AsyncClient:
    import httpx

    # a proxy of the environment must not get in between this machine and itself
    return httpx.AsyncClient(timeout=seconds, trust_env=not is_local(base_url))


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _offer(entry: dict[str, Any]) -> Offer:
    """VLLM tells `max_model_len`, OpenRouter and others `context_length` or `context_window`."""
    told = (entry.get(name) for name in ("max_model_len", "context_length", "context_window"))
    return Offer(entry["id"], _first_number(told))


def _first_number(values: Iterable[Any]) -> int:
    return next((value for value in values if isinstance(value, int) and value > 0), 0)


async def ask_window(base_url: str, model: str, seconds: float) -> int:
    """Return the context size that a server on this machine serves the model with, or 0 when it does not tell.

    llama.cpp tells it in `/props`, LM Studio in `/api/v0/models`, Ollama in `/api/ps` for a loaded model and in
    `/api/show` for the settings of one; without a setting Ollama serves 4,096 tokens, whatever the model could read,
    and silently cuts off what is longer.
    """
    root = root_of(base_url)
    async with _client(base_url, seconds) as client:
        answers = await asyncio.gather(
            _ask(client, "GET", f"{root}/props"),
            _ask(client, "GET", f"{root}/api/v0/models"),
            _ask(client, "GET", f"{root}/api/ps"),
            _ask(client, "POST", f"{root}/api/show", {"model": model}),
        )
    props, studio, running, shown = answers
    settings = props.get("default_generation_settings")
    told = (
        settings.get("n_ctx") if isinstance(settings, dict) else 0,
        _of_model(studio.get("data"), model, ("loaded_context_length", "max_context_length")),
        _of_model(running.get("models"), model, ("context_length",)),
        _of_ollama(shown),
    )
    return _first_number(told)


async def _ask(client: httpx.AsyncClient, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON object that an endpoint answers with, or {} for anything else."""
    import httpx

    try:
        answer = await client.request(method, url, json=body)
    except httpx.HTTPError:
        return {}
    return _json(answer) if answer.status_code == 200 else {}


def _of_model(entries: Any, model: str, fields: tuple[str, ...]) -> int:
    if not isinstance(entries, list):
        return 0
    for entry in entries:
        if isinstance(entry, dict) and model in {entry.get("id"), entry.get("model"), entry.get("name")}:
            return _first_number(entry.get(name) for name in fields)
    return 0


def _of_ollama(shown: dict[str, Any]) -> int:
    set_to = re.search(r"^\s*num_ctx\s+(\d+)", str(shown.get("parameters") or ""), re.MULTILINE)
    if set_to:
        return int(set_to.group(1))
    info = shown.get("model_info")
    if not isinstance(info, dict):
        return 0
    able = _first_number(value for name, value in info.items() if name.endswith(".context_length"))
    return min(able, OLLAMA_DEFAULT)
