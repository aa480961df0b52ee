"""Speech into text, through the endpoint `/audio/transcriptions` of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.ledger import Usage
from agent.errors import ModelError, ModelRefused
from agent.llm.openai_client import OpenAIModel

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.types.audio import Transcription

    from agent.config import AppConfig
    from agent.llm.protocol import LLM

OPENAI = "https://api.openai.com/"
USUAL = "whisper-1"
PREFERRED = ("gpt-4o-mini-transcribe", "gpt-4o-transcribe", USUAL)
SIGNS = ("transcribe", "whisper", "parakeet", "voxtral")
SECONDS = 300.0
NO_EARS = "The model server does not understand speech."
REMEDY = "Set `llm.transcription_base_url` to a server that does, such as speaches or whisper.cpp, or type it."


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in a recording, and what it cost to find out."""

    text: str
    usage: Usage


class Listener:
    """Understands speech. `server` is the place to ask; its name is a model's, or `auto` to look for a fitting one."""

    def __init__(self, server: OpenAIModel) -> None:
        self._server = server
        self._model = "" if server.name == "auto" else server.name

    async def transcribe(self, path: Path, language: str = "") -> Heard:
        """Return what is said in an audio or video file; `language` (ISO 639-1) is a help where it is known.

        Raises ModelUnavailable after its tries, and ModelRefused when the server has no speech recognition.
        """
        self._model = self._model or await self._fitting()
        name = self._model

        async def ask(client: AsyncOpenAI) -> Transcription:
            from openai import omit

            file = (path.name, await asyncio.to_thread(path.read_bytes))
            create = client.audio.transcriptions.create
            return await create(file=file, model=name, timeout=SECONDS, language=language or omit)

        try:
            made = await self._server.ask(ask)
        except ModelRefused as error:
            raise ModelRefused(f"{NO_EARS} ({error.message})", hint=REMEDY) from None
        used = getattr(made, "usage", None)
        tokens = (getattr(used, "input_tokens", 0) or 0, getattr(used, "output_tokens", 0) or 0)
        money = 0.0 if self._server.local else None
        usage = Usage("transcription", name, *tokens, money=money, estimated=not tokens[0])
        return Heard(str(made.text).strip(), usage)

    async def available(self) -> bool:
        """Tell whether the server seems to have a model for speech."""
        try:
            self._model = self._model or await self._fitting()
        except ModelError:
            return False
        return True

    async def _fitting(self) -> str:
        """Return the server's model for speech. Raises ModelRefused when its list has none."""
        try:
            names = await self._server.models()
        except ModelError:
            return USUAL  # a plain speech server need not list anything
        known = [name for name in PREFERRED if name in names]
        known += [name for name in names if any(sign in name.lower() for sign in SIGNS)]
        if not known and self._server.base_url.startswith(OPENAI):
            return USUAL
        if not known and len(names) != 1:
            raise ModelRefused(f"{NO_EARS} It has no model for it.", hint=REMEDY)
        return known[0] if known else names[0]

    async def close(self) -> None:
        """Close connections."""
        await self._server.close()


def build_listener(config: AppConfig, llm: LLM | None) -> Listener | None:
    """Return what understands speech: the server that the settings name for it, else that of the model; or None."""
    settings = config.llm
    if settings.transcription_model == "off":
        return None
    url = settings.transcription_base_url
    key = config.openai_api_key.get_secret_value() if config.openai_api_key is not None else None
    if url is None and isinstance(llm, OpenAIModel):
        return Listener(llm.beside(settings.transcription_model))
    if url is None:
        return None
    # The key belongs to `openai_base_url`; another server is not given it.
    same = config.openai_base_url is not None and url.rstrip("/") == config.openai_base_url.rstrip("/")
    return Listener(OpenAIModel(settings.transcription_model, url, key if same else None, settings))
