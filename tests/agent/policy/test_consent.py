"""Consent, labels and budgets."""

from __future__ import annotations

from agent.config import Limits
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.policy import consent, provenance
from agent.testing import Bot, step
from plugins.api import spec_of, tool

WEB = Provenance.of("web:evil.example", trusted=False)


@tool(effect="once")
def pay(amount: int) -> None:
    """Pay."""


@tool(effect="read", host=True, untrusted=True, egress=["url"])
async def fetch(url: str) -> str:
    """Fetch."""
    return url


@tool(effect="write_inside", host=True)
async def remember(text: str) -> str:
    """Remember."""
    return text


@tool
def note(text: str) -> str:
    """Write."""
    return text


def test_a_tool_with_an_effect_asks_before_each_execution():
    assert consent.decide(spec_of(pay), {"amount": USER}, USER).decision == "ask"


def test_a_tool_within_the_walls_runs_unasked():
    assert consent.decide(spec_of(note), {"text": WEB}, WEB).decision == "allow"


def test_learning_from_others_asks_and_from_the_person_does_not():
    assert consent.decide(spec_of(remember), {"text": USER}, USER).decision == "allow"
    assert consent.decide(spec_of(remember), {"text": WEB}, USER).decision == "ask"
    assert consent.decide(spec_of(remember), {"text": USER}, WEB).decision == "ask"


def test_the_origin_of_choice_and_arguments_is_said():
    said = consent.because({"amount": WEB}, WEB)
    assert "chosen after reading web:evil.example" in said
    assert "amount comes from web:evil.example" in said


def test_the_digest_changes_with_any_argument():
    first = consent.digest("pay", {"amount": 1, "to": "a"})
    assert first == consent.digest("pay", {"to": "a", "amount": 1})
    assert first != consent.digest("pay", {"to": "a", "amount": 2})
    assert first != consent.digest("send", {"to": "a", "amount": 1})


def test_a_page_that_was_fetched_is_untrusted_and_named():
    label = provenance.of_result(spec_of(fetch), {"url": "https://example.org/x"}, {"url": USER}, {}, "s2")
    assert label.untrusted_names == ("web:example.org#s2",)


def test_code_that_may_read_every_file_carries_every_files_label():
    labels = {"a.txt": WEB, "b.txt": USER}
    assert not provenance.of_result(spec_of(note), {"text": "x"}, {"text": USER}, labels, "s1").trusted
    assert provenance.of_result(spec_of(note), {"text": "x"}, {"text": USER}, {}, "s1").trusted


def test_a_program_carries_every_files_label_whatever_files_it_names():
    from plugins.python import python

    labels = {"a.txt": WEB, "b.txt": USER}
    args = {"code": "open('a.txt')", "files": ["b.txt"]}
    assert not provenance.of_result(spec_of(python), args, {"code": USER, "files": USER}, labels, "s1").trusted


def test_a_union_keeps_every_source_and_privacy():
    private = Provenance.of("mail", trusted=True, private=True)
    both = USER | WEB | private
    assert both.private
    assert not both.trusted
    assert Provenance.from_json(both.to_json()) == both
    assert not Provenance.from_json(None).trusted
    assert NOTHING.trusted


async def test_a_run_over_its_tokens_ends_with_the_setting_named(tmp_path):
    async with Bot(tmp_path, [note], limits=Limits(tokens=30)) as bot:
        bot.llm.will_plan(step("s1", "note", text="x" * 50))
        answer = await bot.hears("go")
    assert "limits.tokens" in answer.text
    assert answer.status == "FAILED"


def test_many_steps_of_one_tool_and_arguments_of_the_same_origin_are_said_once():
    mail = Provenance.union(Provenance.of(f"mail.read#s{number}", trusted=False) for number in range(30))
    page = Provenance.of("web:example.org#p", trusted=False)

    said = consent.because({"to": mail, "text": mail, "link": page}, USER)

    assert said == "your message · to and text come from mail.read (30 times) · link comes from web:example.org#p"


def test_of_very_many_origins_the_number_is_said():
    many = Provenance.union(Provenance.of(f"web:{number}.example", trusted=False) for number in range(12))
    assert consent.because({}, many).endswith(", 4 more")
