"""Pairing codes: short, used once, over after ten minutes, and stored only as a hash that is slow to guess against."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.domain.people import Role
    from agent.store.protocol import Store

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that reads like something else
LENGTH = 8
SECONDS = 600.0
SALT = b"dirigent pairing code"


async def make_code(store: Store, role: Role) -> str:
    """Return a fresh code that lets one person in; the journal holds its hash."""
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    await store.add_pairing_code(await digest(code), role, SECONDS)
    return f"{code[:4]}-{code[4:]}"


async def digest(code: str) -> str:
    """Return the hash of a code as a person typed it: case, spaces and dashes do not matter."""
    plain = "".join(char for char in code.upper() if char.isalnum()).encode()
    made = await asyncio.to_thread(hashlib.scrypt, plain[:64], salt=SALT, n=2**14, r=8, p=1, dklen=32)
    return made.hex()
