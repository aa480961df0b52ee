"""Who must say yes: the rule is code, evaluated on what a tool does and where its arguments came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent.domain.provenance import NOTHING, Provenance
from agent.policy import reasons
from agent.policy.rule import GUARD, Labels, Mode, Ruling, rule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from plugins.api import ToolSpec


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allow`, `ask` or `deny`, and the reason in words for the person; `labels` is what was judged."""

    decision: Literal["allow", "ask", "deny"]
    because: str = ""
    labels: Labels = field(default_factory=Labels)


ALLOW = Verdict("allow")
ORIGINS_SHOWN = 8
YOURS = reasons.YOURS


def decide(
    spec: ToolSpec,
    args: Mapping[str, Provenance],
    control: Provenance,
    *,
    guard: Provenance = NOTHING,
    files: Provenance = NOTHING,
    typed: Collection[str] = (),
    mode: Mode = "normal",
    unattended: bool = False,
) -> Verdict:
    """Decide about one call by the rule (`rule.py`), without the owner's own rules.

    `args` are the labels of the arguments by name, `control` that of the choice of this call, `guard` of what decided
    whether it happens, `files` of what else it could read. `typed` names arguments whose values the person has typed.
    """
    labels = Labels(control, args, guard, files, typed)
    ruling = rule(spec, labels, mode, unattended=unattended)
    return Verdict("ask", in_words(labels, ruling), labels) if ruling.asks else Verdict("allow", "", labels)


def in_words(labels: Labels, ruling: Ruling) -> str:
    """Say why a call asks, in English as the journal keeps it; `reasons.retold` says it in other languages."""
    parts = [because(labels.args, labels.control)]
    if not labels.files.trusted:
        parts.append(reasons.COULD_READ.format(origins=_origins(labels.files)))
    if ruling.private:
        parts.append(reasons.PRIVATE.format(names=_listed(ruling.private)))
    if GUARD in ruling.reasons:
        parts.append(reasons.DEPENDS.format(origins=_origins(labels.guard)))
    return reasons.BETWEEN.join(parts)


def because(args: Mapping[str, Provenance], control: Provenance) -> str:
    """Say in words where the choice and the arguments of a call came from; what has the same origins is said once."""
    parts = [YOURS if control.trusted else reasons.AFTER.format(origins=_origins(control))]
    alike: dict[frozenset[str], list[str]] = {}
    for name, label in args.items():
        if not label.trusted:
            alike.setdefault(frozenset(label.untrusted_names), []).append(name)
    parts += [
        (reasons.COME if len(names) > 1 else reasons.COMES).format(
            names=_listed(names), origins=_origins(args[names[0]])
        )
        for names in alike.values()
    ]
    return reasons.BETWEEN.join(parts)


def _listed(names: Collection[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


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
