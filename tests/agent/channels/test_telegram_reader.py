"""Whose words an update holds."""

from __future__ import annotations

from typing import Any

from telegram import Update

from agent.channels.telegram.updates import Edit, Reader
from agent.domain.messages import Destination


def _edited(**fields: Any) -> Update:
    user = {"id": 7, "is_bot": False, "first_name": "Ada"}
    message = {"message_id": 1, "date": 0, "chat": {"id": 7, "type": "private"}, "from": user, "text": "new", **fields}
    return Update.de_json({"update_id": 1, "edited_message": message}, None)


def test_an_owners_edit_gives_new_words():
    dest = Destination("telegram", "7", reply_to="1")
    assert Reader(1, "bot", [7]).read(_edited()) == Edit(dest, "1", "new", "7")


def test_words_that_another_bot_changed_are_not_the_owners():
    other = {"id": 8, "is_bot": True, "first_name": "Other", "username": "other_bot"}
    assert Reader(1, "bot", [7]).read(_edited(via_bot=other)) is None
