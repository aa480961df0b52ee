"""What the REST API gives of pipelines."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agent.planning.pipeline_preview import StepView
from agent.web.problems import Fault


class PipelineShape(BaseModel):
    """A pipeline. `plugin` ships it ("" for the home's); `about` is what it does and takes, or its first mistake."""

    name: str
    plugin: str
    about: str


class WholePipeline(PipelineShape):
    """A pipeline with its YAML and the JSON Schema of its inputs (empty while it is wrong)."""

    text: str
    inputs: dict[str, Any]
    faults: list[Fault]


class Looked(BaseModel):
    """A pipeline looked at without being run: its mistakes, or what it would do and cost (null: unknown)."""

    good: bool
    faults: list[Fault]
    words: str = ""
    steps: tuple[StepView, ...] = ()
    model_calls: int = 0
    tokens: int = 0
    cost: float | None = None
