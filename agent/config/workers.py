"""How many processes share the work: the settings of `engine = "workers"`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Workers(BaseModel):
    """Many workers: `engine = "workers"`. How many runs each has at work is `limits.runs_total`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """How long a worker that is told to stop lets its runs go on; then other workers take them up where they are."""
    dead_seconds: Annotated[float, Field(ge=6, le=3_600)] = 12.0
    """How long nothing is heard of a worker until its runs are taken over; it says every 3 seconds that it lives."""
