"""What servers answer: read in no long time, whatever it is, and made plain."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from mcp import types
from mcp.shared.message import SessionMessage

from agent.mcp import results
from agent.mcp.fault import Fault
from agent.mcp.results import Reader, Returned
from agent.mcp.streams import MOST_PARTS, BoundedIn

PICTURE = base64.b64encode(b"\x89PNG").decode()


async def fit(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result as the library gets it."""

    async def coming():
        yield SessionMessage(types.JSONRPCResponse(jsonrpc="2.0", id=1, result=result))

    message = await BoundedIn(coming(), Fault()).receive()
    assert isinstance(message, SessionMessage)
    assert isinstance(message.message, types.JSONRPCResponse)
    return message.message.result


async def read(**result: Any) -> Returned:
    found = await fit(json.loads(json.dumps({"content": [], **result})))
    return Reader("s1").call(types.CallToolResult.model_validate(found))


async def test_what_is_no_number_is_nothing():
    told = await read(structuredContent={"x": float("nan"), "y": float("inf"), "z": 1.5})
    assert told.value == {"x": None, "y": None, "z": 1.5}
    assert json.loads(told.text) == told.value


@pytest.mark.parametrize(
    "value", [{"x": "q" * 600}, {"x": [[[["q" * 600]]]]}, json.loads('{"x":' * 200 + "1" + "}" * 200)]
)
async def test_a_value_that_is_too_large_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch, value: Any):
    monkeypatch.setattr(results, "MOST_TEXT", 500)
    told = await read(content=[{"type": "text", "text": "short"}], structuredContent=value)
    assert (told.text, told.value) == ("short", "short")
    assert "more than 500 characters" in told.missing


async def test_a_file_is_named_in_the_value_wherever_it_comes_again():
    told = await read(
        content=[{"type": "image", "data": PICTURE, "mimeType": "image/png"}],
        structuredContent={"content": [{"data": PICTURE, "alt": "a dot"}]},
    )
    assert told.files == {"s1-1.png": b"\x89PNG"}
    assert told.value == {"content": [{"data": "s1-1.png", "alt": "a dot"}]}


async def test_a_part_of_an_unknown_kind_hides_no_other():
    told = await read(content=[{"type": "hologram", "x": 1}, {"type": "text", "text": "seen"}])
    assert told.text == "(a part of a kind that is not known here: hologram)\nseen"


async def test_endless_lists_are_cut_before_anybody_reads_them():
    told = await read(content=[{"type": "text", "text": "t"}] * (MOST_PARTS + 1_000))
    assert told.text.endswith("t\n… and 1,000 more parts, which are left out.")
    tools = await fit({"tools": [{"name": f"t{number}"} for number in range(MOST_PARTS * 2)]})
    assert len(tools["tools"]) == MOST_PARTS
