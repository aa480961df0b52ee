"""What the owner lets everything inside reach is a way out, and a way in, for programs and for what others wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.catalogue import Catalogue
from agent.config import load_config
from agent.domain.provenance import USER, Provenance
from agent.policy import provenance
from agent.policy.rule import Labels, leaves, rule
from plugins.api import PluginError, tool

MAIL = Provenance.of("mail#s1", trusted=False)
OURS = Provenance.of("file:salaries.csv", trusted=True, private=True)
PLUGIN = (
    '"""P."""\nfrom plugins.api import tool\n@tool\ndef plain(text: str) -> str:\n    """Say."""\n    return text\n'
)


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "theirs.py").write_text(PLUGIN)
    return Catalogue.load(load_config(sandbox={"allow_hosts": ["pypi.example"]}))


@pytest.mark.parametrize("name", ["python", "shell", "theirs.plain"])
def test_with_an_open_network_a_program_sends_what_it_is_given(catalogue: Catalogue, name: str):
    spec = catalogue.find(name)
    args = {next(iter(spec.hints)): USER}
    assert leaves(spec)
    assert not rule(spec, Labels(control=USER, args=args)).asks
    assert rule(spec, Labels(control=MAIL, args=args)).asks
    assert rule(spec, Labels(control=USER, args=dict.fromkeys(args, MAIL))).asks
    assert rule(spec, Labels(control=USER, args=args, files=MAIL)).asks
    assert rule(spec, Labels(control=USER, args=dict.fromkeys(args, OURS))).asks
    assert rule(spec, Labels(control=OURS, args=args)).asks
    result = provenance.of_result(spec, {}, args, {}, "s1")
    assert not result.trusted


def test_what_comes_with_us_and_is_no_program_stays_as_it_is(catalogue: Catalogue):
    for name in ("read_file", "list_files", "chart"):
        assert not leaves(catalogue.find(name))


def test_without_an_open_network_programs_send_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path))
    catalogue = Catalogue.load(load_config())
    assert not leaves(catalogue.find("python"))
    assert not rule(catalogue.find("python"), Labels(control=MAIL)).asks


def test_a_read_with_a_network_of_its_own_sends_all_that_it_is_given():
    @tool(effect="read", network=["api.example.org"])
    def asks_a_site(text: str) -> str:
        """Ask."""
        return text

    spec = asks_a_site.__dirigent__
    assert leaves(spec)
    assert rule(spec, Labels(control=USER, args={"text": MAIL})).asks


def test_no_plugin_says_what_the_owner_lets_it_reach():
    def honest() -> None:
        """Do nothing."""

    with pytest.raises(PluginError, match="reaches"):
        tool(reaches=["example.org"])(honest)
