"""What is understood as a schedule, in three languages, and what is left alone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent.automation.wording import understand
from agent.errors import ConfigError

VIENNA = ZoneInfo("Europe/Vienna")
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=VIENNA)  # a Friday


@pytest.mark.parametrize(
    ("text", "cron", "what"),
    [
        ("every weekday at 8 send me the weather", "0 8 * * 1-5", "send me the weather"),
        ("Every Friday at 9:30 send me a summary", "30 9 * * 5", "send me a summary"),
        ("send me the news every weekday at 8", "0 8 * * 1-5", "send me the news"),
        ("at 7 every day tell me the weather", "0 7 * * *", "tell me the weather"),
        ("Tell me the weather every day at 8 am.", "0 8 * * *", "Tell me the weather"),
        ("on the 1st of each month send me the totals", "0 9 1 * *", "send me the totals"),
        ("on the last day of every month at noon send me the totals", "0 12 L * *", "send me the totals"),
        ("every monday and thursday at 5pm write a report", "0 17 * * 1,4", "write a report"),
        ("every sunday send me the week", "0 9 * * 0", "send me the week"),
        ("every morning tell me the weather", "0 8 * * *", "tell me the weather"),
        ("jeden Freitag um 9 Uhr schick mir die Zahlen", "0 9 * * 5", "schick mir die Zahlen"),
        ("jeden Werktag um 8:15 sende mir das Wetter", "15 8 * * 1-5", "sende mir das Wetter"),
        ("chaque vendredi à 9h envoie-moi le rapport", "0 9 * * 5", "envoie-moi le rapport"),
        ("tous les jours à 8h30 envoie-moi la météo", "30 8 * * *", "envoie-moi la météo"),
    ],
)
def test_repeated_times_become_cron_in_the_persons_zone(text, cron, what):
    wish = understand(text, NOW, "Europe/Vienna")
    assert wish is not None
    assert wish.spec == {"cron": cron, "zone": "Europe/Vienna"}
    assert wish.target == {"request": what}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("every 15 minutes check the page", 900),
        ("every 2 hours send me the load", 7200),
        ("alle 15 Minuten prüfe die Seite", 900),
        ("toutes les 10 minutes vérifie la page", 600),
        ("check the page every 5 minutes", 300),
    ],
)
def test_intervals(text, seconds):
    wish = understand(text, NOW, "UTC")
    assert wish is not None
    assert wish.spec["every"] == seconds


@pytest.mark.parametrize(
    ("text", "moment", "what"),
    [
        ("remind me tomorrow at 9 to call Ada", "2026-11-21 09:00", "call Ada"),
        ("remind me to call Ada tomorrow at 9", "2026-11-21 09:00", "call Ada"),
        ("Remind me at 5 to leave", "2026-11-20 17:00", "leave"),
        ("remind me in 20 minutes to turn off the oven", "2026-11-20 14:20", "turn off the oven"),
        ("remind me in half an hour to leave", "2026-11-20 14:30", "leave"),
        ("remind me on Friday to pay the rent", "2026-11-27 09:00", "pay the rent"),
        ("remind me on Friday at 3pm to pay the rent", "2026-11-20 15:00", "pay the rent"),
        ("remind me on 24 December at 18:00 about the presents", "2026-12-24 18:00", "the presents"),
        ("remind me on December 24 about the presents", "2026-12-24 09:00", "the presents"),
        ("remind me on 2 March to file the taxes", "2027-03-02 09:00", "file the taxes"),
        ("erinnere mich morgen um 9 Uhr daran, Ada anzurufen", "2026-11-21 09:00", "Ada anzurufen"),
        ("Erinnere mich in einer Stunde an den Kuchen", "2026-11-20 15:00", "den Kuchen"),
        ("rappelle-moi demain à 9h d'appeler Ada", "2026-11-21 09:00", "appeler Ada"),
    ],
)
def test_reminders_come_once_at_the_local_time(text, moment, what):
    wish = understand(text, NOW, "Europe/Vienna")
    assert wish is not None
    assert wish.is_reminder
    assert wish.target == {"notice": what}
    assert datetime.fromtimestamp(wish.spec["at"], VIENNA).strftime("%Y-%m-%d %H:%M") == moment


def test_a_reminder_may_be_repeated():
    wish = understand("remind me every Friday at 9 to water the plants", NOW, "UTC")
    assert wish is not None
    assert (wish.spec["cron"], wish.target, wish.is_reminder) == ("0 9 * * 5", {"notice": "water the plants"}, False)


def test_a_zone_may_be_named():
    wish = understand("every day at 17:00 Europe/London write a report", NOW, "Europe/Vienna")
    assert wish is not None
    assert wish.spec == {"cron": "0 17 * * *", "zone": "Europe/London"}


@pytest.mark.parametrize(
    "text",
    [
        "Total for every month from sales.csv",
        "total sales of every day",
        "every row of sales.csv at 8",
        "How many days until Friday?",
        "what happened on Friday at 9",
        "Count every monday in sales.csv",
        "remind me what we said",
        "remind me",
        "every day at 8 and 3 other things",
        "write down the list of the last day of each month in 2026",
        "tomorrow",
        "",
        "every Friday at 99 send me x",
    ],
)
def test_what_is_not_certain_is_no_schedule(text):
    assert understand(text, NOW, "UTC") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("remind me today at 9am to go", "Friday, 20 November 2026, 09:00 has passed"),
        ("every 10 seconds check the page", "so often"),
        ("every day at 8 Europe/Viena send me x", "There is no time zone 'Europe/Viena'. Did you mean Europe/Vienna"),
    ],
)
def test_what_cannot_be_is_said(text, said):
    with pytest.raises(ConfigError, match=said):
        understand(text, NOW, "Europe/Vienna")
