"""A yes "for this task": the same call may be made again, unasked, until the run that it was given in ends.

It pins every argument but the tool's free text (`content_args`), and what was read: text or a choice that came from
anywhere else than what the person was shown asks again. Tools admit it as they admit standing consent (`standing`):
nothing that pays, deletes or installs does. It lies in the journal as the approval's decision.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.domain.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.domain.run import Approval
    from plugins.api import ToolSpec

TASK = "task"
YES = frozenset({"allow", TASK})
DENIALS = 2  # so many stop a plan: whoever says no twice does not want it


def choices(spec: ToolSpec) -> tuple[str, ...]:
    """Return what a person may decide about a call of a tool."""
    return ("allow", TASK, "deny") if admits(spec) else ("allow", "deny")


def admits(spec: ToolSpec) -> bool:
    """Say whether calls of a tool may be agreed to for a whole task; never what costs, or reads files of its choice."""
    return spec.effect == "effect" and spec.standing and not spec.cost and not spec.reads_all


def origins(labels: Iterable[Provenance], control: Provenance) -> Provenance:
    """Return what the person is shown: where the choice and the arguments of a call came from."""
    return Provenance.union([control, *labels])


def covers(
    approval: Approval,
    spec: ToolSpec,
    args: Mapping[str, Any],
    labels: Mapping[str, Provenance],
    control: Provenance,
) -> bool:
    """Say whether an approval of the same run allows this call, too. `args` are all arguments, defaults included.

    A call with files asks each time: the same name may hold something else by now.
    """
    if approval.decision != TASK or approval.tool != spec.full_name or not admits(spec):
        return False
    if any(args.get(name) for name in spec.file_parameters):
        return False
    free = set(spec.content_args)
    if _exact(args, free) != _exact(approval.args, free):
        return False
    read = [control, *(labels.get(name, control) for name in args if name in free)]
    return all(_shown(label, approval.origins) for label in read)


def _exact(args: Mapping[str, Any], free: set[str]) -> str:
    pinned = {name: value for name, value in args.items() if name not in free}
    return json.dumps(pinned, sort_keys=True, ensure_ascii=False, default=str)


def _shown(label: Provenance, shown: Provenance) -> bool:
    return set(label.untrusted_names) <= set(shown.untrusted_names) and (shown.private or not label.private)


def denied_too_often(approvals: Iterable[Approval]) -> bool:
    """Say whether people have denied so many calls of a run that its plan stops; a withdrawn question is no denial."""
    return sum(one.decision == "deny" and bool(one.decided_by) for one in approvals) >= DENIALS
