"""What a plugin says of itself only ever raises caution."""

from __future__ import annotations

import pytest

from plugins.api import PluginError, spec_of, tool


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
