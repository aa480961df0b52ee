"""What people say about time, in five languages, and what comes of it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent.automation.times import check, following
from agent.automation.wording import time_of, understand
from agent.errors import ConfigError

VIENNA = ZoneInfo("Europe/Vienna")
NOW = datetime(2026, 11, 20, 14, 0, tzinfo=VIENNA)  # a Friday

CRON = [
    # English
    ("every day at 8", "0 8 * * *"),
    ("every day at 8am", "0 8 * * *"),
    ("every day at 8 a.m.", "0 8 * * *"),
    ("every day at 8:05 PM", "5 20 * * *"),
    ("daily at 18:30", "30 18 * * *"),
    ("daily 7:15", "15 7 * * *"),
    ("each day at noon", "0 12 * * *"),
    ("every day at midnight", "0 0 * * *"),
    ("every day at half past 7", "30 7 * * *"),
    ("every day at quarter to nine", "45 8 * * *"),
    ("every day at a quarter past nine", "15 9 * * *"),
    ("every day at eight", "0 8 * * *"),
    ("every day at 7 o'clock", "0 7 * * *"),
    ("every day at 7 in the evening", "0 19 * * *"),
    ("every day at 8 and 17", "0 8,17 * * *"),
    ("every day at 8, 12 and 17", "0 8,12,17 * * *"),
    ("every day at 8 and 10 pm", "0 20,22 * * *"),
    ("at 8 every day", "0 8 * * *"),
    ("every weekday at 8", "0 8 * * 1-5"),
    ("weekdays at noon", "0 12 * * 1-5"),
    ("on weekdays at 9:30", "30 9 * * 1-5"),
    ("every working day at 7", "0 7 * * 1-5"),
    ("Monday to Friday at 8", "0 8 * * 1-5"),
    ("from Monday through Friday at 8", "0 8 * * 1-5"),
    ("Tuesday to Thursday at 8", "0 8 * * 2,3,4"),
    ("every weekend at 10", "0 10 * * 0,6"),
    ("on weekends at 10", "0 10 * * 0,6"),
    ("every Friday at 9", "0 9 * * 5"),
    ("every fri at 9", "0 9 * * 5"),
    ("on Fridays at 9", "0 9 * * 5"),
    ("Mondays and Thursdays at 5 pm", "0 17 * * 1,4"),
    ("every Monday, Wednesday and Friday at 6:45", "45 6 * * 1,3,5"),
    ("every Monday morning", "0 8 * * 1"),
    ("every Sunday evening at 7", "0 19 * * 0"),
    ("every morning", "0 8 * * *"),
    ("every morning at 6:30", "30 6 * * *"),
    ("every evening at 7", "0 19 * * *"),
    ("every afternoon", "0 15 * * *"),
    ("every night at 11", "0 23 * * *"),
    ("weekly", "0 9 * * 5"),
    ("every week at 10", "0 10 * * 5"),
    ("monthly", "0 9 1 * *"),
    ("every month", "0 9 1 * *"),
    ("every month on the 15th at 10", "0 10 15 * *"),
    ("monthly on the first", "0 9 1 * *"),
    ("on the 1st of each month", "0 9 1 * *"),
    ("on the 1st and 15th of every month at 8", "0 8 1,15 * *"),
    ("every 15th at 8", "0 8 15 * *"),
    ("on day 3 of each month", None),
    ("on the last day of each month", "0 9 L * *"),
    ("at the end of every month at 18:00", "0 18 L * *"),
    ("on the last working day of the month at 16:00", "0 16 LW * *"),
    ("every first Monday of the month", "0 9 * * 1#1"),
    ("on the first Monday of each month at 10", "0 10 * * 1#1"),
    ("on the third Thursday of every month", "0 9 * * 4#3"),
    ("the second Tuesday of each month at 7pm", "0 19 * * 2#2"),
    ("the last Friday of each month at 4 pm", "0 16 * * 5L"),
    ("every last Friday at 16:00", "0 16 * * 5L"),
    ("every quarter", "0 9 1 1,4,7,10 *"),
    ("quarterly at 8", "0 8 1 1,4,7,10 *"),
    ("every 3 months", "0 9 1 1,4,7,10 *"),
    ("every year on 24 December at 18:00", "0 18 24 12 *"),
    ("every year on March 3rd", "0 9 3 3 *"),
    ("every 24 December", "0 9 24 12 *"),
    ("every 2 hours between 9 and 17", "0 9-17/2 * * *"),
    ("every hour between 9 and 17 on weekdays", None),
    ("every hour from 9 to 17", "0 9-17 * * *"),
    ("every 30 minutes between 8am and 6pm", "*/30 8-17 * * *"),
    ("every 15 minutes on weekdays between 9 and 17", "*/15 9-16 * * 1-5"),
    ("every hour on weekdays", "0 * * * 1-5"),
    # German
    ("jeden Tag um 8", "0 8 * * *"),
    ("täglich um 18:30 Uhr", "30 18 * * *"),
    ("täglich um 18 Uhr 30", "30 18 * * *"),
    ("jeden Tag um halb neun", "30 8 * * *"),
    ("jeden Tag um viertel nach 8", "15 8 * * *"),
    ("jeden Tag um 7 Uhr abends", "0 19 * * *"),
    ("jeden Tag um 8 und 17 Uhr", "0 8,17 * * *"),
    ("jeden Tag mittags", None),
    ("jeden Werktag um 8", "0 8 * * 1-5"),
    ("werktags um 8 Uhr", "0 8 * * 1-5"),
    ("an Werktagen um 7:30", "30 7 * * 1-5"),
    ("montags bis freitags um 8", "0 8 * * 1-5"),
    ("von Montag bis Freitag um 8", "0 8 * * 1-5"),
    ("jedes Wochenende um 10", "0 10 * * 0,6"),
    ("jeden Freitag um 9 Uhr", "0 9 * * 5"),
    ("freitags um 9", "0 9 * * 5"),
    ("jeden Montag und Donnerstag um 17 Uhr", "0 17 * * 1,4"),
    ("jeden Freitagabend", "0 18 * * 5"),
    ("jeden Morgen", "0 8 * * *"),
    ("jeden Abend um 7", "0 19 * * *"),
    ("morgens um 7", "0 7 * * *"),
    ("wöchentlich", "0 9 * * 5"),
    ("jede Woche", "0 9 * * 5"),
    ("monatlich", "0 9 1 * *"),
    ("jeden Monat am 15. um 10", "0 10 15 * *"),
    ("am 1. jedes Monats", "0 9 1 * *"),
    ("am ersten Montag im Monat um 9", "0 9 * * 1#1"),
    ("jeden ersten Montag im Monat", "0 9 * * 1#1"),
    ("am letzten Freitag des Monats um 16 Uhr", "0 16 * * 5L"),
    ("am letzten Tag jedes Monats", "0 9 L * *"),
    ("am Monatsende", "0 9 L * *"),
    ("jedes Jahr am 24. Dezember um 18 Uhr", "0 18 24 12 *"),
    ("alle 2 Stunden zwischen 9 und 17 Uhr", "0 9-17/2 * * *"),
    # French
    ("tous les jours à 8h", "0 8 * * *"),
    ("chaque jour à 8h30", "30 8 * * *"),
    ("tous les jours à midi", "0 12 * * *"),
    ("tous les jours à 9 heures du soir", "0 21 * * *"),
    ("tous les jours à neuf heures et demie", "30 9 * * *"),
    ("tous les jours ouvrables à 8h", "0 8 * * 1-5"),
    ("chaque jour ouvrable à 8 h", "0 8 * * 1-5"),
    ("en semaine à 8h", "0 8 * * 1-5"),
    ("du lundi au vendredi à 8h", "0 8 * * 1-5"),
    ("tous les vendredis à 9h", "0 9 * * 5"),
    ("chaque lundi matin", "0 8 * * 1"),
    ("tous les lundis et jeudis à 17h", "0 17 * * 1,4"),
    ("chaque matin", "0 8 * * *"),
    ("tous les soirs à 7h", "0 19 * * *"),
    ("tous les week-ends à 10h", "0 10 * * 0,6"),
    ("chaque mois", "0 9 1 * *"),
    ("le 15 de chaque mois à 10h", "0 10 15 * *"),
    ("le premier lundi du mois à 9h", "0 9 * * 1#1"),
    ("le dernier vendredi de chaque mois", "0 9 * * 5L"),
    ("le dernier jour du mois", "0 9 L * *"),
    ("toutes les 2 heures entre 9h et 17h", "0 9-17/2 * * *"),
    # Russian
    ("каждый день в 9", "0 9 * * *"),
    ("каждый день в 9 утра", "0 9 * * *"),
    ("каждый день в 7 вечера", "0 19 * * *"),
    ("ежедневно в 18:30", "30 18 * * *"),
    ("каждый будний день в 8", "0 8 * * 1-5"),
    ("по будням в 8:30", "30 8 * * 1-5"),
    ("каждую пятницу в 9", "0 9 * * 5"),
    ("каждый понедельник и четверг в 17:00", "0 17 * * 1,4"),
    ("каждое утро", "0 8 * * *"),
    ("каждый вечер в 8", "0 20 * * *"),
    ("каждый месяц", "0 9 1 * *"),
    # Chinese
    ("每天9点", "0 9 * * *"),
    ("每天早上8点半", "30 8 * * *"),
    ("每天下午3点", "0 15 * * *"),
    ("每天晚上10:30", "30 22 * * *"),
    ("每个工作日8点", "0 8 * * 1-5"),
    ("每周五上午9点", "0 9 * * 5"),
    ("每周一和周四17点", None),
    ("每周一、四17点", "0 17 * * 1,4"),
    ("每月1号九点", "0 9 1 * *"),
    ("每星期日", "0 9 * * 0"),
]

EVERY = [
    ("every minute", 60),
    ("every 5 minutes", 300),
    ("every five minutes", 300),
    ("every half hour", 1800),
    ("every hour", 3600),
    ("hourly", 3600),
    ("every two hours", 7200),
    ("every 2 days", 172_800),
    ("every 2 weeks", 1_209_600),
    ("every second day", 172_800),
    ("every other week", 1_209_600),
    ("fortnightly", 1_209_600),
    ("every other hour", 7200),
    ("alle 2 Tage", 172_800),
    ("alle 14 Tage", 1_209_600),
    ("alle 2 Wochen", 1_209_600),
    ("toutes les 2 semaines", 1_209_600),
    ("каждые 2 недели", 1_209_600),
    ("每两周", 1_209_600),
    ("alle 15 Minuten", 900),
    ("alle zwei Stunden", 7200),
    ("jede Stunde", 3600),
    ("stündlich", 3600),
    ("jede halbe Stunde", 1800),
    ("toutes les 10 minutes", 600),
    ("toutes les heures", 3600),
    ("toutes les deux heures", 7200),
    ("каждые 15 минут", 900),
    ("каждый час", 3600),
    ("каждые 2 часа", 7200),
    ("每15分钟", 900),
    ("每小时", 3600),
    ("每两小时", 7200),
]

APART = [
    ("every other Friday at 9", "0 9 * * 5", "weeks", 2, "2026-11-27"),
    ("every other Friday at 16:00", "0 16 * * 5", "weeks", 2, "2026-11-20"),
    ("every second Monday at 8:30", "30 8 * * 1", "weeks", 2, "2026-11-23"),
    ("every other Monday", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("every 2 weeks at 9", "0 9 * * 5", "weeks", 2, "2026-11-27"),
    ("every 2 weeks on Monday at 9", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("every two weeks on Monday and Thursday at 8 and 17", "0 8,17 * * 1,4", "weeks", 2, "2026-11-23"),
    ("every other week on Tuesday at 10", "0 10 * * 2", "weeks", 2, "2026-11-24"),
    ("every 3 weeks on Wednesday evening", "0 18 * * 3", "weeks", 3, "2026-11-25"),
    ("every other day at 9", "0 9 * * *", "days", 2, "2026-11-21"),
    ("every 3 days at 15:00", "0 15 * * *", "days", 3, "2026-11-20"),
    ("every fortnight on Friday at 9", "0 9 * * 5", "weeks", 2, "2026-11-27"),
    ("jeden zweiten Montag um 9", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("alle 2 Wochen am Montag um 9 Uhr", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("alle zwei Wochen montags um 9", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("alle 14 Tage am Freitag um halb neun", "30 8 * * 5", "weeks", 2, "2026-11-27"),
    ("vierzehntägig am Freitag um 9", "0 9 * * 5", "weeks", 2, "2026-11-27"),
    ("jeden zweiten Tag um 8", "0 8 * * *", "days", 2, "2026-11-21"),
    ("toutes les deux semaines le lundi à 9h", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("un lundi sur deux à 9h", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("un jour sur deux à 8h", "0 8 * * *", "days", 2, "2026-11-21"),
    ("каждый второй понедельник в 9", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("каждые две недели по понедельникам в 9", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("раз в две недели в 10", "0 10 * * 5", "weeks", 2, "2026-11-27"),
    ("每两周周一9点", "0 9 * * 1", "weeks", 2, "2026-11-23"),
    ("每隔一周周五上午9点", "0 9 * * 5", "weeks", 2, "2026-11-27"),
    ("每2天9点", "0 9 * * *", "days", 2, "2026-11-21"),
]

ONCE = [
    ("in 20 minutes", "2026-11-20 14:20"),
    ("in an hour", "2026-11-20 15:00"),
    ("in half an hour", "2026-11-20 14:30"),
    ("in an hour and a half", "2026-11-20 15:30"),
    ("in 2 hours and 15 minutes", "2026-11-20 16:15"),
    ("in 1.5 hours", "2026-11-20 15:30"),
    ("20 minutes from now", "2026-11-20 14:20"),
    ("in two days at 9", "2026-11-22 09:00"),
    ("in a week", "2026-11-27 14:00"),
    ("at 5", "2026-11-20 17:00"),
    ("at 17:30", "2026-11-20 17:30"),
    ("at noon", "2026-11-21 12:00"),
    ("at 8 pm", "2026-11-20 20:00"),
    ("at 8 in the evening", "2026-11-20 20:00"),
    ("today at 6", "2026-11-20 18:00"),
    ("tonight", "2026-11-20 20:00"),
    ("tonight at 9", "2026-11-20 21:00"),
    ("this evening", "2026-11-20 18:00"),
    ("this evening at 7", "2026-11-20 19:00"),
    ("tomorrow", "2026-11-21 09:00"),
    ("tomorrow morning", "2026-11-21 08:00"),
    ("tomorrow morning at 6:30", "2026-11-21 06:30"),
    ("tomorrow afternoon", "2026-11-21 15:00"),
    ("tomorrow evening at 8", "2026-11-21 20:00"),
    ("tomorrow at noon", "2026-11-21 12:00"),
    ("the day after tomorrow at 10", "2026-11-22 10:00"),
    ("on Monday", "2026-11-23 09:00"),
    ("Monday morning", "2026-11-23 08:00"),
    ("this Friday at 3pm", "2026-11-20 15:00"),
    ("next Tuesday", "2026-11-24 09:00"),
    ("next Tuesday at 10", "2026-11-24 10:00"),
    ("next Friday at 9", "2026-11-27 09:00"),
    ("next week", "2026-11-23 09:00"),
    ("next month", "2026-12-01 09:00"),
    ("on 24 December at 18:00", "2026-12-24 18:00"),
    ("on December 24th", "2026-12-24 09:00"),
    ("Dec 24, 2026 at 6 pm", "2026-12-24 18:00"),
    ("on the 3rd of March", "2027-03-03 09:00"),
    ("on 2026-12-24 at 7:45", "2026-12-24 07:45"),
    ("24/12/2026", "2026-12-24 09:00"),
    ("12/24/2026", "2026-12-24 09:00"),
    ("on the 25th", "2026-11-25 09:00"),
    ("on 29 March 2027 at 9", "2027-03-29 09:00"),
    ("on 28 March 2027 at 2:30", "2027-03-28 03:30"),  # the clocks go forward: that time is skipped
    ("in 20 Minuten", "2026-11-20 14:20"),
    ("in einer Stunde", "2026-11-20 15:00"),
    ("in einer halben Stunde", "2026-11-20 14:30"),
    ("morgen", "2026-11-21 09:00"),
    ("morgen früh", "2026-11-21 08:00"),
    ("morgen um halb neun", "2026-11-21 08:30"),
    ("morgen Abend um 8", "2026-11-21 20:00"),
    ("heute Abend", "2026-11-20 18:00"),
    ("heute um 18 Uhr", "2026-11-20 18:00"),
    ("übermorgen um 10", "2026-11-22 10:00"),
    ("am Montag um 9", "2026-11-23 09:00"),
    ("nächsten Dienstag", "2026-11-24 09:00"),
    ("nächste Woche", "2026-11-23 09:00"),
    ("am 24. Dezember", "2026-12-24 09:00"),
    ("am 24.12. um 18 Uhr", "2026-12-24 18:00"),
    ("am 24.12.2026", "2026-12-24 09:00"),
    ("dans 20 minutes", "2026-11-20 14:20"),
    ("dans une heure", "2026-11-20 15:00"),
    ("dans une demi-heure", "2026-11-20 14:30"),
    ("demain", "2026-11-21 09:00"),
    ("demain matin", "2026-11-21 08:00"),
    ("demain à 9h30", "2026-11-21 09:30"),
    ("ce soir", "2026-11-20 18:00"),
    ("mardi prochain à 10h", "2026-11-24 10:00"),
    ("le 24 décembre à 18h", "2026-12-24 18:00"),
    ("через 20 минут", "2026-11-20 14:20"),
    ("через час", "2026-11-20 15:00"),
    ("завтра в 9", "2026-11-21 09:00"),
    ("завтра утром", "2026-11-21 08:00"),
    ("в понедельник в 10", "2026-11-23 10:00"),
    ("24 декабря в 18:00", "2026-12-24 18:00"),
    ("20分钟后", "2026-11-20 14:20"),
    ("半小时后", "2026-11-20 14:30"),
    ("明天9点", "2026-11-21 09:00"),
    ("明天早上8点", "2026-11-21 08:00"),
    ("今晚8点", "2026-11-20 20:00"),
    ("下周二10点", "2026-11-24 10:00"),
    ("12月24日18点", "2026-12-24 18:00"),
]


@pytest.mark.parametrize(("text", "cron"), [case for case in CRON if case[1]])
def test_what_repeats_is_understood(text, cron):
    made = time_of(text, NOW, "Europe/Vienna")

    assert made is not None
    assert (made[0].get("cron"), made[0]["zone"]) == (cron, "Europe/Vienna")
    check(made[0])


@pytest.mark.parametrize(("text", "seconds"), EVERY)
def test_intervals_are_understood(text, seconds):
    made = time_of(text, NOW, "Europe/Vienna")

    assert made is not None
    assert made[0].get("every") == seconds
    check(made[0])


@pytest.mark.parametrize(("text", "cron", "unit", "count", "first"), APART)
def test_one_week_or_day_in_so_many_is_understood(text, cron, unit, count, first):
    made = time_of(text, NOW, "Europe/Vienna")

    assert made is not None
    assert made[0] == {"cron": cron, "zone": "Europe/Vienna", unit: count, "from": first}
    assert made[1].startswith(f"every {count} {unit}")
    check(made[0])
    begins = following(made[0], 0.0, NOW.timestamp())
    assert datetime.fromtimestamp(begins, VIENNA).date().isoformat() == first


@pytest.mark.parametrize(
    ("text", "what", "first"),
    [
        ("every other Monday at 9 send me the news", {"request": "send me the news"}, "2026-11-23"),
        ("send me the news every 2 weeks on Monday", {"request": "send me the news"}, "2026-11-23"),
        ("remind me every other Friday to water the plants", {"notice": "water the plants"}, "2026-11-27"),
        ("alle 2 Wochen am Montag um 9 schick mir die Zahlen", {"request": "schick mir die Zahlen"}, "2026-11-23"),
        ("每两周周一9点提醒我浇花", {"notice": "浇花"}, "2026-11-23"),
    ],
)
def test_a_request_may_come_every_other_week(text, what, first):
    wish = understand(text, NOW, "Europe/Vienna")
    assert wish is not None
    assert (wish.target, wish.spec["weeks"], wish.spec["from"]) == (what, 2, first)


@pytest.mark.parametrize(("text", "moment"), ONCE)
def test_what_comes_once_is_understood(text, moment):
    made = time_of(text, NOW, "Europe/Vienna")

    assert made is not None
    assert datetime.fromtimestamp(made[0]["at"], VIENNA).strftime("%Y-%m-%d %H:%M") == moment
    assert f"{moment[-5:]} Europe/Vienna" in made[1]


@pytest.mark.parametrize("text", [case[0] for case in CRON if case[1] and case[0][0].isascii()])
def test_a_time_said_before_or_after_the_request_is_the_same(text):
    before = understand(f"{text} send me the news", NOW, "Europe/Vienna")
    alone = time_of(text, NOW, "Europe/Vienna")

    assert before is not None
    assert before.target == {"request": "send me the news"}
    assert before.spec == alone[0]


@pytest.mark.parametrize("text", [case[0] for case in ONCE])
def test_a_reminder_may_have_its_time_at_either_end(text):
    alone = time_of(text, NOW, "Europe/Vienna")
    chinese = (not text[0].isascii() and not text[0].isalpha()) or "点" in text or "后" in text
    said = [f"{text}提醒我喝水"] if chinese else [f"remind me {text} to drink", f"remind me to drink {text}"]
    for one in said:
        wish = understand(one, NOW, "Europe/Vienna")
        assert wish is not None, one
        assert (wish.spec["at"], wish.target["notice"]) == (alone[0]["at"], "喝水" if chinese else "drink"), one


@pytest.mark.parametrize(
    ("text", "what", "cron"),
    [
        ("please send me the news every weekday at 8", "please send me the news", "0 8 * * 1-5"),
        ("Schick mir bitte jeden Freitag um 9 die Zahlen", None, None),
        ("Schick mir die Zahlen jeden Freitag um 9", "Schick mir die Zahlen", "0 9 * * 5"),
        ("envoie-moi le rapport tous les vendredis à 9h", "envoie-moi le rapport", "0 9 * * 5"),
        ("каждую пятницу в 9 присылай мне отчёт", "присылай мне отчёт", "0 9 * * 5"),
        ("每周五上午9点给我发总结", "给我发总结", "0 9 * * 5"),
        ("every 2 hours between 9 and 17 check the page", "check the page", "0 9-17/2 * * *"),
        ("every weekday at 8: summarise my mail", "summarise my mail", "0 8 * * 1-5"),
        ("compare the prices every Monday at 7", "compare the prices", "0 7 * * 1"),
    ],
)
def test_requests(text, what, cron):
    wish = understand(text, NOW, "Europe/Vienna")
    assert (wish.text if wish else None) == what
    assert (wish.spec["cron"] if wish else None) == cron


@pytest.mark.parametrize(
    ("text", "day", "said"),
    [
        (
            "every day at 8 until Friday",
            "2026-11-20",
            "every day at 8:00 Europe/Vienna, until Friday, 20 November 2026",
        ),
        ("every day at 8 until 24 December", "2026-12-24", "until Thursday, 24 December 2026"),
        ("jeden Tag um 8 bis Montag", "2026-11-23", "until Monday, 23 November 2026"),
        ("tous les jours à 8h jusqu'au 24 décembre", "2026-12-24", "until Thursday, 24 December 2026"),
    ],
)
def test_until_a_day_that_day_included(text, day, said):
    made = time_of(text, NOW, "Europe/Vienna")

    assert made is not None
    assert said in made[1]
    end = datetime.fromtimestamp(made[0]["until"], VIENNA)
    assert (end.hour, (end.timestamp() - datetime.fromisoformat(day).replace(tzinfo=VIENNA).timestamp())) == (0, 86400)
    assert following(made[0], 0.0, made[0]["until"] - 3600) is None


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("every day at 9 UTC", "UTC"),
        ("every day at 9 Europe/London", "Europe/London"),
        ("every day at 9 (America/New_York)", "America/New_York"),
        ("every day at 9 London time", "Europe/London"),
        ("every day at 9 New York time", "America/New_York"),
    ],
)
def test_a_zone_that_is_named_counts(text, zone):
    made = time_of(text, NOW, "Europe/Vienna")
    assert made is not None
    assert (made[0]["cron"], made[0]["zone"]) == ("0 9 * * *", zone)
    assert made[1].endswith(zone)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("every 2 days on Monday at 9", "on certain days can't both be"),
        ("every 2 hours at 9", "every 2 hours at a given time"),
        ("biweekly at 9", "may be twice a week, or every 2 weeks"),
        ("every day at 8 and 17:30", "One schedule can't do those times"),
        ("every day at 9 EST", "“EST” does not say which clock"),
        ("every day at 9 Gotham time", "which time zone “Gotham time” is"),
        ("3/4/2027", "3/4 may be 3 April or 4 March"),
        ("every 7 minutes between 9 and 17", "does not come out even"),
        ("every hour between 17 and 9", "over midnight"),
        ("every 5 years", "I need a day"),
        ("every 30 seconds", "so often"),
        ("on 2020-01-01", "has passed"),
        ("today at 9 am", "has passed"),
        ("tomorrow at 8 and 9", "at two times"),
        ("every day at 8 until 2020-01-01", "has passed"),
        ("今天9点", "has passed"),
    ],
)
def test_what_cannot_be_or_may_be_two_things_is_said(text, said):
    with pytest.raises(ConfigError, match=said):
        time_of(text, NOW, "Europe/Vienna")


def test_next_friday_said_on_a_monday_may_be_two_days():
    monday = datetime(2026, 11, 23, 10, 0, tzinfo=VIENNA)
    with pytest.raises(ConfigError, match="“next Friday” may be 27 November or 04 December"):
        time_of("next Friday at 9", monday, "Europe/Vienna")
    assert time_of("this Friday at 9", monday, "Europe/Vienna") is not None


@pytest.mark.parametrize(
    "text",
    [
        "soon", "every", "at 25", "every day at 9:75", "every day at 8 13 pm", "on 31 February", "in minutes ago",
        "every Friday the 13th at", "8", "", "the news", "每", "提醒我", "am 32.", "every 45th of the month", "12/45/2026",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(text):
    assert time_of(text, NOW, "Europe/Vienna") is None


@pytest.mark.parametrize(
    "text",
    [
        "What happens every day at 8 in this log?",
        "the meeting is every Friday at 9",
        "show sales by month for every Friday",
        "count the rows of every sheet",
        "send the file to Ada",
        "compare Monday and Tuesday in sales.csv",
        "chart revenue from Monday to Friday",
        "list the files of today",
        "What did I ask yesterday at 9?",
        "average temperature at noon in weather.csv",
        "translate “every day at 8” into German",
        "in 2024 how many sales were there",
        "wie viele Tage bis Freitag",
        "每天的销售额是多少",
        "write a poem about Friday morning",
        "weekly report.csv: total per region",
        "daily chart of revenue from sales.csv",
    ],
)
def test_requests_that_speak_of_time_are_left_alone(text):
    assert understand(text, NOW, "Europe/Vienna") is None


def test_there_are_enough_of_them():
    assert len(CRON) + len(EVERY) + len(ONCE) >= 250


def test_a_long_text_is_read_at_once():
    assert understand("every day at 8 " * 5_000, NOW, "UTC") is None
    assert understand("every day at 8 and " * 100, NOW, "UTC") is None
    assert time_of("in " * 600, NOW, "UTC") is None
