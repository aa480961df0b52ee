"""The owner's word on what a tool does goes before its author's, and everything that asks a tool hears it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.catalogue import Catalogue
from agent.cli.checks import check_plugins
from agent.cli.plugins import as_data
from agent.config import load_config
from agent.domain.provenance import USER, Provenance
from agent.errors import ConfigError
from agent.planning.pipeline_preview import look_at
from agent.policy import consent
from agent.policy.owners_word import less_careful
from agent.policy.provenance import of_result
from agent.testing import step
from agent.testing.trusting import trusting
from plugins.api import ToolSpec

WEB = Provenance.of("web:evil.example", trusted=False)
PLUGIN = '''"""Post."""
from plugins.api import tool

@tool(effect="once", strict=True)
def send(to: str) -> str:
    """Send."""
    return to

@tool(effect="read", host=True)
async def look(query: str, lang: str = "") -> str:
    """Look."""
    return query

@tool(effect="read", network=["far.example"], egress=["q"])
def ask(q: str) -> str:
    """Ask."""
    return q
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "post.py").write_text(PLUGIN)
    return tmp_path


def load(home: Path, toml: str) -> Catalogue:
    (home / "dirigent.toml").write_text(f'model = "offline"\n{toml}')
    return Catalogue.load(trusting(load_config(), "post"))


def refused(home: Path, toml: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(home, toml)
    return str(caught.value)


def asks(spec: ToolSpec, argument: str) -> bool:
    return consent.decide(spec, {argument: WEB}, USER).decision == "ask"


def test_a_tool_that_its_author_took_too_lightly_is_asked_about(home: Path):
    assert not asks(load(home, "").find("post.look"), "query")
    assert asks(load(home, '[tools."post.look"]\negress = ["query"]').find("look"), "query")
    stricter = load(home, '[tools.look]\neffect = "effect"\n')
    assert asks(stricter.find("post.look"), "lang")
    assert stricter.find("post.look").once
    assert look_at([step("a", "look", query="x")], stricter.find, lambda *_: 0.0).sends == ("a",)
    tool = stricter.set_by_owner["post.look"]
    assert less_careful(tool.declared, tool.now) == ()


def test_a_looser_word_holds_and_is_told(home: Path):
    looser = load(home, '[tools.post.send]\neffect = "pure"\nstrict = false\n[tools.post.look]\nuntrusted = true\n')
    assert not asks(looser.find("send"), "to")
    assert look_at([step("a", "send", to="x")], looser.find, lambda *_: 0.0).sends == ()
    assert not of_result(looser.find("look"), {}, {}, {}, "a").trusted
    found = check_plugins(trusting(load_config(), "post"))
    assert (found.state, "post.send (effect, strict)" in found.text, "post.look" in found.text) == ("warn", True, False)
    data = {tool["name"]: tool for tool in as_data(looser.plugin("post"), looser.set_by_owner)["tools"]}
    assert data["post.send"]["set_by_you"] == {"effect": "pure", "strict": False}
    assert data["post.ask"]["set_by_you"] == {}


def test_a_plugin_is_shown_with_what_you_have_set(home: Path, capsys: pytest.CaptureFixture[str]):
    from agent.cli import main

    load(home, '[tools."post.send"]\nonce = false\n')
    assert main(["plugins", "post"]) == 0
    out = capsys.readouterr().out
    assert "set by you: once = false (its author: true)" in out
    assert "less careful than its author meant it to be: once" in out
    assert main(["plugins", "post", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tools"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[tools."post.sent"]\nonce = true', 'no such tool. Did you mean [tools."post.send"]?'),
        (
            '[tools."post.look"]\negress = ["qery"]',
            "egress names 'qery', which is no argument of it. Did you mean 'query'?",
        ),
        ('[tools."post.look"]\nefect = "read"', "no such setting; did you mean tools.post.look.effect?"),
        ('[tools.post.look]\neffect = "raed"', 'tools.post.look.effect = "raed"'),
        ('[tools.look]\nonce = true\n[tools."post.look"]\nonce = false', "post.look has another table"),
        ('[tools.ask]\neffect = "pure"', "it may reach far.example"),
        ("[tools.ask]\nuntrusted = false", "whose words are not yours"),
        ("[tools]\nlook = 3", "must be a section"),
    ],
)
def test_a_word_that_means_nothing_stops_the_start_and_names_what_is_near(home: Path, toml: str, said: str):
    assert said in refused(home, toml)


def test_a_broken_plugin_does_not_stop_the_start_for_what_you_say_of_its_tools(home: Path):
    (home / "plugins" / "post.py").write_text("raise ValueError")
    assert load(home, "[tools.post.send]\nonce = true\n").broken
