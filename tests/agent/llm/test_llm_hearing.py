"""Speech into text: which server and model are asked, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import AppConfig
from agent.errors import ModelRefused, ModelUnavailable
from agent.llm.detect import build_model, detect
from agent.llm.hearing import build_listener
from agent.testing.openai_server import FakeOpenAI


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "voice-3.ogg"
    file.write_bytes(b"OggS-sound")
    return file


async def _heard(config: AppConfig, recording: Path, language: str = ""):
    llm = build_model(config, await detect(config))
    listener = build_listener(config, llm)
    try:
        return await listener.transcribe(recording, language)
    finally:
        await listener.close()
        await llm.close()


def _config(server: FakeOpenAI, **llm) -> AppConfig:
    return AppConfig(model="fake-model", openai_base_url=server.base_url, llm={"tries": 2, "window": 8000, **llm})


async def test_the_servers_own_model_for_speech_is_asked(recording):
    async with FakeOpenAI(models=["fake-model", "systran/faster-whisper-small"]) as server:
        server.spoken = ["Call Ada tomorrow. "]
        heard = await _heard(_config(server), recording, "de")
    assert heard.text == "Call Ada tomorrow."
    assert (heard.usage.kind, heard.usage.money) == ("transcription", 0.0)
    [sent] = server.recordings
    assert (sent["name"], sent["bytes"]) == ("voice-3.ogg", b"OggS-sound")
    assert (sent["model"], sent["language"]) == ("systran/faster-whisper-small", "de")


async def test_a_configured_model_is_asked_by_its_name_and_without_a_language_none_is_sent(recording):
    async with FakeOpenAI() as server:
        server.spoken = ["Hi"]
        await _heard(_config(server, transcription_model="my-ears"), recording)
    assert server.recordings[0]["model"] == "my-ears"
    assert "language" not in server.recordings[0]


async def test_a_speech_server_of_its_own_is_not_given_the_key_of_the_model_server(recording):
    async with FakeOpenAI(api_key="sk-secret-key") as models, FakeOpenAI(models=["tiny"]) as ears:
        ears.spoken = ["Hi"]
        config = _config(models, transcription_base_url=ears.base_url)
        config = config.model_copy(update={"openai_api_key": _secret("sk-secret-key")})
        assert (await _heard(config, recording)).text == "Hi"
    assert ears.recordings
    assert not models.recordings


def _secret(text):
    from pydantic import SecretStr

    return SecretStr(text)


async def test_a_server_without_speech_is_named_with_the_way_on(recording):
    async with FakeOpenAI() as server:
        with pytest.raises(ModelRefused, match="does not understand speech") as refused:
            await _heard(_config(server, transcription_model="whisper-1"), recording)
    assert "transcription_base_url" in refused.value.hint


async def test_a_list_without_a_model_for_speech_is_not_tried(recording):
    async with FakeOpenAI(models=["fake-model", "another"]) as server:
        server.spoken = ["never said"]
        with pytest.raises(ModelRefused, match="no model for it"):
            await _heard(_config(server), recording)
    assert server.recordings == []


async def test_a_server_that_is_away_is_asked_again_and_then_named(recording):
    server = FakeOpenAI()
    async with server:
        config = _config(server, transcription_model="w")
    with pytest.raises(ModelUnavailable):
        await _heard(config, recording)


def test_without_any_server_or_when_switched_off_nobody_listens():
    assert build_listener(AppConfig(model="offline"), None) is None
    off = AppConfig(openai_base_url="http://127.0.0.1:9/v1", llm={"transcription_model": "off"})
    assert build_listener(off, None) is None
