"""Finding a model: configured, by the environment, or on this machine."""

import asyncio
import socket
import time
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr

from agent.config import AppConfig, Model
from agent.llm import detect as detection
from agent.llm.detect import check, detect, open_model, pick
from agent.llm.openai_client import OpenAIModel
from agent.llm.probe import LocalServer, Offer, Unreachable, ask_models
from agent.testing.openai_server import Answer, FakeOpenAI


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch, tmp_path):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DIRIGENT_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))


@pytest.fixture
def closed():
    """Addresses that refuse connections."""
    sockets = [socket.socket() for _ in range(4)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    yield [LocalServer(f"Closed {i}", f"http://127.0.0.1:{s.getsockname()[1]}/v1") for i, s in enumerate(sockets)]
    for one in sockets:
        one.close()


def local(server, name="Ollama"):
    return LocalServer(name, server.base_url)


async def test_offline_asks_nobody():
    async with FakeOpenAI() as server:
        found = await detect(AppConfig(model="offline"), servers=[local(server)])
        assert not found
        assert found.source == "offline"
        assert server.paths == []


async def test_nothing_found_says_what_was_tried_and_what_to_do(closed):
    begun = time.monotonic()
    found = await detect(AppConfig(), servers=closed)
    assert time.monotonic() - begun < 30
    assert not found
    assert len(found.reasons) == 5
    assert all(server.name in found.why and server.base_url in found.why for server in closed)
    assert "OPENAI_API_KEY" in found.remedy
    assert await open_model(AppConfig(), servers=closed) is None


async def test_a_silent_port_costs_little(closed):
    async def silent(reader, writer):
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await detect(AppConfig(), servers=[LocalServer("Silent", f"http://127.0.0.1:{port}/v1")])
        assert "does not answer in time" in found.why


@pytest.mark.parametrize(
    ("flavour", "native", "window"),
    [
        ("ollama", {}, 16_000),
        ("ollama", {"/api/show": {"model_info": {"llama.context_length": 131072}}}, 4_096),
        ("ollama", {"/api/show": {"model_info": {"llama.context_length": 2048}}}, 2_048),
        ("ollama", {"/api/ps": {"models": [{"name": "llama3.2:3b", "context_length": 32768}]}}, 32_768),
        ("llama.cpp", {}, 16_000),
        ("lm-studio", {}, 16_000),
        ("vllm", {}, 16_000),
        ("openai", {}, 8_000),
        ("openai", {"/props": ["strange"], "/api/ps": {"models": 7}, "/api/show": {"model_info": []}}, 8_000),
    ],
)
async def test_the_context_size_is_what_the_server_serves(flavour, native, window):
    async with FakeOpenAI(models=["llama3.2:3b"], flavour=flavour, window=16_000, native=native) as server:
        found = await detect(AppConfig(), servers=[local(server, flavour)])
        assert (found.name, found.base_url, found.source) == ("llama3.2:3b", server.base_url, flavour)
        assert found.window == window
        assert f"Using llama3.2:3b with {flavour}" in found.why
        assert (await detect(AppConfig(llm=Model(window=999)), servers=[local(server)])).window == 999


async def test_the_first_server_in_order_wins_whichever_answers_first(closed):
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FakeOpenAI(models=[name])) for name in ("a", "b")]
        found = await detect(AppConfig(), servers=[*closed, *(local(s, s.models[0]["id"]) for s in servers)])
        assert found.name == "a"


async def test_models_that_do_not_chat_are_passed_over(closed):
    models = ["nomic-embed-text", "whisper-1", "bge-m3", "qwen3:8b"]
    async with FakeOpenAI(models=["text-embedding-3-small"]) as useless, FakeOpenAI(models=models) as useful:
        found = await detect(AppConfig(), servers=[local(useless), local(useful, "LM Studio")])
        assert (found.name, found.source) == ("qwen3:8b", "LM Studio")
        found = await detect(AppConfig(), servers=[local(useless)])
        assert "has no chat model" in found.why


async def test_what_merely_listens_on_a_usual_port_is_no_model_server():
    async with FakeOpenAI() as server:
        found = await detect(AppConfig(), servers=[LocalServer("vLLM", f"{server.root}/shop/v1")])
        assert "is no model server (404)" in found.why


async def test_a_configured_model_is_looked_for_on_this_machine():
    async with FakeOpenAI(models=["mistral", "llama3.2:latest"]) as server:
        found = await detect(AppConfig(model="llama3.2"), servers=[local(server)])
        assert found.name == "llama3.2:latest"
        found = await detect(AppConfig(model="qwen3"), servers=[local(server)])
        assert not found
        assert "does not have qwen3 (it has mistral, llama3.2:latest)" in found.why


async def test_a_found_server_is_never_given_the_key():
    config = AppConfig(openai_api_key=SecretStr(""))
    async with FakeOpenAI(["hi"]) as server:
        model = await open_model(config, servers=[local(server)])
        assert model is not None
        await check(model)
        await model.close()
        assert server.headers[0]["Authorization"] == "Bearer none"


async def test_a_configured_server_is_given_the_key():
    async with FakeOpenAI(["ready"], api_key="sk-right", models=["embed-1", "house"]) as server:
        config = AppConfig(openai_base_url=server.base_url + "/", openai_api_key=SecretStr("sk-right"))
        found = await detect(config, servers=[])
        assert (found.name, found.source, found.base_url) == ("house", "OPENAI_BASE_URL", server.base_url)
        model = await open_model(config, servers=[])
        assert model is not None
        checked = await check(model)
        await model.close()
        assert checked.ok
        assert checked.text == "ready"
        assert checked.seconds > 0
        assert "sk-right" not in repr(found) + repr(model)


async def test_a_configured_server_that_refuses_the_key_says_so():
    async with FakeOpenAI(api_key="sk-right") as server:
        config = AppConfig(openai_base_url=server.base_url, openai_api_key=SecretStr("sk-wrong"))
        found = await detect(config, servers=[])
        assert not found
        assert "refuses the key" in found.why
        assert "sk-wrong" not in found.why


async def test_a_configured_model_and_server_are_used_even_when_the_server_is_down(closed):
    config = AppConfig(model="house", openai_base_url=closed[0].base_url)
    found = await detect(config, servers=[])
    assert (found.name, found.source, found.window) == ("house", "config", 8_000)
    assert f"nothing answers at {closed[0].base_url}" in found.why
    assert not await detect(AppConfig(openai_base_url=closed[0].base_url), servers=[])


async def test_a_configured_model_that_the_server_does_not_list_is_pointed_out():
    async with FakeOpenAI(models=["a", "b"]) as server:
        found = await detect(AppConfig(model="c", openai_base_url=server.base_url), servers=[])
        assert found.name == "c"
        assert "lists only a, b" in found.why


async def test_an_address_without_scheme_is_explained():
    with pytest.raises(Unreachable, match="must begin with http://"):
        await ask_models("localhost:1234/v1", None, 1.0)


async def test_a_key_alone_means_the_hosted_service(monkeypatch):
    async with FakeOpenAI(api_key="sk-right", models=["gpt-4o-audio-preview", "gpt-4o", "gpt-4.1-mini"]) as server:
        monkeypatch.setattr(detection, "OPENAI_URL", server.base_url)
        config = AppConfig(openai_api_key=SecretStr("sk-right"))
        found = await detect(config, servers=[])
        assert (found.name, found.source) == ("gpt-4.1-mini", "OPENAI_API_KEY")
        asked = len(server.paths)
        named = await detect(
            AppConfig(model="gpt-4o", openai_api_key=SecretStr("sk-right"), llm=Model(window=5)), servers=[]
        )
        assert (named.name, named.source, named.window) == ("gpt-4o", "config", 5)
        assert len(server.paths) == asked


async def test_a_key_without_network_keeps_an_assumption(monkeypatch, closed):
    monkeypatch.setattr(detection, "OPENAI_URL", closed[0].base_url)
    found = await detect(AppConfig(openai_api_key=SecretStr("sk-right")), servers=[])
    assert found
    assert "assumption" in found.why


async def test_a_check_that_fails_says_what_to_do():
    async with FakeOpenAI([Answer(status=401)]) as server:
        model = OpenAIModel("fake-model", server.base_url, "sk-wrong", Model())
        checked = await check(model)
        await model.close()
        assert not checked.ok
        assert "401" in checked.error
        assert checked.hint == "Check OPENAI_API_KEY."


def test_a_loaded_model_is_preferred():
    assert pick([Offer("gpt-4o"), Offer("x"), Offer("y", loaded=True)]) == Offer("y", loaded=True)
    assert pick([Offer("embed")]) is None
