"""Telegram's updates → inbound messages: who, where, what was typed, and what only came along.

Only what a person typed is `text`, and only an owner's is trusted. Forwarded, quoted and replied-to words, and words
that came through another bot, are `quoted`. Identity is the numeric id, never the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.channels.telegram.contents import attachments, is_content, kind_of, place, quoted
from agent.channels.telegram.directory import CHANNEL, Directory
from agent.domain.messages import Destination, InboundMessage
from agent.domain.people import Role

if TYPE_CHECKING:
    from collections.abc import Collection

    from telegram import ChatMemberUpdated, Message, MessageEntity, Update, User

COMMAND = re.compile(r"^/(?P<name>\w+)(?:@(?P<bot>\w+))?")
PAIR = "/pair"
QUOTE_LIMIT = 8000
HERE = frozenset({"member", "administrator", "creator", "restricted"})


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody who may not use the bot wrote to it; `query_id` is set when they pressed a button.

    `code` is what they sent after /pair in a private chat. `day` is the date of the message: one line a day is enough.
    """

    dest: Destination
    user_id: int
    query_id: str = ""
    name: str = ""
    code: str = ""
    update_id: str = ""
    day: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Somebody changed a message that they had sent before."""

    dest: Destination
    message_id: str
    text: str
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A person sent something that holds nothing to work with; `what` names it."""

    dest: Destination
    what: str
    update_id: str


@dataclass(frozen=True, slots=True)
class Press:
    """A button press: the message, and the id with which Telegram wants to be told the outcome."""

    message: InboundMessage
    query_id: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The bot was let into a chat or put out of it (blocked, thrown out). `by_owner` says that an owner did it."""

    dest: Destination
    here: bool
    by_owner: bool
    update_id: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A group became a supergroup, which has another id."""

    old: str
    new: str


Taken = InboundMessage | Press | Edit | Stranger | Unusable | Standing | Moved | None


class Reader:
    """Reads updates for one bot, by what the directory says of people and chats.

    Without one, `owners` are the numeric ids of those who may use the bot, and `groups` is the policy of all groups.
    """

    def __init__(
        self,
        bot_id: int,
        bot_name: str,
        owners: Collection[int] = (),
        groups: str = "mention",
        *,
        directory: Directory | None = None,
    ) -> None:
        self.bot_id = bot_id
        self.bot_name = bot_name
        self.directory = directory or Directory(owners, groups)

    def read(self, update: Update) -> Taken:
        """Return what the update means for us, or None when it means nothing."""
        if update.callback_query is not None:
            return self._press(update)
        if update.edited_message is not None:
            return self._edit(update.edited_message)
        if update.my_chat_member is not None:
            return self._standing(update, update.my_chat_member)
        return None if update.message is None else self._read_message(update, update.message)

    def _read_message(self, update: Update, message: Message) -> Taken:
        if message.migrate_to_chat_id or message.migrate_from_chat_id:
            here = str(message.chat.id)
            return Moved(str(message.migrate_from_chat_id or here), str(message.migrate_to_chat_id or here))
        if message.from_user is None or message.from_user.is_bot or not self._is_for_us(message):
            return None
        role = self.directory.role(message.from_user.id)
        if role is Role.BLOCKED:
            return None
        if role is None:
            return self._stranger(update, message, message.from_user)
        return self._message(update, message, message.from_user, is_owner=role is Role.OWNER)

    # --- messages -----------------------------------------------------------------------------------------------
    def _message(self, update: Update, message: Message, user: User, *, is_owner: bool) -> Taken:
        typed = self.typed(message)
        theirs = message.forward_origin is not None or message.via_bot is not None
        found = InboundMessage(
            channel=CHANNEL,
            update_id=f"{self.bot_id}:{update.update_id}",
            dest=replace(self.destination(message, user), reply_to=str(message.message_id)),
            user_id=str(user.id),
            user_name=user.full_name,
            language=self.directory.language(user.id, user.language_code),
            message_id=str(message.message_id),
            text="" if theirs else typed or place(message),
            quoted="\n\n".join(part for part in (_came_along(message, typed, theirs=theirs)) if part)[:QUOTE_LIMIT],
            reply_to=str(message.reply_to_message.message_id) if message.reply_to_message else "",
            attachments=tuple(attachments(message, trusted=is_owner and not theirs)),
            trusted=is_owner and not theirs,
            received_at=message.date.timestamp(),
            forwarded=theirs,
        )
        if found.text or found.quoted or found.attachments:
            return found
        return Unusable(found.dest, kind_of(message), found.update_id) if is_content(message) else None

    def _stranger(self, update: Update, message: Message, user: User) -> Stranger:
        name, _, rest = self.typed(message).partition(" ")
        private = message.chat.type == "private"
        return Stranger(
            self.destination(message, user),
            user.id,
            name=user.full_name,
            code=rest.strip() if private and name.casefold() == PAIR else "",
            update_id=f"{self.bot_id}:{update.update_id}",
            day=f"{message.date:%Y-%m-%d}",
        )

    def typed(self, message: Message) -> str:
        """Return the words of a message or caption, without the bot's own name, commands as `/name`."""
        text = (message.text or message.caption or "").strip()
        command = COMMAND.match(text)
        if command and (command["bot"] or "").lower() == self.bot_name.lower():
            return f"/{command['name']}{text[command.end() :]}"
        mention = re.compile(
            rf"^@{re.escape(self.bot_name)}\b[\s,:]*|[\s,]*@{re.escape(self.bot_name)}$", re.IGNORECASE
        )
        return mention.sub("", text) if self.bot_name else text

    def _edit(self, message: Message) -> Edit | None:
        user = message.from_user
        if user is None or self.directory.role(user.id) in {None, Role.BLOCKED}:
            return None
        if message.forward_origin is not None or message.via_bot is not None:  # then the new words are somebody else's
            return None
        dest = replace(self.destination(message, user), reply_to=str(message.message_id))
        return Edit(dest, str(message.message_id), self.typed(message), str(user.id))

    def _press(self, update: Update) -> Press | Stranger | None:
        query = update.callback_query
        assert query is not None
        message = query.message
        if message is None or not query.data:
            return None
        chat_id = self.directory.inside(str(message.chat.id))
        language = self._spoken(query.from_user)
        dest = Destination(CHANNEL, chat_id, _thread(message), str(message.chat.type), language=language)
        role = self.directory.role(query.from_user.id)
        if role in {None, Role.BLOCKED}:
            return Stranger(dest, query.from_user.id, query.id)
        press = InboundMessage(
            channel=CHANNEL,
            update_id=f"{self.bot_id}:{update.update_id}",
            dest=dest,
            user_id=str(query.from_user.id),
            user_name=query.from_user.full_name,
            language=self.directory.language(query.from_user.id, query.from_user.language_code),
            action=query.data,
            message_id=str(message.message_id),
            trusted=role is Role.OWNER,
        )
        return Press(press, query.id)

    # --- chats --------------------------------------------------------------------------------------------------
    def destination(self, message: Message, user: User) -> Destination:
        """Return the chat and topic of a message; the General topic and reply threads are no topic."""
        chat_id = self.directory.inside(str(message.chat.id))
        return Destination(CHANNEL, chat_id, _thread(message), str(message.chat.type), language=self._spoken(user))

    def _spoken(self, user: User) -> str:
        """Return the person's language as places keep it."""
        language = self.directory.language(user.id, user.language_code)
        return "" if language == "en" else language

    def _standing(self, update: Update, change: ChatMemberUpdated) -> Standing:
        chat_id = self.directory.inside(str(change.chat.id))
        dest = Destination(CHANNEL, chat_id, "", str(change.chat.type), language=self._spoken(change.from_user))
        by_owner = self.directory.role(change.from_user.id) is Role.OWNER
        here = str(change.new_chat_member.status) in HERE
        return Standing(dest, here, by_owner, f"{self.bot_id}:{update.update_id}")

    def _is_for_us(self, message: Message) -> bool:
        """Apply the group's policy. A command that names another bot is never for us."""
        if message.chat.type == "private":
            return True
        command = COMMAND.match(message.text or message.caption or "")
        policy = self.directory.policy(self.directory.inside(str(message.chat.id)))
        if message.chat.type == "channel" or (policy == "never" and command is None):
            return False
        if command and command["bot"] and command["bot"].lower() != self.bot_name.lower():
            return False
        if policy == "never":  # an owner may still change that
            return command is not None and command["name"] == "group"
        if policy == "all" or command is not None or self._is_reply_to_us(message):
            return True
        return policy == "mention" and self._names_us(message)

    def _is_reply_to_us(self, message: Message) -> bool:
        replied = message.reply_to_message
        return replied is not None and replied.from_user is not None and replied.from_user.id == self.bot_id

    def _names_us(self, message: Message) -> bool:
        entities: dict[MessageEntity, str] = {
            **message.parse_entities(["mention", "text_mention"]),
            **message.parse_caption_entities(["mention", "text_mention"]),
        }
        return any(
            text.lower() == f"@{self.bot_name.lower()}" or (entity.user is not None and entity.user.id == self.bot_id)
            for entity, text in entities.items()
        )


def _came_along(message: Message, typed: str, *, theirs: bool) -> tuple[str, str]:
    """Return the words that are not the person's own; a place that somebody forwarded is one of them."""
    return (typed or place(message) if theirs else "", quoted(message))


def _thread(message: object) -> str:
    """Return the topic. `message_thread_id` alone may be a thread of replies, which is none."""
    thread = getattr(message, "message_thread_id", None)
    return str(thread) if thread and thread != 1 and getattr(message, "is_topic_message", False) else ""
