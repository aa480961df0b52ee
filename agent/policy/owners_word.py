"""Where the owner's word on a tool makes it less careful than its author meant it to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.policy.rule import leaves

if TYPE_CHECKING:
    from plugins.api import ToolSpec

LABELS = ("once", "untrusted", "private", "strict")


def less_careful(declared: ToolSpec, now: ToolSpec) -> tuple[str, ...]:
    """Return the names of the settings by which less is asked, or less is kept apart, than the author wanted."""
    dropped = [name for name in LABELS if getattr(declared, name) and not getattr(now, name)]
    unasked = [] if _judged(declared) <= _judged(now) else ["effect" if declared.effect != now.effect else "egress"]
    return (*unasked, *dropped)


def _judged(spec: ToolSpec) -> set[str]:
    """Return what of a call is looked at before it is made; "" stands for the choice of the call itself."""
    everything = {"", *spec.arguments.model_fields}
    if spec.effect == "effect":
        return {"effect", *everything}
    if leaves(spec):
        return {"", *spec.egress} if spec.egress else everything
    learns = spec.host and spec.effect == "write_inside"  # memory
    return everything if learns else set()
