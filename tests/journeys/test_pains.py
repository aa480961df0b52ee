"""What users of such bots suffer from, and which test shows that it does not happen here. A pain without a test fails.

 1  Replies lost at a restart or a network failure.
    journeys/test_soak.py::test_under_faults_and_kills_each_message_is_answered_once_and_in_order
    journeys/test_crash.py::test_killed_fifty_times_nothing_finished_runs_twice_and_each_answer_arrives_once
    agent/channels/test_telegram_crash.py::test_an_answer_waits_for_a_server_that_is_away
 2  One stuck update blocks everybody.
    journeys/test_telegram_stories.py::test_two_chats_do_not_hold_each_other_up
    agent/channels/test_telegram_receive.py::test_an_update_that_cannot_be_read_is_left_out
    agent/channels/test_telegram_receive.py::test_a_message_that_cannot_be_heard_is_reported_with_a_reference
 3  Duplicate replies after a rate limit or a restart.
    journeys/test_telegram_stories.py::test_a_429_is_waited_out_and_the_answer_comes_once
    agent/channels/test_telegram_crash.py::test_kill_9_loses_and_doubles_no_answer
 4  "Delivered" said, nothing arrived.
    journeys/test_pains.py::test_what_the_journal_calls_sent_is_in_the_chat
    agent/channels/test_outbox_sender.py::test_a_refused_message_is_given_up_and_the_next_goes_out
 5  Success invented, promised work never started.
    journeys/test_one_message.py::test_a_step_that_promised_a_file_and_made_none_has_failed
    journeys/test_telegram_people.py::test_a_denied_effect_does_not_happen_and_the_answer_says_so
    journeys/test_tasks_and_recovery.py::test_replans_are_bounded_and_the_failure_is_told
 6  No spending cap; loops burn the quota overnight.
    journeys/test_money.py::test_the_budget_of_the_day_ends_a_run_with_what_to_change
    journeys/test_money.py::test_a_task_that_repeats_itself_is_told_and_then_ended
    journeys/test_pipeline_events.py::test_pipelines_that_start_each_other_in_a_circle_come_to_an_end
 7  Stop does not stop; orphaned processes.
    journeys/test_telegram_people.py::test_stop_ends_a_running_job_at_once_and_the_next_request_works
    sandbox/test_box_endings.py::test_killing_the_agent_leaves_nothing_running
 8  Twenty minutes of silence.
    journeys/test_pains.py::test_long_work_is_seen_to_go_on
    agent/channels/test_telegram_deliver.py::test_busy_is_renewed
 9  A file made in the sandbox never reaches the chat.
    journeys/test_telegram_stories.py::test_a_plan_asks_fails_plans_anew_and_answers_with_picture_and_table
    journeys/test_telegram_rooms.py::test_a_result_too_large_for_telegram_is_named_with_its_place
10  Approval buttons that lie, arrive late, or replay.
    agent/channels/test_telegram_deliver.py::test_an_approval_hides_nothing
    journeys/test_attacks_on_consent.py::test_an_approval_comes_too_late_when_its_run_is_over
    journeys/test_attacks_on_consent.py::test_an_approved_effect_that_fails_is_not_tried_again_on_the_same_approval
11  Guards by regex on commands, bypassed by a second language.
    sandbox/abuse/test_attacks.py::test_inside_it_does_not
    journeys/test_telegram_rooms.py::test_an_effect_planned_after_reading_a_forwarded_file_names_that_origin
12  Memory of one person shown to another.
    journeys/test_pains.py::test_what_one_person_had_kept_is_in_no_prompt_of_another
    journeys/test_telegram_rooms.py::test_topics_are_sessions_of_their_own_with_their_own_files_and_memory
    sandbox/abuse/test_attacks.py::test_one_session_cannot_reach_another
13  Upgrades that break the installation.
    agent/store/test_store_schema.py::test_a_journal_is_copied_before_it_is_migrated
    agent/store/test_store_schema.py::test_a_migration_that_fails_changes_nothing
    agent/store/test_store_schema.py::test_a_journal_of_schema_0002_is_upgraded_with_all_that_is_in_it
14  Local models with small contexts drowned by a 7,000-token prompt.
    agent/planning/test_planner.py::test_the_prompt_begins_the_same_and_fits_a_small_window
15  Malicious plugins, exposed admin pages.
    sandbox/test_box_walls.py::test_a_secret_is_in_the_environment_of_the_job_that_declared_it_only
    agent/web/test_web_door.py::test_another_name_for_this_machine_is_refused
    agent/channels/test_telegram_receive.py::test_with_no_owners_nobody_is_heard
16  Set-up that fails without saying why.
    agent/cli/test_cli_doctor.py::test_doctor_fails_when_something_does_not_work
    agent/cli/test_cli_doctor.py::test_serve_without_a_token_says_how_to_come_by_one
17  A restart command repeated forever by blind resume.
    journeys/test_pains.py::test_what_ends_the_process_each_time_is_given_up
    journeys/test_set_aside.py::test_after_three_deaths_a_request_waits_for_a_person_who_can_have_it_taken_up
    journeys/test_pains.py::test_what_gets_on_between_interruptions_is_not_given_up
    journeys/test_tasks_and_recovery.py::test_a_once_step_that_a_crash_left_in_doubt_is_asked_about
    journeys/test_attacks_on_consent.py::test_a_repeatable_effect_that_a_crash_interrupted_asks_anew
18  Deterministic, bulk and repeated work forced through a chat model.
    journeys/test_telegram_stories.py::test_without_a_model_an_uploaded_table_becomes_a_chart
    journeys/test_one_message.py::test_a_value_travels_from_step_to_step_without_the_model
    journeys/test_pipelines.py::test_a_list_runs_in_parallel_and_keeps_its_order
19  Raw tables, broken formatting at part boundaries.
    agent/channels/test_telegram_words_kept.py::test_every_word_of_a_long_answer_arrives_also_when_it_becomes_a_file
    agent/channels/test_telegram_formatting.py::test_a_narrow_table_is_aligned_by_display_width
20  Answers outside their topic.
    journeys/test_pains.py::test_a_long_answer_and_its_file_stay_in_the_topic_of_their_request
    agent/channels/test_telegram_deliver.py::test_a_topic_gets_its_message_and_a_lost_topic_is_left_for_the_chat
"""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path

import pytest

from agent.channels.telegram import signs
from agent.channels.telegram.courier import read_ids
from agent.leases import MOST_DEATHS, Leases
from agent.testing import Bot, step
from agent.testing.engines import rows
from plugins.api import tool
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage

TESTS = Path(__file__).parents[1]
GROUP = -100500


def shown_by() -> dict[int, list[str]]:
    """Return the tests of each pain."""
    found: dict[int, list[str]] = {}
    for line in str(__doc__).splitlines():
        if pain := re.match(r"\s?(\d+)  \S", line):
            found[int(pain[1])] = []
        elif line.startswith("    "):
            found[max(found)].append(line.strip())
    return found


def test_each_of_the_twenty_pains_has_tests_that_exist():
    assert list(shown_by()) == list(range(1, 21))
    for pain, tests in shown_by().items():
        assert tests, f"pain {pain} has no test"
        for test in tests:
            path, name = test.split("::")
            functions = (ast.AsyncFunctionDef, ast.FunctionDef)
            tree = ast.parse((TESTS / path).read_text())
            assert name in {node.name for node in tree.body if isinstance(node, functions)}, test


async def test_what_the_journal_calls_sent_is_in_the_chat(stage: Stage):
    stage.will_plan(step("s1", "write_file", path="a.txt", text="x"), title="Work")
    stage.will("answer", "It is written.")
    for kind in ("drop_before", "error", "drop_after"):
        stage.telegram.fail("sendMessage", kind, code=502)
        stage.telegram.fail("editMessageText", kind, code=502)
    async with stage.up() as app:
        stage.says("Write a file")
        await stage.sees("It is written.")
        await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.files], 40)
        run = await app.store.get_message("run:1:answer")
        assert run is not None
    sent = rows(stage.config.folder, "SELECT message_id, key FROM outbox WHERE sent_version > 0")
    there = {message.id for message in stage.telegram.bot_messages(OWNER)}
    assert sent
    for message_id, key in sent:
        assert read_ids(message_id), key
        assert set(read_ids(message_id)) <= there, key


async def test_long_work_is_seen_to_go_on(stage: Stage, monkeypatch):
    monkeypatch.setattr(signs, "ACTION_SECONDS", 0.2)
    stage.will_plan(step("s1", "python", code="import time; time.sleep(600)"), title="Long work")
    async with stage.up():
        stage.says("Do the long work")
        plan = await stage.sees("⏳ 1 python", button="⏹ Stop")
        seen = len(stage.telegram.called("sendChatAction", OWNER))
        await stage.until(lambda: len(stage.telegram.called("sendChatAction", OWNER)) > seen + 2)
        await stage.until(
            lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.id == plan.id and m.edits >= 2], 40
        )
        stage.says("stop")
        await stage.sees("⏹ Stopped")
    assert stage.refused() == []


async def test_what_one_person_had_kept_is_in_no_prompt_of_another(stage: Stage):
    stage.will_plan(step("s1", "remember", text="the code is 4711"), title="Remember", when="Keep the code")
    stage.will("answer", "Remembered.", when="Keep the code")
    stage.will("plan", "answer: I am here for you.", when="who are you", times=2)
    async with stage.up():
        stage.says("Keep the code 4711")
        await stage.sees("Remembered.")
        stage.says("/memory", chat=SECOND_OWNER)
        await stage.sees("I remember nothing yet.", chat=SECOND_OWNER)
        mine, before = len(stage.model.requests), str(stage.model.requests)
        stage.says("who are you", chat=SECOND_OWNER)
        await stage.sees("I am here for you.", chat=SECOND_OWNER)
        others = str(stage.model.requests[mine:])
        stage.says("who are you")
        await stage.sees("I am here for you.")
        own = str(stage.model.requests[-1])
    assert "4711" in before
    assert "4711" not in others
    assert "4711" in own, "its owner's prompt holds it, or this test shows nothing"


async def test_a_long_answer_and_its_file_stay_in_the_topic_of_their_request(stage: Stage):
    stage.telegram.add_group(GROUP, topics=(5, 6))
    stage.will("plan", "answer: " + " ".join(f"Fact {n} is {n * n % 977}." for n in range(1200)))
    async with stage.up():
        request = stage.says("@dirigent_bot tell me all", chat=GROUP, user_id=OWNER, thread=5)
        await stage.until(lambda: [m for m in stage.telegram.bot_messages(GROUP) if m.files], 60)
        shown = stage.telegram.bot_messages(GROUP)
    assert {message.thread for message in shown} == {5}
    assert shown[0].reply_to == request
    assert [name for message in shown for name, _ in message.files] == ["answer.md"]
    assert stage.refused() == []


# --- what ends the process ----------------------------------------------------------------------------------------
BEGUN: list[asyncio.Event] = []  # of each life of the process


@tool(effect="pure", host=True)
async def restarts(word: str) -> str:
    """Be there when the process ends."""
    BEGUN[-1].set()
    await asyncio.Event().wait()
    return word


@tool(effect="pure", host=True)
async def once_each(word: str, folder: str) -> str:
    """Be there when the process ends, but only the first time."""
    there = Path(folder, word)
    if await asyncio.to_thread(there.exists):
        return word
    await asyncio.to_thread(there.touch)
    return await restarts(word)


@pytest.fixture
def as_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every end of the process look like a death, which leaves no note (`test_set_aside.py` has real ones)."""

    async def noted(_leases: Leases, _run: object) -> None:
        """Note nothing."""

    monkeypatch.setattr(Leases, "_left_alive", noted)


@pytest.mark.usefixtures("as_by_force")
async def test_what_ends_the_process_each_time_is_given_up(tmp_path: Path):
    for life in range(MOST_DEATHS):
        BEGUN.append(asyncio.Event())
        async with Bot(tmp_path, [restarts]) as bot:
            if not life:
                bot.llm.will_plan(step("s1", "restarts", word="x"))
                await bot.receives("Restart the server")
            await asyncio.wait_for(BEGUN[-1].wait(), 60)
    BEGUN.append(asyncio.Event())
    async with Bot(tmp_path, [restarts]) as bot:
        answer = await bot.answer()
        run = await bot.last_run()
        assert answer.status == "FAILED"
        assert run.answer.startswith(f"I ended {MOST_DEATHS} times while I worked on ")
    assert not BEGUN[-1].is_set()


@pytest.mark.usefixtures("as_by_force")
async def test_what_gets_on_between_interruptions_is_not_given_up(tmp_path: Path):
    names = [f"w{number}" for number in range(MOST_DEATHS + 2)]
    for name in names:
        BEGUN.append(asyncio.Event())
        async with Bot(tmp_path / "home", [once_each]) as bot:
            if name == names[0]:
                await _starts(bot, names, str(tmp_path))
            await asyncio.wait_for(BEGUN[-1].wait(), 60)
            assert (tmp_path / name).exists()
    async with Bot(tmp_path / "home", [once_each]) as bot:
        bot.llm.will_answer("done")
        assert (await bot.answer()).status == "COMPLETED"


async def _starts(bot: Bot, names: list[str], folder: str) -> None:
    """Begin a plan of one step after the other, all of which are in the journal before the first one begins."""
    before = ["q", *names]
    steps = [step(name, "once_each", word=name, folder=folder, after=(before[at],)) for at, name in enumerate(names)]
    bot.llm.will_plan(step("q", ask="Go?", options=("yes", "no")), *steps)
    await bot.hears("Work slowly")
    question = await bot.question()
    assert question is not None
    await bot.presses(f"q/{question.id}/0")
