# ruff: noqa: SIM905 - lines of words read better than lists of quotes
"""The words for times in English, German, French and Russian. Chinese, which has no spaces, is in `chinese.py`."""

from __future__ import annotations

from collections.abc import Iterable


def one_of(words: Iterable[str]) -> str:
    """Return a pattern for any of the words, longest first."""
    return "(?:" + "|".join(sorted(words, key=len, reverse=True)) + ")"


DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_NAMES = "January February March April May June July August September October November December".split()
DAYS = (
    "monday montag lundi mon понедельник понедельникам понедельника",
    "tuesday dienstag mardi tue tues вторник вторникам вторника",
    "wednesday mittwoch mercredi wed среда среду средам среды",
    "thursday donnerstag jeudi thu thur thurs четверг четвергам четверга",
    "friday freitag vendredi fri пятница пятницу пятницам пятницы",
    "saturday samstag sonnabend samedi sat суббота субботу субботам субботы",
    "sunday sonntag dimanche sun воскресенье воскресеньям воскресенья",
)
MONTHS = (
    "january januar jänner janvier jan января",
    "february februar februer février fevrier feb февраля",
    "march märz mars mar марта",
    "april avril apr апреля",
    "may mai мая",
    "june juni juin jun июня",
    "july juli juillet jul июля",
    "august août aout aug августа",
    "september septembre sep sept сентября",
    "october oktober octobre oct okt октября",
    "november novembre nov ноября",
    "december dezember décembre decembre dec dez декабря",
)
WEEKDAY = {name: number for number, names in enumerate(DAYS) for name in names.split()}
MONTH = {name: number for number, names in enumerate(MONTHS, 1) for name in names.split()}
NUMBER = {
    word: number
    for number, words in enumerate(
        (
            "one eins ein eine einer einem un une один одну час",
            "two zwei deux два две",
            "three drei trois три",
            "four vier quatre четыре",
            "five fünf cinq пять",
            "six sechs шесть",
            "seven sieben sept семь",
            "eight acht huit восемь",
            "nine neun neuf девять",
            "ten zehn dix десять",
            "eleven elf onze одиннадцать",
            "twelve zwölf douze двенадцать",
        ),
        1,
    )
    for word in words.split()
} | {"fifteen": 15, "twenty": 20, "thirty": 30, "fünfzehn": 15, "zwanzig": 20, "dreißig": 30, "quinze": 15, "vingt": 20}
ORDINAL = {
    word: number
    for number, words in enumerate(
        (
            "first 1st erste ersten erster premier première первый первую первое 1er",
            "second 2nd zweite zweiten deuxième второй вторую второе 2e",
            "third 3rd dritte dritten troisième третий третью третье 3e",
            "fourth 4th vierte vierten quatrième четвертый четвёртый 4e",
        ),
        1,
    )
    for word in words.split()
} | dict.fromkeys("last letzte letzten dernier dernière последний последнюю последнее".split(), -1)
MINUTE, HOUR, A_DAY, WEEK = 60, 3600, 86_400, 604_800
UNITS = {
    **dict.fromkeys(("second", "sekunde", "seconde", "секунд", "секунды", "секунду"), 1),
    **dict.fromkeys(("minute", "min", "минут", "минуты", "минуту"), MINUTE),
    **dict.fromkeys(("hour", "stunde", "heure", "час", "часа", "часов"), HOUR),
    **dict.fromkeys(("day", "tag", "jour", "день", "дня", "дней"), A_DAY),
    **dict.fromkeys(("week", "woche", "semaine", "неделя", "неделю", "недели", "недель"), WEEK),
}
LONG_UNITS = {
    **dict.fromkeys(("month", "monat", "mois", "месяц", "месяца", "месяцев"), "month"),
    **dict.fromkeys(("quarter", "quartal", "trimestre", "квартал"), "quarter"),
    **dict.fromkeys(("year", "jahr", "an", "année", "год"), "year"),
}
AHEAD = {
    **dict.fromkeys(("today", "tonight", "heute", "aujourd'hui", "aujourd’hui", "сегодня"), 0),
    **dict.fromkeys(("tomorrow", "morgen", "demain", "завтра"), 1),
    **dict.fromkeys(("the day after tomorrow", "übermorgen", "après-demain", "послезавтра"), 2),
}
PARTS = {
    **dict.fromkeys(("morning", "morgen", "früh", "matin", "утро", "утром", "утра"), "morning"),
    **dict.fromkeys(("vormittag", "forenoon"), "forenoon"),
    **dict.fromkeys(("noon", "lunchtime", "mittag", "midi"), "noon"),
    **dict.fromkeys(("afternoon", "nachmittag", "après-midi", "дня", "днём", "днем"), "afternoon"),
    **dict.fromkeys(("evening", "abend", "soir", "вечер", "вечером", "вечера"), "evening"),
    **dict.fromkeys(("night", "nacht", "nuit", "ночь", "ночью", "ночи"), "night"),
}
PLURAL_PARTS = {
    **dict.fromkeys(("mornings", "morgens", "по утрам"), "morning"),
    **dict.fromkeys(("vormittags",), "forenoon"),
    **dict.fromkeys(("mittags",), "noon"),
    **dict.fromkeys(("afternoons", "nachmittags"), "afternoon"),
    **dict.fromkeys(("evenings", "abends", "по вечерам"), "evening"),
    **dict.fromkeys(("nights", "nachts", "по ночам"), "night"),
}
PART_HOURS = {"morning": 8, "forenoon": 10, "noon": 12, "afternoon": 15, "evening": 18, "night": 22}
CLOCK_WORDS = {
    **dict.fromkeys(("noon", "mittag", "midi", "полдень", "midday"), 12),
    **dict.fromkeys(("midnight", "mitternacht", "minuit", "полночь"), 0),
}
TELLING_PARTS = {
    **dict.fromkeys(("in the morning", "morgens", "früh", "in der früh", "vormittags", "du matin", "утра"), "morning"),
    **dict.fromkeys(
        ("in the afternoon", "nachmittags", "am nachmittag", "de l'après-midi", "de l’après-midi", "дня"), "afternoon"
    ),
    **dict.fromkeys(("in the evening", "tonight", "abends", "am abend", "du soir", "вечера"), "evening"),
    **dict.fromkeys(("at night", "nachts", "in der nacht", "de la nuit", "ночи"), "night"),
}
ABBREVIATIONS = frozenset(
    "CET CEST MEZ MESZ EST EDT CST CDT MST MDT PST PDT ET PT BST IST JST AEST AEDT MSK WET EET".split()
)
VERBS = (
    r"send|remind|tell|give|check|make|create|show|post|write|summari[sz]e|sum up|run|fetch|look|draw|report|count|"
    r"list|find|message|ping|notify|e-?mail|plan|search|translate|back up|clean|save|read|download|update|ask|watch|"
    r"test|say|play|compare|analy[sz]e|generate|prepare|review|collect|convert|export|import|archive|publish|"
    r"let me know|get|chart|plot|calculate|add up|call|do|turn|start|wake|pull|scan|sort|tidy|delete|remove|sync|"
    r"copy|print|share|schick\w*|sende?|erinner\w*|zeige?|mach\w*|prüf\w*|überprüf\w*|sag\w*|schreib\w*|fass\w*|lies|hole?|"
    r"such\w*|vergleich\w*|erstell\w*|meld\w*|informier\w*|lade?|speicher\w*|zähl\w*|räum\w*|start\w*|gib|berichte?|führ\w*|"
    r"stell\w*|übersetz\w*|plan\w*|weck\w*|ruf\w*|"
    r"envoie\w*|envoyez|rappelle\w*|montre\w*|vérifie\w*|fais|donne\w*|dis|lis|cherche\w*|prépare\w*|résume\w*|crée\w*|"
    r"compare\w*|écris|compte\w*|télécharge\w*|préviens|"
    r"пришли\w*|присылай\w*|отправ\w*|напомни\w*|напоминай\w*|покажи\w*|показывай\w*|сделай\w*|делай\w*|провер\w*|"
    r"скажи\w*|напиши\w*|собери\w*|собирай\w*|расскажи\w*|дай\w*|посчитай\w*|"
    r"please|bitte|s['’]il (?:te|vous) pla[iî]t|пожалуйста"
)
REMIND = (
    r"(?:(?:please|bitte|пожалуйста)[\s,]+)?(?:(?:can|could|will) you\s+)?"
    r"(?:remind me|set (?:me )?a reminder|erinnere? mich|rappelle[- ]moi|rappelez[- ]moi|напомни(?:те)?(?: мне)?|"
    r"напоминай(?:те)?(?: мне)?)"
)
LINK = r"(?:\s*,)?\s*(?:to|that|about|an|daran,?|dass|de|d'|d’|que|что|о|об|:|for)?\s*"
OTHER = r"(?:other|second|2nd|zweite[nrs]?|2\.|andere[nrs]?|deuxième|второй|вторую|второе)"
EACH = r"(?:every|each|alle|all|jede[nrsm]?|toutes les|tous les|chaque|кажд\w{2,3}|по)"
THE = r"(?:(?:on|am|an|le|at|in|im|в|во)\s+)?(?:the\s+|der\s+|dem\s+|den\s+|la\s+)?"
OF_MONTH = (
    r"(?:(?:of|in)\s+(?:each|every|the|a)\s+month|(?:jede[sn]|des|eines|im|jeden)\s+monats?|"
    r"(?:de chaque|du|de ce|par)\s+mois|(?:каждого\s+)?месяца)"
)
AND = r"(?:\s*,\s*(?:and\s+|und\s+|et\s+|и\s+)?|\s+(?:and|und|et|or|и)\s+|\s*&\s*)"
DAY = rf"{one_of(WEEKDAY)}s?"
DAY_LIST = rf"{DAY}(?:{AND}{DAY})*"
PART = rf"(?:\s*(?:in the |am )?(?P<part>{one_of(PARTS)}))?"
MONTH_NAME = one_of(MONTH)
COUNT = rf"(?:\d{{1,4}}|{one_of(NUMBER)})"
NTH = one_of(ORDINAL)
SUFFIX = r"(?:st|nd|rd|th|\.|er|e|ème|го|-го)?"
_HINTS = tuple(
    "every each all jede toute tous chaque кажд week work werk arbeits daily tägl month monat mens quart viertelj year "
    "jähr hour stünd stund heure minut uhr remind erinn rappel напом busi jour woche будн выход ежедн ежен ежеч ежем "
    "heute übermorg today tonight demain aujourd après-d сегодня завтра послезавтра half halb demi abend nacht mittag "
    "vormittag nachmittag morn morg evening night afternoon matin soir nuit утр вечер ноч noon midnight minuit midi "
    "полчаса через day tag quoti hebdo end fin ende wöch biweekly fortnight vierzehn zweiwö 14-täg раз un".split()
)


def may_tell_time(text: str) -> bool:
    """Say whether a text may hold a time at all, cheaply: the patterns that know for sure are made only then."""
    known = {**WEEKDAY, **MONTH, **NUMBER, **ORDINAL, **AHEAD}
    for word in text.casefold().split():
        plain = word.strip(",.:!?()")
        if plain.startswith(_HINTS) or plain[:1].isdigit() or plain in known or plain.removesuffix("s") in known:
            return True
    return is_chinese(text)


def is_chinese(text: str) -> bool:
    """Say whether a text has Chinese characters."""
    return any("\u4e00" <= sign <= "\u9fff" for sign in text)
