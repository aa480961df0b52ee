"""Files that a step promised: it has made them, or it has failed."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.domain.execution import ExecutorResponse, ResponseStatus

if TYPE_CHECKING:
    from agent.domain.plan import PlanStep


def kept_promises(step: PlanStep, response: ExecutorResponse) -> ExecutorResponse:
    """Return the response; a success becomes a failure when a promised file was not made by this step."""
    if not response.success:
        return response
    made = [file.path for file in response.files]
    lost = [name for name in step.outputs if not any(fnmatch.fnmatchcase(path, name) for path in made)]
    if not lost:
        return response
    error = f"Step {step.id!r} promised {', '.join(lost)} and made {', '.join(made) or 'no file'}."
    return replace(response, status=ResponseStatus.ERROR, error=error)
