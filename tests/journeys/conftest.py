"""What whole stories share: the real app between a fake Telegram and a fake model server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.app import App
from agent.config import AppConfig, load_config
from agent.domain.plan import PlanStep
from agent.parts import make_engine
from agent.planning.notation import render
from agent.testing import Bot
from agent.testing.engines import settings_of
from agent.testing.openai_script import Answer, Playbook, Rule
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import Call, FakeTelegram
from agent.testing.telegram_wire import problems
from agent.testing.telegram_world import Shown

OWNER = 11
SECOND_OWNER = 12
PURPOSES = {
    "plan": "You are the planner",
    "answer": "You write the final answer",
    "task": "with the given tools",
    "step": "write or extract exactly",
}
EFFECTS = '''"""Things that change the world outside."""
from plugins.api import tool

@tool(effect="once")
def send_mail(to: str, subject: str, text: str) -> str:
    """Send an e-mail."""
    with open("outbox.log", "a") as log:
        log.write(f"{to}|{subject}|{text}\\n")
    return f"sent to {to}"
'''


@dataclass
class Stage:
    """A person's chat and all that is behind it. `up()` is one life of Dirigent; a second one is a restart."""

    telegram: FakeTelegram
    model: FakeOpenAI
    config: AppConfig

    @asynccontextmanager
    async def up(self) -> AsyncIterator[App]:
        """Do what `dirigent serve` does, in this process, until the block ends."""
        from agent.app import plugin_commands
        from agent.channels.telegram.channel import TelegramChannel
        from agent.cli.chat import opened
        from agent.llm.hearing import build_listener

        async with opened(self.config, make_engine(self.config, works=True)) as (app, _):
            channel = TelegramChannel(
                self.config,
                app.store,
                app.reception,
                press=app.sender.press,
                listener=build_listener(self.config, app.llm),
                plugins=plugin_commands(app.catalogue),
                patience=0.02,
            )
            await app.add_channel(channel)
            tasks = [asyncio.create_task(channel.serve()), asyncio.create_task(app.sender.run())]
            try:
                yield app
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended

    # --- the model ----------------------------------------------------------------------------------------------
    def will(self, purpose: str, *answers: Answer | str | dict[str, Any], when: str = "", times: int = 1) -> None:
        """Give these answers, one each time, to the next calls of a purpose (whose last message holds `when`)."""
        for answer in answers:
            rule = Rule((answer,), purpose=PURPOSES[purpose], when=when, times=times)
            self.model.book.rules.append(rule)

    def will_plan(self, *steps: PlanStep, title: str = "", when: str = "", **speed: Any) -> None:
        """Plan these steps next."""
        self.will("plan", Answer(render(title, list(steps)), **speed), when=when)

    def asked(self, purpose: str) -> list[str]:
        """Return the last message of every call of a purpose."""
        wanted = PURPOSES[purpose]
        found = [r["messages"] for r in self.model.requests if wanted in str(r["messages"][0]["content"])]
        return [str(messages[-1]["content"]) for messages in found]

    # --- the person ---------------------------------------------------------------------------------------------
    def says(self, text: str, chat: int = OWNER, **more: Any) -> int:
        """Write a message; return its id."""
        return self.telegram.user_says(chat, text, **more)

    async def sees(self, text: str, chat: int = OWNER, seconds: float = 120.0, **wanted: Any) -> Shown:
        """Wait for a message of the bot that holds the text and is not growing any more; return the newest one.

        `wanted`: `button` (a label that it has), `thread` (its topic), `growing=True` for one that still grows.
        """

        def fits(message: Shown) -> bool:
            growing = message.text.endswith(" …") == wanted.get("growing", False)
            has_button = wanted.get("button", "") in {"", *message.labels}
            return text in message.text and growing and has_button and message.thread == wanted.get("thread")

        found = await self.telegram.wait_for(lambda: [m for m in self.telegram.bot_messages(chat) if fits(m)], seconds)
        newest: Shown = found[-1]
        return newest

    async def presses(self, message: Shown, button: str, chat: int = OWNER, user_id: int | None = None) -> str:
        """Press a button and return what Telegram shows for it."""
        query = self.telegram.forge_press(chat, message.id, dict(_buttons(message))[button], user_id=user_id)
        await self.telegram.wait_for(lambda: self.telegram.queries[query] is not None)
        return str(self.telegram.queries[query])

    def texts(self, chat: int = OWNER) -> list[str]:
        """Return what the bot's messages in the chat show now."""
        return [message.text for message in self.telegram.bot_messages(chat)]

    async def until(self, holds: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Wait until something holds that Telegram sees."""
        return await self.telegram.wait_for(holds, seconds)

    # --- the wire -----------------------------------------------------------------------------------------------
    def refused(self) -> list[Call]:
        """Return the calls that the server did not take."""
        return [call for call in self.telegram.calls if call.outcome not in {"", "ok"}]

    def workspace(self, chat: int = OWNER) -> Path:
        """Return a chat's workspace."""
        return self.config.folder / "sessions" / f"telegram_{chat}" / "work"


def _buttons(message: Shown) -> list[tuple[str, str]]:
    return [button for row in message.buttons for button in row]


@pytest.fixture(autouse=True)
def asks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have bots ask before each effect, so that a story about a question has one; others say `policy=`."""
    monkeypatch.setattr(Bot, "mode", "always")


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    """A strict Bot API server that counts: whoever writes too fast gets a 429.

    At the end nothing may have been refused but what the test staged (or put into `tolerated`), and the rates are kept.
    """
    async with FakeTelegram() as server:
        server.flood_control = True
        server.chat(OWNER)
        yield server
    assert problems(server.calls, server.tolerated) == []


@pytest.fixture
async def model() -> AsyncIterator[FakeOpenAI]:
    """A model server that says what the story tells it to say."""
    async with FakeOpenAI(Playbook()) as server:
        yield server


@pytest.fixture
def stage(telegram: FakeTelegram, model: FakeOpenAI, tmp_path: Path) -> Stage:
    """A stage with a model that is patiently waited for: the machine may be busy."""
    (tmp_path / "home" / "plugins").mkdir(parents=True)
    (tmp_path / "home" / "plugins" / "effects.py").write_text(EFFECTS)
    return Stage(telegram, model, settings(tmp_path, telegram, model))


def settings(tmp_path: Path, telegram: FakeTelegram, model: FakeOpenAI | None, **more: Any) -> AppConfig:
    """Return the configuration of a stage; without a model server it works offline."""
    llm = {"first_token_seconds": 60.0, "stall_seconds": 60.0, "tries": 2}
    served = {"model": "fake-model", "openai_base_url": model.base_url} if model else {"model": "offline"}
    given: dict[str, Any] = {
        "home": tmp_path / "home",
        "telegram_token": telegram.token,
        "telegram_base_url": telegram.base_url,
        "owners": (OWNER, SECOND_OWNER),
        "openai_api_key": "sk-journey-key-0123456789",
        "llm": llm,
        "telegram": {"poll_seconds": 5},
        "policy": {"mode": "always"},  # these stories are told with a question before each effect
        **served,
    }
    return load_config(**{**given, **settings_of(tmp_path / "home"), **more})
