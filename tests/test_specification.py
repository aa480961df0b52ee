"""Every name of the specification of the planning agent, held to the behaviour described there."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import orchestrator
from agent.composer import compose_final_answer
from agent.config import AppConfig
from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import Destination, MessageKind
from agent.domain.plan import PlanStep, StepType
from agent.domain.session import HistoryEntry, Profile, SessionFile
from agent.domain.states import Status
from agent.errors import ConfigError, PlanError
from agent.execution.dispatcher import Dispatcher
from agent.execution.executor import Executor
from agent.execution.graph import (
    _apply_step_result,
    _is_success_status,
    _next_batch,
    _order_steps_safely,
    _seed_completed_sets,
)
from agent.orchestrator import OrchestratorRunner
from agent.testing import Bot, step
from agent.testing.scripted import ScriptedLLM


def steps_of(edges: dict[str, tuple[str, ...]]) -> list[PlanStep]:
    return [PlanStep(id=name, tool="echo", depends_on=needs) for name, needs in edges.items()]


# --- records ------------------------------------------------------------------------------------------------------
def test_a_plan_step_has_title_type_dependencies_tools_question_and_options():
    asked = PlanStep(id="q", title="Budget", step_type=StepType.ASK, question="Which?", options=("a", "b"))
    assert (asked.title, asked.depends_on, asked.parallelizable, asked.allowed_tools) == ("Budget", (), True, ())


@pytest.mark.parametrize("options", [("only one",), ("a", "b", "c", "d", "e")])
def test_a_question_offers_two_to_four_options_or_none(options):
    with pytest.raises(ValueError, match="2 to 4"):
        PlanStep(id="q", step_type=StepType.ASK, question="Which?", options=options)


def test_the_response_statuses_are_those_of_the_specification():
    assert {"ok", "partial", "needs_input", "error", "timeout", "blocked"} <= {s.value for s in ResponseStatus}


def test_an_executor_request_keeps_its_idempotency_key_over_attempts():
    first = ExecutorRequest(7, "s", step("s1", "echo", text="x"), {})
    assert replace(first, attempt=2).idempotency_key == first.idempotency_key


# --- ordering, batches, results -----------------------------------------------------------------------------------
def test_steps_are_ordered_topologically_and_stably():
    ordered = _order_steps_safely(steps_of({"c": ("b",), "x": (), "b": ("a",), "a": ()}))
    assert [s.id for s in ordered] == ["x", "a", "b", "c"]


def test_unknown_and_self_dependencies_are_dropped():
    (only,) = _order_steps_safely(steps_of({"a": ("ghost", "a")}))
    assert only.depends_on == ()


def test_a_circle_is_refused_and_named():
    with pytest.raises(PlanError, match="circle: ") as caught:
        _order_steps_safely(steps_of({"a": ("c",), "b": ("a",), "c": ("b",), "d": ()}))
    assert all(name in str(caught.value) for name in "abc")
    assert "d" not in caught.value.message.split("circle: ")[1]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=80))
def test_any_plan_without_a_circle_is_ordered_after_its_dependencies(pairs):
    edges: dict[str, tuple[str, ...]] = {f"s{n}": () for n in range(31)}
    for low, high in pairs:
        if low < high:
            edges[f"s{high}"] = (*edges[f"s{high}"], f"s{low}")
    shuffled = dict(reversed(edges.items()))
    place = {s.id: n for n, s in enumerate(_order_steps_safely(steps_of(shuffled)))}
    assert len(place) == 31
    assert all(place[need] < place[name] for name, needs in edges.items() for need in needs)


def test_completed_sets_are_seeded_from_what_the_steps_say():
    a, b, c, d = steps_of({"a": (), "b": (), "c": (), "d": ()})
    seeded = _seed_completed_sets(
        [
            a.model_copy(update={"status": Status.COMPLETED}),
            b.model_copy(update={"status": Status.FAILED}),
            c.model_copy(update={"status": Status.CANCELLED}),
            d,
        ]
    )
    assert seeded == ({"a"}, {"b", "c"})


def test_the_next_batch_holds_what_is_ready_and_skips_what_can_never_be():
    plan = steps_of({"a": (), "b": ("a",), "c": ("a",), "d": ("x",), "e": ("d",), "x": ()})
    batch, skipped = _next_batch(plan, {"a"}, {"x"}, "session")
    assert [s.id for s in batch] == ["b", "c"]
    assert {r.step_id: r.status for r in skipped} == {"d": ResponseStatus.BLOCKED, "e": ResponseStatus.BLOCKED}
    assert "'x'" in next(r.error for r in skipped if r.step_id == "d")


def test_a_step_that_is_not_parallelizable_comes_alone():
    plan = [PlanStep(id="a", tool="echo", parallelizable=False), PlanStep(id="b", tool="echo", parallelizable=False)]
    batch, _ = _next_batch(plan, set(), set(), "session")
    assert [s.id for s in batch] == ["a"]


@pytest.mark.parametrize(
    ("status", "ok", "fail"),
    [
        (ResponseStatus.OK, {"a"}, set()),
        (ResponseStatus.PARTIAL, {"a"}, set()),
        (ResponseStatus.ERROR, set(), {"a"}),
        (ResponseStatus.TIMEOUT, set(), {"a"}),
        (ResponseStatus.BLOCKED, set(), {"a"}),
        (ResponseStatus.NEEDS_INPUT, set(), set()),
    ],
)
def test_a_result_moves_the_step_into_its_set(status, ok, fail):
    done: tuple[set[str], set[str]] = (set(), set())
    _apply_step_result(PlanStep(id="a", tool="echo"), ExecutorResponse("a", status), *done)
    assert done == (ok, fail)


def test_ok_and_partial_are_the_successes():
    assert {s.value for s in ResponseStatus if _is_success_status(s.value)} == {"ok", "partial"}


# --- the runner ---------------------------------------------------------------------------------------------------
def test_the_runner_has_its_fields_and_the_specified_calls(bot: Bot):
    runner = bot.app.orchestrator
    assert runner._config is bot.config
    assert isinstance(runner._executor, Executor)
    assert isinstance(runner._dispatcher, Dispatcher)
    runner._log.debug("the log is there")
    for name, parameters in {
        "run": ["session", "user_text", "bot", "context", "dest"],
        "run_step": ["session", "step", "req", "bot", "context", "dest", "profile", "corr_id"],
        "_execute_step": ["step", "session", "bot", "context", "dest", "ctx_summary"],
        "record_message": ["chat_id", "message_id"],
        "resolve_question": ["question_id", "answer"],
        "clear_session_cache": ["session_id"],
        "get_plugin_commands": ["profile"],
        "get_plugin_ui": ["profile"],
        "_maybe_update_memory": ["user_text", "final_response", "memory_text", "cwd"],
        "_load_session": ["cwd"],
        "_build_orchestrator_context": ["session_data", "task_key"],
    }.items():
        assert list(inspect.signature(getattr(OrchestratorRunner, name)).parameters)[1:] == parameters, name
    for name in ("compose_final_answer", "plan_steps", "_order_steps_safely", "_next_batch", "_seed_completed_sets"):
        assert hasattr(orchestrator, name)


async def test_a_runner_made_from_a_configuration_alone_works(tmp_path: Path):
    runner = OrchestratorRunner(AppConfig(home=tmp_path, model="offline"))
    try:
        answer = await runner.run(
            {"id": "direct:1"}, "how many days between 2026-01-01 and 2026-01-31", None, None, {"chat_id": 1}
        )
    finally:
        await runner.stop()
    assert "30" in answer


async def test_run_returns_the_final_answer(bot: Bot):
    bot.llm.will_plan(step("s1", "echo", text="hi"))
    bot.llm.will_answer("It said hi.")
    dest = {"chat_id": 42, "chat_type": "private"}
    assert await bot.app.orchestrator.run({"id": "direct:42"}, "say hi", None, None, dest) == "It said hi."


async def test_run_logs_errors_and_tells_them_instead_of_raising(bot: Bot):
    text = await bot.app.orchestrator.run("direct:1", "hello", None, None, {"chat_id": 1})
    assert "nothing to say" in text


async def test_run_waits_for_the_answer_of_a_question_that_is_resolved(bot: Bot):
    runner = bot.app.orchestrator
    bot.llm.will_plan(step("s1", ask="Which?", options=("a", "b")), step("s2", "echo", text="{{ s1.output }}"))
    bot.llm.will_answer("b")
    running = asyncio.create_task(runner.run("test:1", "choose", None, None, bot.dest))
    while not (question := await bot.question()):
        await asyncio.sleep(0)
    while question.id not in runner._open_questions:
        await asyncio.sleep(0)
    assert runner.resolve_question(question.id, "b")
    assert await running == "b"
    assert not runner.resolve_question(question.id, "a")


def test_an_unknown_question_is_not_resolved(bot: Bot):
    assert not bot.app.orchestrator.resolve_question("nonsense", "x")


async def test_a_question_asked_before_a_restart_is_resolved_after_it(tmp_path: Path):
    from tests.conftest import echo

    async with Bot(tmp_path, [echo]) as first:
        first.llm.will_plan(step("s1", ask="Which?", options=("a", "b")), step("s2", "echo", text="{{ s1.output }}"))
        await first.hears("choose")
        question = await first.question()
    async with Bot(tmp_path, [echo]) as second:
        second.llm.will_answer("a it is")
        await second.idle()
        assert question is not None
        assert second.app.orchestrator.resolve_question(question.id, "a")
        await asyncio.gather(*second.app.orchestrator._background)
        assert (await second.answer()).text == "a it is"


async def test_run_step_carries_out_one_step_and_notes_it_in_the_session(bot: Bot):
    runner = bot.app.orchestrator
    response = await runner.run_step(
        "test:1", step("s1", "echo", text="alone"), "do it", None, None, "1", Profile(), "E-1"
    )
    assert (response.status, response.output) == (ResponseStatus.OK, "alone")
    session = await runner.sessions.open("test:1")
    assert (await runner.sessions.file_of(session)).history["chat"][-1].outcome == "alone"


async def test_run_step_obeys_the_profile(bot: Bot):
    denied = Profile(denied=("echo",))
    response = await bot.app.orchestrator.run_step(
        "test:1", step("s1", "echo", text="x"), "do it", None, None, "1", denied, "E-1"
    )
    assert response.status is ResponseStatus.ERROR
    assert "echo" in response.error


async def test_progress_is_the_last_25_results_as_json(bot: Bot):
    assert not bot.app.orchestrator._progress_context()
    bot.llm.will_plan(*[step(f"s{n}", "echo", text="x" * 1_000) for n in range(30)])
    bot.llm.will_answer("ok")
    await bot.hears("many")
    shown = json.loads(bot.app.orchestrator._progress_context())
    assert len(shown) == 25
    assert all(len(entry["text"]) <= 400 for entry in shown)


def test_recorded_messages_are_bounded_per_chat(bot: Bot):
    for number in range(500):
        bot.app.orchestrator.record_message(1, number)
    bot.app.orchestrator.record_message(2, 7)
    assert bot.app.orchestrator.messages_of(1)[-1] == 499
    assert len(bot.app.orchestrator.messages_of(1)) == 200
    assert bot.app.orchestrator.messages_of(2) == [7]


def test_a_session_is_loaded_from_its_file(bot: Bot, tmp_path: Path):
    contents = SessionFile(id="x", language="de")
    (tmp_path / "SESSION.json").write_text(contents.model_dump_json())
    assert bot.app.orchestrator._load_session(str(tmp_path))["language"] == "de"


def test_a_broken_session_file_is_named_with_its_fault(bot: Bot, tmp_path: Path):
    (tmp_path / "SESSION.json").write_text('{"id": "x", "profil": {}}')
    with pytest.raises(ConfigError, match="profil"):
        bot.app.orchestrator._load_session(str(tmp_path))


def test_the_context_holds_the_newest_25_entries_of_one_task_key(bot: Bot):
    entries = [HistoryEntry(at="2026-01-01T00:00", request=f"r{n}", outcome="o").model_dump() for n in range(40)]
    text = bot.app.orchestrator._build_orchestrator_context({"history": {"a": entries, "b": entries[:1]}}, "a")
    assert text.count("asked:") == 25
    assert "r39" in text
    assert "r14" not in text
    assert bot.app.orchestrator._build_orchestrator_context({"history": {}}, "a") == ""


async def test_a_cleared_session_is_read_again(bot: Bot):
    runner = bot.app.orchestrator
    session = await runner.sessions.open("test:1")
    file = session.folder / "SESSION.json"
    before = file.stat()
    file.write_text(file.read_text().replace('"en"', '"fr"'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # a change that can't be seen from outside
    assert (await runner.sessions.open("test:1")).language == "en"
    runner.clear_session_cache("test:1")
    assert (await runner.sessions.open("test:1")).language == "fr"


async def test_memory_learns_only_from_the_persons_own_words(bot: Bot, tmp_path: Path):
    runner = bot.app.orchestrator
    bot.llm.will_say("memory", "[PREF] Answers in German")
    await runner._maybe_update_memory("From now on answer in German", "Natürlich.", "", str(tmp_path))
    assert "[PREF] Answers in German (user)" in (tmp_path / "MEMORY.md").read_text()
    shown = bot.llm.requests[-1].messages[-1].content
    assert "Natürlich" not in shown
    before = len(bot.llm.requests)
    await runner._maybe_update_memory("what is 2+2", "4", "", str(tmp_path))
    assert len(bot.llm.requests) == before


async def test_a_long_memory_is_compressed(bot: Bot, tmp_path: Path):
    lines = "".join(f"- 2026-01-01 [FACT] fact number {n} {'x' * 80} (user)\n" for n in range(200))
    (tmp_path / "MEMORY.md").write_text(lines)
    bot.llm.will_say("memory", "[FACT] two hundred facts")
    await bot.app.orchestrator._maybe_update_memory("hello", "hi", lines, str(tmp_path))
    assert "two hundred facts" in (tmp_path / "MEMORY.md").read_text()
    assert len((tmp_path / "MEMORY.md").read_text()) < len(lines) / 2


def test_commands_and_ui_are_those_that_the_profile_may_use(bot: Bot):
    assert bot.app.orchestrator.get_plugin_commands(Profile()) == {}
    assert isinstance(bot.app.orchestrator.get_plugin_ui({"role": "owner"}), dict)


# --- the composer -------------------------------------------------------------------------------------------------
async def test_the_final_answer_is_posted_with_its_files(bot: Bot):
    session = await bot.app.orchestrator.sessions.open("test:1")
    (session.workspace / "a.png").write_bytes(b"made")
    llm = ScriptedLLM()
    llm.will_answer("All good.")
    results = [{"id": "s1", "title": "t", "status": "ok", "text": "42"}]
    files = [{"path": "a.png", "title": "A", "mime": "image/png"}]
    text = await compose_final_answer(session, bot.app.bot, None, bot.dest, results, files, "E-1", 1, llm=llm)
    assert text == "All good."
    shown = {message.kind: message.payload for message in await bot.shown()}
    assert shown[MessageKind.ANSWER]["text"] == "All good."
    assert [Path(path).name for path in shown[MessageKind.FILES]["paths"]] == ["a.png"]
    assert Path(shown[MessageKind.FILES]["paths"][0]).read_bytes() == b"made"


async def test_a_file_that_became_a_link_is_not_sent(bot: Bot, tmp_path: Path):
    session = await bot.app.orchestrator.sessions.open("test:1")
    (tmp_path / "secret").write_text("s")
    (session.workspace / "a.png").symlink_to(tmp_path / "secret")
    results = [{"id": "s1", "title": "t", "status": "ok", "text": "42"}]
    await compose_final_answer(session, bot.app.bot, None, bot.dest, results, [{"path": "a.png"}], "E-1", 1)
    assert [message.kind for message in await bot.shown()] == [MessageKind.ANSWER]


async def test_without_a_model_the_answer_is_made_of_the_results_and_names_failures(bot: Bot):
    session = await bot.app.orchestrator.sessions.open("test:1")
    results = [
        {"id": "s1", "title": "Count", "status": "ok", "text": "42"},
        {"id": "s2", "title": "Send", "status": "error", "error": "no such host"},
    ]
    text = await compose_final_answer(session, None, None, {"chat_id": 1}, results, [], "E-1", 1)
    assert "42" in text
    assert "Send: no such host" in text


async def test_a_failure_to_post_does_not_lose_the_answer(bot: Bot):
    from agent.errors import DeliveryRefused

    class Refusing:
        async def post(self, message: object) -> None:
            raise DeliveryRefused("gone")

        def busy(self, dest: Destination, *, on: bool) -> None:
            pass

    session = await bot.app.orchestrator.sessions.open("test:1")
    results = [{"id": "s1", "status": "ok", "text": "42"}]
    assert await compose_final_answer(session, Refusing(), None, bot.dest, results, [], "E-1", 1) == "42"
