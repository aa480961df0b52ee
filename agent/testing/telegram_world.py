"""The chats, messages, updates and files behind the fake Bot API server, and what a person does in them."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.testing.telegram_rules import bad, utf16

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "4711:test-token"  # noqa: S105 — of the fake server
MARKS = re.compile(r"(?P<mention>@\w+)|(?P<bot_command>(?<!\S)/\w+(?:@\w+)?)")


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as the chat shows it now. `buttons` are rows of (label, action); `files` are (name, bytes)."""

    id: int
    text: str
    from_bot: bool
    buttons: tuple[tuple[tuple[str, str], ...], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    entities: tuple[dict[str, Any], ...] = ()
    reply_to: int | None = None
    thread: int | None = None
    edits: int = 0
    photo: bool = False
    force_reply: bool = False

    @property
    def labels(self) -> list[str]:
        """The buttons' labels in reading order."""
        return [label for row in self.buttons for label, _ in row]


@dataclass(slots=True)
class Chat:
    """A chat: `blocked` means that the bot can't write there any more, `silenced` that it has no right to for now.

    `drafts` are those shown, as (draft_id, text), oldest first.
    """

    id: int
    type: str = "private"
    title: str = ""
    forum: bool = False
    topics: set[int] = field(default_factory=set)
    closed_topics: set[int] = field(default_factory=set)
    blocked: bool = False
    silenced: bool = False
    migrated_to: int | None = None
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    edits: dict[int, int] = field(default_factory=dict)
    reactions: dict[int, list[str]] = field(default_factory=dict)
    reactions_allowed: bool = True
    drafts: list[tuple[int, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the Bot API's Chat."""
        named = {"first_name": self.title or f"User {self.id}"} if self.type == "private" else {"title": self.title}
        return {"id": self.id, "type": self.type, **named, **({"is_forum": True} if self.forum else {})}


class World:
    """Everything that Telegram would know. Changes wake whoever waits in `wait_for` or in a long poll."""

    def __init__(self, *, token: str = TOKEN, username: str = "dirigent_bot") -> None:
        self.token = token
        self.me = {"id": int(token.partition(":")[0]), "is_bot": True, "first_name": "Dirigent", "username": username}
        self.chats: dict[int, Chat] = {}
        self.updates: list[dict[str, Any]] = []
        self.files: dict[str, tuple[str, bytes]] = {}
        self.file_sizes: dict[str, int] = {}
        self.queries: dict[str, str | None] = {}
        self.alerts: dict[str, bool] = {}
        self.commands: list[dict[str, Any]] = []
        self.webhook: tuple[str, str] | None = None
        self.menus: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.next_update = 1000
        self.next_message = 1
        self.changed = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    # --- change and wait ----------------------------------------------------------------------------------------
    def touch(self) -> None:
        """Wake all waiters; callable from plain functions on the server's loop."""
        task = asyncio.get_running_loop().create_task(self._notify())
        self._wakers.add(task)
        task.add_done_callback(self._wakers.discard)

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def wait_for(self, predicate: Callable[[], Any], timeout: float = 120.0) -> Any:  # noqa: ASYNC109 — the waiting is the point
        """Return the predicate's first true value; AssertionError with what the chats show when it takes too long.

        IndexError and KeyError of the predicate count as "not yet".
        """

        def holds() -> Any:
            try:
                return predicate()
            except (IndexError, KeyError):
                return None

        try:
            async with asyncio.timeout(timeout), self.changed:
                return await self.changed.wait_for(holds)
        except TimeoutError:
            shown = {chat: [(m.id, m.text, m.labels) for m in self.messages(chat)] for chat in self.chats}
            raise AssertionError(f"not within {timeout:g} s; the chats show {shown}") from None

    # --- chats --------------------------------------------------------------------------------------------------
    def chat(self, chat_id: int) -> Chat:
        """Return a chat; a private one is made on first use."""
        if chat_id not in self.chats and chat_id > 0:
            self.chats[chat_id] = Chat(chat_id)
        return self.chats[chat_id]

    def add_group(self, chat_id: int, title: str = "Group", *, topics: tuple[int, ...] = ()) -> Chat:
        """Make a supergroup (a forum when it has topics); `chat_id` is negative."""
        self.chats[chat_id] = Chat(chat_id, "supergroup", title, forum=bool(topics), topics=set(topics))
        return self.chats[chat_id]

    def known(self, chat_id: Any) -> Chat:
        """Return the chat that the bot names, or refuse."""
        chat = self.chats.get(int(chat_id)) if str(chat_id).lstrip("-").isdigit() else None
        if chat is None:
            raise bad("chat not found")
        return chat

    def messages(self, chat_id: int) -> list[Shown]:
        """Return what the chat shows now, oldest first."""
        chat = self.chats.get(chat_id)
        return [self._shown(chat, message) for _, message in sorted(chat.messages.items())] if chat else []

    def bot_messages(self, chat_id: int) -> list[Shown]:
        """Return what the bot's messages in the chat show now, oldest first."""
        return [message for message in self.messages(chat_id) if message.from_bot]

    def _shown(self, chat: Chat, message: dict[str, Any]) -> Shown:
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        held = message.get("document") or (message.get("photo") or [None])[-1]
        return Shown(
            id=message["message_id"],
            text=message.get("text") or message.get("caption") or "",
            from_bot=message["from"]["id"] == self.me["id"],
            buttons=tuple(tuple((b["text"], b.get("callback_data", "")) for b in row) for row in rows),
            files=(self.files[held["file_id"]],) if held else (),
            entities=tuple(message.get("entities") or message.get("caption_entities") or ()),
            reply_to=message.get("reply_to_message", {}).get("message_id"),
            thread=message.get("message_thread_id"),
            edits=chat.edits.get(message["message_id"], 0),
            photo="photo" in message,
            force_reply="force_reply" in message.get("reply_markup", {}),
        )

    # --- building -----------------------------------------------------------------------------------------------
    def add_message(self, chat: Chat, sender: dict[str, Any], **content: Any) -> dict[str, Any]:
        """Put a message into a chat and return it."""
        message: dict[str, Any] = {"message_id": self.next_message, "from": sender, "chat": chat.to_json()}
        message |= {"date": int(time.time())}
        message |= {key: value for key, value in content.items() if value is not None}
        self.next_message += 1
        chat.messages[message["message_id"]] = message
        self.touch()
        return message

    def add_update(self, **content: Any) -> int:
        """Queue an update and return its id."""
        self.next_update += 1
        self.updates.append({"update_id": self.next_update, **content})
        self.touch()
        return self.next_update

    def add_file(self, name: str, data: bytes, *, claimed_size: int | None = None) -> dict[str, Any]:
        """Keep a file and return the Bot API's description of it; `claimed_size` lets a test pretend."""
        file_id = f"file-{len(self.files) + 1}"
        self.files[file_id] = (name, data)
        self.file_sizes[file_id] = len(data) if claimed_size is None else claimed_size
        return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_size": self.file_sizes[file_id]}

    # --- what a person does -------------------------------------------------------------------------------------
    def user(self, user_id: int, language: str = "en") -> dict[str, Any]:
        """Return the Bot API's User."""
        return {"id": user_id, "is_bot": False, "first_name": f"User {user_id}", "language_code": language}

    def user_says(self, chat_id: int, text: str, *, user_id: int | None = None, **more: Any) -> int:
        """Have a person write a message and return its id.

        `more`: `reply_to` (message id), `thread` (topic), `forwarded=True`, `language`, and any raw field of Message.
        """
        return self._user_sends(chat_id, user_id, {"text": text, "entities": self._marks(text) or None}, more)

    def user_sends_file(
        self,
        chat_id: int,
        name: str,
        data: bytes,
        *,
        caption: str = "",
        kind: str = "document",
        user_id: int | None = None,
        claimed_size: int | None = None,
        **more: Any,
    ) -> int:
        """Have a person send a file and return the message's id. `kind`: document, photo, voice, audio, video.

        `album="1"` puts the message into an album; `more` is that of `user_says`.
        """
        held = self.add_file(name, data, claimed_size=claimed_size)
        shapes: dict[str, Any] = {
            "document": {"document": {**held, "file_name": name, "mime_type": "application/octet-stream"}},
            "photo": {
                "photo": [{**held, "file_size": 1, "width": 9, "height": 9}, {**held, "width": 90, "height": 90}]
            },
            "voice": {"voice": {**held, "duration": 1, "mime_type": "audio/ogg"}},
            "audio": {"audio": {**held, "duration": 1, "file_name": name}},
            "video": {"video": {**held, "duration": 1, "width": 9, "height": 9, "file_name": name}},
            "video_note": {"video_note": {**held, "duration": 1, "length": 9}},
        }
        marks = self._marks(caption) or None
        content = {**shapes[kind], "caption": caption or None, "caption_entities": marks}
        return self._user_sends(chat_id, user_id, {**content, "media_group_id": more.pop("album", None)}, more)

    def user_edits(self, chat_id: int, message_id: int, text: str) -> None:
        """Have the author change a message."""
        message = self.chats[chat_id].messages[message_id]
        message |= {"text": text, "edit_date": int(time.time())}
        self.add_update(edited_message=dict(message))

    def user_presses(self, chat_id: int, message_id: int, button: str, *, user_id: int | None = None) -> str:
        """Have a person press the button with this action or label; return the callback query's id.

        What the bot answers appears in `queries[id]` (None until then). AssertionError when there is no such button.
        """
        message = self.chats[chat_id].messages[message_id]
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        found = [b for row in rows for b in row if button in {b["text"], b.get("callback_data")}]
        assert found, f"message {message_id} has no button {button!r}, only {[b['text'] for r in rows for b in r]}"
        return self.forge_press(chat_id, message_id, found[0]["callback_data"], user_id=user_id)

    def forge_press(
        self, chat_id: int, message_id: int, data: str, *, user_id: int | None = None, language: str = "en"
    ) -> str:
        """Send a press of a button that need not be there (old keyboards and forged clients do that)."""
        message = self.chats[chat_id].messages[message_id]
        query_id = str(len(self.queries) + 1)
        self.queries[query_id] = None
        sender = self.user(user_id or chat_id, language)
        shape = {"id": query_id, "from": sender, "chat_instance": "1", "data": data, "message": dict(message)}
        self.add_update(callback_query=shape)
        return query_id

    def user_blocks(self, chat_id: int) -> None:
        """Have a person block the bot."""
        self.chat(chat_id).blocked = True
        self._standing(chat_id, chat_id, "kicked")

    def user_unblocks(self, chat_id: int) -> None:
        """Have a person let the bot write again."""
        self.chat(chat_id).blocked = False
        self._standing(chat_id, chat_id, "member")

    def bot_is_thrown_out(self, chat_id: int, *, by: int) -> None:
        """Have somebody remove the bot from a group."""
        self.chat(chat_id).blocked = True
        self._standing(chat_id, by, "kicked")

    def user_deletes(self, chat_id: int, message_id: int) -> None:
        """Have somebody delete a message, for everybody."""
        del self.chats[chat_id].messages[message_id]
        self.touch()

    def bot_joins(self, chat_id: int, *, by: int) -> None:
        """Have somebody add the bot to a group."""
        self._standing(chat_id, by, "member")

    def group_moves(self, old: int, new: int) -> None:
        """Have Telegram tell that a group became a supergroup."""
        self.add_update(message=dict(self.add_message(self.chats[old], self.user(1), migrate_to_chat_id=new)))
        self.add_update(message=dict(self.add_message(self.chats[new], self.user(1), migrate_from_chat_id=old)))

    def _standing(self, chat_id: int, by: int, status: str) -> None:
        members: list[dict[str, Any]] = [{"status": name, "user": self.me} for name in ("left", status)]
        if status == "kicked":
            members[1]["until_date"] = 0
        shape = {"chat": self.chat(chat_id).to_json(), "from": self.user(by), "date": int(time.time())}
        self.add_update(my_chat_member={**shape, "old_chat_member": members[0], "new_chat_member": members[1]})

    def _user_sends(self, chat_id: int, user_id: int | None, content: dict[str, Any], more: dict[str, Any]) -> int:
        chat = self.chat(chat_id)
        sender = self.user(user_id or chat_id, more.pop("language", "en"))
        reply_to, thread = more.pop("reply_to", None), more.pop("thread", None)
        if reply_to is not None:
            content["reply_to_message"] = {k: v for k, v in chat.messages[reply_to].items() if k != "reply_to_message"}
        if thread is not None:
            content |= {"message_thread_id": thread, "is_topic_message": True}
        if more.pop("forwarded", False):
            content["forward_origin"] = {"type": "hidden_user", "date": 1, "sender_user_name": "Somebody"}
        message = self.add_message(chat, sender, **content, **more)
        self.add_update(message=dict(message))
        return int(message["message_id"])

    @staticmethod
    def _marks(text: str) -> list[dict[str, Any]]:
        return [
            {"type": str(mark.lastgroup), "offset": utf16(text[: mark.start()]), "length": utf16(mark.group())}
            for mark in MARKS.finditer(text)
        ]
