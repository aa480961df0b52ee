"""Group policies, the menu and what it leaves out, settings, and the first hello."""

from __future__ import annotations

import json

import pytest
from telegram import Bot

from agent.channels.telegram.groups import GroupDesk
from agent.channels.telegram.menu import Menu
from agent.channels.telegram.more import BYTES, MORE, MoreDesk, fitting
from agent.channels.telegram.settings import SettingsDesk
from agent.channels.telegram.start import Checks, StartDesk, told
from agent.channels.telegram.tasks import Tasks
from agent.commands import HELP
from agent.domain.messages import Destination, InboundMessage

from .conftest import OWNER

GROUP = -1001
MEMBER = 12


def _message(chat: int = OWNER, **fields) -> InboundMessage:
    kind = "private" if chat > 0 else "supergroup"
    dest = Destination("telegram", str(chat), chat_type=kind, language=fields.pop("language", ""))
    return InboundMessage("telegram", "1", dest, str(OWNER), **fields)


async def _shown(store) -> dict:
    return (await store.get_message("reply:telegram:1")).payload


# --- groups -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "heard"),
    [
        ("mention", ["to you", "/help", "reply"]),
        ("commands", ["/help", "reply"]),
        ("all", ["to you", "/help", "reply", "just talk"]),
        ("never", []),
    ],
)
async def test_an_owner_says_when_the_bot_answers_in_a_group(rig, policy, heard):
    rig.server.add_group(GROUP)
    await GroupDesk(rig.store, "mention").press(_message(GROUP, action=f"g/{policy}"))
    async with rig.up():
        mine = rig.server.add_message(rig.server.chats[GROUP], rig.server.me, text="hi")["message_id"]
        rig.server.user_says(GROUP, "@dirigent_bot to you", user_id=OWNER)
        rig.server.user_says(GROUP, "/help", user_id=OWNER)
        rig.server.user_says(GROUP, "reply", user_id=OWNER, reply_to=mine)
        rig.server.user_says(GROUP, "just talk", user_id=OWNER)
        rig.server.user_says(OWNER, "last")
        await rig.hearer.until(lambda: "last" in rig.hearer.texts and len(rig.hearer.texts) > len(heard))
    assert sorted(rig.hearer.texts) == sorted([*heard, "last"])


async def test_group_shows_the_choice_in_force_and_only_an_owner_changes_it(store):
    desk = GroupDesk(store, "mention")
    await desk.obey(_message(GROUP, text="/group"))
    labels = [row[0]["label"] for row in (await _shown(store))["buttons"]]
    assert labels[0].startswith("✓ When mentioned")
    assert "owner" in await desk.press(_message(GROUP, action="g/all", trusted=False))
    assert await desk.press(_message(GROUP, action="g/all")) == "Everything that is said"
    shown = await _shown(store)
    assert "privacy mode" in shown["text"]
    assert shown["buttons"][2][0]["label"].startswith("✓")
    assert await desk.press(_message(GROUP, action="g/some")) == "This button is no longer known."


async def test_group_is_of_no_use_in_private(store):
    await GroupDesk(store, "mention").obey(_message(text="/group"))
    assert "send it in one" in (await _shown(store))["text"]


# --- menu ---------------------------------------------------------------------------------------------------------
async def test_the_menu_is_set_per_place_and_language_and_only_when_it_changed(rig):
    async with Bot(rig.server.token, base_url=f"{rig.server.base_url}/bot") as bot:
        for _ in range(2):
            await Menu(bot, rig.store, {}, Tasks()).publish([OWNER])
        assert len(rig.server.called("setMyCommands")) == 15
        await Menu(bot, rig.store, {"roll": "Roll dice."}, Tasks()).publish([OWNER])
        assert rig.server.menus["all_private_chats", ""][-1] == {"command": "roll", "description": "Roll dice."}
        await Menu(bot, rig.store, {}, Tasks()).publish([OWNER])
    menus = {key: [entry["command"] for entry in menu] for key, menu in rig.server.menus.items()}
    assert menus["all_private_chats", ""] == [name.lstrip("/") for name in HELP]
    assert "users" in menus[f"chat:{OWNER}", "de"]
    assert "users" not in menus["all_private_chats", "de"]
    assert "group" in menus["all_group_chats", "fr"]
    german = rig.server.menus["all_private_chats", "de"]
    assert {entry["command"]: entry["description"] for entry in german}["stop"] == "anhalten, was läuft"


async def test_a_menu_that_telegram_does_not_take_stops_nothing_and_is_tried_again(rig):
    rig.server.fail("setMyCommands", "error", code=400, description="Bad Request: no")
    async with rig.up():
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
        await rig.server.wait_for(lambda: len(rig.server.menus) == 10)
    assert not any(scope == "all_private_chats" for scope, *_ in rig.server.menus), "that place was refused"
    async with rig.up():
        await rig.server.wait_for(lambda: len(rig.server.menus) == 15)


@pytest.mark.parametrize(("count", "words"), [(200, 5), (60, 60), (3, 3)])
def test_a_menu_stays_within_what_telegram_takes_and_loses_no_command(count, words):
    plugins = {f"command_{number}": "long words " * words for number in range(count)} | {"Bad-Name": "x"}
    menu, rest = fitting([("help", "show this")], plugins, ("more", "more commands"))
    assert len(menu) <= 100
    assert sum(len(name) + len(what) for name, what in menu) <= BYTES
    assert ("Bad-Name", "x") in rest
    assert menu[-1][0] == "more"
    assert {name for name, _ in [*menu, *rest]} == {"help", "more", *plugins}


def test_a_menu_that_holds_all_has_no_more():
    assert fitting([("help", "x")], {"a": "b"}, ("more", "m")) == ([("help", "x"), ("a", "b")], [])


async def test_the_menus_of_all_languages_fit_with_many_plugins(rig):
    menu = Menu(None, rig.store, {f"command_{number}": "words " * 9 for number in range(120)}, Tasks())
    for _, _, commands in menu.menus([OWNER]):
        assert sum(len(f"{name}{what}".encode()) for name, what in commands) <= BYTES


async def test_more_lists_the_rest_a_page_at_a_time(store):
    desk = MoreDesk(store, lambda: {f"Command-{number:02}": "does it" for number in range(60)})
    await desk.obey(_message(text=MORE))
    first = await _shown(store)
    assert first["text"].splitlines()[0] == "/Command-00 — does it"
    assert [b["action"] for b in first["buttons"][0]] == ["m/1"]
    await desk.press(_message(action="m/2"))
    last = await _shown(store)
    assert last["text"].splitlines()[-1] == "/Command-59 — does it"
    assert [b["action"] for b in last["buttons"][0]] == ["m/1"]


# --- settings and start -------------------------------------------------------------------------------------------
async def test_a_chosen_language_is_spoken_from_the_next_message_on(rig):
    await SettingsDesk(rig.store).press(_message(action="l/ru"))
    async with rig.up():
        rig.server.user_says(OWNER, "one", language="de")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert (rig.hearer.heard[0].language, rig.hearer.heard[0].dest.language) == ("ru", "ru")


async def test_settings_show_the_language_in_force(store):
    desk = SettingsDesk(store)
    await desk.obey(_message(text="/settings", language="fr"))
    assert [row[0]["label"] for row in (await _shown(store))["buttons"]][2] == "✓ Français"
    assert await desk.press(_message(action="l/de", language="fr")) == "Deutsch"
    assert "Sprache" in (await _shown(store))["text"]
    assert await desk.press(_message(action="l/xx")) == "This button is no longer known."


def _start(store, heard, examples=("Total per region",), checks: Checks | None = None) -> StartDesk:
    async def hear(message):
        heard.append(message)

    async def look():
        assert checks is not None, "nobody but an owner is told"
        return checks

    return StartDesk(store, hear, look, lambda: list(examples))


async def test_an_owners_start_says_what_works_and_what_to_do_about_the_rest(store):
    await store.set_value("telegram:facts", json.dumps({"reads_groups": False, "topics": True}))
    checks = Checks("qwen", reachable=False, voice=False, sandbox="A", remedy="Do this.")
    await _start(store, [], checks=checks).obey(_message(text="/start"))
    shown = await _shown(store)
    for words in (
        "Model: qwen ✗",
        "dirigent doctor",
        "Voice ✗",
        "Sandbox: A",
        "Do this.",
        "privacy mode is on",
        "Topics",
    ):
        assert words in shown["text"]
    assert [b["label"] for row in shown["buttons"] for b in row] == ["Try an example", "What can you do?", "Settings"]


@pytest.mark.parametrize("message", [_message(trusted=False), _message(GROUP)])
async def test_others_are_told_only_what_it_is(store, message):
    await _start(store, []).obey(message)
    assert "Sandbox" not in (await _shown(store))["text"]


@pytest.mark.parametrize(
    ("button", "text"), [("example", "Total per region"), ("help", "/help"), ("settings", "/settings")]
)
async def test_a_button_stands_for_words_that_are_heard_once(store, button, text):
    heard = []
    desk = _start(store, heard)
    for _ in range(2):
        assert not await desk.press(_message(action=f"w/{button}"))
    assert [(message.text, message.action, message.id > 0) for message in heard] == [(text, "", True)]


def test_without_a_model_the_way_on_is_said():
    said = "\n".join(told("en", Checks("none", None, voice=False, sandbox="C"), {}))
    assert "dirigent init" in said
    assert "Groups" not in said


async def test_the_bots_facts_are_noted_at_the_start(rig):
    async with rig.up():
        rig.server.user_says(OWNER, "one")
        await rig.hearer.until(lambda: rig.hearer.heard)
    assert json.loads(await rig.store.get_value("telegram:facts")) == {"reads_groups": False, "topics": False}
