"""Who must say yes: the rule is code, evaluated on what a tool does and where its arguments came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.provenance import Provenance
    from plugins.api import ToolSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allow`, `ask` or `deny`, and the reason in words for the person."""

    decision: Literal["allow", "ask", "deny"]
    because: str = ""


ALLOW = Verdict("allow")
ORIGINS_SHOWN = 8


def decide(spec: ToolSpec, args: Mapping[str, Provenance], control: Provenance) -> Verdict:
    """Decide about one call: a tool that changes the world outside asks before each execution, others run.

    `args` are the labels of the arguments by name, `control` that of the choice of this call; both are shown to the
    person as the origin of what is asked.
    """
    if spec.effect == "effect":
        return Verdict("ask", because(args, control))
    learns = spec.host and spec.effect == "write_inside"  # memory: nothing of others gets in without the person's word
    if learns and not (control.trusted and all(label.trusted for label in args.values())):
        return Verdict("ask", because(args, control))
    return ALLOW


def because(args: Mapping[str, Provenance], control: Provenance) -> str:
    """Say in words where the choice and the arguments of a call came from; what has the same origins is said once."""
    parts = [f"chosen after reading {_origins(control)}" if not control.trusted else "your message"]
    alike: dict[frozenset[str], list[str]] = {}
    for name, label in args.items():
        if not label.trusted:
            alike.setdefault(frozenset(label.untrusted_names), []).append(name)
    for names in alike.values():
        said = ", ".join(names[:-1]) + f" and {names[-1]} come" if len(names) > 1 else f"{names[0]} comes"
        parts.append(f"{said} from {_origins(args[names[0]])}")
    return " · ".join(parts)


def _origins(label: Provenance) -> str:
    """Name untrusted origins; the steps of one tool are counted, so that a long list stays readable."""
    kinds: dict[str, list[str]] = {}
    for name in label.untrusted_names:
        kinds.setdefault(name.partition("#")[0], []).append(name)
    said = [names[0] if len(names) == 1 else f"{kind} ({len(names)} times)" for kind, names in kinds.items()]
    more = [f"{len(said) - ORIGINS_SHOWN} more"] if len(said) > ORIGINS_SHOWN else []
    return ", ".join(said[:ORIGINS_SHOWN] + more)


def whole(spec: ToolSpec, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return exactly what a call does: the given arguments and the tool's defaults for the others, as JSON values.

    A default of None stands for nothing and is left out.
    """
    made = spec.arguments.model_validate(dict(args)).model_dump(mode="json")
    return {**{name: value for name, value in made.items() if value is not None}, **args}


def digest(tool: str, args: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of exactly this call; an approval holds for one execution of it."""
    exact = json.dumps([tool, args], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(exact.encode()).hexdigest()
