"""What a server returns, as the result of a step: text, a value that later steps can point into, files."""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp import types

from agent.mcp.cleaning import cleaned, one_line
from plugins.api import ToolFailure
from sandbox.values import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TEXT = 1_000_000
MOST_FILES = 20
MOST_FILE_BYTES = 32 << 20
MOST_ERROR = 1_000
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(slots=True)
class Returned:
    """A result as it came: what it says, its value, and the files in it by name. `failed` is what went wrong."""

    text: str = ""
    value: Any = None
    files: dict[str, bytes] = field(default_factory=dict)
    failed: str = ""
    missing: str = ""


class Reader:
    """Reads the parts of one result. `stem` begins the names of its files."""

    def __init__(self, stem: str) -> None:
        self._stem = UNSAFE.sub("-", stem).strip("-.") or "mcp"
        self._parts: list[str] = []
        self._bytes = 0
        self._saved: dict[str, str] = {}  # base64 → name of its file
        self.returned = Returned()

    def call(self, result: types.CallToolResult) -> Returned:
        """Read the result of a tool."""
        for block in result.content:
            self._block(block)
        text = self._text()
        if result.is_error:
            self.returned.failed = cleaned(text, MOST_ERROR) or "it failed and did not say why"
            return self.returned
        structured = self._structured(result.structured_content)
        self.returned.value = structured if structured is not None else _value(text)
        if not text and structured is not None:
            self.returned.text = json.dumps(structured, ensure_ascii=False)
        return self.returned

    def _structured(self, value: Any) -> Any:
        """Return a structured result as plain JSON, with the names of files; None for one that is too large."""
        try:
            made = plain(self._pointing(value))
        except (ToolFailure, RecursionError):
            made, fits = None, False
        else:
            fits = made is None or len(json.dumps(made, ensure_ascii=False)) <= MOST_TEXT
        if not fits:
            self.returned.missing = f"The value of the answer has more than {MOST_TEXT:,} characters, or is too nested."
        return made if fits else None

    def resource(self, result: types.ReadResourceResult) -> Returned:
        """Read a resource."""
        for contents in result.contents:
            self._contents(contents)
        self.returned.value = _value(self._text())
        return self.returned

    def _block(self, block: Any) -> None:
        if isinstance(block, types.TextContent):
            self._parts.append(block.text)
        elif isinstance(block, types.ImageContent | types.AudioContent):
            self._file(block.data, block.mime_type)
        elif isinstance(block, types.EmbeddedResource):
            self._contents(block.resource)
        elif isinstance(block, types.ResourceLink):
            self._parts.append(f"{one_line(block.name, 200)}: {one_line(block.uri, 500)}")

    def _contents(self, contents: Any) -> None:
        if isinstance(contents, types.TextResourceContents):
            self._parts.append(contents.text)
        elif isinstance(contents, types.BlobResourceContents):
            self._file(contents.blob, contents.mime_type or "", contents.uri)

    def _file(self, data: str, mime: str, uri: str = "") -> None:
        size = len(data) * 3 // 4
        if len(self.returned.files) >= MOST_FILES or self._bytes + size > MOST_FILE_BYTES:
            self.returned.missing = (
                f"More than {MOST_FILES} files or {MOST_FILE_BYTES >> 20} MB came; the rest is left out."
            )
            return
        try:
            read = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            self.returned.missing = "A file in the answer could not be read."
            return
        self._bytes += size
        ending = mimetypes.guess_extension(mime.partition(";")[0].strip()) or _ending(uri)
        name = f"{self._stem}-{len(self.returned.files) + 1}{ending}"
        self.returned.files[name] = read
        self._saved[data] = name

    def _pointing(self, value: Any) -> Any:
        """Return a structured result with the names of files in place of their bytes, which a server may send twice."""
        if isinstance(value, str):
            return self._saved.get(value, value)
        if isinstance(value, dict):
            return {key: self._pointing(part) for key, part in value.items()}
        return [self._pointing(part) for part in value] if isinstance(value, list) else value

    def _text(self) -> str:
        text = "\n".join(self._parts)
        if len(text) > MOST_TEXT:
            self.returned.missing = f"The answer had {len(text):,} characters; the first {MOST_TEXT:,} are kept."
        self.returned.text = text[:MOST_TEXT].replace("\x00", "")
        return self.returned.text


def listed(resources: Iterable[types.Resource], templates: Iterable[types.ResourceTemplate], most: int = 200) -> str:
    """Return what there is to read, a line each."""
    found = [(one.uri, one.name, one.description or "") for one in resources]
    found += [(one.uri_template, one.name, one.description or "") for one in templates]
    lines = [f"{one_line(uri, 300)} — {one_line(f'{name}. {about}', 200)}" for uri, name, about in found[:most]]
    more = f"\n… and {len(found) - most} more" if len(found) > most else ""
    return "\n".join(lines) + more if lines else "The server has no resources."


def _value(text: str) -> Any:
    """Return the JSON that a text is, so that later steps can point into it; else the text."""
    if text[:1] in {"{", "["}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _ending(uri: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", uri)
    return found[0].lower() if found else ".bin"
