"""A file that gets its name only once it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def made_whole(folder: int, name: str, again: str = "") -> Iterator[BinaryIO]:
    """Give a file to write in an open folder; it has its name when the block has ended without an error.

    `again` names this very write: where one was killed in the middle, the next of the same name takes its half away.
    Raises OSError, as may the block; nothing is left then.
    """
    half = _half(folder, again)
    descriptor = os.open(half, _NEW, 0o644, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(half, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(half, dir_fd=folder)
        raise


def _half(folder: int, again: str) -> str:
    """Return a name that is free: the same one again for the same write, unless somebody stands in its way."""
    if again:
        half = f".{hashlib.sha256(again.encode(errors='surrogateescape')).hexdigest()[:16]}.part"
        try:
            os.unlink(half, dir_fd=folder)
        except FileNotFoundError:
            return half
        except OSError:  # a folder, which is nobody's half file
            return f".{secrets.token_hex(8)}.part"
        return half
    return f".{secrets.token_hex(8)}.part"
