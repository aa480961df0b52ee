"""Rules of consent that are broken in one place: each must be noticed by the attacks, or these would prove little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import intake
from agent.automation import launching
from agent.domain.event import Event
from agent.domain.provenance import NOTHING, USER, Provenance
from agent.execution import people, publishing, replies, scene, values
from agent.execution.dispatcher import Dispatcher
from agent.execution.executor import Executor
from agent.execution.pipes import Pipes
from agent.orchestrator import OrchestratorRunner
from agent.planning.draft import Draft
from agent.policy import consent, gate, grants, own_rules, provenance, rule, this_task
from agent.reception import Reception
from agent.store import consents, rows
from agent.store.sql import SqlStore
from tests.journeys import test_for_this_task as for_this_task
from tests.trust import attacks, plots, test_doors, test_standing, test_worst_case, test_yes
from tests.trust.mutating import (
    Mutant,
    Patch,
    after_a_kill,
    always,
    among,
    any_list,
    at_once,
    by,
    clean,
    files_hold_nothing,
    files_of_nobody,
    forever,
    forgetful_task,
    given,
    harmless_texts,
    judged,
    learns,
    made,
    never,
    no_arguments,
    no_label,
    own_label,
    put,
    remembers_all,
    without,
    yes_for_all,
)

ADDED = among(plots.replans(), "an effect added")
# From a private source, that it is private would be noticed instead.
PUBLIC = [case for case in plots.flows() if case.name.startswith(("page", "tickets"))]
# A tool that names the files that it reads: of any other, what else it could read would be noticed.
SHARED = [among([attacks.flow(attacks.SOURCES[2], way, attacks.SINKS[6])]) for way in ("file", "code that reads files")]
REFERENCED = among(PUBLIC, "reference")
WRITTEN = among(PUBLIC, "llm material")
MUTANTS = (
    # the rule
    Mutant("the choice does not count", without("control"), among(plots.replans(), "without words")),
    Mutant("the arguments do not count", judged(no_arguments), REFERENCED),
    Mutant("free text is harmless", judged(harmless_texts), among(plots.flows(), "reference", "words")),
    Mutant(
        "other files that it reads do not count", without("files"), among(attacks.contents(), "written", "everything")
    ),
    Mutant(
        "conditions do not count",
        without("guard"),
        by(test_doors.test_a_condition_on_words_of_others_decides_at_most_whether, tool_name="pay"),
    ),
    Mutant(
        "nothing is strict",
        put(rule, "is_strict", never),
        by(test_doors.test_a_condition_on_words_of_others_decides_at_most_whether, tool_name="delete_ticket"),
    ),
    Mutant(
        "somebody always watches",
        judged(lambda _, given: {**given, "unattended": False}),
        by(test_doors.test_it_decides_nothing_while_nobody_watches),
    ),
    Mutant("private data may leave", put(rule, "_private", lambda *_: ()), among(attacks.leaks(), "search")),
    Mutant(
        "all is typed",
        judged(lambda _, given: {**given, "typed": set(given["args"])}),
        among(attacks.leaks(), "search"),
    ),
    Mutant(
        "reading never asks",
        put(rule, "leaves", lambda spec: spec.effect == "effect"),
        among(attacks.leaks(), "search"),
    ),
    Mutant("memory learns unasked", learns, among(plots.later(), "the memory")),
    # labels
    Mutant("labels do not join", put(Provenance, "__or__", lambda self, _: self), REFERENCED),
    Mutant("a model's words are clean", made(Executor, "_wrote", clean), WRITTEN),
    Mutant(
        "a reference carries nothing",
        put(Dispatcher, "_label", lambda ctx, step, _: ctx.control_of(step.id)),
        REFERENCED,
    ),
    Mutant(
        "a template carries nothing",
        put(values, "label_of", lambda ctx, step, _: ctx.control_of(step.id)),
        among(plots.flows(), "reference", way="pipeline"),
    ),
    Mutant("a task's result is clean", made(Executor, "_ended", clean), among(plots.flows(), "task")),
    Mutant("a task forgets what it has read", forgetful_task, among(plots.tasks(), "within a task")),
    Mutant(
        "tools speak for the person",
        given(provenance, "of_result", lambda spec, *more: ((replace(spec, untrusted=False), *more), {})),
        REFERENCED,
    ),
    Mutant(
        "a result forgets its arguments",
        given(provenance, "of_result", lambda spec, args, _, *more: ((spec, args, {}, *more), {})),
        among(PUBLIC, "pure tool"),
    ),
    Mutant("what files hold is nobody's", files_hold_nothing, SHARED[0]),
    Mutant(
        "programs read nothing",
        given(provenance, "of_files", lambda spec, *more: ((replace(spec, effect="pure", reads_all=False), *more), {})),
        SHARED[1],
    ),
    Mutant("a file forgets who wrote it", files_of_nobody, among(plots.later(), "a file for later")),
    Mutant(
        "a file that is sent is a name",
        put(gate, "of_call", lambda _, args, labels, __: ({n: labels.get(n, NOTHING) for n in args}, NOTHING)),
        among(attacks.contents(), "a file"),
    ),
    Mutant(
        "the conversation is clean",
        put(OrchestratorRunner, "_history_label", no_label),
        among(plots.later(), "the conversation"),
    ),
    Mutant("a new plan is as clean as the first", put(scene, "control_after", lambda ctx: ctx.run.provenance), ADDED),
    Mutant(
        "a changed step is the old one",
        put(Draft, "_is_kept", lambda self, step: step.id in self._before),
        among(plots.replans(), "an argument changed"),
    ),
    Mutant("an answer forgets its question", made(people, "_answered", clean), among(plots.flows(), "question")),
    Mutant(
        "a list does not say how often",
        any_list,
        by(test_doors.test_a_list_of_others_does_not_say_how_often_something_is_done),
    ),
    Mutant(
        "inputs of a nested pipeline are clean",
        made(Pipes, "value", clean),
        among(plots.flows(), "reference", way="pipeline with an input"),
    ),
    Mutant(
        "what a run has read is gone after a restart", made(scene, "response_of", clean), after_a_kill("llm material")
    ),
    Mutant("what the journal holds is trusted", put(rows, "load_provenance", own_label), after_a_kill("reference")),
    Mutant(
        "an answer that is replied to is the person's",
        put(replies, "label_of", own_label),
        by(test_doors.test_a_reply_to_an_answer_made_of_others_words_hands_on_its_label),
    ),
    Mutant("recall tells all", remembers_all, by(test_doors.test_what_others_said_is_not_looked_up_in_the_memory)),
    # automation
    Mutant("events are trusted", put(Event, "label", USER), among(plots.flows(), "reference", way="event")),
    Mutant(
        "what is published is trusted",
        given(publishing, "Event", lambda **more: ((), {**more, "provenance": USER})),
        among(plots.flows(), "reference", way="published event"),
    ),
    Mutant(
        "what fires is the person", put(launching, "_label", own_label), among(plots.flows(), "reference", way="event")
    ),
    # people
    Mutant(
        "a member's answer is an owner's",
        put(people, "label_of_answer", own_label),
        by(test_doors.test_a_member_s_answer_supplies_no_argument),
    ),
    Mutant(
        "a member's request is an owner's",
        given(
            Reception,
            "_open_run",
            lambda self, session, message, *more, **options: (
                (self, session, replace(message, trusted=True), *more),
                options,
            ),
        ),
        by(test_doors.test_a_member_s_request_has_no_effect_by_itself),
    ),
    Mutant(
        "a quote is the person's",
        put(intake.Provenance, "of", lambda name, **_: USER),
        by(test_doors.test_quoted_and_forwarded_words_are_no_words_of_a_request),
    ),
    Mutant(
        "anybody may agree",
        given(Reception, "press", lambda self, message: ((self, replace(message, trusted=True)), {})),
        by(test_yes.test_no_press_but_the_owner_s_own_in_the_chat_of_the_question_allows),
    ),
    # consent
    Mutant(
        "a yes names the tool only",
        put(consent, "digest", lambda tool, _: tool),
        at_once(test_yes.test_a_yes_names_the_tool_and_every_argument, attacks.SINKS),
    ),
    Mutant(
        "a yes names no recipient",
        given(consent, "digest", lambda tool, args: ((tool, {n: v for n, v in args.items() if n != "to"}), {})),
        at_once(test_yes.test_a_yes_names_the_tool_and_every_argument, attacks.SINKS),
    ),
    Mutant("a yes is good for ever", put(consents, "_open", lambda _: ()), by(test_yes.test_an_expired_yes_is_none)),
    Mutant("a yes is used again", yes_for_all, by(test_yes.test_one_yes_is_one_execution_however_often_it_is_pressed)),
    Mutant(
        "for the task, whatever it says",
        put(this_task, "_exact", lambda *_: ""),
        by(for_this_task.test_another_recipient_or_argument_asks_again, other={"to": "eve", "text": "hi"}),
    ),
    Mutant(
        "for the task, whatever was read",
        put(this_task, "_shown", always),
        by(for_this_task.test_words_from_where_the_person_was_not_shown_ask_again),
    ),
    Mutant("beforehand is for ever", forever, by(test_yes.test_what_was_agreed_to_long_ago_is_asked_about)),
    Mutant(
        "beforehand is for anything",
        put(grants, "within", always),
        by(test_yes.test_what_was_agreed_to_beforehand_is_done_and_nothing_else),
    ),
    Mutant(
        "no is asked about again",
        put(this_task, "denied_too_often", never),
        by(test_worst_case.test_whoever_is_asked_again_and_again_says_no_twice_and_that_is_all),
    ),
    Mutant(
        "the owner's rules cover anything",
        put(own_rules, "covers", always),
        by(
            test_standing.test_a_rule_of_the_owner_s_allows_what_it_pins_and_nothing_else,
            pinned={"to": attacks.MAIL["to"]},
        ),
    ),
    Mutant(
        "the journal forgets why a step was chosen",
        given(SqlStore, "add_steps", lambda self, run, epoch, steps, _: ((self, run, epoch, steps, NOTHING), {})),
        by(test_standing.test_a_run_that_goes_on_where_one_was_stopped_knows_what_its_plan_had_read, kind=plots.adds),
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
async def test_a_rule_that_is_broken_in_one_place_is_noticed(tmp_path: Path, monkeypatch: Patch, mutant: Mutant):
    mutant.breaks(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        await mutant.noticed_by(tmp_path, monkeypatch)
