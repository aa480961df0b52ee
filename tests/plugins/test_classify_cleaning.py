"""What somebody really wrote: without quotes, signatures and markup, and never nothing."""

from __future__ import annotations

import time

import pytest

from plugins.classify import clean_text

OUTLOOK = """Please close my account.

Von: Support <support@example.org>
Gesendet: Montag, 16. November 2026 09:00
An: Tom
Betreff: Ihr Konto

Sehr geehrter Herr …"""


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("It broke.\n\nOn Mon, 16 Nov 2026, Anna wrote:\n> What?\n> Really?", "It broke."),
        ("It broke.\nOn Mon, 16 Nov 2026 at 09:00, Anna Keller\n<anna@example.com> wrote:\n\n> What?", "It broke."),
        ("Kaputt.\n\nAm 16.11.2026 um 09:00 schrieb Support:\nHaben Sie neu gestartet?", "Kaputt."),
        ("Cassé.\n\nLe lun. 16 nov. 2026 à 09:00, Support a écrit :\n> Quoi ?", "Cassé."),
        ("Yes.\n\n-----Original Message-----\nFrom: a\nold", "Yes."),
        ("Ja.\n\n________________________________\nVon: a@example.org\nGesendet: b\nBetreff: c\n\nalt", "Ja."),
        (OUTLOOK, "Please close my account."),
        ("Hi\n-- \nAnna\n+49 30 000", "Hi"),
        ("Geht nicht.\n\nMit freundlichen Grüßen\nJörg Müller\nMusterstr. 1", "Geht nicht."),
        ("Broken.\n\nBest regards,\nTom", "Broken."),
        ("Cassé.\n\nCordialement,\nÉlodie", "Cassé."),
        ("Broken.\nSent from my iPhone", "Broken."),
        ("Kaputt.\n\nVon meinem iPhone gesendet", "Kaputt."),
        ("a\r\n\r\n\r\n\r\nb \u00a0 c\u200b\u202e", "a\n\nb c"),
    ],
)
def test_what_others_wrote_and_who_signs_is_left_out(text: str, clean: str):
    assert clean_text(text) == clean


def test_an_answer_below_the_quote_is_kept():
    assert clean_text("On Monday, Anna wrote:\n> Does it work?\n\nNo, it does not.\n> And now?\nNeither.") == (
        "No, it does not.\nNeither."
    )


@pytest.mark.parametrize(
    "text",
    [
        "On Monday my printer broke and I wrote to you: nothing came back.",
        "From: Berlin\nTo: Munich\nDate: Monday\nPlease book a train.",
        "Regards to the team, who were very kind, but my router is broken.",
        "I tried:\n--\nand then the light went red\n" + "and more of the story that goes on for long\n" * 12,
        "a < b and c > d",
    ],
)
def test_what_only_looks_like_a_quote_or_signature_stays(text: str):
    assert clean_text(text) == text.strip()


def test_markup_becomes_lines_without_what_is_hidden_or_quoted():
    html = (
        "<html><head><title>t</title><style>p{color:red}</style></head><body><p>Hi <b>team</b>,</p>"
        "<div>printer &amp; fax<br>are down</div><script>alert(1)</script>"
        '<div class="gmail_quote">On Monday Anna wrote: <blockquote>old</blockquote></div></body></html>'
    )
    assert clean_text(html) == "Hi team,\n\nprinter & fax\nare down"


@pytest.mark.parametrize(
    "text", ["> only a quote", "-- \nAnna", "Best regards\nTom", "On Monday, Anna wrote:\nold words"]
)
def test_a_text_is_never_cleaned_away(text: str):
    assert clean_text(text)


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_nothing_stays_nothing(text: str):
    assert clean_text(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "<div>" * 20_000,
        "<p " * 50_000,
        "<p>" + "<p " * 50_000,
        "<p>" + "<!--" * 80_000,
        "<p class=" + "class=" * 50_000 + ">",
        "<div class=gmail_quote>" * 15_000,
        "Best regards\n" * 20_000,
        "on " * 100_000 + "wrote",
        ("on " + "a écrit " * 50 + "\n") * 2_000,
        "From: a\n" * 40_000,
        ">" * 300_000,
        "- " * 150_000,
        "\n" * 300_000,
    ],
)
def test_a_hostile_message_costs_seconds_at_most(text: str):
    start = time.thread_time()  # what others do on the machine does not count
    clean_text(text)
    assert time.thread_time() - start < 5
