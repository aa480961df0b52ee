"""Why a call asks is said in the language of the chat; the journal keeps the English."""

from __future__ import annotations

import pytest

from agent.channels.telegram.exact import because_line
from agent.domain.provenance import Provenance
from agent.policy import consent, reasons
from plugins.api import spec_of, tool

WEB = Provenance.of("web:evil.example", trusted=False)


@tool(effect="once", host=True)
async def pay(amount: int, to: str) -> None:
    """Pay somebody."""


@pytest.mark.parametrize("language", ["de", "fr", "ru", "zh"])
def test_every_reason_is_said_in_every_language_with_its_origins(language: str):
    asked = consent.decide(
        spec_of(pay), {"amount": WEB, "to": WEB}, WEB, guard=WEB, files=Provenance.of("file:a.txt", trusted=False)
    )
    private = "url and text may hold private data"
    english = f"{asked.because} · {private} · your message · whether it happens depends on web:evil"
    told = reasons.retold(language, english)
    assert told.count("web:evil") == english.count("web:evil")
    assert "file:a.txt" in told
    for word in ("chosen", "come", "from", "private data", " and ", "depends", "your", "could"):
        assert word not in told
    assert reasons.retold("en", english) == english
    assert because_line(language, "your message") == reasons.retold(language, "your message") != "your message"


def test_origins_keep_their_names_and_what_was_counted_is_said_in_the_language():
    names = "to comes from web:a (3 times), file:x and y.txt, 4 more"
    assert reasons.retold("de", names) == "to kommt aus web:a (3-mal), file:x and y.txt, 4 weitere"
