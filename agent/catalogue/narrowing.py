"""Which tools fit a request: words that stand for each tool, weighed by how rare they are."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plugins.api import ToolSpec

CORE = ("python", "read_file", "write_file", "fetch", "search_web")
"""What narrowing keeps in any case: with these a planner can do what no other tool was made for."""
WORD = re.compile(r"[^\W_]+")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
FUZZY = 86
EMPTY_WORDS = frozenset(
    WORD.findall(
        "a an and are as at be by can could do does for from give i in into is it its me my of on or please show tell"
        " than that the their them then this to us was what when which with would you your"
        " der die das und ein eine mir bitte von aus im zu mit für le la les un une de des du et en pour",
    ),
)


class Narrowing:
    """Picks tools for requests. The words of each tool are worked out once."""

    def __init__(self) -> None:
        self._words: dict[str, Counter[str]] = {}

    def narrow(self, request: str, specs: Sequence[ToolSpec], limit: int) -> list[ToolSpec]:
        """Return at most `limit` of the tools: the best matches of the request and a small core, in their old order."""
        if len(specs) <= limit:
            return list(specs)
        scores = self._scores(request, specs)
        room = max(limit // 3, 1)
        core = sorted((spec for spec in specs if spec.name in CORE), key=lambda spec: CORE.index(spec.name))[:room]
        ranked = sorted(specs, key=lambda spec: -scores[spec.full_name])
        best = [spec for spec in ranked if scores[spec.full_name] > 0]
        # The best matches come before the core, which comes before what matches nothing.
        wanted = [*best[: limit - len(core)], *core, *best, *ranked]
        chosen = {spec.full_name for spec in list({spec.full_name: spec for spec in wanted}.values())[:limit]}
        return [spec for spec in specs if spec.full_name in chosen]

    def _scores(self, request: str, specs: Sequence[ToolSpec]) -> dict[str, float]:
        asked = _stems(request)
        if "://" in request or "www." in request:
            asked |= {"url", "page"}
        bags = {spec.full_name: self._bag(spec) for spec in specs}
        spread = Counter(word for bag in bags.values() for word in bag)
        rarity = {word: math.log(1 + len(bags) / count) for word, count in spread.items()}
        meant = {word: near for word in asked for near in _near(word, rarity)}
        return {name: sum(bag[near] * rarity[near] for near in meant.values()) for name, bag in bags.items()}

    def _bag(self, spec: ToolSpec) -> Counter[str]:
        """Return the words that stand for a tool with their weights: its name 3, its examples 2, its summary 1."""
        bag = self._words.get(spec.full_name)
        if bag is None:
            bag = Counter()
            examples = re.sub(r"\{\w+\}", " ", " ".join(spec.examples))
            parts = ((3, spec.name), (2, examples), (1, f"{spec.plugin} {spec.summary} {' '.join(spec.produces)}"))
            for weight, text in parts:
                for word in _stems(text):
                    bag[word] = max(bag[word], weight)
            self._words[spec.full_name] = bag
        return bag


def _stems(text: str) -> set[str]:
    words = (word.lower() for word in WORD.findall(CAMEL.sub(" ", text)))
    return {_stem(word) for word in words if word not in EMPTY_WORDS and len(word) > 1}


def _stem(word: str) -> str:
    """Cut the endings that make `files` and `file`, `searching` and `search` differ."""
    for ending in ("ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _near(word: str, known: Mapping[str, float]) -> list[str]:
    """Return the word itself where some tool has it, else the likeliest one that it is a misspelling of."""
    if word in known or len(word) < 4:
        return [word] if word in known else []
    from rapidfuzz import fuzz, process

    best = process.extractOne(word, known.keys(), scorer=fuzz.ratio, score_cutoff=FUZZY)
    return [best[0]] if best else []
