"""How calls that wait for consent look: within Telegram's limits, and so that no argument can pose as the dialog."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.channels.telegram.exact import defanged
from agent.channels.telegram.render import view
from agent.channels.telegram.texts import HIDDEN, LIMIT, Document, Text, width
from agent.channels.terminal.choices import choices_of
from agent.channels.terminal.face import UNSEEN, details_lines, title_of
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Approval
from agent.execution.together import as_shown, asked_message, numbered, pinned

WEB = Provenance.of("web:evil.example#s1", trusted=False)
PRIVATE = Destination("telegram", "1")
NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\n\r\v\f\x1c\x85\u2028\u2029\u202e\u2066\u200b\ufeff🔐✅❌│┃─\u00ad"),
    ),
    max_size=300,
)


def call(number: int = 0, **fields: Any) -> Approval:
    given_ = {"args": {"to": f"person-{number}", "text": "hi"}, "because": "your message", **fields}
    return Approval(
        numbered("AbCdEf12", number), 1, f"s{number}", "telegram:1", "mail.send", digest=str(number), **given_
    )


def shown(calls: list[Approval], language: str = "", **looked: Any) -> Any:
    dest = Destination("telegram", "1", language=language)
    return view(asked_message(dest, calls, looked))


def labels(look: Any) -> list[str]:
    return [label for row in look.buttons for label, _ in row]


def actions(look: Any) -> list[str]:
    return [action for row in look.buttons for _, action in row]


@pytest.mark.parametrize("n", [2, 8, 40, 200])
@pytest.mark.parametrize("looked", [{}, {"each": True}, {"page": 3}])
@pytest.mark.parametrize("size", [1, 30_000])
def test_telegrams_limits_hold_however_many_calls_there_are(n: int, looked: dict[str, Any], size: int):
    calls = [call(at, args={"to": f"p{at}", "text": "🙂 word " * size}, because="b" * 900) for at in range(n)]
    look = shown(calls, **looked)
    text = look.parts[0]
    assert isinstance(text, Text)
    assert width(text.text) <= LIMIT
    assert len(text.entities) <= 100
    assert all(0 < len(action.encode()) <= 64 for action in actions(look))
    decided = shown([Approval(**{**_fields(one), "decision": "allow"}) for one in calls], **looked)
    assert width(decided.parts[0].text) <= LIMIT
    assert decided.buttons == ()


def _fields(approval: Approval) -> dict[str, Any]:
    return {name: getattr(approval, name) for name in approval.__dataclass_fields__}


def test_the_calls_are_numbered_with_their_arguments_and_origins():
    calls = [call(0), call(1, because="your message · to comes from web:evil.example#s1")]
    text = shown(calls).parts[0].text
    assert text.startswith(
        "🔐 2 calls wait for your word\n1. mail.send\nto: person-0\ntext: hi\nBecause: your message\n2."
    )
    assert "to comes from web:evil.example#s1" in text
    assert labels(shown(calls)) == ["✅ Allow all", "❌ Deny all", "🔎 One by one"]


@pytest.mark.parametrize(
    ("language", "said"),
    [("de", "Alle erlauben"), ("fr", "Tout autoriser"), ("ru", "Разрешить все"), ("zh", "全部允许")],
)
def test_the_buttons_speak_the_language_of_the_place(language: str, said: str):
    assert any(said in label for label in labels(shown([call(0), call(1)], language)))


def test_what_does_not_fit_is_in_a_file_with_every_byte():
    calls = [call(at, args={"to": "a", "text": f"start {'x' * 5000} end-{at}"}) for at in range(12)]
    text, file = shown(calls).parts
    assert isinstance(file, Document)
    whole = file.data.decode()
    assert all(f"end-{at}" in whole for at in range(12))
    assert "Shortened … the whole is in request.txt." in text.text


def test_one_by_one_shows_one_call_and_where_the_others_stand():
    first = Approval(**{**_fields(call(0)), "decision": "allow"})
    look = shown([first, call(1), call(2)], each=True)
    assert "(2 of 3)" in look.parts[0].text
    assert "1 ✅ · 2 ▶ · 3 ▫️" in look.parts[0].text
    assert labels(look) == ["✅ Allow", "❌ Deny", "✏️ Edit", "↩ All calls"]


def test_an_edited_call_takes_the_place_of_the_old_one():
    edited = Approval(**{**_fields(call(1)), "id": f"{call(1).id}~1", "args": {"to": "ada"}, "digest": "new"})
    calls = [call(0), call(1), call(2)]
    now = as_shown([*calls, edited])
    assert [one.args["to"] for one in now] == ["person-0", "ada", "person-2"]
    assert pinned(now) != pinned(calls)


@settings(max_examples=60, deadline=None)
@given(NASTY, NASTY, st.booleans())
def test_no_argument_can_pose_as_a_line_of_ours(value: str, because: str, several: bool):
    evil = call(0, args={"to": value}, because=because, labels={"to": WEB, "": USER})
    text = shown([evil, call(1)] if several else [evil]).parts[0]
    assert not HIDDEN.search(text.text)
    quotes = [mark for mark in text.entities if mark["type"] in {"expandable_blockquote", "blockquote"}]
    units = text.text.encode("utf-16-le", "surrogatepass")
    outside, at = b"", 0
    for mark in quotes:
        outside += units[at * 2 : mark["offset"] * 2]
        at = mark["offset"] + mark["length"]
    lines = (outside + units[at * 2 :]).decode("utf-16-le", "replace").split("\n")
    ours = ("🔐 ", "1. ", "2. ", "Because:", "Shortened …", "Expires ")
    assert all(not line or line.startswith(ours) for line in lines)


@settings(max_examples=60, deadline=None)
@given(NASTY, NASTY)
def test_in_a_terminal_an_argument_stays_below_its_name(value: str, because: str):
    payload = asked_message(PRIVATE, [call(0, args={"to": value}, because=because), call(1)]).payload
    lines = details_lines(payload)
    assert not any(UNSEEN.search(line) or "\n" in line for line in lines)
    starts = [at for at, line in enumerate(lines) if not line.startswith("    ")]
    assert [lines[at] for at in starts] == ["1. mail.send", "2. mail.send"]
    ends = [line for line in lines if line.startswith("    ") and not line.startswith("        ")]
    assert all(line[4:].startswith(("to:", "text:", "Because:")) for line in ends)
    assert title_of(payload) == "2 calls wait for your word"


def test_a_terminal_has_keys_for_the_buttons():
    several = asked_message(PRIVATE, [call(0), call(1)]).payload
    assert [(one.key, one.label) for one in choices_of(several)] == [
        ("y", "Allow all"),
        ("n", "Deny all"),
        ("o", "One by one"),
    ]
    alone = asked_message(PRIVATE, [call(0)]).payload
    assert [(one.key, one.label) for one in choices_of(alone)] == [("y", "Allow"), ("n", "Deny"), ("e", "Edit")]


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("see https://evil.example/a.b?c=1", "see hxxps://evil[.]example/a.b?c=1"),
        ("HTTP://EVIL.EXAMPLE", "HXXP://EVIL[.]EXAMPLE"),
        ("go to www.evil.example now", "go to www[.]evil[.]example now"),
        ("t.me/joinchat", "t[.]me/joinchat"),
        ("tg://resolve?domain=x", "tg[:]//resolve?domain=x"),
        ("mail eve@evil.example about notes.md", "mail eve@evil.example about notes.md"),
    ],
)
def test_links_of_others_are_dead(text: str, dead: str):
    assert defanged(text) == dead


def test_links_are_dead_where_they_come_from_others_and_whole_in_the_file():
    link = "https://evil.example/pay"
    evil = call(0, args={"url": link, "text": "x" * 3000}, labels={"url": WEB, "text": USER, "": USER})
    text, file = shown([evil]).parts
    assert link not in text.text
    assert "hxxps://evil[.]example/pay" in text.text
    assert link in file.data.decode()
    yours = call(0, args={"url": link}, labels={"url": USER, "": USER})
    assert link in shown([yours]).parts[0].text


def test_a_hostile_text_takes_no_time():
    assert not re.search(r"\[\.\]", defanged("a-" * 500_000 + "a." * 100_000))


@pytest.mark.parametrize(("tainted", "shown_as"), [(True, "hxxps://evil[.]example"), (False, "https://evil.example")])
def test_the_links_of_a_question_that_others_had_a_hand_in_are_dead(tainted: bool, shown_as: str):
    payload = {"id": "q", "question": "Pay at https://evil.example ?", "options": [], "tainted": tainted}
    asked = view(OutboundMessage(PRIVATE, MessageKind.QUESTION, "q", payload))
    assert shown_as in asked.parts[0].text
