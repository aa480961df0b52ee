"""Mails (.eml) with the standard library."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from plugins.api import ToolFailure
from plugins.documents.reading import Document

HEADS = ("From", "To", "Cc", "Date", "Subject")


def mail(path: Path) -> Document:
    """Return a mail's heads, its text, and the names of what is attached."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not any(message.get(head) for head in HEADS):
        raise ToolFailure(f"'{path.name}' is no mail: it has no sender, subject or date.")
    heads = [f"**{head}:** {_head(message, head)}" for head in HEADS if message.get(head)]
    attached = [part.get_filename() or f"({part.get_content_type()})" for part in message.iter_attachments()]
    if attached:
        heads.append(f"**Attached:** {', '.join(attached)}")
    found = Document("mail", [("", "  \n".join(heads) + "\n\n" + _body(message))], title=_head(message, "Subject"))
    if attached:
        found.notes.append("Attachments were not read; send them as files of their own.")
    return found


def _head(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError):  # a header that breaks the rules
        return ""


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return "(no text)"
    try:
        content = part.get_content()
    except (LookupError, KeyError, UnicodeError):  # an unknown character set
        payload = part.get_payload(decode=True)
        content = payload.decode("utf-8", errors="replace") if isinstance(payload, bytes) else ""
    text = str(content)
    if part.get_content_type() == "text/html":
        from markdownify import markdownify

        text = markdownify(text, heading_style="ATX", strip=["img", "style", "script"])
    return text.strip()
