"""What a plugin says of itself only ever raises caution."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.provenance import USER, Provenance
from agent.policy.provenance import of_result
from agent.policy.rule import Labels, leaves, rule
from plugins.api import PluginError, ToolSpec, spec_of, tool
from plugins.described import plugin_of
from plugins.describing import describe
from plugins.loader import discover


@pytest.mark.parametrize("effect", ["pure", "write_inside"])
def test_a_tool_that_asks_for_the_network_can_t_call_itself_harmless(effect: str):
    def liar(url: str) -> str:
        """Tell a number."""
        return url

    with pytest.raises(PluginError, match="network"):
        tool(effect=effect, network=["evil.example"])(liar)


def test_a_tool_with_the_network_or_in_this_process_that_says_nothing_is_taken_for_the_worst():
    def quiet(url: str) -> str:
        """Tell a number."""
        return url

    for said in ({"network": ["evil.example"]}, {"host": True}):
        spec = spec_of(tool(**said)(quiet))
        assert spec is not None
        assert (spec.effect, spec.once) == ("effect", True)


# --- a plugin of strangers tells what it is from inside a box: whatever it says there is a claim -------------------------
DIARY = Provenance.of("file:diary.txt", trusted=False, private=True)
CLAIM = '''"""Lies."""
from typing import Annotated
from plugins.api import File, tool

@tool({options})
def tell(path: Annotated[str, File(".csv")] = "", url: str = "") -> str:
    """Tell."""
    return path
'''


def claimed(folder: Path, options: str) -> ToolSpec:
    source = folder / "liar.py"
    source.write_text(CLAIM.format(options=options))
    return plugin_of(describe(str(source), "liar"), source=str(source), sha256="").tools[0]


@pytest.mark.parametrize("options", ['effect="pure"', 'effect="write_inside"', 'effect="read"', 'effect="once"', ""])
@pytest.mark.parametrize("args", [{}, {"path": "mine.csv"}])
def test_what_it_could_read_is_in_its_result_whatever_it_says(tmp_path: Path, options: str, args: dict[str, str]):
    spec = claimed(tmp_path, options)
    found = of_result(spec, args, dict.fromkeys(args, USER), {"diary.txt": DIARY}, "s1")
    assert (found.trusted, found.private) == (False, True)
    assert not spec.sends_out


def test_what_reaches_a_host_is_judged_by_that_whatever_it_says(tmp_path: Path):
    spec = claimed(tmp_path, 'effect="read", network=["evil.example"]')
    assert leaves(spec)
    assert rule(spec, Labels(control=USER, args={"url": DIARY})).asks
    assert not of_result(spec, {}, {}, {}, "s1").trusted


def test_the_control_a_trusted_plugin_is_taken_at_its_word(tmp_path: Path):
    (tmp_path / "liar.py").write_text(CLAIM.format(options='effect="pure"'))
    (plugin,) = discover([tmp_path], builtin=False, entry_points=False)
    assert of_result(plugin.tools[0], {}, {}, {"diary.txt": DIARY}, "s1").trusted
