"""Finds plugins: the built-in modules of this package, installed distributions, and the owner's folders.

A plugin is a Python file or a package. What is broken (a syntax error, a missing docstring or import, a name used
twice) is reported with the plugin's name and the reason, and all others load. A folder plugin is imported under a
private module name, so that it can neither shadow a library nor be imported by accident; `sys.path` stays as it is.

Only what comes with us is imported by the agent. Every other plugin is described inside a box of its own, where
`describing` imports it and tells what it found; `described` takes that for a claim of strangers and checks it. So no
line of a plugin runs outside the walls, until the owner trusts it (`dirigent plugins trust NAME`). What must run
outside, tools with `host=True`, services and costs that are functions, is held back until then. `discover` is told by
its argument `read` who reads such plugins; without one they are imported, as the box itself and tests do.

The walls are for plugins, not for installing: what `pip install` brings may run code of its own in every interpreter
that starts there (`.pth` files).

Distributions announce a plugin in their metadata::

    [project.entry-points."dirigent.plugins"]
    weather = "dirigent_weather"
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import pkgutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import TypeVar

from loguru import logger

import plugins
from plugins.api import Form, Menu, Plugin, PluginError, ServiceSpec, ToolSpec, service_of, spec_of

GROUP = "dirigent.plugins"
PRIVATE = "_dirigent_plugin_"
NOT_PLUGINS = {"api", "described", "describing", "loader"}
Spec = TypeVar("Spec", ToolSpec, ServiceSpec)


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin as found.

    `source` is what `sandbox.api.ToolCall` takes: a module's name, or the host path of a folder plugin. `error` says
    why it is broken (it then has no tools). `settings` maps each setting's name to its explanation. `sha256` is of its
    files. `trusted` says that it runs in this process because it is ours or the owner trusts it. Of another one
    `held_back` maps the names of what would have to run there to the reason, and `note` is what its owner should know.
    """

    name: str
    source: str
    summary: str = ""
    version: str = ""
    tools: tuple[ToolSpec, ...] = ()
    commands: tuple[ToolSpec, ...] = ()
    ui: tuple[Menu | Form, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    sha256: str = ""
    builtin: bool = False
    services: tuple[ServiceSpec, ...] = ()
    trusted: bool = False
    held_back: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def remark(self) -> str:
        """What the owner should know of it, in one line; "" when there is nothing."""
        listed = "; ".join(f"{name} {why}" for name, why in self.held_back.items())
        held = f"held back until you trust it (`dirigent plugins trust {self.name}`): {listed}" if listed else ""
        return "; ".join(said for said in (self.note, held) if said)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plugin should be: its name, its source, its files, and how to import it."""

    name: str
    source: str
    path: Path | None
    load: Callable[[], ModuleType]
    builtin: bool = False

    def digest(self) -> str:
        """Return the SHA-256 (hex) of its files, "" when there are none to be found. Raises OSError."""
        return _digest(self.path) if self.path else ""


Read = Callable[[Sequence[Place]], Iterable[LoadedPlugin]]


def discover(
    folders: Sequence[Path] = (),
    *,
    builtin: bool = True,
    entry_points: bool = True,
    enabled: Callable[[str], bool] | None = None,
    read: Read | None = None,
) -> list[LoadedPlugin]:
    """Return every plugin: built-in ones first, then installed ones, then those in `folders`, each kind by name.

    `enabled` is asked with the name of each installed one before anything of it is imported. `read` reads all that does
    not come with us; without it that is imported here. Never raises for a plugin.
    """
    found = [imported(place) for place in _builtin_places()] if builtin else []
    others = places(folders, entry_points=entry_points, enabled=enabled)
    found += read(others) if read is not None else map(imported, others)
    loaded: dict[str, LoadedPlugin] = {}
    for plugin in found:
        one = _name_taken(plugin, loaded) if plugin.name.casefold() in loaded else plugin
        loaded[one.name.casefold()] = one
    return list(loaded.values())


def places(
    folders: Sequence[Path] = (), *, entry_points: bool = True, enabled: Callable[[str], bool] | None = None
) -> list[Place]:
    """Return where plugins are that do not come with us: installed ones, then those in `folders`, each kind by name."""
    found: list[Place] = []
    if entry_points:
        found += [place for place in _installed_places() if enabled is None or enabled(place.name)]
    for folder in folders:
        found += _folder_places(folder)
    return found


def place_at(source: str, name: str) -> Place:
    """Return the place of a plugin whose source is known: a module's name, or the path of a file or package."""
    if not source.startswith("/"):
        return Place(name, source, _path_of_module(source), _importing(source))
    path = Path(source)
    start, package = (path / "__init__.py", path) if path.is_dir() else (path, None)
    return Place(name, source, path, _importing_file(start, package))


def from_functions(name: str, functions: Iterable[Callable[..., object]], *, source: str = "") -> LoadedPlugin:
    """Return a plugin made of functions that carry `@tool` or `@command`; for tests and for programs that embed us."""
    listed = list(functions)
    specs = [spec for spec in map(spec_of, listed) if spec is not None]
    source = source or (specs[0].function.__module__ if specs else name)
    tools = _named(name, specs)
    services = _named(name, [spec for spec in map(service_of, listed) if spec is not None])
    commands = tuple(spec for spec in tools if spec.command)
    return LoadedPlugin(name, source, tools=tools, commands=commands, services=services, trusted=True)


def _builtin_places() -> Iterator[Place]:
    for info in pkgutil.iter_modules(plugins.__path__):
        if info.name in NOT_PLUGINS or info.name.startswith("_"):
            continue
        module = f"plugins.{info.name}"
        spec = importlib.util.find_spec(module)
        yield Place(info.name, module, _files_of(spec.origin if spec else None), _importing(module), builtin=True)


def _installed_places() -> Iterator[Place]:
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        yield Place(point.name, point.module, _path_of_module(point.module), _importing(point.module))


def _importing(module: str) -> Callable[[], ModuleType]:
    return lambda: importlib.import_module(module)


def _path_of_module(module: str) -> Path | None:
    try:
        # Of a dotted name the parents would be imported; the hash of a top-level module is found without.
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    return _files_of(spec.origin if spec else None)


def _files_of(origin: str | None) -> Path | None:
    if origin is None:
        return None
    path = Path(origin)
    return path.parent if path.name == "__init__.py" else path


def _folder_places(folder: Path) -> Iterator[Place]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and (path / "__init__.py").is_file():
            yield place_at(str(path), path.name)
        elif path.is_file() and path.suffix == ".py":
            yield place_at(str(path), path.stem)


def _importing_file(path: Path, package: Path | None) -> Callable[[], ModuleType]:
    def load() -> ModuleType:
        digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
        name = f"{PRIVATE}{digest}_{(package or path).stem}"
        inside = [str(package)] if package else None
        if _OfSources not in sys.meta_path:
            sys.meta_path.insert(0, _OfSources)
        loader = _Compiling(name, str(path))
        spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=inside)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} can't be imported.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            for key in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[key]
            raise
        return module

    return load


class _Compiling(importlib.machinery.SourceFileLoader):
    """Compiles a plugin's files anew: byte code that lies beside them may be of other sources than the hash is of."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _OfSources:
    """Finds the modules of folder plugins, of which only the sources count."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a module of a plugin is; None for every other module."""
        if not name.startswith(PRIVATE):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader) and spec.origin:
            spec.loader = _Compiling(name, spec.origin)
        return spec


def imported(place: Place) -> LoadedPlugin:
    """Return a plugin that is imported here, with all rights of this process. Never raises for a plugin."""
    digest = ""
    try:
        digest = place.digest()
        module = place.load()
        return replace(_read(place, module), sha256=digest, builtin=place.builtin, trusted=True)
    except (Exception, SystemExit) as problem:
        reason = _reason(problem, place)
        logger.warning("plugin {} is broken: {}", place.name, reason)
        return LoadedPlugin(place.name, place.source, error=reason, sha256=digest, builtin=place.builtin)


def _read(place: Place, module: ModuleType) -> LoadedPlugin:
    said = getattr(module, "plugin", None)
    about = said if isinstance(said, Plugin) else Plugin()
    name = about.name or place.name
    tools = _named(name, _declared(module, spec_of))
    services = _named(name, _declared(module, service_of))
    if not tools and not services and not about.ui:
        raise PluginError("it declares no tool; put @tool above a function.")
    _check(module, tools, quick=place.builtin)
    _check_forms(about.ui, tools)
    _check_services(services, about)
    doc = inspect.getdoc(module) or ""
    return LoadedPlugin(
        name=name,
        source=place.source,
        summary=about.summary or doc.split("\n", maxsplit=1)[0],
        version=about.version,
        tools=tools,
        commands=tuple(spec for spec in tools if spec.command),
        ui=tuple(about.ui),
        settings=dict(about.settings),
        services=services,
    )


def _declared(module: ModuleType, read: Callable[[object], Spec | None]) -> list[Spec]:
    """Return what the module or its submodules declare; what is imported from another plugin stays there."""
    own: dict[int, Spec] = {}
    for value in vars(module).values():
        spec = read(value)
        home = getattr(value, "__module__", "") or ""
        if spec is not None and (home == module.__name__ or home.startswith(f"{module.__name__}.")):
            own[id(value)] = spec
    return list(own.values())


def _named(plugin: str, specs: Iterable[Spec]) -> tuple[Spec, ...]:
    named = tuple(replace(spec, plugin=plugin) for spec in specs)
    check_names([spec.name for spec in named], "services" if named and isinstance(named[0], ServiceSpec) else "tools")
    return named


def check_names(names: Sequence[str], kind: str) -> None:
    """Raise PluginError when one of a plugin's tools or services has the name of another."""
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise PluginError(f"the name '{twice[0]}' is used by two of its {kind}; rename one, or give it name=.")


def _check_services(services: Iterable[ServiceSpec], about: Plugin) -> None:
    for spec in services:
        unknown = [name for name in spec.settings if name not in about.settings]
        if unknown:
            raise PluginError(
                f"the service '{spec.name}' has the setting '{unknown[0]}', which Plugin(settings=…) lacks."
            )


def _check(module: ModuleType, tools: Sequence[ToolSpec], *, quick: bool) -> None:
    """Raise PluginError for a tool that could not be called. Quick leaves schemas, which load pydantic, for later."""
    for spec in tools:
        if getattr(module, spec.function.__name__, None) is not spec.function:
            raise PluginError(f"{spec.name}: the plugin's module has no '{spec.function.__name__}' that is this tool.")
        if not quick:
            _ = spec.parameters


def _check_forms(ui: Iterable[Menu | Form], tools: Sequence[ToolSpec]) -> None:
    for form in ui:
        if not isinstance(form, Form):
            continue
        meant = tool_of(form, tools)
        if meant is None:
            raise PluginError(
                f"the form '{form.title}' is for '{form.command}', which is none of its tools or commands."
            )
        check_fields(form, meant.hints)


def tool_of(form: Form, tools: Iterable[ToolSpec]) -> ToolSpec | None:
    """Return the tool that a form is for, by its name or its command."""
    command = form.command.removeprefix("/")
    return next((spec for spec in tools if command in {spec.name, spec.command}), None)


def check_fields(form: Form, parameters: Container[str]) -> None:
    """Raise PluginError when a form asks for what its tool does not take."""
    unknown = [field.name for field in form.fields if field.name not in parameters]
    if unknown:
        command = form.command.removeprefix("/")
        raise PluginError(f"the form '{form.title}' asks for '{unknown[0]}', which is no parameter of '{command}'.")


def _name_taken(late: LoadedPlugin, loaded: Mapping[str, LoadedPlugin]) -> LoadedPlugin:
    first = loaded[late.name.casefold()]
    name = late.name
    while name.casefold() in loaded:
        name += "'"
    reason = f"the name '{late.name}' is taken by {first.source}; rename it, or set plugin = Plugin(name=…)."
    logger.warning("plugin {} is left out: {}", late.source, reason)
    return LoadedPlugin(name, late.source, error=late.error or reason, sha256=late.sha256, trusted=late.trusted)


def _reason(problem: BaseException, place: Place) -> str:
    if isinstance(problem, PluginError):
        return str(problem)
    if isinstance(problem, SyntaxError):
        return f"SyntaxError: {problem.msg} ({Path(problem.filename or place.source).name}, line {problem.lineno})"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(problem.__traceback__)
        if place.path and frame.filename.startswith(str(place.path))
    ]
    where = f" (line {lines[-1]})" if lines else ""
    missing = isinstance(problem, ModuleNotFoundError)
    way_on = ". Install the library that it is in where Dirigent's own libraries are" if missing else ""
    return f"{type(problem).__name__}: {problem}{where}{way_on}"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_symlink() and file.is_dir():
            raise OSError(errno.ELOOP, f"the link {file.name} leads to a folder; put the folder itself there")
        if file.is_file() and "__pycache__" not in file.relative_to(path.parent).parts:
            digest.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
