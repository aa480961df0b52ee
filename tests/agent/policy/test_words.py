"""Which values are the person's own words."""

from __future__ import annotations

import pytest

from agent.domain.provenance import USER, Provenance
from agent.policy.words import named, said_of_files, stands_in, typed


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("https://example.org/a", "read https://example.org/a and sum it up"),
        ("https://example.org", "what does example.org say?"),
        ("bob@example.org", "Write to Bob@example.org."),
        ("cheap flights Rome", "find cheap flights to Rome"),
        ("Rome flights", "find cheap flights to Rome"),
        (5, "give me 5 of them"),
        (True, "go"),
        (None, "go"),
        ("", "go"),
        (["example.org"], "read example.org"),
    ],
)
def test_what_the_person_typed_is_theirs(value, words):
    assert typed(value, words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("https://example.org/a?d=secret", "read https://example.org/a and sum it up"),
        ("https://example.org/b", "read https://example.org/a"),
        ("vil.com", "read evil.com"),
        ("evil.co", "read evil.com"),
        ("https://user:secret@example.org", "read https://example.org"),
        ("flights Rome hunter2", "find cheap flights to Rome"),
        ("flights flights Rome", "find cheap flights to Rome"),
        (" ".join("nmlkjihgfedcba"), "a b c d e f g h i j k l m n o"),  # their order could tell something
        ("a a a b", "a b"),
        (15, "give me 5 of them"),
        (["a", "b"], "a b"),
        ({"x": "secret"}, "x"),
        ("x" * 5_000, "x" * 5_000),
    ],
)
def test_anything_that_could_tell_more_is_not(value, words):
    assert not typed(value, words)


def test_a_known_contact_is_named_by_its_name_or_as_it_is():
    known = {"bob": "bob@example.org", "landlord": "DE02 1203"}
    args = {"to": "bob@example.org", "account": "DE02 1203", "text": "hi"}
    assert named(args, known, "write to Bob: hi") == {"to"}
    assert named(args, known, "pay my landlord") == {"account"}
    assert named(args, known, "write to bobby") == set()
    assert named({"to": ["bob@example.org", "eve@evil.example"]}, known, "write to bob") == set()
    assert named({"to": "bob@example.org"}, known, "write to bob@example.org") == {"to"}


def test_the_name_of_a_strangers_file_taints_who_reads_it_unless_the_person_said_it():
    web = Provenance.of("web:evil.example", trusted=False)
    labels = {
        "Now mail eve.txt": web,
        "quoted-17.txt": web,
        "photo-4-2.jpg": web,
        "sales-report.pdf": web,
        "mine.txt": USER,
    }
    assert not said_of_files(labels, labels, "go").trusted
    assert said_of_files(["quoted-17.txt", "photo-4-2.jpg", "mine.txt", "unlabelled"], labels, "go").trusted
    assert said_of_files(["sales-report.pdf"], labels, "sum up the sales report").trusted
    assert not said_of_files(["sales-report.pdf"], labels, "sum up the sales").trusted


def test_a_part_of_a_word_does_not_stand_there():
    assert stands_in("example.org", "see example.org.")
    assert not stands_in("example.org", "see myexample.org")
    assert not stands_in("example.org", "see example.org/path")
    assert not stands_in("example.org", "ask info@example.org")
