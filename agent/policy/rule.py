"""The rule of consent: what may simply be done, and what a person is asked first. Pure, and evaluated in code.

An effect on the world happens unasked only if the person's own words chose it and supplied its arguments. `decide`
looks at nothing but labels: what a tool does to the world, where the choice of the call came from (`control`), where
each argument came from, and what decided whether the call happens at all (`guard`).

    pure, write_inside, read that sends nothing  -> allow
    read that sends something, effect:
        the choice was made after reading what others wrote       -> ask
        an argument (of a read: one that leaves) comes from others -> ask
        an argument holds private data that the person did not type -> ask
        whether it happens depends on what others wrote -> strict: ask; normal: allow
        otherwise -> allow
    memory that others had a hand in -> ask
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from agent.domain.provenance import NOTHING, Provenance

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plugins.api import ToolSpec

Mode = Literal["normal", "strict", "always"]
CONTROL, ARGUMENT, PRIVATE, GUARD, ALWAYS = "control", "argument", "private", "guard", "always"
"""Why a call asks; several may hold at once."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Where one call came from: its choice, its arguments by name, and whether it happens.

    `files` is what else of the workspace it could read. `typed` names arguments whose values stand in the person's own
    words: they tell nobody anything that the person has not chosen to send.
    """

    control: Provenance = NOTHING
    args: Mapping[str, Provenance] = field(default_factory=dict)
    guard: Provenance = NOTHING
    files: Provenance = NOTHING
    typed: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether a call asks, and why: which of the reasons above, and the names of the arguments concerned."""

    reasons: tuple[str, ...] = ()
    private: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """True when a person has to agree first."""
        return bool(self.reasons)


UNASKED = Ruling()
GRAVE = frozenset(
    {
        "pay",
        "payment",
        "purchase",
        "buy",
        "order",
        "checkout",
        "charge",
        "refund",
        "transfer",
        "withdraw",
        "donate",
        "subscribe",
    }
    | {"delete", "remove", "erase", "drop", "destroy", "purge", "wipe"}
    | {"install", "uninstall", "enable", "disable", "upgrade", "deploy"}
    | {"password", "passwd", "credential", "credentials", "secret", "secrets", "token", "login", "grant", "revoke"}
    | {"schedule", "cron"}
)


def rule(spec: ToolSpec, labels: Labels, mode: Mode = "normal", *, unattended: bool = False) -> Ruling:
    """Say whether a call asks, and why. `unattended` is a run that no person has just asked for."""
    if not leaves(spec):
        learns = spec.host and spec.effect == "write_inside"  # memory: nothing of others gets in unasked
        return _tainted(labels, tuple(labels.args)) if learns else UNASKED
    names = tuple(labels.args) if spec.effect == "effect" else spec.egress or tuple(labels.args)
    reasons = _tainted(labels, names).reasons
    private = _private(spec, labels, names)
    if private:
        reasons += (PRIVATE,)
    if not labels.guard.trusted and is_strict(spec, mode, unattended=unattended):
        reasons += (GUARD,)
    if mode == "always" and spec.effect == "effect":
        reasons += (ALWAYS,)
    return Ruling(reasons, private) if reasons else UNASKED


def leaves(spec: ToolSpec) -> bool:
    """Say whether a call of the tool changes or tells the world outside anything.

    A sandboxed tool with the network, its own or by the owner's leave for all, that does not say what it sends is taken
    to send everything, whatever it says of its effect.
    """
    return spec.effect == "effect" or spec.sends_out or (spec.effect == "read" and bool(spec.egress or spec.network))


def is_strict(spec: ToolSpec, mode: Mode, *, unattended: bool) -> bool:
    """Say whether others may not even decide whether a call happens.

    So it is by the setting, in runs that nobody watches, and for what pays, deletes, installs, or touches credentials
    or schedules: what says so of itself, costs something, or is called so.
    """
    return mode != "normal" or unattended or bool(spec.cost) or spec.strict or _sounds_grave(spec.name)


@functools.lru_cache(maxsize=4_096)
def _sounds_grave(name: str) -> bool:
    """Say whether a tool's name says that it pays, deletes or the like; its author may have forgotten to."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return not GRAVE.isdisjoint(re.split(r"[^a-z]+", plain))


def _tainted(labels: Labels, names: tuple[str, ...]) -> Ruling:
    control = () if labels.control.trusted else (CONTROL,)
    clean = labels.files.trusted and all(labels.args.get(name, NOTHING).trusted for name in names)
    argument = () if clean else (ARGUMENT,)
    return Ruling((*control, *argument)) if control or argument else UNASKED


def _private(spec: ToolSpec, labels: Labels, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments by which private data may leave; what goes to a server of the owner's does not leave.

    A read tells others whatever its planner knew, so where that was private its words have to be the person's own.
    Whom an effect tells is what the person has chosen; there only values that were taken from private data count.
    """
    if spec.confides:
        return ()
    knows = spec.effect != "effect" and labels.control.knows_private
    given = (name for name in names if name in labels.args and name not in labels.typed)
    return tuple(name for name in given if knows or labels.args[name].private)
