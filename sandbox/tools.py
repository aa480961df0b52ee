"""A plugin's tool, called inside: find it, give it typed arguments and a context, make its result plain JSON."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plugins.api import Output, PluginError, ToolFailure, ToolSpec, spec_of
from sandbox.inside import own_part
from sandbox.values import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from sandbox.inside import Events


DESCRIBE = "*"
"""In place of a function's name: import the plugin and tell what it is (`plugins.describing`). It takes the name."""


class BoxContext:
    """`plugins.api.Context` as a tool in the box has it."""

    def __init__(self, workdir: Path, secrets: Mapping[str, str], events: Events) -> None:
        self.workdir = workdir
        self._handed: dict[str, str] = {}
        self._secrets = secrets
        self._events = events

    def artifact(self, path: str | Path, title: str = "") -> str:
        """Hand a workspace file to the person; return its path within the workspace."""
        full = self.workdir / path
        if not full.resolve().is_relative_to(self.workdir.resolve()):
            raise ToolFailure(f"'{path}' is outside the workspace.", hint=f"Write the file into {self.workdir}.")
        if not full.is_file() or full.is_symlink():
            raise ToolFailure(f"There is no file '{path}' to hand over.", hint="Write it first, then hand it over.")
        name = os.path.relpath(os.path.normpath(full), self.workdir)
        self._handed[name] = title or self._handed.get(name, "")
        return name

    @property
    def files(self) -> list[tuple[str, str]]:
        """The files handed over so far, each with its title."""
        return list(self._handed.items())

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show where the work is."""
        self._events.send(progress=[str(text)[:2000], done, total])

    def secret(self, name: str) -> str:
        """Return a declared secret; raise ToolFailure when it was not handed in."""
        try:
            return self._secrets[name]
        except KeyError:
            hint = f"Declare it with @tool(secrets=['{name}']) and set it under [secrets] in dirigent.toml."
            raise ToolFailure(f"The secret {name} is not there.", hint=hint) from None

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Call the function: this is the inside already."""
        result = function(**arguments)
        return await result if inspect.isawaitable(result) else result

    def __getattr__(self, name: str) -> Any:
        if name in {"memory", "settings"}:
            raise AttributeError(f"ctx.{name} is absent inside the sandbox; a tool declared with host=True has it.")
        raise AttributeError(f"The context has no '{name}'.")


def call(order: dict[str, Any], events: Events) -> dict[str, Any]:
    """Call the tool that `order` names and return its result as the host expects it."""
    wanted = order["tool"]
    if wanted["function"] == DESCRIBE:
        from plugins.describing import describe as described

        return {"value": described(wanted["source"], **wanted["arguments"]), "files": [], "text": "", "partial": False}
    function = _find(_load(wanted["source"]), wanted["function"])
    context = BoxContext(Path(order["workdir"]), order["secrets"], events)
    arguments = _typed(function, wanted["arguments"])
    values = (context,) if wanted["wants_context"] else ()
    result = function(*values, **arguments)
    if inspect.isawaitable(result):
        result = asyncio.run(_awaited(result))
    return _packed(result, context)


def rehearse() -> None:
    """Take one call through all it needs, in the init: what libraries load on first use is then there for every job."""

    def sample(when: dt.date, path: Path, kind: Literal["a"] = "a", many: list[int] | None = None) -> None:
        del when, path, kind, many

    with contextlib.suppress(ToolFailure):
        _typed(sample, {"when": "2000-01-01", "path": "a"})
        _typed(sample, {"when": "never"})
    asyncio.run(_awaited(asyncio.sleep(0)))


def ready(module: ModuleType) -> None:
    """Work out what the arguments of a module's tools look like, so that no job has to."""
    for value in vars(module).values():
        spec = spec_of(value)
        if spec is not None:
            with contextlib.suppress(PluginError):
                _ = spec.arguments


async def _awaited(result: Any) -> Any:
    return await result


def _packed(result: Any, context: BoxContext) -> dict[str, Any]:
    output = result if isinstance(result, Output) else Output(value=result)
    for path in output.files:
        context.artifact(path)
    said = {"text": output.text, "partial": output.partial, "cost": output.cost}
    return {"value": plain(output.value), "files": context.files, **said}


def _load(source: str) -> ModuleType:
    """Import a module by name, or a plugin's file or package by its path inside the box."""
    if not source.startswith("/"):
        return importlib.import_module(source)
    path = Path(source)
    package = path.is_dir()
    name = f"dirigent_plugin_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name,
        path / "__init__.py" if package else path,
        submodule_search_locations=[str(path)] if package else None,
    )
    if spec is None or spec.loader is None:
        raise PluginError(f"{source} is no Python plugin; it must be a .py file or a folder with __init__.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _find(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return the function of that name, or the tool that was declared under it."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    for value in vars(module).values():
        spec = spec_of(value)
        if spec is not None and spec.name == name:
            return spec.function
    raise PluginError(f"{module.__name__} has no function '{name}'.")


def _typed(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Make dates, enumerations and paths of the JSON values, as the function's annotations say."""
    from pydantic import ValidationError

    spec = spec_of(function) or ToolSpec(name=function.__name__, function=function, description="")
    try:
        model = spec.arguments(**arguments)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ToolFailure(f"The arguments of {spec.name} do not fit: {problems}") from None
    except PluginError:  # a plain function without annotations
        return arguments
    return {name: getattr(model, name) for name in type(model).model_fields}


def describe(error: BaseException) -> dict[str, str]:
    """Return a failure as JobResult.failure holds it. A ToolFailure is a sentence for a person and has no traceback."""
    kind = type(error).__name__
    if isinstance(error, ToolFailure):
        return {"type": kind, "message": error.message, "hint": error.hint, "traceback": ""}
    trace = "".join(traceback.format_exception(type(error), error, own_part(error), limit=-20))
    message = str(error) or kind
    return {"type": kind, "message": message[:4000], "hint": "", "traceback": trace[-16_000:]}


def too_large(why: str) -> ToolFailure:
    """Return the failure for a value that does not fit through."""
    hint = "Write it to a file and hand the file over with ctx.artifact(path)."
    return ToolFailure(f"The tool's result is too large to be passed on: {why}.", hint=hint)
