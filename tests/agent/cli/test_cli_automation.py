"""`dirigent pipelines`, `chains`, `projects`, `events` and `schedules webhook` on the journal of an installation."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli import main

Command = Callable[..., tuple[int, str, str]]
STEPS = "steps: [{id: a, use: value, args: {value: 1}}]"


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("DIRIGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DIRIGENT_MODEL", "offline")
    monkeypatch.setenv("DIRIGENT_PROFILE_PLUGINS", '["none"]')
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def command(home: Path, capsys) -> Command:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def write(home: Path, name: str, more: str = "", steps: str = STEPS) -> None:
    (home / "pipelines" / f"{name}.yaml").write_text(f"name: {name}\n{more}\n{steps}\n")


# --- pipelines ----------------------------------------------------------------------------------------------------
def test_pipelines_are_listed_with_what_starts_them_checked_and_switched(command, home):
    write(home, "report", "description: Weekly report\ntriggers: [{schedule: {say: every Friday at 9, zone: UTC}}]")
    write(home, "broken", steps="steps: [{id: a, use: nothing}]")

    code, out, _ = command("pipelines")
    assert code == 0
    assert "report — Weekly report. Takes no inputs.\n    starts: every Friday at 9:00 UTC\n" in out
    code, out, _ = command("pipelines", "check", "report", "broken")
    assert code == 1
    assert "✗ broken\n    broken.yaml:3:17: There is no tool 'nothing'." in out
    assert "✓ report: 1 steps, 1 triggers" in out
    assert command("pipelines", "disable", "report")[1] == "report: 1 trigger off.\n"
    (listed,) = [one for one in json.loads(command("pipelines", "--json")[1]) if one["name"] == "report"]
    assert (listed["on"], listed["triggers"][0]["enabled"], listed["last_run"]) == (False, False, None)
    assert command("pipelines", "enable", "report")[1] == "report: 1 trigger on.\n"
    assert "next Friday" in command("pipelines", "show", "report")[1]


def test_a_reload_says_what_has_changed(command, home):
    write(home, "report", "triggers: [{schedule: every hour}]")
    assert command("pipelines", "reload")[:2] == (0, "Triggers: new: report.\n")
    assert command("pipelines", "reload")[:2] == (0, "Triggers: nothing has changed.\n")
    write(home, "report", "triggers: [{schedule: evry hour}]")
    code, out, _ = command("pipelines", "reload")
    assert code == 1
    assert "report.yaml:2:13: “evry hour” is no time" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show",), "needs a name"),
        (("list", "x"), "takes no name"),
        (("show", "reprot"), "There is no pipeline 'reprot'.\n  → Did you mean 'report'?"),
        (("enable", "nothing"), "There is no pipeline 'nothing'."),
    ],
)
def test_a_wrong_call_about_pipelines_says_what_to_do(command, home, words, said):
    write(home, "report")
    code, _, err = command("pipelines", *words)
    assert (code, said in err) == (1, True)


# --- chains -------------------------------------------------------------------------------------------------------
def test_a_chain_is_made_run_scheduled_shown_and_deleted(command, home):
    write(
        home,
        "first",
        "inputs: {n: integer}",
        "steps: [{id: a, use: value, args: {value: '{{ inputs.n * 2 }}'}}]\noutputs: {total: '{{ steps.a.output }}'}",
    )
    write(
        home,
        "second",
        "inputs: {total: integer}",
        "steps: [{id: a, use: value, args: {value: 'It is {{ inputs.total }}.'}}]\noutputs: {said: '{{ steps.a.output }}'}",
    )

    code, out, _ = command("chains", "create", "Night work", "first", "second", "--every", "1d", "--input", "n=4")
    assert code == 0
    assert "Night work: first → second" in out
    assert "every 86400 s · next" in out
    assert command("chains", "create", "Night work", "first")[2].count("There is a chain 'Night work' already.") == 1
    code, out, err = command("chains", "run", "Night work", "--input", "n=21")
    assert (code, "It is 42." in out) == (0, True), err
    assert "42" in command("run", "Night work", "--input", "n=21")[1]
    code, _, err = command("chains", "run", "Night work")
    assert (code, "input 'n' is missing" in err) == (1, True)
    shown = json.loads(command("chains", "show", "Night work", "--json")[1])
    assert (shown["success_rate"], shown["succeeded"], len(shown["execution_history"])) == (1.0, 2, 2)
    assert "100% of 2 runs succeeded · last 2" in command("chains")[1]
    assert "nothing is run" in command("run", "Night work", "--dry-run")[1]
    assert "are deleted" in command("chains", "delete", "Night work")[1]
    assert command("schedules", "--json")[1] == "[]\n"
    assert "There is no pipeline 'Night work'." in command("run", "Night work")[2]


def test_a_chain_stops_at_its_first_failure_and_counts_it(command, home):
    write(home, "good")
    write(home, "bad", steps="steps: [{id: a, use: value, args: {value: '{{ fail(\"no paper\") }}'}}]")
    command("chains", "create", "c", "good", "bad", "good")

    code, out, err = command("chains", "run", "c")

    assert code == 1
    assert "no paper" in out + err
    shown = json.loads(command("chains", "show", "c", "--json")[1])
    assert (shown["success_rate"], shown["failed"], shown["execution_history"][0]["status"]) == (0.0, 1, "FAILED")


def test_a_chain_of_what_is_not_there_is_refused_and_a_deleted_pipeline_is_told_at_the_run(command, home):
    write(home, "export")
    assert "There is no pipeline 'exprot'.\n  → Did you mean 'export'?" in command("chains", "create", "c", "exprot")[2]
    command("chains", "create", "c", "export")
    (home / "pipelines" / "export.yaml").unlink()
    code, _, err = command("chains", "run", "c")
    assert code == 1
    assert "The chain 'c' cannot run. There is no pipeline 'export'." in err


# --- projects -----------------------------------------------------------------------------------------------------
def test_a_project_is_made_given_a_budget_paused_and_shown(command, home):
    code, out, _ = command("projects", "create", "film", "--budget", "20")
    assert (code, out) == (0, "film · 0.00 $ of 20.00 $ spent · terminal:main\n")
    assert "There is a project 'film' already." in command("projects", "create", "film")[2]
    assert command("projects", "budget", "film", "30", "--warn-at", "0.5")[1] == "film may spend 30.00 $.\n"
    assert "is paused" in command("projects", "pause", "film")[1]
    command("events", "publish", "scene.written", "--project", "film", "--payload", '{"n": 1}')
    (listed,) = json.loads(command("projects", "--json")[1])
    assert (listed["budget"], listed["warn_at"], listed["paused"], listed["events"]) == (30, 0.5, True, {"new": 1})
    assert "film (paused)" in command("projects", "show", "film")[1]
    assert "scene.written [film]  new" in command("projects", "show", "film")[1]
    assert command("projects", "resume", "film")[1] == "film goes on.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "film", "--budget", "much"), "'much' is no budget."),
        (("create", "a b"), "'a b' is no name."),
        (("create", "film", "--chat", "telegram:1"), "There is no chat 'telegram:1'."),
        (("create", "film", "--warn-at", "2"), "--warn-at 2 cannot be."),
        (("pause", "flim"), "There is no project 'flim'."),
        (("budget", "film"), "The new budget is missing."),
        (("list", "film"), "takes no name"),
    ],
)
def test_a_wrong_call_about_projects_says_what_to_do(command, words, said):
    code, _, err = command("projects", *words)
    assert (code, said in err) == (1, True)


# --- events -------------------------------------------------------------------------------------------------------
def test_events_are_published_once_listed_shown_dropped_and_retried(command):
    code, out, _ = command(
        "events", "publish", "order.created", "--payload", '{"total": 120}', "--key", "o1", "--project", "shop"
    )
    assert (code, out) == (0, "o1 is published. It is handled when `dirigent serve` or `dirigent chat` runs.\n")
    assert "known already" in command("events", "publish", "order.created", "--key", "o1")[1]
    assert "order.created [shop]  new" in command("events")[1]
    shown = json.loads(command("events", "show", "o1", "--json")[1])
    assert (shown["payload"], shown["trusted"], shown["source"]) == ({"total": 120}, True, "cli")
    assert '"total": 120' in command("events", "show", "1")[1]
    assert "is not dead, but new" in command("events", "retry", "1")[2]
    assert command("events", "drop", "1")[1] == "The event 1 is dropped.\n"
    assert "is handled already" in command("events", "drop", "1")[2]
    assert command("events", "--dead")[1] == "No such events.\n"
    assert command("events", "retry", "all")[1] == "0 events are handled again.\n"
    assert "There is no event '99'." in command("events", "show", "99")[2]
    assert "--payload is no JSON" in command("events", "publish", "x", "--payload", "{")[2]
    assert "--payload is no JSON object" in command("events", "publish", "x", "--payload", "[]")[2]


# --- webhooks -----------------------------------------------------------------------------------------------------
def test_a_webhook_is_made_and_its_secret_is_shown_once(command, home):
    write(home, "take", "inputs: {n: text}")
    code, out, _ = command("schedules", "webhook", "orders", "--pipeline", "take", "--input", "n={{ event.payload.n }}")
    assert code == 0
    first = out.splitlines()
    assert first[0].endswith("  orders")
    webhook_id = first[0].split()[0]
    assert first[1] == f"POST /hooks/{webhook_id}"
    secret = out.rpartition("secret (shown only now): ")[2].strip()
    kept = home / "secrets" / "webhooks" / webhook_id
    assert (kept.read_text(), stat.S_IMODE(kept.stat().st_mode)) == (secret, 0o600)
    assert secret not in command("schedules")[1]
    assert secret not in (home / "journal.db").read_bytes().decode("latin-1")

    again = command("schedules", "webhook", "orders")[1]
    assert "has a new secret" in again
    assert secret not in again
    assert "what it does is missing" in command("schedules", "webhook", "other")[2]
    assert "is no name" in command("schedules", "webhook", "a b", "--do", "x")[2]


def test_a_webhook_that_a_file_declares_gets_its_secret_the_same_way(command, home):
    write(home, "take", "triggers: [{webhook: incoming}]")
    assert "POST /hooks/p" in command("schedules", "webhook", "incoming")[1]
    assert len(json.loads(command("schedules", "--json")[1])) == 1
