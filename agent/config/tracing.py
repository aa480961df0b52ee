"""Where traces go, and what is in them: `[tracing]` in dirigent.toml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Tracing(BaseModel):
    """What each request did, when and for how long, for a collector that speaks OTLP over HTTP."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    """The collector, such as `http://localhost:4318`; without it (or OTEL_EXPORTER_OTLP_ENDPOINT) nothing is traced."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """What goes along with each delivery, such as `Authorization = "Bearer …"`."""
    content: bool = False
    """Also record what people and models wrote, and what tools were given and returned. Secrets never are."""
    sample: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of requests that is recorded, each whole or not at all; all, or as OTEL_TRACES_SAMPLER says."""
