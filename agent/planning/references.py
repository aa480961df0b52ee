"""References between steps. They live in `agent.domain.references`, where execution reads them too."""

from agent.domain.references import (
    BARE_REFERENCE,
    REFERENCE,
    Reference,
    StepResult,
    find_references,
    renamed_references,
    resolve,
    tidied_references,
    whole_reference,
    with_reference_dependencies,
)

__all__ = [
    "BARE_REFERENCE",
    "REFERENCE",
    "Reference",
    "StepResult",
    "find_references",
    "renamed_references",
    "resolve",
    "tidied_references",
    "whole_reference",
    "with_reference_dependencies",
]
