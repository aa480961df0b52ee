"""The parts that read a model's stream: events, thoughts, repetition."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ModelRubbish
from agent.llm import sse
from agent.llm.repetition import RepetitionGuard
from agent.llm.sse import EventDecoder
from agent.llm.thoughts import ThoughtFilter


def cut(data, places):
    edges = sorted({min(place, len(data)) for place in places})
    return [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]


def decode(pieces):
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + list(decoder.finish())


@given(
    st.lists(st.text(), max_size=8),
    st.lists(st.integers(0, 400), max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_events_are_the_same_wherever_the_bytes_are_cut(texts, places, end, closed):
    lines = [f": still here{end}data: {json.dumps({'t': t}, ensure_ascii=False)}{end}{end}" for t in texts]
    data = "".join(lines).encode()
    if not closed:
        data = data.removesuffix((end * 2).encode())
    assert [json.loads(event)["t"] for event in decode(cut(data, places))] == texts


def test_data_lines_of_one_event_are_joined():
    assert decode([b'event: x\ndata: {"a":\ndata:1}\nid: 7\n\n']) == [b'{"a":\n1}']


def test_a_bare_json_line_is_an_event():
    assert decode([b'{"error": "no memory"}\n']) == [b'{"error": "no memory"}']


def test_a_line_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "LONGEST_LINE", 100)
    with pytest.raises(ModelRubbish, match="line"):
        list(EventDecoder().feed(b"data: " + b"x" * 200))


def shown(pieces):
    thoughts = ThoughtFilter()
    return "".join([thoughts.feed(piece) for piece in pieces]) + thoughts.finish()


@given(
    st.sampled_from(["think", "thinking"]),
    st.text().filter(lambda t: "</think" not in t),
    st.text(),
    st.lists(st.integers(0, 200), max_size=30),
)
def test_thoughts_are_never_shown_wherever_they_are_cut(tag, thought, answer, places):
    text = f"\n<{tag}>{thought}</{tag}>\n\n{answer}"
    assert shown(cut(text, places)) == answer.lstrip()


@given(st.text().filter(lambda t: not t.lstrip().startswith("<think")), st.lists(st.integers(0, 100), max_size=20))
def test_an_answer_without_thoughts_is_left_alone(text, places):
    assert shown(cut(text, places)) == text


def test_a_tag_within_the_answer_stays():
    assert shown(["The tag <think>", "x</think> is used by"]) == "The tag <think>x</think> is used by"


def test_an_unfinished_thought_is_dropped():
    assert shown(["<think>I wonder", " whether </thi"]) == ""


def test_what_only_looks_like_a_thought_comes_out():
    assert shown(["<th", "e>"]) == "<the>"
    assert shown(["  <thi"]) == "  <thi"


def loops(text, step=7):
    guard = RepetitionGuard()
    return any(guard.feed(text[i : i + step]) for i in range(0, len(text), step))


@pytest.mark.parametrize("passage", ["\n", "no ", "I will now call the tool.\n", "A paragraph. " * 40 + "\n"])
def test_a_model_that_goes_round_in_circles_is_noticed(passage):
    assert loops("A good beginning.\n" + passage * (4000 // len(passage) + 6))


@given(st.integers(1, 600), st.integers(1, 400))
def test_any_passage_that_comes_again_is_noticed(length, step):
    passage = "".join(chr(97 + (i * i + i // 7) % 26) for i in range(length))
    assert loops(passage * (2600 // length + 7), step)


def test_lists_and_tables_are_not_taken_for_a_loop():
    assert not loops("".join(f"s{i} fetch url=https://example.org/{i}\n" for i in range(500)))
    assert not loops("| a | b |\n" + "-" * 400 + "\n" + "".join(f"| {i} | 0 |\n" for i in range(300)))
    assert not loops("\n".join(["0,0,0,0,0,0"] * 60))
