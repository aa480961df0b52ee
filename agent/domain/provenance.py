"""Where a value came from: a set of sources, each trusted or not, carried with every value, step and file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One origin, such as `user`, `config`, `file:notes.md`, `web:example.org#s2` or `member:4711`."""

    name: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Provenance:
    """The union of all sources that could have influenced a value, and whether any of them is private."""

    sources: frozenset[Source] = frozenset()
    private: bool = False

    @classmethod
    def of(cls, name: str, *, trusted: bool, private: bool = False) -> Self:
        """Return the provenance of a value with one source."""
        return cls(frozenset({Source(name, trusted)}), private)

    @property
    def trusted(self) -> bool:
        """True when no untrusted source is among them. A value without sources is a constant and trusted."""
        return all(source.trusted for source in self.sources)

    @property
    def knows_private(self) -> bool:
        """True when whoever read all this has seen the person's private data."""
        return self.private or any(source.name in {"memory", "history"} for source in self.sources)

    @property
    def untrusted_names(self) -> tuple[str, ...]:
        """The untrusted sources' names, sorted, to be shown to a person."""
        return tuple(sorted(source.name for source in self.sources if not source.trusted))

    def __or__(self, other: Provenance) -> Provenance:
        if not self.sources and not self.private:
            return other
        if self is other or self == other or not other.sources:
            return self if self.private or not other.private else Provenance(self.sources, private=True)
        return Provenance(self.sources | other.sources, self.private or other.private)

    @staticmethod
    def union(parts: Iterable[Provenance]) -> Provenance:
        """Return what a value made from all `parts` carries."""
        return reduce(Provenance.__or__, parts, NOTHING)

    def to_json(self) -> dict[str, Any]:
        """Return `{"trusted": [...], "untrusted": [...], "private": bool}` for the journal."""
        return {
            "trusted": sorted(s.name for s in self.sources if s.trusted),
            "untrusted": sorted(s.name for s in self.sources if not s.trusted),
            "private": self.private,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Self:
        """Read what `to_json` wrote; nothing stored means unknown, which is untrusted."""
        if stored is None:
            return cls(frozenset({Source("unknown", trusted=False)}))
        sources = [Source(name, trusted=True) for name in stored.get("trusted", ())]
        sources += [Source(name, trusted=False) for name in stored.get("untrusted", ())]
        return cls(frozenset(sources), bool(stored.get("private", False)))


NOTHING = Provenance()
USER = Provenance.of("user", trusted=True)
CONFIG = Provenance.of("config", trusted=True)
# Of a planner that was shown the person's memory, or earlier answers that were made of private data. Whatever it
# writes could tell of that, so it counts where something is sent to strangers; the person's effects are not private.
MEMORY = Provenance.of("memory", trusted=True)
HISTORY = Provenance.of("history", trusted=True)
