"""A chain as one pipeline: its pipelines one after the other, each with the inputs that it needs.

An input of a pipeline is what an earlier one of the chain gives out under that name (the nearest before it), and else
an input of the chain. What the last one gives out is what the chain gives out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.domain.inputs import InputSpec
from agent.planning.pipeline import NESTED, Pipeline, PipelineStep

if TYPE_CHECKING:
    from agent.domain.chain import Chain

NAME = "chain"
STEP_CHARS = 24


def pipeline_of(chain: Chain, load: Callable[[str], Pipeline]) -> Pipeline:
    """Return the pipeline that carries a chain out. `load` reads one of its pipelines and may raise DirigentError."""
    inputs: dict[str, InputSpec] = {}
    steps: list[PipelineStep] = []
    given_out: dict[str, str] = {}
    for name in chain.workflows:
        one = load(name)
        args = {}
        for wanted, spec in one.inputs.items():
            if wanted in given_out:
                args[wanted] = "{{ steps." + given_out[wanted] + ".output['" + wanted + "'] }}"
                continue
            inputs.setdefault(wanted, spec)
            args[wanted] = "{{ inputs['" + wanted + "'] }}"
        step_id = _step_id(name, {step.id for step in steps})
        before = (steps[-1].id,) if steps else ()
        steps.append(
            PipelineStep(id=step_id, use=NESTED + name, title=one.description or name, args=args, depends_on=before)
        )
        given_out |= dict.fromkeys(one.outputs, step_id)
    outputs = _outputs(one, steps[-1].id)
    return Pipeline(name=NAME, description=chain.name, inputs=inputs, steps=tuple(steps), outputs=outputs)


def _outputs(last: Pipeline, step_id: str) -> dict[str, str]:
    """Return what the last pipeline gives out: by name, or all of it where it names nothing."""
    if not last.outputs:
        return {"result": "{{ steps." + step_id + ".output }}"}
    return {name: "{{ steps." + step_id + ".output['" + name + "'] }}" for name in last.outputs}


def _step_id(name: str, taken: set[str]) -> str:
    """Return an id for the step of a pipeline: its name as far as an id may hold it, numbered where it comes again."""
    plain = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_")
    start = (plain if plain[:1].isalpha() else f"p_{plain}")[:STEP_CHARS].rstrip("_")
    start = "the_outputs" if start == "outputs" else start
    found, number = start, 1
    while found in taken:
        number += 1
        found = f"{start}_{number}"
    return found
