"""Voice messages and round videos, which are words: understood once, shown, and then acted on like typed ones.

A recording that comes as a file (music, an interview) is somebody else's words: where the caption asks for its text,
that becomes a file of its own, `interview-transcript.txt`, and only material.

What was understood is stored before it is shown, so a restart neither pays twice nor acts on other words.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from agent.domain.messages import Attachment, MessageKind, OutboundMessage
from agent.errors import ModelError
from agent.texts import say

if TYPE_CHECKING:
    from agent.domain.messages import InboundMessage
    from agent.llm.hearing import Listener
    from agent.store.protocol import Store

SPOKEN = frozenset({"voice", "video_note"})
SHOWN = 3500
RECORDINGS = (".mp3", ".m4a", ".ogg", ".oga", ".opus", ".wav", ".flac", ".aac")
WANTS_TEXT = re.compile(
    r"transcri|transkri|verschrift|abschr|write (it |this |that )?(down|out)|speech to text|(as|in|to|into|als|en) text"
    r"|what (is|was|does|did|do|are)\b.*\b(said|say|saying)|was (wird|sagt|wurde)\b.*(gesagt|sagt)|worum geht"
    r"|que dit|qu'est-ce qui est dit|mets? par écrit|расшифр|транскри|что .*говор|текст|转写|转录|听写|说了什么|文字",
    re.IGNORECASE,
)


class Voices:
    """Understands what was spoken. `listener` None means that nobody does; `minutes` is the longest recording."""

    def __init__(self, store: Store, listener: Listener | None, minutes: float) -> None:
        self._store = store
        self._listener = listener
        self._minutes = minutes

    async def understand(self, message: InboundMessage) -> InboundMessage:
        """Return the message with its spoken words; forwarded ones are somebody else's. The recordings stay files."""
        spoken = [file for file in message.attachments if file.kind in SPOKEN and file.path]
        if not spoken:
            return await self._with_transcripts(message)
        said = [await self._words(message, number, file) for number, file in enumerate(spoken)]
        words = "\n".join(text for text in said if text)
        if message.forwarded:
            return replace(message, quoted="\n\n".join(part for part in (message.quoted, words) if part))
        return replace(message, text="\n".join(part for part in (message.text, words) if part))

    async def _with_transcripts(self, message: InboundMessage) -> InboundMessage:
        """Put the words of recordings beside them, as files, where the caption asks for their text."""
        recordings = [file for file in message.attachments if _is_recording(file)]
        if not recordings or not WANTS_TEXT.search(message.text):
            return message
        found = list(message.attachments)
        for number, file in enumerate(recordings):
            if words := await self._words(message, number, file):
                found.append(_transcript(file, words))
        return replace(message, attachments=tuple(found))

    async def _words(self, message: InboundMessage, number: int, file: Attachment) -> str:
        """Return the words of one recording, "" when they can't be had, about which the person is told."""
        kept = f"inbox/{message.id}/transcript/{number}"
        known_words = await self._store.get_value(kept)
        if known_words is None:
            try:
                known_words = await self._listen(message, file)
            except _NotUnderstood as problem:
                await self._tell(message, kept, f"🎤 {problem}")
                return ""
            await self._store.set_value(kept, known_words)
        language = message.dest.language
        shown = known_words or say(language, "I heard no words.")
        await self._tell(message, kept, f"🎤 {shown[:SHOWN]}{' …' if len(shown) > SHOWN else ''}")
        return known_words

    async def _listen(self, message: InboundMessage, file: Attachment) -> str:
        language = message.dest.language
        if self._listener is None:
            raise _NotUnderstood(say(language, "I can't listen to voice messages: no server for it is set up."))
        if file.seconds > self._minutes * 60:
            raise _NotUnderstood(
                say(language, "This is longer than {n} minutes, so I only keep the file.", n=f"{self._minutes:g}")
            )
        try:
            heard = await self._listener.transcribe(Path(file.path))
        except ModelError as error:
            logger.warning("A voice message was not understood: {}", error)
            text = say(language, "I could not listen to this. {why} Type it, or send it again.", why=str(error))
            raise _NotUnderstood(text) from None
        await self._store.spend(message.dest.session_id, None, "", [heard.usage])
        return heard.text

    async def _tell(self, message: InboundMessage, key: str, text: str) -> None:
        await self._store.post(OutboundMessage(message.dest, MessageKind.NOTICE, key, {"text": text}))


def _is_recording(file: Attachment) -> bool:
    named_so = file.name.casefold().endswith(RECORDINGS) or file.mime.startswith("audio/")
    return bool(file.path) and file.kind in {"audio", "document"} and named_so


def _transcript(file: Attachment, words: str) -> Attachment:
    """Write what was said into a file beside the recording; whoever sent it, these are not typed words."""
    name = f"{Path(file.name).stem}-transcript.txt"
    path = Path(f"{file.path}-transcript.txt")
    path.write_text(words, encoding="utf-8")
    return Attachment(name, str(path), mime="text/plain", size=len(words.encode()), trusted=False)


class _NotUnderstood(Exception):
    """Why a recording could not be understood, in words for the person."""
