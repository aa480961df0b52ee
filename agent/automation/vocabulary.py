"""The words for times in English, German and French, as patterns."""

from __future__ import annotations

DAYS = (
    "monday montag lundi mon",
    "tuesday dienstag mardi tue tues",
    "wednesday mittwoch mercredi wed",
    "thursday donnerstag jeudi thu thur thurs",
    "friday freitag vendredi fri",
    "saturday samstag sonnabend samedi sat",
    "sunday sonntag dimanche sun",
)
DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "january januar jänner janvier jan",
    "february februar février fevrier feb",
    "march märz mars mar",
    "april avril apr",
    "may mai",
    "june juni juin jun",
    "july juli juillet jul",
    "august août aout aug",
    "september septembre sep sept",
    "october oktober octobre oct okt",
    "november novembre nov",
    "december dezember décembre decembre dec dez",
)
WEEKDAY = {name: number for number, names in enumerate(DAYS) for name in names.split()}
MONTH = {name: number for number, names in enumerate(MONTHS, 1) for name in names.split()}
UNITS = {
    **dict.fromkeys(("second", "sekunde", "seconde"), 1),
    **dict.fromkeys(("minute", "min"), 60),
    **dict.fromkeys(("hour", "stunde", "heure"), 3600),
    **dict.fromkeys(("day", "tag", "jour"), 86400),
    **dict.fromkeys(("week", "woche", "semaine"), 604800),
}
AHEAD = {
    **dict.fromkeys(("today", "tonight", "heute", "aujourd'hui", "aujourd’hui"), 0),
    **dict.fromkeys(("tomorrow", "morgen", "demain"), 1),
    **dict.fromkeys(("the day after tomorrow", "übermorgen", "après-demain"), 2),
}
PARTS = {
    **dict.fromkeys(("morning", "morgen", "matin"), 8),
    **dict.fromkeys(("noon", "mittag", "midi"), 12),
    **dict.fromkeys(("evening", "abend", "soir"), 18),
    **dict.fromkeys(("night", "nacht", "nuit"), 22),
}


def _any(words: object) -> str:
    assert hasattr(words, "__iter__")
    return "|".join(sorted((str(word) for word in words), key=len, reverse=True))


ZONE = r"(?:\s+\(?(?P<zone>[A-Z][A-Za-z]+(?:/[A-Z][A-Za-z_]+)+|UTC)\)?)?"
CLOCK = (
    r"(?:at|um|à|a|gegen)\s+(?:(?P<word>noon|midnight|mittag|mitternacht|midi|minuit)"
    r"|(?P<hour>\d{1,2})(?:(?:[:.]|\s?h\s?)(?P<minute>\d{2}))?(?:\s?(?P<half>[ap]\.?m\.?)|\s*uhr|\s?h|\s*o'clock)?)\b"
    + ZONE
)
DAY = rf"(?:{_any(WEEKDAY)})s?"
DAY_LIST = rf"(?P<days>{DAY}(?:(?:\s*,\s*|\s+(?:and|und|et|or)\s+){DAY})*)"
EVERY = (
    r"(?:(?:every|each|alle|all|jede[nrs]?|toutes les|tous les|chaque)\s+(?:(?P<count>\d{1,4})\s+)?"
    rf"(?P<unit>{_any(UNITS)})(?:s|n|en)?\b"
    r"|(?P<daily>daily|täglich|jeden tag)\b"
    r"|(?:(?:every|on|each)\s+)?(?P<work>weekdays?|work(?:ing )?days?|business days?)\b"
    r"|(?P<werktag>werktags|jeden werktag|chaque jour ouvrable|tous les jours ouvrables|en semaine)\b"
    r"|(?P<hourly>hourly|stündlich)\b"
    rf"|(?:every|each|jede[nrs]?|chaque|tous les)\s+(?P<part>{_any(PARTS)})\b"
    rf"|(?:every|each|jede[nrs]?|chaque|tous les)\s+{DAY_LIST}\b"
    rf"|(?P<plain>{_any(name + 's' for name in WEEKDAY if name.endswith(('day', 'tag')))})\b"
    r"|(?:on |am |le )?(?:the )?(?P<dom>\d{1,2})(?:st|nd|rd|th|\.|er|e)?\s+"
    r"(?:day )?(?:of (?:each|every|the) month|jede[sn] monats|(?:de chaque|du) mois)\b"
    r"|(?:on |am )?(?:the )?(?P<last>last day of (?:each|every|the) month|letzten tag jedes monats)\b)"
)
MONTH_NAME = rf"(?P<month>{_any(MONTH)})\b"
ONCE = (
    rf"(?:in\s+(?P<count>\d{{1,4}}|an?|half an|einer|einem|eine|une?)\s+(?P<unit>{_any(UNITS)})(?:s|n|en)?\b"
    rf"|dans\s+(?P<count_fr>\d{{1,4}}|une?)\s+(?P<unit_fr>{_any(UNITS)})s?\b"
    rf"|(?P<ahead>{_any(AHEAD)})\b(?:\s+(?P<part>morning|evening|night|früh|abend|matin|soir)\b)?"
    r"|(?:on |am |le )?(?P<iso>\d{4}-\d{2}-\d{2})\b"
    rf"|(?:on |am |le )?(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.|er)?\s+(?:of )?{MONTH_NAME}"
    r"(?:\s+(?P<year>\d{4}))?"
    rf"|(?:on )?{MONTH_NAME.replace('month', 'month_us')}\s+(?P<day_us>\d{{1,2}})(?:st|nd|rd|th)?\b"
    r"(?:,?\s+(?P<year_us>\d{4}))?"
    r"|(?:on |am |le )?(?P<day_de>\d{1,2})\.(?P<month_de>\d{1,2})\.(?P<year_de>\d{4})?"
    rf"|(?:on |next |this |am |nächsten |le )?(?P<weekday>{DAY})\b(?:\s+prochain)?)"
)
VERBS = (
    r"send|remind|tell|give|check|make|create|show|post|write|summari[sz]e|run|fetch|look|draw|report|count|list|find|"
    r"schick\w*|sende?|erinner\w*|zeige?|mach\w*|prüf\w*|sag\w*|schreib\w*|fass\w*|envoie\w*|rappelle\w*|montre\w*|"
    r"vérifie\w*|fais|donne\w*|dis|please|bitte"
)
REMIND = r"(?:please\s+|bitte\s+)?(?:remind me|set a reminder|erinnere? mich|rappelle[- ]moi|rappelez[- ]moi)"
LINK = r"(?:\s*,)?\s*(?:to|that|about|an|daran,?|dass|de|d'|d’|que|:|for)?\s*"
