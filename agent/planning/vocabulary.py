"""Small words: those that don't count, those that mean the same, and those that begin a request."""

from __future__ import annotations

from agent.texts import mark


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _numbered(words: str) -> dict[str, int]:
    return {word: number for number, word in enumerate(words.split(), 1)}


ARTICLES = "the|a|an|my|our|your|me|us|some|please|der|die|das|den|dem|ein|eine|einen|mir|le|la|les|un|une|des|du|moi"

SAME = (
    ("by", "per", "for each", "for every", "over", "against", "nach", "pro", "par"),
    ("from", "in", "of", "using", "within", "out of", "aus", "von", "dans", "de"),
    ("to", "into", "as"),
    ("save", "store", "write"),
    ("has", "had", "have"),
    ("is", "was", "are", "were"),
    ("highest", "most", "largest", "biggest"),
    ("total", "overall"),
    ("chart", "diagram"),
)
"""Words that stand for each other in a template."""

CLASS = {word: words for words in SAME for word in words}

ENDINGS = ("ern", "er", "es", "en", "em", "e", "s", "n", "r")
"""Endings that make no difference, of words that stay four letters long without them."""

WEAK_STARTS = _set(
    """the a an total top sum number line bar pie table histogram of in from to by date file files text rows average
    summe durchschnitt me my""",
)
"""First words of examples that are as often in the middle of a request: they begin no part of their own."""

ASKING = _set(
    "tell show give find list what which when where who how why is are welcher welche was wie quel please can"
)

COMMANDS = _set(
    """show give tell make create draw plot chart graph sort order filter select list find compare convert turn open
    read print summarize summarise translate rename delete remove copy move write build add send book search calculate
    compute describe visualise visualize pie histogram scatter diagram then also please what which how who erstelle
    zeige zeig mach zeichne diagramm trace montre fais crée sortiere filtere liste convertis""",
)
"""Words that ask for something: no column is called so, and a template that would take them for one does not fit."""

ASKED = (
    "show me|give me|tell me|get me|find me|i want to see|i want to know|i want|i need|i'd like|do you know|let me see|"
    "show|give|zeig mir|zeige mir|gib mir|sag mir|ich brauche|ich möchte|montre-moi|donne-moi|dis-moi|je voudrais"
)
"""How a request may begin without asking for anything in particular."""

MONTHS = {
    **_numbered("january february march april may june july august september october november december"),
    **_numbered("januar februar märz april mai juni juli august september oktober november dezember"),
    **_numbered("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
}

EMPTY = _set(
    """a an and are as at be by can could do does for from give i in into is it its me my of on or please show tell than
    that the their them then this to us was what when which with would you your how all der die das und ein eine mir
    bitte von aus im zu mit für le la les un une de des du et en pour file files make get about""",
)

MONTH_NAMES = tuple(word.capitalize() for word in list(MONTHS)[:12])

NUMBERS = {
    **_numbered("one two three four five six seven eight nine ten eleven twelve"),
    **_numbered("eins zwei drei vier fünf sechs sieben acht neun zehn"),
    **_numbered("un deux trois quatre cinq six sept huit neuf dix"),
    "once": 1,
    "twice": 2,
}

CHOICES = {
    "average": ("mean", "avg", "durchschnitt", "durchschnittliche", "durchschnittlicher", "moyenne"),
    "sum": ("total", "summe", "somme", "gesamte", "gesamter"),
    "max": ("maximum", "largest"),
    "min": ("minimum", "smallest"),
    "xlsx": ("excel", "excel file", "spreadsheet"),
    "descending": ("desc", "largest first", "highest first", "absteigend"),
    "ascending": ("asc", "smallest first", "lowest first", "aufsteigend"),
    "hist": ("histogram",),
    "count": ("number of",),
}
"""Other words for the usual choices of parameters."""

LABELS = {
    "y": mark("column with the values (such as revenue)"),
    "x": mark("column along the axis (such as month)"),
    "by": mark("column to group by (such as month)"),
    "to": mark("target"),
    "sql": mark("SQL statement"),
    "where": mark("condition (such as region = North)"),
    "text": mark("text"),
    "url": mark("address"),
}
"""What parameters are called in a question."""


def stem(word: str) -> str:
    """Return the word without what makes `charts` and `chart`, `welcher` and `welche`, `-ise` and `-ize` differ."""
    word = word.lower().replace("ise", "ize")
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
