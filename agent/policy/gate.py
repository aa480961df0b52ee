"""Where each call is judged before it is made: the rule, on labels that are joined here, and the owner's own rules."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import NOTHING, USER, Provenance
from agent.domain.run import Origin
from agent.policy import consent
from agent.policy.own_rules import KEY, NO_RULES, OwnRule, OwnRules, read
from agent.policy.provenance import of_call
from agent.policy.rule import leaves
from agent.policy.words import named, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.config import AppConfig
    from agent.domain.run import Run
    from agent.policy.rule import Mode
    from agent.store.protocol import Store
    from plugins.api import ToolSpec

UNATTENDED = frozenset({Origin.TRIGGER, Origin.API})
AGE_SECONDS = 5.0  # how old the rules may be that calls are judged by which stay inside


@dataclass(frozen=True, slots=True)
class Proposal:
    """One call that is about to be made, by a step of a run. `args` are its values, `labels` where they came from.

    `control` labels its choice, `guard` what decided whether it happens, `file_labels` the workspace's files. At a
    `checkpoint` a person is asked whatever the rule says.
    """

    run: Run
    step_id: str
    spec: ToolSpec
    args: Mapping[str, Any]
    labels: Mapping[str, Provenance]
    control: Provenance
    guard: Provenance = NOTHING
    file_labels: Mapping[str, Provenance] | None = None
    checkpoint: bool = False


class Policy:
    """Decides about calls. It keeps nothing of a run; the owner's rules are read from the journal."""

    def __init__(self, store: Store, config: AppConfig, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._settings = config.policy
        self._clock = clock
        self._read: tuple[float, str, OwnRules] = (0.0, "", NO_RULES)

    async def decide(self, proposal: Proposal) -> consent.Verdict:
        """Say whether a call may be made, has to be asked about, or must not be made, and why."""
        rules = await self.rules(fresh=leaves(proposal.spec))
        forbidden = rules.forbids(proposal.spec)
        if forbidden is not None:
            await self._denied(proposal, forbidden)
            return consent.Verdict("deny", explained(forbidden))
        verdict = ruled(proposal, self._settings.mode, rules.known)
        if verdict.decision != "ask" or proposal.checkpoint or not leaves(proposal.spec):
            return verdict
        allowed = rules.allows(proposal.spec, consent.whole(proposal.spec, proposal.args), self._clock())
        if allowed is None:
            follows = self._settings.links == "follow" and self._settings.mode == "normal" and is_research(proposal)
            return consent.Verdict("allow", "nothing private was read", verdict.labels) if follows else verdict
        return consent.Verdict("allow", f"your rule {allowed.number}: {allowed.in_words()}", verdict.labels)

    async def rules(self, *, fresh: bool = True) -> OwnRules:
        """Return the owner's rules; with `fresh` False as they were a few seconds ago."""
        at, before, rules = self._read
        if not fresh and self._clock() - at < AGE_SECONDS:
            return rules
        written = await self._store.get_value(KEY) or ""
        if written != before:
            rules = read(written) if written else NO_RULES
        self._read = (self._clock(), written, rules)
        return rules

    async def _denied(self, proposal: Proposal, rule: OwnRule) -> None:
        detail = {"run": proposal.run.ref, "step": proposal.step_id, "tool": proposal.spec.full_name}
        await self._store.audit("forbidden", proposal.run.session_id, {**detail, "rule": rule.in_words()})


def is_research(proposal: Proposal) -> bool:
    """Say whether a call only reads outside, for a person who waits for it, and nobody has read anything private."""
    spec, run = proposal.spec, proposal.run
    if spec.effect != "read" or not spec.host or run.origin in UNATTENDED or not run.provenance.trusted:
        return False
    args, _ = of_call(spec, proposal.args, proposal.labels, proposal.file_labels or {})
    return not _is_private(args, proposal.control) and not proposal.guard.private


def explained(rule: OwnRule) -> str:
    """Return what planner and person are told of a call that a rule forbids."""
    return (
        f"The owner's rule {rule.number} forbids it: {rule.in_words()}. `dirigent rules remove {rule.number}` lifts it."
    )


def ruled(proposal: Proposal, mode: Mode, known: Mapping[str, str] | None = None) -> consent.Verdict:
    """Judge a call by the rule alone; `known` are contacts and accounts by name."""
    spec, run = proposal.spec, proposal.run
    args, files = of_call(spec, proposal.args, proposal.labels, proposal.file_labels or {})
    outside = leaves(spec)
    if outside and known and run.provenance.trusted:
        args |= dict.fromkeys(named(proposal.args, known, run.request), USER)
    verdict = consent.decide(
        spec,
        args,
        proposal.control,
        guard=proposal.guard,
        files=files,
        typed=_typed(proposal) if outside and _is_private(args, proposal.control) else (),
        mode=mode,
        unattended=run.origin in UNATTENDED,
    )
    if proposal.checkpoint and verdict.decision == "allow":
        return consent.Verdict("ask", consent.because(args, proposal.control), verdict.labels)
    return verdict


def _is_private(args: Mapping[str, Provenance], control: Provenance) -> bool:
    return control.knows_private or any(label.private for label in args.values())


def _typed(proposal: Proposal) -> set[str]:
    """Return the arguments that are made of nothing but the person's words; nobody else's words count."""
    if not proposal.run.provenance.trusted:
        return set()
    return {name for name, value in proposal.args.items() if typed(value, proposal.run.request)}
