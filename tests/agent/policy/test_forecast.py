"""What a plan will ask is said before it runs: whatever is asked later was foretold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.channels.telegram.render import view
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.provenance import MEMORY, NOTHING, USER, Provenance
from agent.domain.references import find_references, with_reference_dependencies
from agent.domain.run import Run
from agent.execution.foretelling import Saying
from agent.execution.live import LivePlan
from agent.policy.forecast import Situation, foretell, in_words
from agent.policy.gate import Proposal, ruled
from agent.policy.provenance import of_result
from agent.testing import Bot, step
from plugins.api import File, ToolSpec, spec_of, tool

WEB = Provenance.of("file:theirs.txt", trusted=False)
MINE = Provenance.of("file:mine.txt", trusted=True, private=True)
WORDS = "read https://a.example and write to ada@home.example: hi"


@tool(effect="read", host=True, untrusted=True, egress=["url"], produces=["text"])
async def fetch(url: str) -> str:
    """Read a page."""
    return url


@tool(effect="read", host=True, untrusted=True, private=True, produces=["text"])
async def inbox(folder: str = "") -> str:
    """Read mail."""
    return folder


@tool
def note(name: str, text: str) -> str:
    """Write a file."""
    Path(name).write_text(text)
    return name


@tool(effect="pure")
def look(path: Annotated[str, File()]) -> str:
    """Read a file."""
    return path


@tool(reads_all=True)
def program(code: str) -> str:
    """Run a program."""
    return code


@tool(effect="once", content_args=["text"])
def mail(to: str, text: str) -> str:
    """Write to somebody."""
    return to


@tool(effect="once", host=True, produces=["text"])
async def post(channel: str) -> str:
    """Post."""
    return channel


@tool(effect="once")
def attach(file: Annotated[str, File()], to: str) -> str:
    """Send a file."""
    return to


TOOLS = (fetch, inbox, note, look, program, mail, post, attach)
SPECS: dict[str, ToolSpec] = {found.name: found for found in map(spec_of, TOOLS) if found is not None}


class Quiet:
    """A bot that shows nothing."""

    async def post(self, message: OutboundMessage) -> None:
        """Take it."""

    def busy(self, dest: Destination, *, on: bool) -> None:
        """Take it."""


FILES = ("mine.txt", "theirs.txt", "new.txt")
LITERALS = ("https://a.example", "ada@home.example", "hi", "something else", *FILES)


@st.composite
def plans(draw: st.DrawFn) -> list[PlanStep]:
    """Return a plan of a few calls whose arguments are words or results of earlier steps."""
    made: list[PlanStep] = []
    for number in range(draw(st.integers(1, 7))):
        name = draw(st.sampled_from(sorted(SPECS)))
        refs = [f"{{{{ {one.id}.output }}}}" for one in made]
        values = st.sampled_from([*LITERALS, *refs, *(f"about {ref}" for ref in refs)])
        args = {argument: draw(values) for argument in SPECS[name].arguments.model_fields}
        after = tuple(draw(st.sets(st.sampled_from([one.id for one in made]), max_size=2))) if made else ()
        made.append(with_reference_dependencies(step(f"s{number}", name, after=after, **args)))
    return made


def carried_out(steps: list[PlanStep], order: list[int], control: Provenance, value: str, run: Run) -> set[str]:
    """Return the steps that ask when the plan is carried out in an order, each reference being `value`."""
    results: dict[str, Provenance] = {}
    files: dict[str, Provenance] = {"mine.txt": MINE, "theirs.txt": WEB}
    asked = set()
    for place in order:
        one = steps[place]
        spec = SPECS[one.tool or ""]
        used = {name: [results[ref] for ref in find_references(given)] for name, given in one.args.items()}
        labels = {name: Provenance.union([control, *found]) for name, found in used.items()}
        args = {name: value if used[name] else given for name, given in one.args.items()}
        proposal = Proposal(run, one.id, spec, args, labels, control, file_labels=files)
        verdict = ruled(proposal, "normal")
        asked |= {one.id} if verdict.decision == "ask" else set()
        results[one.id] = of_result(spec, args, verdict.labels.args, files, one.id)
        if spec.name == "note":
            name = args["name"]
            files[name] = results[one.id] | files.get(name, NOTHING)
    return asked


def orders(steps: list[PlanStep], random: Any) -> list[int]:
    """Return an order in which the steps may be carried out, drawn by chance."""
    left, done = dict(enumerate(steps)), []
    known = {one.id: place for place, one in enumerate(steps)}
    while left:
        ready = [n for n, one in left.items() if all(known[need] in done for need in one.depends_on)]
        done.append(random.choice(ready))
        del left[done[-1]]
    return done


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=plans(),
    random=st.randoms(use_true_random=False),
    control=st.sampled_from([USER, USER | MEMORY, USER | MINE, WEB]),
    value=st.sampled_from(LITERALS),
)
def test_whatever_is_asked_was_foretold(steps: list[PlanStep], random: Any, control: Provenance, value: str):
    run = Run("test:1", WORDS, Destination("test", "1"))
    situation = Situation(run, {"mine.txt": MINE, "theirs.txt": WEB}, dict.fromkeys((one.id for one in steps), control))
    foretold = foretell(steps, SPECS.__getitem__, situation)
    asked = carried_out(steps, orders(steps, random), control, value, run)
    assert asked <= {name for name, one in foretold.items() if one.asks}


def words_of(*steps: PlanStep, files: Mapping[str, Provenance] | None = None, money: float = 0.0) -> str:
    run = Run("test:1", WORDS, Destination("test", "1"))
    return in_words(foretell(steps, SPECS.__getitem__, Situation(run, files or {})), SPECS.__getitem__, money)


def test_a_plan_is_told_in_words():
    fetched = step("s1", "fetch", url="https://a.example")
    written = step("s2", llm="Sum it up", about="{{ s1.output }}", outputs=("sum.md",))
    first = step("s3", "mail", to="ada@home.example", text="hi")
    sent = step("s4", "mail", to="ada@home.example", text="{{ s2.output }}")
    assert words_of(fetched, written, first, sent, money=0.04) == (
        "Reads: fetch https://a.example. Writes here: sum.md. "
        "Sends: mail ada@home.example ×2 (asks first). Spends about $0.04."
    )
    assert words_of(first) == "Sends: mail ada@home.example."
    assert words_of(step("s1", "look", path="mine.txt")) == "Reads: mine.txt."
    assert words_of(step("s1", "program", code="1")) == "Changes and sends nothing outside."
    assert "Asks you 1 question." in words_of(step("s1", ask="Which one?"))


def test_a_task_with_an_effect_is_foretold_to_ask_when_it_could_read_others():
    foretold = foretell(
        [step("s1", task="Do it", tools=("fetch", "mail")), step("s2", task="Do it", tools=("post",))],
        SPECS.__getitem__,
        Situation(Run("test:1", WORDS, Destination("test", "1"))),
    )
    assert foretold["s1"].asks


async def test_what_is_foretold_is_what_the_dispatcher_asks(tmp_path: Path):
    fetched = step("s1", "fetch", url="https://a.example")
    plan = [fetched, step("s2", "post", channel="ada"), step("s3", "post", after=("s2",), channel="{{ s1.output }}")]
    foretold = foretell(plan, SPECS.__getitem__, Situation(Run("test:1", WORDS, Destination("test", "1"))))
    async with Bot(tmp_path / "home", list(TOOLS)) as bot:
        bot.llm.will_plan(*plan)
        await bot.hears(WORDS)
        asked = {one.step_id for one in await bot.app.store.approvals_of((await bot.last_run()).id)}
    assert asked == {name for name, one in foretold.items() if one.asks} == {"s3"}


async def test_a_plan_that_asks_says_so_in_its_message_while_it_waits(tmp_path: Path):
    async with Bot(tmp_path / "home", list(TOOLS)) as bot:
        bot.llm.will_plan(step("s1", "fetch", url="https://a.example"), step("s2", "post", channel="{{ s1.output }}"))
        await bot.hears(WORDS)
        (plan,) = await bot.shown(MessageKind.PLAN)
    assert "Reads: fetch https://a.example. Sends: post (asks first)." in plan.payload["foretold"]
    assert plan.payload["asks_first"]
    look = view(replace(plan, dest=replace(plan.dest, channel="telegram")))
    assert "Sends: post (asks first)." in look.parts[0].text


async def test_what_a_plan_sends_is_said_in_a_group_only_when_it_is_unfolded(tmp_path: Path):
    said = Saying("Sends: post ada.", whole=True, sends=True, asks=True)
    for chat, shown in (("private", True), ("group", False)):
        live = LivePlan(Quiet(), Run("s", "Work", Destination("test", "1", chat_type=chat), id=1), lambda: 0.0)
        live.foretell = lambda _: said
        live.add(step("s1", "post", channel="ada"))
        assert ("foretold" in live.message().payload) is shown
        live.unfold(details=True)
        assert live.message().payload["foretold"] == said.text
        live.unfold(details=False)
        live.state = "done"
        assert "foretold" not in live.message().payload
        await live.stop()


def test_a_call_is_judged_in_no_time():
    from tests.benchmarks.policy import BOUNDS, measured

    found = measured()
    assert found["decide"] < 20 * BOUNDS["decide"]  # a busy machine is no fault of the rule
    assert found["judge"] < 20 * BOUNDS["judge"]
