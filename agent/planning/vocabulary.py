"""Small words: those that don't count, those that mean the same, and those that begin a request."""

from __future__ import annotations


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

EMPTY = _set(
    """a an and are as at be by can could do does for from give i in into is it its me my of on or please show tell than
    that the their them then this to us was what when which with would you your how all der die das und ein eine mir
    bitte von aus im zu mit für le la les un une de des du et en pour file files make get about""",
)

NUMBERS = {
    **_numbered("one two three four five six seven eight nine ten eleven twelve"),
    **_numbered("eins zwei drei vier fünf sechs sieben acht neun zehn"),
    **_numbered("un deux trois quatre cinq six sept huit neuf dix"),
    "once": 1,
    "twice": 2,
}

CHOICES = {
    "average": ("mean", "avg", "durchschnitt", "moyenne"),
    "sum": ("total", "summe", "somme"),
    "max": ("maximum", "largest"),
    "min": ("minimum", "smallest"),
    "hist": ("histogram",),
    "count": ("number of",),
}
"""Other words for the usual choices of parameters."""

LABELS = {
    "y": "column with the values (such as revenue)",
    "x": "column along the axis (such as month)",
    "by": "column to group by (such as month)",
    "to": "target",
    "sql": "SQL statement",
    "url": "address",
}
"""What parameters are called in a question."""


def stem(word: str) -> str:
    """Return the word without what makes `charts` and `chart`, `welcher` and `welche`, `-ise` and `-ize` differ."""
    word = word.lower().replace("ise", "ize")
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
