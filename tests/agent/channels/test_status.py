"""/status: owners see what is in use and all that goes on; others only their own requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.channels.status_desk import WALLS, Sources, StatusDesk
from agent.commands import HELP
from agent.domain.messages import Destination, InboundMessage, MessageKind
from agent.domain.run import Run
from agent.testing import Bot, step
from sandbox import canaries
from sandbox.api import Rung, SandboxError

DEST = Destination("telegram", "11")
REMEDY = "Install bubblewrap for the full sandbox: apt-get install bubblewrap"
ASKED = InboundMessage("telegram", "1", DEST, "11", text="/status")


class Around:
    """What the command asks; each answer may be changed."""

    def __init__(self) -> None:
        self.rung: Rung | SandboxError = Rung("C", "Landlock", REMEDY)
        self.halted: float | None = None

    async def walls(self) -> Rung:
        if isinstance(self.rung, SandboxError):
            raise self.rung
        return self.rung

    async def workers(self) -> str:
        return "Workers: 2 alive, 1 requests at work, 4 waiting"

    async def automation(self) -> dict[str, object]:
        return {"halted_since": self.halted, "enabled": 2, "triggers": 3}


@pytest.fixture
def around() -> Around:
    return Around()


@pytest.fixture
def status(store, around):
    desk = StatusDesk(
        store,
        Sources("Model: m", around.walls, around.workers, around.automation, [lambda: "Telegram: not reached yet"]),
    )

    async def ask(message: InboundMessage = ASKED) -> list[str]:
        await desk.obey(message)
        return (await store.get_message(f"reply:telegram:{message.update_id}")).payload["text"].split("\n")

    return ask


async def opened(store, *requests: tuple[str, str, str]) -> None:
    for chat, user, request in requests:
        dest = Destination("telegram", chat)
        await store.open_run(Run(dest.session_id, request, dest, user_id=user))


async def test_an_owner_sees_the_model_the_sandbox_with_its_remedy_workers_and_what_goes_on(store, status):
    await opened(store, ("11", "11", "Paint it"), ("12", "12", "Wash it"))
    assert await status() == [
        "Model: m",
        "Sandbox C: Landlock and a system-call filter, no network",
        f"→ {REMEDY}",
        "Telegram: not reached yet",
        "Workers: 2 alive, 1 requests at work, 4 waiting",
        "Automation: on; 2 of 3 triggers are on",
        "In all chats: 0 at work, 2 wait; 0 questions to people are open",
        "- Wash it: in the queue",
        "Open requests here: 1",
        "- Paint it: in the queue",
        "Used here so far: 0 tokens",
    ]


async def test_a_member_sees_only_what_is_theirs(store, status):
    await opened(store, ("-5", "11", "Secret of an owner"), ("-5", "99", "Mine"), ("12", "12", "Elsewhere"))
    group = Destination("telegram", "-5", chat_type="group")
    assert await status(replace(ASKED, dest=group, user_id="99", trusted=False)) == [
        "Open requests here: 1",
        "- Mine: in the queue",
    ]


async def test_what_is_asked_in_other_chats_is_not_told_in_a_group(store, status):
    await opened(store, ("12", "12", "Elsewhere"))
    said = await status(replace(ASKED, dest=Destination("telegram", "-5", chat_type="group")))
    assert "In all chats: 0 at work, 1 wait; 0 questions to people are open" in said
    assert not any("Elsewhere" in line for line in said)


async def test_a_sidecar_that_does_not_answer_hides_nothing_else(status, around):
    around.rung = SandboxError("The sidecar does not answer.", remedy="docker compose up -d sandbox")
    said = await status()
    assert "Sandbox: ✗ The sidecar does not answer. docker compose up -d sandbox" in said
    assert said[-2] == "Open requests here: 0"


async def test_automation_that_was_stopped_says_since_when_and_the_way_on(status, around):
    around.halted = 1_700_000_000.0
    said = await status()
    assert "Automation: off since 2023-11-14 22:13 UTC; `dirigent schedules start` lets it go on" in said


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("de", {"Modell: m", "Worker: 2 am Leben, 1 Anfragen in Arbeit, 4 warten", "Offene Anfragen hier: 0"}),
        ("fr", {"Modèle : m", "Workers : 2 actifs, 1 demandes en cours, 4 en attente", "Demandes ouvertes ici : 0"}),
        ("ru", {"Модель: m", "Рабочие процессы: 2; запросов в работе: 1, ждут: 4", "Открытых запросов здесь: 0"}),
        ("zh", {"模型：m", "工作进程：2 个在运行，1 个请求处理中，4 个等待", "此处未完成的请求：0"}),
    ],
)
async def test_it_speaks_the_persons_language(status, language, lines):
    said = await status(replace(ASKED, dest=replace(DEST, language=language)))
    assert lines <= set(said)
    assert not any("Automation:" in line or "In all chats" in line for line in said)


def test_every_rung_that_a_machine_can_have_is_described():
    rungs = [one for one in vars(canaries).values() if isinstance(one, Rung)]
    assert {one.name for one in rungs} | {"B", "E", "unsafe"} == set(WALLS)
    assert "/status" in HELP


async def test_the_whole_says_what_this_machine_has_and_what_waits_for_a_person(tmp_path):
    async with Bot(tmp_path / "home", builtin=True) as bot:
        bot.llm.will_plan(step("q", ask="Which colour?"))
        await bot.hears("Paint the wall")
        await bot.receives("/status")
        said = (await bot.shown(MessageKind.NOTICE))[0].payload["text"]
    assert "\nSandbox " in said
    assert "Open requests here: 1" in said
    assert ": waits for you" in said
