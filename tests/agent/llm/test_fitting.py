"""What a prompt loses when it must fit: in order, whole where it matters, and never the system's words."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.llm.fitting import LONG_TEXTS, OLD_RESULTS, OLD_ROUNDS, cut_in_the_middle, fit, tokens_of
from agent.llm.protocol import ChatMessage, LLMRequest, ToolRequest

SYSTEM = ChatMessage("system", "Do as you are told. " * 5)
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def count(text: str) -> int:
    return len(text) // 4


def task(*results: str, arguments: str = "{}", material: str = "") -> LLMRequest:
    messages = [SYSTEM, ChatMessage("user", f"Find the total.{material}")]
    for number, result in enumerate(results):
        call = ToolRequest(f"c{number}", f"tool_{number % 2}", arguments)
        messages += [ChatMessage("assistant", "", (call,)), ChatMessage("tool", result, tool_call_id=f"c{number}")]
    return LLMRequest("task", tuple(messages))


def is_whole(request: LLMRequest) -> bool:
    """Say whether each call has its result and each result its call, as every server demands."""
    asked: list[str] = []
    for message in request.messages:
        if message.role == "tool":
            asked.remove(message.tool_call_id)
        elif asked:
            return False
        asked += [call.id for call in message.tool_requests]
    return not asked


def test_what_fits_is_left_alone():
    request = task("short")
    assert fit(request, 10_000, count).request is request


def test_the_oldest_results_become_digests_and_the_newest_one_stays_whole():
    request = task(*[f"result {n} " + "x" * 2_000 for n in range(6)])
    found = fit(request, 1_500, count)
    assert tokens_of(found.request, count) <= 1_500
    assert found.shortened == (OLD_RESULTS,)
    results = [message.content for message in found.request.messages if message.role == "tool"]
    assert "more characters were left out" in results[0]
    assert results[0].startswith("result 0")
    assert results[-1] == request.messages[-1].content
    assert is_whole(found.request)


def test_between_two_compactions_the_beginning_of_the_prompt_stays_the_same():
    texts = ["y" * 1_500 for _ in range(12)]
    prompts = [fit(task(*texts[:n]), 3_000, count).request.messages for n in range(1, 13)]
    same = sum(later[: len(before)] == before for before, later in pairwise(prompts))
    assert same >= 8


def test_long_arguments_of_old_calls_are_cut_and_stay_json():
    request = task("a" * 100, "b" * 100, arguments=json.dumps({"text": "w" * 4_000}))
    found = fit(request, 1_400, count)
    first = found.request.messages[2].tool_requests[0]
    assert len(json.loads(first.arguments)["text"]) < 200
    assert found.request.messages[4].tool_requests[0].arguments == request.messages[4].tool_requests[0].arguments


def test_the_oldest_rounds_go_whole_and_are_named():
    request = task(*["z" * 380 for _ in range(20)])
    found = fit(request, 500, count)
    assert OLD_ROUNDS in found.shortened
    assert "earlier calls were left out" in found.request.messages[1].content
    assert "tool_0, tool_1" in found.request.messages[1].content
    assert is_whole(found.request)
    assert tokens_of(found.request, count) <= 500


def test_of_material_the_longest_is_cut_first_and_what_is_short_stays_whole():
    blocks = "".join(f"\n<data>\n{text}\n</data>" for text in ("short one", "L" * 9_000, "another short one"))
    found = fit(task(material=blocks), 600, count)
    said = found.request.messages[1].content
    assert "short one" in said
    assert "another short one" in said
    assert "characters left out to save room" in said
    assert said.count("<data>") == said.count("</data>") == 3
    assert found.shortened == (LONG_TEXTS,)


def test_tools_keep_their_names_and_parameters_when_their_descriptions_must_go():
    properties = {"path": {"type": "string", "description": "Where. " * 80}}
    function = {"name": "read", "description": "Read a file of the workspace. " + "More words. " * 80}
    tool = {"type": "function", "function": {**function, "parameters": {"type": "object", "properties": properties}}}
    found = fit(LLMRequest("task", (SYSTEM, ChatMessage("user", "Read it.")), (tool,)), 150, count)
    (kept,) = found.request.tools
    assert kept["function"]["name"] == "read"
    assert kept["function"]["parameters"]["properties"] == {"path": {"type": "string"}}
    assert kept["function"]["description"] == "Read a file of the workspace."


@PATIENT
@given(
    st.lists(st.text(max_size=3_000), min_size=1, max_size=12),
    st.integers(min_value=300, max_value=3_000),
    st.text(max_size=5_000),
)
def test_whatever_there_is_it_fits_is_whole_and_keeps_the_words_of_the_system(
    results: list[str], budget: int, material: str
):
    request = task(*results, material=f"\n<data>\n{material}\n</data>")
    found = fit(request, budget, count)
    assert tokens_of(found.request, count) <= budget
    assert is_whole(found.request)
    assert found.request.messages[0] == SYSTEM


@pytest.mark.parametrize("chars", [10, 200, 4_000])
def test_a_cut_text_keeps_its_beginning_and_its_end_and_says_how_much_is_gone(chars: int):
    text = "A" * 3_000 + "B" * 3_000
    cut = cut_in_the_middle(text, chars)
    assert cut.startswith("A")
    assert cut.endswith("B")
    assert f"[… {6_000 - chars} characters left out" in cut
