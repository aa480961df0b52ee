"""Earlier states of a workspace: what was there before and after a run, and what is put back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A regular file at one moment: SHA-256 of its bytes (hex), size in bytes, permission bits.

    `kept` is False when its bytes were too many to be kept. `row` is the journal's number of the file's label, 0 when
    it had none.
    """

    sha256: str
    size: int
    mode: int = 0o644
    kept: bool = True
    row: int = 0

    def same_as(self, other: KeptFile | None) -> bool:
        """Say whether the bytes and the right to execute are the same; labels are not looked at."""
        return other is not None and (self.sha256, self.mode & 0o111) == (other.sha256, other.mode & 0o111)

    def to_json(self) -> list[Any]:
        """Return the record as a list, which takes little room."""
        return [self.sha256, self.size, self.mode, int(self.kept), self.row]

    @classmethod
    def from_json(cls, stored: list[Any]) -> Self:
        """Read what `to_json` wrote."""
        sha256, size, mode, kept, row = stored
        return cls(str(sha256), int(size), int(mode), bool(kept), int(row))


State = Mapping[str, KeptFile]


def same(one: KeptFile | None, other: KeptFile | None) -> bool:
    """Say whether a path holds the same in two states; None stands for nothing there."""
    return other is None if one is None else one.same_as(other)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the workspace held before a run and after it, each by the digest of its listing.

    `before` is "" when the state could not be kept, `after` while the run has not ended in good order. `state`:
    `taken`, or `undone`.
    """

    session_id: str
    run_id: int
    before: str
    after: str = ""
    state: str = "taken"
    taken_at: float = 0.0
    id: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one path: it goes from what it `was` to something else; None stands for nothing there."""

    path: str
    was: KeptFile | None
    to: KeptFile | None

    def to_json(self) -> list[Any]:
        """Return the record as the journal keeps it."""
        return [self.path, *(None if one is None else one.to_json() for one in (self.was, self.to))]

    @classmethod
    def from_json(cls, stored: list[Any]) -> Self:
        """Read what `to_json` wrote."""
        path, *states = stored
        was, to = (None if one is None else KeptFile.from_json(one) for one in states)
        return cls(str(path), was, to)


@dataclass(frozen=True, slots=True)
class Restoration:
    """A workspace brought back to what it was before a run, or (`back`) to what it was before that.

    `state`: `doing` (it is finished at the next start if the process dies), `done`, or `taken back`.
    """

    session_id: str
    run_id: int
    changes: tuple[Change, ...]
    state: str = "doing"
    back: bool = False
    done_by: str = ""
    id: int = 0
