"""Counting tokens and money."""

import hashlib
import inspect
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm import tokens
from agent.llm.prices import known_window, price
from agent.llm.tokens import TokenCounter

TINY = "o200k_base"


def test_dated_names_cost_what_their_model_costs():
    assert price("gpt-4o-2024-08-06", 1_000_000, 1_000_000) == 12.5
    assert price("gpt-4o-mini", 1_000_000, 0) == pytest.approx(0.15)
    assert price("openai/gpt-4o-mini-2024-07-18", 1_000_000, 0) == pytest.approx(0.15)
    assert price("gpt-4o-2024-05-13", 1_000_000, 0) == 5.0
    assert price("gpt-4-0613", 0, 1_000_000) == 60.0


@pytest.mark.parametrize("model", ["llama3.2:3b", "gpt-4o-audio", "gpt", "o1x", "", "gpt-4o-mini-search"])
def test_an_unknown_model_has_no_price(model):
    assert price(model, 1000, 1000) is None


def test_the_configuration_adds_and_overrides_prices():
    mine = {"house-model": (1.0, 2.0), "gpt-4o": (0.0, 0.0)}
    assert price("house-model", 1_000_000, 1_000_000, mine) == 3.0
    assert price("gpt-4o-2024-08-06", 1_000_000, 1_000_000, mine) == 0.0


def test_known_models_have_windows():
    assert known_window("gpt-4o-2024-08-06") == 128_000
    assert known_window("gpt-4-0613") == 8192
    assert known_window("llama3.2") is None


def test_without_an_encoding_tokens_are_bytes_over_three_and_a_half(monkeypatch):
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    counter = TokenCounter("llama3.2")
    assert counter.warm() is None
    assert not counter.exact
    assert counter.count("x" * 350) == 100
    assert counter.count("ä" * 350) == 200
    assert (counter.count(""), counter.count("a")) == (0, 1)


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_counted(text):
    assert TokenCounter("qwen3").count(text) >= bool(text)


def test_the_estimate_follows_what_the_server_reports():
    counter = TokenCounter("qwen3")
    for _ in range(20):
        counter.observe(10_000, 5_000)
    assert counter.ratio == pytest.approx(2.0, rel=0.02)
    assert counter.count("x" * 1000) == pytest.approx(500, rel=0.02)
    assert TokenCounter("qwen3", bytes_per_token=counter.ratio).count("x" * 1000) == counter.count("x" * 1000)


def test_a_short_or_absurd_report_does_not_spoil_the_estimate():
    counter = TokenCounter("qwen3")
    counter.observe(20, 40)
    counter.observe(1_000, 0)
    assert counter.ratio == 3.5
    for _ in range(50):
        counter.observe(1_000_000, 1)
    assert counter.ratio <= 8.0


def test_the_cache_names_are_those_of_tiktoken():
    from tiktoken_ext import openai_public

    for name, cached in tokens.CACHE_NAMES.items():
        (address,) = re.findall(r'"(https://\S+)"', inspect.getsource(getattr(openai_public, name)))
        assert hashlib.sha1(address.encode()).hexdigest() == cached


def test_an_encoding_in_the_cache_is_loaded_in_the_background_and_counts_exactly(monkeypatch, tmp_path):
    import tiktoken

    tiny = tiktoken.Encoding(
        "tiny", pat_str=r"\w+|\W", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    (tmp_path / tokens.CACHE_NAMES[TINY]).write_bytes(b"")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: tiny)
    monkeypatch.setattr(tokens, "_loaded", {})
    monkeypatch.setattr(tokens, "_begun", set())
    counter = TokenCounter("gpt-4o")

    thread = counter.warm()
    assert thread is not None
    thread.join()

    assert counter.exact
    assert counter.count("<|endoftext|>") == 13
    assert counter.warm() is None


def test_an_encoding_that_cannot_be_loaded_leaves_the_estimate(monkeypatch):
    import tiktoken

    def broken(name):
        raise OSError("no route")

    monkeypatch.setattr(tiktoken, "get_encoding", broken)
    monkeypatch.setattr(tokens, "_loaded", {})
    monkeypatch.setattr(tokens, "_begun", set())
    counter = TokenCounter("gpt-4o", fetch=True)
    thread = counter.warm()
    assert thread is not None
    thread.join()
    assert not counter.exact
    assert counter.count("x" * 35) == 10


def test_counting_loads_no_heavy_library():
    code = (
        "import sys, agent.llm.tokens, agent.llm.prices as p; p.price('gpt-4o', 1, 1); print('tiktoken' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
