"""What to say when nothing was understood without a model: concrete requests that would work here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from agent.planning.request import PlanRequest
from agent.planning.slots import Slot, slots_of
from agent.texts import mark, say
from plugins.api import ToolSpec

SHOWN = 5
_SLOT = re.compile(r"\{(\w+)\}")
_SAMPLES = {
    "y": "revenue",
    "x": "month",
    "by": "month",
    "which": "best",
    "how": "average",
    "series": "region",
    "query": "train strikes today",
    "url": "https://example.org",
    "text": "the office opens at 9",
    "city": "Berlin",
    "place": "Berlin",
    "sides": "20",
    "times": "2",
    "top": "5",
    "time_zone": "Tokyo",
    "expression": "15% of 240",
    "kind": "line",
    "pattern": "budget",
}


def examples_for(request: PlanRequest) -> list[str]:
    """Return up to five requests that the tools can carry out, of different tools, about the files that are there."""
    harmless = [spec for spec in request.tools if spec.effect in {"pure", "read"} or _makes_files(spec) or spec.host]
    first_choice = sorted(harmless, key=lambda spec: _attraction(spec, with_files=bool(request.files)))
    seen: set[str] = set()
    found: list[str] = []
    for spec in first_choice:
        example = _example(spec, request.files)
        about = {spec.plugin, example.partition(" ")[0]}
        if example and not about & seen:
            seen |= about
            found.append(example)
    return found[:SHOWN]


def _attraction(spec: ToolSpec, *, with_files: bool) -> tuple[bool, bool, int]:
    """Order tools for show: those for the files at hand, then pictures, then what can be said in the most ways."""
    return not (spec.file_parameters and with_files), not _draws(spec), -len(spec.examples)


def _makes_files(spec: ToolSpec) -> bool:
    return any(kind.startswith(".") for kind in spec.produces)


def _draws(spec: ToolSpec) -> bool:
    """A picture shows best what can be done."""
    return ".png" in spec.produces and spec.data


def _example(spec: ToolSpec, files: Sequence[str]) -> str:
    slots = slots_of(spec)
    for example in sorted(spec.examples, key=lambda text: -len(_SLOT.findall(text))):
        values = {name: _sample(slots[name], files) for name in _SLOT.findall(example) if name in slots}
        if all(values.values()) and example.isascii():
            return _SLOT.sub(_look_up(values), example)
    return ""


def _look_up(values: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda match: values[match[1]]


def _sample(slot: Slot, files: Sequence[str]) -> str:
    if slot.kind == "file":
        suffixes = slot.suffixes or (".csv", ".txt", ".pdf")
        found = next((name for name in files if PurePosixPath(name).suffix.lower() in suffixes), "")
        return found or ("" if files else f"sales{suffixes[0]}")
    if slot.kind == "choice":
        usual = _SAMPLES.get(slot.name, "")
        return usual if usual in slot.choices else slot.choices[-1]
    return _SAMPLES.get(slot.name, "")


def small_talk(text: str, examples: Sequence[str], language: str = "en") -> str:
    """Return what to say to a greeting, thanks, or the question what can be done; "" for anything else."""
    said = " ".join(re.findall(r"[^\W_]+", text.lower()))
    if said in _GREETINGS:
        hello = say(language, "Hello! I have no model to think with here, but these work:")
        return "\n".join([hello, *_listed(examples)])
    if said in _THANKS:
        return say(language, "You're welcome.")
    if said in _ABOUT:
        about = say(language, "I am Dirigent. I plan what you ask for and carry it out step by step.")
        such_as = say(language, "Without a model I understand requests such as:")
        return "\n".join([about, such_as, *_listed(examples), "", say(language, _ADD_A_MODEL)])
    return ""


_GREETINGS = {
    "hello",
    "hi",
    "hey",
    "hi there",
    "hello there",
    "good morning",
    "good evening",
    "hallo",
    "moin",
    "bonjour",
}
_THANKS = {
    "thanks",
    "thank you",
    "thank you very much",
    "thanks a lot",
    "danke",
    "vielen dank",
    "merci",
    "merci beaucoup",
}
_ABOUT = {
    *("help", "help me", "what can you do", "what can you do for me", "what do you do", "who are you", "what are you"),
    *("how do you work", "hilfe", "was kannst du", "wer bist du", "aide", "que peux tu faire", "qui es tu"),
}
_ADD_A_MODEL = mark("To add a model, run `dirigent init`, or set OPENAI_BASE_URL (or OPENAI_API_KEY) and start again.")
_THINKING = (
    ("translate|übersetze|traduis|traduire", mark("Translating needs a model, and none is in use.")),
    (
        "summari[sz]e|sum up|summary|fasse|zusammenfassung|résume|résumé",
        mark("Summing up needs a model, and none is in use."),
    ),
    ("write|draft|compose|schreibe|rédige", mark("Writing needs a model, and none is in use.")),
    ("explain|why|erkläre|warum|explique|pourquoi", mark("Explaining needs a model, and none is in use.")),
    ("compare|vergleiche", mark("Comparing needs a model, and none is in use.")),
    ("rewrite|improve|proofread|correct|verbessere", mark("Rewriting needs a model, and none is in use.")),
)
_OUTSIDE = re.compile(
    r"\b(?:book|buy|order|pay|phone|call|send|email|e-mail|mail|text|message|reserve)\b", re.IGNORECASE
)


def _listed(examples: Sequence[str]) -> list[str]:
    return [f"• {example}" for example in examples]


def help_without_model(
    text: str, unclear: Sequence[str], examples: Sequence[str], files: Sequence[str] = (), *, language: str = "en"
) -> str:
    """Return an answer that says what was not understood, what works, and how to add a model."""
    asked = " ".join((unclear[0] if unclear else text).split())[:120]
    lines = [f"{say(language, _why(asked))} {say(language, 'I did not do “{asked}”.', asked=asked)}"]
    named = [name for name in files if name.lower() in text.lower()]
    shown = [*_about_file(named[0]), *examples][:SHOWN] if named else list(examples)
    if shown:
        lines += ["", say(language, "These work:"), *_listed(shown)]
    return "\n".join([*lines, "", say(language, _ADD_A_MODEL)])


def _why(asked: str) -> str:
    for words, what in _THINKING:
        if re.match(rf"(?:{words})\b", asked, re.IGNORECASE):
            return what
    if _OUTSIDE.match(asked):
        return mark("No tool here can do that, and I have no model to think of another way.")
    return mark("I have no model to think with, so I only understand simple requests.")


def _about_file(name: str) -> list[str]:
    """Return requests that work for a file of this kind."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in {".csv", ".tsv", ".xlsx", ".xls", ".json", ".jsonl", ".parquet", ".ods"}:
        return [f"describe {name}", f"show the first 10 rows of {name}", f"chart revenue by month from {name}"]
    if suffix in {".png", ".jpg", ".jpeg", ".webp", ".gif"}:
        return [f"convert {name} to webp", f"how big is {name}"]
    return [f"read {name}", f"find budget in {name}", f"how many words are in {name}"]
