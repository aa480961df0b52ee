"""`services:` of a pipeline: names for what its tools share, with the settings that it has there.

    services:
      helpdesk: {use: tickets, system: zammad, url: https://support.example.org}

A tool that takes a service is then called with `service: helpdesk`. Secrets never stand in a pipeline: a service reads
those that it declares.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, model_validator

from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.planning.pipeline import Pipeline
    from agent.planning.pipeline_reading import Path
    from plugins.api import ToolSpec


class PipelineService(BaseModel):
    """A service of a plugin, and settings for it beside the plugin's own."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    use: str
    """A service of a plugin, such as `tickets`. Every other key is one of its settings."""

    @model_validator(mode="after")
    def _settings_are_plain(self) -> PipelineService:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if not isinstance(value, (str, int, float, bool)):
                raise ValueError(f"the setting '{name}' must be a text, a number, true or false")  # noqa: TRY004
            if isinstance(value, str) and ("{{" in value or "{%" in value):
                raise ValueError(f"the setting '{name}' cannot hold a template: a service is the same for every run")
        return self

    @property
    def settings(self) -> dict[str, str]:
        """The settings as texts, as the owner's own are."""
        return {name: _text(value) for name, value in (self.__pydantic_extra__ or {}).items()}


def service_problems(pipeline: Pipeline, catalogue: Catalogue) -> Iterator[tuple[Path, str]]:
    """Yield every mistake in the services of a pipeline, and in the arguments of its steps that name one."""
    for name, one in pipeline.services.items():
        path: Path = ("services", name)
        if not name.isidentifier():
            yield path, f"the service's name {name!r} must be letters, digits and '_'"
        try:
            spec = catalogue.service(one.use)
        except DirigentError as error:
            yield (*path, "use"), str(error)
            continue
        for setting in sorted(one.settings.keys() - set(spec.settings)):
            yield (*path, setting), f"the service '{one.use}' has no setting '{setting}'{_near(setting, spec.settings)}"
    for n, step in enumerate(pipeline.steps):
        try:
            tool = catalogue.find(step.use)
        except DirigentError:
            continue  # no tool, or one that is not there, which is said elsewhere
        for name in tool.service_parameters.keys() & step.args.keys():
            for said in _wrong_name(pipeline, catalogue, tool, name, step.args[name]):
                yield ("steps", n, "args", name), said


def _wrong_name(pipeline: Pipeline, catalogue: Catalogue, tool: ToolSpec, name: str, value: Any) -> Iterator[str]:
    wanted = catalogue.service(tool.service_parameters[name], tool.plugin)
    if not isinstance(value, str) or value in {"", wanted.name, wanted.full_name} or "{{" in value:
        return
    if value not in pipeline.services:
        yield f"there is no service '{value}'{_near(value, pipeline.services)}"
        return
    try:
        other = catalogue.service(pipeline.services[value].use)
    except DirigentError:
        return
    if other.full_name != wanted.full_name:
        yield f"`{value}` is a {other.full_name}, and {tool.name} takes a {wanted.full_name}"


def services_of(pipelines: Iterable[Pipeline]) -> dict[str, dict[str, Any]]:
    """Return what a run is told of the services of a pipeline and of those nested in it (`Run.given`).

    Where both have one of a name, the outer one's counts: so a nested pipeline's service is replaced.
    """
    found: dict[str, dict[str, Any]] = {}
    for pipeline in pipelines:
        for name, one in pipeline.services.items():
            found.setdefault(name, {"use": one.use, "settings": one.settings})
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _near(name: str, known: Iterable[str] | Mapping[str, Any]) -> str:
    listed = list(known)
    near = difflib.get_close_matches(name, listed, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are {', '.join(listed)}" if listed else "; this pipeline names none under `services`"
