"""The Bot API's methods on a `World`, as strict as the real ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from agent.testing import telegram_rules as rules
from agent.testing.telegram_rules import Refused, bad

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.testing.telegram_world import Chat, World

Params = dict[str, Any]
Uploads = dict[str, tuple[str, bytes]]


def writable(world: World, params: Params) -> Chat:
    """Return the chat that may be written to, with the topic checked; refuse otherwise."""
    chat = world.known(params.get("chat_id"))
    if chat.migrated_to is not None:
        said = "Bad Request: group chat was upgraded to a supergroup chat"
        raise Refused(400, said, migrate_to=chat.migrated_to)
    if chat.blocked:
        who = "blocked by the user" if chat.type == "private" else "kicked from the supergroup chat"
        raise Refused(403, f"Forbidden: bot was {who}")
    if chat.silenced:
        raise bad("not enough rights to send text messages to the chat")
    thread = params.get("message_thread_id")
    if thread is not None and int(thread) not in chat.topics - {1}:
        raise bad("message thread not found")
    if thread is not None and int(thread) in chat.closed_topics:
        raise bad("TOPIC_CLOSED")
    return chat


def _reply(chat: Chat, params: Params) -> dict[str, Any] | None:
    wanted = params.get("reply_parameters") or {}
    message_id = wanted.get("message_id") or params.get("reply_to_message_id")
    if message_id is None:
        return None
    found = chat.messages.get(int(message_id))
    if found is None:
        if wanted.get("allow_sending_without_reply") or params.get("allow_sending_without_reply"):
            return None
        raise bad("message to be replied not found")
    return {key: value for key, value in found.items() if key != "reply_to_message"}


def _post(world: World, params: Params, **content: Any) -> dict[str, Any]:
    chat = writable(world, params)
    rules.check_markup(params.get("reply_markup"))
    thread = params.get("message_thread_id")
    message = world.add_message(
        chat,
        world.me,
        **content,
        reply_to_message=_reply(chat, params),
        message_thread_id=int(thread) if thread is not None else None,
        reply_markup=params.get("reply_markup"),
    )
    shown = _markup(params)
    return {**message, "reply_markup": shown} if shown else {k: v for k, v in message.items() if k != "reply_markup"}


def _text(params: Params) -> dict[str, Any]:
    if params.get("parse_mode"):
        raise bad("can't parse entities: this server takes entities only, no parse_mode")
    text = rules.check_text(str(params.get("text", "")))
    entities = params.get("entities") or []
    rules.check_entities(text, entities)
    return {"text": text, "entities": entities or None}


def _caption(params: Params) -> dict[str, Any]:
    caption = rules.check_text(str(params.get("caption") or ""), rules.CAPTION_LIMIT)
    entities = params.get("caption_entities") or []
    rules.check_entities(caption, entities)
    return {"caption": caption or None, "caption_entities": entities or None}


def _media(world: World, kind: str, upload: tuple[str, bytes]) -> dict[str, Any]:
    name, data = upload
    rules.check_upload(data, photo=kind == "photo")
    held = world.add_file(name, data)
    if kind == "photo":
        return {"photo": [{**held, "width": 90, "height": 90}]}
    return {"document": {**held, "file_name": name}}


def _upload(params: Params, uploads: Uploads, field: str) -> tuple[str, bytes]:
    named = str(params.get(field) or "")
    upload = uploads.get(named.removeprefix("attach://")) if named.startswith("attach://") else uploads.get(field)
    if upload is None:
        raise bad(f"there is no {field} in the request")
    return upload


def send_message(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#sendmessage."""
    return _post(world, params, **_text(params))


def send_message_draft(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#sendmessagedraft; stricter: what is shown is text, never the placeholder."""
    chat = writable(world, params)
    if chat.type != "private":
        raise bad("TEXTDRAFT_PEER_INVALID")
    number = str(params.get("draft_id") or "0")
    if not number.lstrip("-").isdigit() or int(number) == 0:
        raise bad("draft_id must be non-zero")
    chat.drafts.append((int(number), _text(params)["text"]))
    world.touch()
    return True


def send_document(world: World, params: Params, uploads: Uploads) -> Any:
    """https://core.telegram.org/bots/api#senddocument."""
    writable(world, params)
    return _post(world, params, **_media(world, "document", _upload(params, uploads, "document")), **_caption(params))


def send_photo(world: World, params: Params, uploads: Uploads) -> Any:
    """https://core.telegram.org/bots/api#sendphoto."""
    writable(world, params)
    return _post(world, params, **_media(world, "photo", _upload(params, uploads, "photo")), **_caption(params))


def send_media_group(world: World, params: Params, uploads: Uploads) -> Any:
    """https://core.telegram.org/bots/api#sendmediagroup."""
    writable(world, params)
    items = params.get("media") or []
    if not 2 <= len(items) <= 10:
        raise bad("wrong number of media; 2 to 10 are allowed")
    if len({"document" if item["type"] == "document" else "visual" for item in items}) > 1:
        raise bad("documents can't be mixed with other media types")
    ready = [{**_media(world, i["type"], _upload(i, uploads, "media")), **_caption(i)} for i in items]
    return [_post(world, params, **item, media_group_id=str(world.next_update)) for item in ready]


def _editable(world: World, params: Params) -> tuple[Chat, dict[str, Any]]:
    chat = writable(world, {**params, "message_thread_id": None})
    message = chat.messages.get(int(params.get("message_id", 0)))
    if message is None or message["from"]["id"] != world.me["id"]:
        raise bad("message to edit not found")
    if "inline_keyboard" not in message.get("reply_markup", {"inline_keyboard": []}):
        raise bad("message can't be edited")
    rules.check_markup(params.get("reply_markup"))
    return chat, message


def _change(world: World, chat: Chat, message: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in {**message, **new}.items() if value is not None}
    if {**changed, "edit_date": 0} == {**message, "edit_date": 0}:
        raise bad(rules.NOT_MODIFIED)
    changed["edit_date"] = int(time.time())
    chat.messages[message["message_id"]] = changed
    chat.edits[message["message_id"]] = chat.edits.get(message["message_id"], 0) + 1
    world.touch()
    return changed


def _markup(params: Params) -> dict[str, Any] | None:
    markup: dict[str, Any] | None = params.get("reply_markup")
    return markup if markup and markup.get("inline_keyboard") else None


def edit_message_text(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#editmessagetext."""
    chat, message = _editable(world, params)
    if "text" not in message:
        raise bad("there is no text in the message to edit")
    return _change(world, chat, message, {**_text(params), "reply_markup": _markup(params)})


def edit_message_reply_markup(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#editmessagereplymarkup."""
    chat, message = _editable(world, params)
    return _change(world, chat, message, {"reply_markup": _markup(params)})


def edit_message_media(world: World, params: Params, uploads: Uploads) -> Any:
    """https://core.telegram.org/bots/api#editmessagemedia; also adds media to a text message."""
    chat, message = _editable(world, params)
    item = params.get("media") or {}
    fresh = {**_media(world, str(item.get("type")), _upload(item, uploads, "media")), **_caption(item)}
    gone = dict.fromkeys(("text", "entities", "photo", "document"))
    return _change(world, chat, message, {**gone, **fresh, "reply_markup": _markup(params)})


def delete_message(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#deletemessage."""
    chat = world.known(params.get("chat_id"))
    if chat.messages.pop(int(params.get("message_id", 0)), None) is None:
        raise bad("message to delete not found")
    world.touch()
    return True


def send_chat_action(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#sendchataction; the only method that takes the General topic's id."""
    thread = params.get("message_thread_id")
    writable(world, {**params, "message_thread_id": None if thread is not None and int(thread) == 1 else thread})
    if params.get("action") not in rules.ACTIONS:
        raise bad("wrong parameter action in request")
    return True


def answer_callback_query(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#answercallbackquery."""
    query = str(params.get("callback_query_id", ""))
    if world.queries.get(query, "") is not None:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    text = str(params.get("text") or "")
    if len(text) > 200:
        raise bad("MESSAGE_TOO_LONG")
    world.queries[query] = text
    world.alerts[query] = bool(params.get("show_alert"))
    world.touch()
    return True


def get_file(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#getfile."""
    file_id = str(params.get("file_id", ""))
    if file_id not in world.files:
        raise bad("invalid file_id")
    if world.file_sizes[file_id] > rules.DOWNLOAD_BYTES:
        raise bad("file is too big")
    name = world.files[file_id][0].rsplit("/", 1)[-1]
    return {"file_id": file_id, "file_unique_id": f"u{file_id}", "file_path": f"documents/{file_id}/{name}"}


def set_my_commands(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#setmycommands."""
    rules.check_commands(params.get("commands") or [])
    scope = params.get("scope") or {"type": "default"}
    name = ":".join(str(scope[key]) for key in ("type", "chat_id") if key in scope)
    world.menus[name, str(params.get("language_code") or "")] = list(params.get("commands") or [])
    world.commands = list(params.get("commands") or [])
    return True


def set_webhook(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#setwebhook."""
    url = str(params.get("url") or "")
    if url and not url.startswith("https://"):
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    world.webhook = (url, str(params.get("secret_token") or "")) if url else None
    world.touch()
    return True


def delete_webhook(world: World, _params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#deletewebhook."""
    world.webhook = None
    world.touch()
    return True


def set_message_reaction(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#setmessagereaction."""
    chat = writable(world, {**params, "message_thread_id": None})
    number = int(params.get("message_id", 0))
    if number not in chat.messages:
        raise bad("message to react not found")
    wanted = [str(reaction.get("emoji")) for reaction in params.get("reaction") or []]
    if not chat.reactions_allowed or not set(wanted) <= rules.REACTIONS:
        raise bad("REACTION_INVALID")
    chat.reactions[number] = wanted
    world.touch()
    return True


def get_me(world: World, _params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#getme."""
    return {**world.me, "can_join_groups": True, "can_read_all_group_messages": False}


def get_chat(world: World, params: Params, _: Uploads) -> Any:
    """https://core.telegram.org/bots/api#getchat."""
    chat = world.known(params.get("chat_id"))
    return {**chat.to_json(), "accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": NO_GIFTS}


NO_GIFTS = dict.fromkeys(
    ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
)


class Poll:
    """The getUpdates side: an offset confirms and forgets, and a second poll ends the first with 409."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.turn = 0

    async def get_updates(self, params: Params) -> Any:
        """https://core.telegram.org/bots/api#getupdates."""
        if self.world.webhook is not None:
            said = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise Refused(409, f"Conflict: {said}")
        self.turn += 1
        mine = self.turn
        self.world.touch()
        offset = int(params.get("offset") or 0)
        if offset:
            self.world.updates[:] = [u for u in self.world.updates if u["update_id"] >= offset]
        async with self.world.changed:
            try:
                async with asyncio.timeout(float(params.get("timeout") or 0)):
                    await self.world.changed.wait_for(lambda: self.world.updates or self.turn != mine)
            except TimeoutError:
                return []
        if self.turn != mine:
            raise Refused(
                409,
                "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
            )
        return [dict(update) for update in self.world.updates[: int(params.get("limit") or 100)]]


METHODS: dict[str, Callable[[World, Params, Uploads], Any]] = {
    "getMe": get_me,
    "getChat": get_chat,
    "getFile": get_file,
    "sendMessage": send_message,
    "sendMessageDraft": send_message_draft,
    "sendDocument": send_document,
    "sendPhoto": send_photo,
    "sendMediaGroup": send_media_group,
    "sendChatAction": send_chat_action,
    "editMessageText": edit_message_text,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "editMessageMedia": edit_message_media,
    "deleteMessage": delete_message,
    "answerCallbackQuery": answer_callback_query,
    "setMyCommands": set_my_commands,
    "setWebhook": set_webhook,
    "deleteWebhook": delete_webhook,
    "setMessageReaction": set_message_reaction,
}
