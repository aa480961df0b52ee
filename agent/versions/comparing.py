"""What going back would do, path by path: from three states of a workspace and who wrote what last. No I/O."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from agent.domain.versions import Change, KeptFile, State, same


@dataclass(frozen=True, slots=True)
class Way:
    """The way back. `stays` are paths that somebody else has changed since, `lost` those whose bytes were not kept."""

    changes: tuple[Change, ...] = ()
    stays: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A short name for exactly this way: what a person agrees to."""
        told = json.dumps([[change.to_json() for change in self.changes], self.stays, self.lost])
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def changed(self) -> tuple[str, ...]:
        """The paths whose earlier bytes come back."""
        return tuple(change.path for change in self.changes if change.was is not None and change.to is not None)

    @property
    def back(self) -> tuple[str, ...]:
        """The paths that come back because they are gone."""
        return tuple(change.path for change in self.changes if change.was is None)

    @property
    def removed(self) -> tuple[str, ...]:
        """The paths that go because they were not there."""
        return tuple(change.path for change in self.changes if change.to is None)


def way_back(before: State, after: State | None, now: State, others: frozenset[str]) -> Way:
    """Return how to come from `now` to what was before a run, touching only what the run itself has changed.

    `after` is what the run left, None when it could not be noted: then what is there now is taken for it. `others` are
    paths that somebody else (a person, another run) has written since the run began.
    """
    changes, stays, lost = [], [], []
    left = now if after is None else after
    for path in sorted(before.keys() | left.keys()):
        was, made, here = before.get(path), left.get(path), now.get(path)
        if same(was, made) or same(was, here):
            continue
        if not same(made, here) or path in others:
            stays.append(path)
        elif was is not None and not was.kept:
            lost.append(path)
        else:
            changes.append(Change(path, here, was))
    return Way(tuple(changes), tuple(stays), tuple(lost))


def way_forth(changes: tuple[Change, ...], now: State) -> Way:
    """Return how to take back what was put back: the same changes the other way round, where nothing came between."""
    wanted = [Change(change.path, now.get(change.path), change.was) for change in changes]
    stays = [c.path for c, old in zip(wanted, changes, strict=True) if not same(c.was, old.to)]
    lost = [c.path for c in wanted if c.to is not None and not c.to.kept and c.path not in stays]
    left = {*stays, *lost}
    kept = tuple(change for change in wanted if change.path not in left and not same(change.was, change.to))
    return Way(kept, tuple(stays), tuple(lost))


def with_rows(files: State, rows: dict[str, int]) -> dict[str, KeptFile]:
    """Return the state with the numbers of the labels that its files have now."""
    return {path: KeptFile(f.sha256, f.size, f.mode, f.kept, rows.get(path, 0)) for path, f in files.items()}
