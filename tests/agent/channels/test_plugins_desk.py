"""/plugins: what is held back, and the way on."""

from __future__ import annotations

import pytest

from agent.catalogue import Catalogue
from agent.channels.plugins_desk import PluginsDesk
from agent.domain.messages import Destination, InboundMessage
from plugins.loader import LoadedPlugin

HELD = {"order": "runs outside the sandbox (host=True)"}


async def shown(store, catalogue: Catalogue, language: str = "") -> str:
    dest = Destination("telegram", "11", language=language)
    await PluginsDesk(store, catalogue).obey(InboundMessage("telegram", "1", dest, "11", text="/plugins"))
    return (await store.get_message("reply:telegram:1")).payload["text"]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "",
            "held back until you trust it (`dirigent plugins trust shop`): order runs outside the sandbox (host=True)",
        ),
        ("de", "zurückgehalten, bis du ihm vertraust (`dirigent plugins trust shop`): order runs outside"),
        ("zh", "在你信任它之前暂停使用（`dirigent plugins trust shop`）：order runs outside"),
    ],
)
async def test_a_plugin_that_is_not_trusted_says_what_is_held_back_and_the_way_on(store, language, said):
    catalogue = Catalogue([LoadedPlugin("shop", "/p/shop.py", held_back=HELD, note="A link leads out of it.")])
    lines = (await shown(store, catalogue, language)).split("\n")
    assert lines[0] == "🧩 shop"
    assert lines[1] == "⚠️ A link leads out of it."
    assert lines[2].startswith(f"⚠️ {said}")


async def test_a_server_whose_tools_wait_for_a_yes_says_so(store):
    catalogue = Catalogue([LoadedPlugin("clock", "mcp:clock")])
    catalogue.remark = lambda name: f"held back until you accept it (`dirigent mcp accept {name}`): now"
    assert "zurückgehalten, bis du es annimmst (`dirigent mcp accept clock`): now" in await shown(
        store, catalogue, "de"
    )
