"""What Dirigent says in other languages: the catalogues are whole, and say what the English does."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import texts
from agent.texts import LANGUAGES, SLOT, catalogue, known, retell, say, say_n

SOURCES = Path(texts.__file__).parents[1]
OTHERS = [language for language in LANGUAGES if language != "en"]
SAYING = {"say": 1, "mark": 0, "say_n": 1}


@pytest.mark.parametrize(
    ("code", "language"),
    [("de", "de"), ("de-AT", "de"), ("zh-hans", "zh"), ("zh_TW", "zh"), ("pt-BR", "en"), ("", "en"), ("RU", "ru")],
)
def test_a_language_code_names_one_of_ours_or_english(code: str, language: str):
    assert known(code) == language


def test_a_sentence_that_a_language_lacks_is_said_in_english_with_its_values():
    assert say("de", "There is no such {thing} anywhere.", thing="{x}") == "There is no such {x} anywhere."


def test_braces_in_a_sentence_without_values_are_left_alone():
    assert say("fr", "a {b} c") == "a {b} c"


def test_a_number_chooses_the_form():
    assert say_n("en", "{n} file of {who}", "{n} files of {who}", 1, who="Ada") == "1 file of Ada"
    assert say_n("de", "… and {n} more", "… and {n} more", 1) == "… und 1 weiterer"
    assert say_n("de", "… and {n} more", "… and {n} more", 2) == "… und 2 weitere"


# --- sentences that were made elsewhere -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Nothing is running.", "Es läuft nichts."),
        ("⏹ Stopped; kept: a.csv, b.csv.", "⏹ Angehalten; behalten: a.csv, b.csv."),
        ("Forgotten:\n- x\nNothing is running.", "Vergessen:\n- x\nEs läuft nichts."),
        (
            "📅 Every Friday at 9:00: “the news”\nFirst on Friday 2026-11-27 9:00. Shall I?",
            "📅 Every Friday at 9:00: “the news”\nZuerst am Friday 2026-11-27 9:00. Soll ich?",
        ),
        ("⏰ I will remind you on Friday 9:00: call Ada", "⏰ Ich erinnere dich am Friday 9:00: call Ada"),
        ("▶ Run 2", "▶ 2 starten"),
        (
            "The model server at http://x is busy (429): slow down. Try again in a while.",
            "Der Modellserver auf http://x ist ausgelastet (429): slow down. Versuche es nach einer Weile noch einmal.",
        ),
        (
            "⚠️ $0.80 of the $1.00 for today is spent. Raise `limits.money_per_day` in dirigent.toml if this is wanted.",
            (
                "⚠️ $0.80 von $1.00 sind ausgegeben (heute). Erhöhe `limits.money_per_day` in dirigent.toml, "
                "wenn das gewünscht ist."
            ),
        ),
        (
            "input 'year' must be a whole number, not \"x\"; there is no input 'a' (did you mean 'b'?)",
            "die Eingabe 'year' muss eine ganze Zahl sein, nicht \"x\"; es gibt keine Eingabe 'a' (meintest du 'b'?)",
        ),
        (
            "The model wrote no plan that can be carried out: s1 depends on s9, which no line defines; `s2 x()`: what.",
            "Das Modell hat keinen ausführbaren Plan geschrieben: s1 hängt von s9 ab, was keine Zeile festlegt; `s2 x()`: what.",
        ),
        ("What is the weather?", "What is the weather?"),
        ("Ada; input 'b' is missing", "Ada; input 'b' is missing"),
        ("Ada's own words. Nothing was changed.", "Ada's own words. Nichts wurde geändert."),
        ("Some words of a person.", "Some words of a person."),
        ("", ""),
    ],
)
def test_a_sentence_is_recognised_with_its_values_and_other_words_are_left_alone(english: str, german: str):
    assert retell("de", english) == german
    assert retell("en", english) == english


def test_values_are_not_taken_for_places_of_values():
    assert retell("de", "⏹ Stopped; kept: {kept}{0}.") == "⏹ Angehalten; behalten: {kept}{0}."


# --- the catalogues -----------------------------------------------------------------------------------------------
def _ids(language: str) -> dict[str | tuple[str, ...], str | tuple[str, ...]]:
    return {entry.id: entry.string for entry in catalogue(language) if entry.id}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_sentence_whole_and_with_the_same_values(language: str):
    entries = _ids(language)
    assert entries.keys() == _ids("de").keys()
    for english, said in entries.items():
        whole = english if isinstance(english, str) else english[-1]
        for form in [said] if isinstance(said, str) else said:
            assert form.strip(), english
            assert set(SLOT.findall(form)) == set(SLOT.findall(whole)), english
    assert not catalogue(language).fuzzy


@pytest.mark.parametrize("language", OTHERS)
def test_each_sentence_stands_once_in_a_catalogue(language: str):
    written = (texts.FOLDER / f"{language}.po").read_text(encoding="utf-8")
    ids = re.findall(r"^msgid (.*(?:\n\".*)*)", written, re.MULTILINE)
    assert [one for one, times in Counter(ids).items() if times > 1] == []


@pytest.mark.parametrize("language", OTHERS)
def test_the_same_sentences_are_only_said_in_every_language(language: str):
    assert _only_said(language) == _only_said("de") != set()


def _only_said(language: str) -> set[object]:
    return {entry.id for entry in catalogue(language) if texts.SAID_ONLY in entry.auto_comments}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_all_the_forms_that_numbers_need(language: str):
    for english, said in _ids(language).items():
        if isinstance(english, tuple):
            assert len(said) == catalogue(language).num_plurals


def test_every_sentence_that_is_marked_in_the_code_is_in_the_catalogues():
    have = {name if isinstance(name, str) else name[0] for name in _ids("de")}
    marked = {text: where for where, text in _marked()}
    missing = {text: where for text, where in marked.items() if text not in have}
    assert missing == {}


def test_no_sentence_of_the_catalogues_is_obsolete():
    written = {_bare(text) for file in SOURCES.rglob("*.py") for text in _literals(ast.parse(file.read_text()))}
    obsolete = [name for entry in _ids("de") for name in [entry if isinstance(entry, str) else entry[0]]]
    assert [name for name in obsolete if _bare(name) not in written] == []


def _marked() -> Iterator[tuple[str, str]]:
    """Yield where each sentence is said that stands in the code as it is."""
    for file in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in SAYING and len(node.args) > SAYING[name]:
                sentence = node.args[SAYING[name]]
                if isinstance(sentence, ast.Constant) and isinstance(sentence.value, str) and sentence.value:
                    yield f"{file.name}:{node.lineno}", sentence.value


def _literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _bare(text: str) -> str:
    """Return the sentence with nameless values; two values beside each other are one."""
    return re.sub(r"(\{\})+", "{}", SLOT.sub("{}", text)).strip()
