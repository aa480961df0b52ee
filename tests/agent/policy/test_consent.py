"""Consent, labels and budgets."""

from __future__ import annotations

from typing import Annotated

import pytest

from agent.config import Limits
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.policy import consent, provenance
from agent.testing import Bot, step
from plugins.api import File, PluginError, spec_of, tool

WEB = Provenance.of("web:evil.example", trusted=False)


@tool(effect="once")
def pay(amount: int) -> None:
    """Pay."""


@tool(effect="once", content_args=["text"])
def mail(to: str, text: str) -> None:
    """Write to somebody."""


@tool(effect="once")
def attach(path: Annotated[str, File()]) -> None:
    """Send a file."""


@tool(host=True, effect="read", egress=["prompt"], confides=True)
def draw(prompt: str) -> None:
    """Have the owner's own server draw something."""


@tool(effect="once", strict=True)
def erase(name: str) -> None:
    """Erase it."""


@tool(effect="idempotent", cost=0.5)
def order_one() -> None:
    """Get one."""


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


def test_an_effect_that_the_person_chose_and_supplied_runs_unasked():
    assert consent.decide(spec_of(pay), {"amount": USER}, USER).decision == "allow"


def test_an_effect_asks_when_others_had_a_hand_in_its_choice_or_in_any_argument():
    assert consent.decide(spec_of(pay), {"amount": USER}, WEB).because == "chosen after reading web:evil.example"
    assert consent.decide(spec_of(pay), {"amount": WEB}, USER).because == (
        "your message · amount comes from web:evil.example"
    )


def test_always_asks_before_each_effect_and_never_before_anything_else():
    assert consent.decide(spec_of(pay), {"amount": USER}, USER, mode="always").decision == "ask"
    assert consent.decide(spec_of(fetch), {"url": USER}, USER, mode="always").decision == "allow"
    assert consent.decide(spec_of(note), {"text": USER}, USER, mode="always").decision == "allow"


def test_an_address_from_a_page_asks_before_it_is_read():
    assert consent.decide(spec_of(fetch), {"url": USER}, USER).decision == "allow"
    assert consent.decide(spec_of(fetch), {"url": WEB}, USER).decision == "ask"
    assert consent.decide(spec_of(fetch), {"url": USER}, WEB).decision == "ask"


def test_private_data_leaves_unasked_neither_by_an_address_nor_by_an_effect():
    private = Provenance.of("file:salaries.csv", trusted=True, private=True)
    asked = consent.decide(spec_of(fetch), {"url": private}, USER)
    assert (asked.decision, asked.because) == ("ask", "your message · url may hold private data")
    assert consent.decide(spec_of(mail), {"to": USER, "text": private}, USER).decision == "ask"


def test_a_server_that_the_owner_has_set_up_may_know_private_data_and_nothing_of_others_unasked():
    private = Provenance.of("file:script.md", trusted=True, private=True)
    assert consent.decide(spec_of(draw), {"prompt": private}, USER | private).decision == "allow"
    assert consent.decide(spec_of(draw), {"prompt": WEB}, USER).decision == "ask"
    assert consent.decide(spec_of(draw), {"prompt": USER}, WEB).decision == "ask"
    with pytest.raises(PluginError, match="host=True"):
        tool(effect="read", egress=["url"], confides=True)(fetch)


def test_who_knows_private_data_reads_only_addresses_that_the_person_typed():
    knows = Provenance(USER.sources, private=True)
    assert consent.decide(spec_of(fetch), {"url": USER}, knows).decision == "ask"
    assert consent.decide(spec_of(fetch), {"url": USER}, knows, typed={"url"}).decision == "allow"
    assert consent.decide(spec_of(mail), {"to": USER, "text": USER}, knows).decision == "allow"


def test_content_may_decide_whether_an_effect_happens_but_not_a_grave_one():
    def asks(tool, **more):
        return consent.decide(spec_of(tool), {}, USER, guard=WEB, **more).decision == "ask"

    assert not asks(mail)
    assert asks(mail, mode="strict")
    assert asks(mail, unattended=True)
    assert asks(pay)  # by its name
    assert asks(erase)  # it says so
    assert asks(order_one)  # it costs something
    assert "whether it happens depends on web:evil" in consent.decide(spec_of(pay), {}, USER, guard=WEB).because


def test_a_file_that_others_wrote_taints_what_could_send_it():
    label = {"page.txt": WEB}
    named, rest = provenance.of_call(spec_of(attach), {"path": "page.txt"}, {"path": USER}, label)
    assert (named["path"].trusted, rest.trusted) == (False, True)
    named, rest = provenance.of_call(spec_of(mail), {"to": "x"}, {"to": USER}, label)
    assert (named["to"].trusted, rest.trusted) == (True, False)
    asked = consent.decide(spec_of(mail), named, USER, files=rest)
    assert asked.because == "your message · it could read what comes from web:evil.example"


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
