"""The answer that is made without a model."""

from __future__ import annotations

from agent.composer import answer_from_results


def test_what_failed_is_said_in_the_language_of_the_chat_and_results_stay_as_they_are():
    results = [
        {"id": "s1", "title": "Count", "status": "ok", "text": "Nothing is running."},
        {"id": "s2", "title": "Read", "status": "failed", "error": "There is no tool 'reed'. Nothing was run."},
    ]
    assert answer_from_results(results, language="de") == (
        "Nothing is running.\n\n⚠️ Read: Es gibt kein Werkzeug 'reed'. Nichts wurde ausgeführt."
    )
    assert "⚠️ Read: There is no tool 'reed'." in answer_from_results(results)


def test_files_alone_are_named_in_the_language_of_the_chat():
    assert answer_from_results([], [{"path": "a.png"}, {"path": "b.csv"}], "fr") == "Créé : a.png, b.csv."
    assert answer_from_results([], language="zh") != answer_from_results([])
