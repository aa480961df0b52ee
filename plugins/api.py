"""The only door of a plugin: `@tool`, `@command`, `Plugin`, `Context`, `File`, `Output` and the UI records.

The smallest plugin is a module with a docstring and one function::

    from plugins.api import tool

    @tool
    def roll(sides: int = 6, times: int = 1) -> list[int]:
        \"\"\"Roll a die and return what came up.\"\"\"

Name, parameters and description come from the function, its annotations and its docstring. A tool stays a plain
function: a test calls it. Importing this module is cheap; pydantic is loaded when a schema is first asked for.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args, overload

Effect = Literal["pure", "read", "write_inside", "effect"]
EffectOrRecovery = Literal["pure", "read", "write_inside", "effect", "once", "idempotent"]
Function = TypeVar("Function", bound=Callable[..., Any])

MARK = "__dirigent__"
TOOL_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
COMMAND_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
SLOT = re.compile(r"\{(\w+)\}")
SENTENCE = re.compile(r"^(.*?[.!?])(?:\s|$)", re.DOTALL)


class PluginError(Exception):
    """A plugin is declared wrongly. The message names the function and what to change."""


class ToolFailure(Exception):
    """Raise this in a tool to fail with a sentence for the person; `hint` says the way on. No traceback is shown."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class File:
    """Marks a parameter as a workspace path: `path: Annotated[str, File(".csv", ".xlsx")]`. No suffix means any file.

    The offline planner fills it with a file that the request names, or with one that an earlier step produces.
    """

    suffixes: tuple[str, ...] = ()

    def __init__(self, *suffixes: str) -> None:
        object.__setattr__(self, "suffixes", suffixes)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Says what words may fill a text parameter without a model: `sum: Annotated[str, Pattern(r"[0-9+*/ -]+")]`.

    The offline planner passes over a phrase whose words do not match the whole regular expression (any case). It is no
    check: a model's or a command's value is handed over as it is.
    """

    expression: str


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool returns when a plain value is not enough.

    `value` (any JSON) is what references see as `{{ step.output }}`; `text` is what people and models read; `files` are
    workspace paths to be handed over. `partial` says that something is missing; `text` then says what.
    """

    value: Any = None
    text: str = ""
    files: tuple[str, ...] = ()
    partial: bool = False


class Memory(Protocol):
    """The session's memory, for host tools."""

    async def remember(self, text: str, tag: str = "") -> str:
        """Store a fact and return the entry as written."""

    async def recall(self, query: str = "", limit: int = 20) -> list[str]:
        """Return the entries that match best, or all of them."""

    async def forget(self, query: str) -> list[str]:
        """Remove the entries that match and return them."""


class Context(Protocol):
    """What a tool may ask of its surroundings: declare a first parameter `ctx: Context`.

    Inside the sandbox `memory` and `settings` are absent (AttributeError says so); a tool with `host=True` has them.
    """

    workdir: Path
    settings: Mapping[str, str]
    memory: Memory

    def artifact(self, path: str | Path, title: str = "") -> str:
        """Hand a workspace file to the person together with the answer; return its path within the workspace."""

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show where the work is, such as `("reading", 2, 3)`."""

    def secret(self, name: str) -> str:
        """Return a secret that the tool declared; raise ToolFailure when the owner has not set it."""

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Run a function of the plugin inside the sandbox (from a host tool) and return its JSON value."""

    async def save(self, name: str, data: bytes) -> str:
        """Write a file into the workspace (from a host tool), never outside it, and return its path within it."""


@dataclass(frozen=True, slots=True)
class Button:
    """A button: what it says and the chat text or command that it stands for."""

    label: str
    action: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. `kind`: text, number, date, choice, file."""

    name: str
    label: str
    kind: Literal["text", "number", "date", "choice", "file"] = "text"
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """Asks for several values, then runs `command` with them."""

    title: str
    command: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Menu:
    """A titled set of buttons."""

    title: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True)
class Plugin:
    """Optional, as the module's variable `plugin`: names the plugin and declares its UI and settings.

    `settings` maps a setting's name to its explanation; the owner sets it under `[plugins.NAME]` in dirigent.toml.
    """

    name: str = ""
    summary: str = ""
    version: str = ""
    ui: tuple[Menu | Form, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolSpec:
    """A tool as declared.

    `effect`: `pure` no outside world · `read` reads outside (`egress` names the arguments that leave) · `write_inside`
    workspace or memory · `effect` changes the world outside. `once` means that running it again after a crash could do
    the thing twice. `untrusted` means that its output carries outside text. `produces` are file suffixes (or "text",
    "number", "table") that it makes; `examples` are requests that it answers, with `{parameter}` for an argument.
    `timeout` is in seconds. `network` are `host:port` or hosts that it may reach; `secrets` names the ones it may read.
    """

    name: str
    function: Callable[..., Any]
    description: str
    effect: Effect = "write_inside"
    once: bool = False
    host: bool = False
    untrusted: bool = False
    egress: tuple[str, ...] = ()
    content_args: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    timeout: float = 60.0
    produces: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    data: bool = False
    reads_all: bool = False
    command: str = ""
    plugin: str = ""

    @functools.cached_property
    def wants_context(self) -> bool:
        """True when the function's first parameter is the context."""
        return _context_parameter(self.function) is not None

    @property
    def full_name(self) -> str:
        """`plugin.tool`, which is unique."""
        return f"{self.plugin}.{self.name}" if self.plugin else self.name

    @property
    def summary(self) -> str:
        """The first sentence of the description, on one line."""
        first = self.description.split("\n\n", 1)[0]
        sentence = SENTENCE.match(first)
        return " ".join((sentence[1] if sentence else first).split())

    @functools.cached_property
    def hints(self) -> dict[str, Any]:
        """Parameter name → evaluated annotation, without the context. Raises PluginError for one that is unknown."""
        return _hints(self)

    @functools.cached_property
    def arguments(self) -> Any:
        """The pydantic model of the arguments (a `type[BaseModel]`). Raises PluginError for a type without a schema."""
        return _arguments_model(self)

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, as models are shown it."""
        schema: dict[str, Any] = self.arguments.model_json_schema()
        schema.pop("title", None)
        for prop in schema.get("properties", {}).values():
            prop.pop("title", None)
        return schema

    @functools.cached_property
    def text_patterns(self) -> dict[str, str]:
        """Parameters whose words are bound by a `Pattern`, with its regular expression."""
        found = {name: _pattern_of(hint) for name, hint in self.hints.items()}
        return {name: expression for name, expression in found.items() if expression}

    @functools.cached_property
    def file_parameters(self) -> dict[str, tuple[str, ...]]:
        """Parameter name → accepted suffixes, for every parameter that is a workspace path."""
        marks = ((name, _file_mark(hint)) for name, hint in self.hints.items())
        return {name: mark.suffixes for name, mark in marks if mark is not None}


def _pattern_of(hint: Any) -> str:
    marks = (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Pattern))
    return next((mark.expression for mark in marks), "")


def _file_mark(hint: Any) -> File | None:
    """Find a File marker in `Annotated[...]`, also inside `X | None` and `list[X]`."""
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, File):
            return mark
        if mark is File:
            return File()
    for part in get_args(hint):
        mark = _file_mark(part)
        if mark is not None:
            return mark
    return None


def _context_parameter(function: Callable[..., Any]) -> str | None:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None:
        return None
    if first.annotation is inspect.Parameter.empty:
        return first.name if first.name == "ctx" else None
    return first.name if _is_context(function, first.annotation) else None


def _is_context(function: Callable[..., Any], annotation: Any) -> bool:
    if not isinstance(annotation, str):
        return annotation is Context
    try:
        return eval(annotation, _names(function)) is Context  # noqa: S307  # the plugin's own source, already imported
    except Exception:
        # Imported for type checkers only: the name is all that is left of it.
        return annotation.strip("\"'").rpartition(".")[2] == "Context"


def _names(function: Callable[..., Any]) -> dict[str, Any]:
    return getattr(inspect.unwrap(function), "__globals__", {})


def _hints(spec: ToolSpec) -> dict[str, Any]:
    skip = _context_parameter(spec.function)
    names = _names(spec.function)
    hints = {}
    for parameter in inspect.signature(spec.function).parameters.values():
        if parameter.name == skip:
            continue
        hint = parameter.annotation
        try:
            hints[parameter.name] = eval(hint, names) if isinstance(hint, str) else hint  # noqa: S307  # as above
        except Exception as problem:
            raise PluginError(
                f"{spec.full_name}: the annotation {hint!r} of parameter '{parameter.name}' can't be read ({problem}). "
                "Import what it names at the top of the plugin, not under TYPE_CHECKING.",
            ) from problem
    return hints


def _arguments_model(spec: ToolSpec) -> Any:
    from pydantic import ConfigDict, create_model

    parameters = inspect.signature(spec.function).parameters
    fields: dict[str, Any] = {
        name: (hint, ... if parameters[name].default is inspect.Parameter.empty else parameters[name].default)
        for name, hint in spec.hints.items()
    }
    config = ConfigDict(
        extra="forbid",
        arbitrary_types_allowed=False,
        coerce_numbers_to_str=True,
        protected_namespaces=(),
    )
    try:
        with warnings.catch_warnings():
            # A parameter may be called `copy` or `json`: nobody calls these methods of the model.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
            return create_model(spec.name, __config__=config, **fields)
    except Exception as problem:
        reason = str(problem).split("\n", maxsplit=1)[0]
        raise PluginError(f"{spec.full_name}: its parameters can't be described: {reason}") from problem


def _declare(function: Callable[..., Any], name: str, effect: EffectOrRecovery | None, options: dict[str, Any]) -> None:
    where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
    if not inspect.isroutine(function):
        raise PluginError(f"{where}: only a function can be a tool or a command.")
    description = inspect.getdoc(function)
    if not description:
        raise PluginError(f"{where}: give it a docstring; its first line tells the planner what the tool does.")
    if effect is not None and effect not in get_args(EffectOrRecovery):
        raise PluginError(f"{where}: effect={effect!r} is not one of {', '.join(get_args(EffectOrRecovery))}.")
    once = effect == "once"
    plain: Effect = "effect" if effect in ("once", "idempotent") else effect  # type: ignore[assignment]
    if effect is None:
        # Without the network a sandboxed tool can change nothing but its workspace; with it, expect the worst.
        plain = "effect" if options.get("network") or options.get("host") else "write_inside"
    if plain == "effect" and effect != "idempotent":
        once = True
    spec = ToolSpec(
        name=name,
        function=function,
        description=description,
        effect=plain,
        once=once,
        **_settled(where, options),
    )
    _check_name(where, spec)
    _check_parameters(where, spec)
    setattr(function, MARK, spec)


def _settled(where: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with lists as tuples; a lone string is one entry, not its letters."""
    known = {f.name: f for f in fields(ToolSpec)}
    settled = {}
    for key, value in options.items():
        if key not in known or key == "plugin":
            near = difflib.get_close_matches(key, known, n=1)
            raise PluginError(f"{where}: unknown option '{key}'." + (f" Did you mean '{near[0]}'?" if near else ""))
        several = known[key].default == ()
        settled[key] = ((value,) if isinstance(value, str) else tuple(value)) if several else value
    return settled


def _check_name(where: str, spec: ToolSpec) -> None:
    if not TOOL_NAME.match(spec.name):
        raise PluginError(
            f"{where}: the name {spec.name!r} must start with a letter and hold letters, digits, _ and -."
        )
    if spec.command and not COMMAND_NAME.match(spec.command):
        raise PluginError(f"{where}: the command {spec.command!r} must be lower case letters, digits and _ (up to 32).")
    if not isinstance(spec.timeout, (int, float)) or not spec.timeout > 0:
        raise PluginError(f"{where}: timeout={spec.timeout!r} must be a number of seconds above 0.")


def _check_parameters(where: str, spec: ToolSpec) -> None:
    skip = _context_parameter(spec.function)
    parameters = [p for p in inspect.signature(spec.function).parameters.values() if p.name != skip]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PluginError(f"{where}: '*' parameters can't be described; name each parameter.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise PluginError(f"{where}: '{parameter.name}' must be callable by name; remove the '/'.")
        if parameter.annotation is parameter.empty:
            raise PluginError(f"{where}: parameter '{parameter.name}' needs a type annotation.")
    names = {parameter.name for parameter in parameters}
    for option in ("egress", "content_args"):
        _check_known(where, f"{option} names", set(getattr(spec, option)) - names, names)
    slots = {slot for example in spec.examples for slot in SLOT.findall(example)}
    _check_known(where, "an example names", slots - names, names)


def _check_known(where: str, what: str, unknown: set[str], names: set[str]) -> None:
    if unknown:
        listed = ", ".join(sorted(names)) or "none"
        raise PluginError(f"{where}: {what} '{min(unknown)}', which is no parameter. Its parameters: {listed}.")


@overload
def tool(function: Function, /) -> Function: ...


@overload
def tool(
    *,
    name: str = "",
    effect: EffectOrRecovery | None = None,
    host: bool = False,
    untrusted: bool = False,
    egress: tuple[str, ...] | list[str] = (),
    content_args: tuple[str, ...] | list[str] = (),
    network: tuple[str, ...] | list[str] = (),
    secrets: tuple[str, ...] | list[str] = (),
    timeout: float = 60.0,
    produces: tuple[str, ...] | list[str] = (),
    examples: tuple[str, ...] | list[str] = (),
    data: bool = False,
    reads_all: bool = False,
) -> Callable[[Function], Function]: ...


def tool(
    function: Function | None = None,
    /,
    *,
    name: str = "",
    effect: EffectOrRecovery | None = None,
    **options: Any,
) -> Any:
    """Make a function a tool. Without arguments it runs in the sandbox, without network, and may write its workspace.

    `effect` is one of ToolSpec's, or `once` / `idempotent` for an effect whose repetition after a crash is dangerous /
    harmless. `host=True` runs it in the agent's own process (only for plugins that the owner trusts fully). `data=True`
    asks for the worker that has the data libraries imported. `reads_all=True` says that it may read any file of the
    workspace, whatever files it names: its result carries all their labels.
    """

    def mark(inner: Function) -> Function:
        _declare(inner, name or getattr(inner, "__name__", ""), effect, options)
        return inner

    return mark(function) if function is not None else mark


def command(
    name: str,
    /,
    *,
    effect: EffectOrRecovery | None = None,
    **options: Any,
) -> Callable[[Function], Function]:
    """Make a function a chat command `/name`, which is also a tool of that name. Options are those of `tool`."""

    def mark(inner: Function) -> Function:
        _declare(inner, name, effect, {**options, "command": name})
        return inner

    return mark


def spec_of(function: object) -> ToolSpec | None:
    """Return what `@tool` or `@command` attached to a function, or None."""
    spec = getattr(function, MARK, None)
    return spec if isinstance(spec, ToolSpec) else None


HostTool = Callable[..., Awaitable[Any]]
