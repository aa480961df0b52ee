"""Tools and services as declared: what is read from a function, its annotations and its docstring."""

from __future__ import annotations

import functools
import inspect
import math
import re
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from plugins.api import schemas
from plugins.api.context import Context, ServiceContext
from plugins.api.records import File, Pattern, PluginError, ServiceName

Effect = Literal["pure", "read", "write_inside", "effect"]
Cost = Callable[[Mapping[str, str], Mapping[str, Any]], float]
SENTENCE = re.compile(r"^(.*?[.!?])(?:\s|$)", re.DOTALL)


@dataclass(frozen=True)
class ToolSpec:
    """A tool as declared.

    `effect`: `pure` no outside world · `read` reads outside (`egress` names the arguments that leave) · `write_inside`
    workspace or memory · `effect` changes the world outside. `once` means that running it again after a crash could do
    the thing twice. `untrusted` means that its output carries outside text. `produces` are file suffixes (or "text",
    "number", "table") that it makes; `examples` are requests that it answers, with `{parameter}` for an argument.
    `timeout` is in seconds. `network` are `host:port` or hosts that it may reach; `secrets` names the ones it may read.
    `cost` is what one call costs at most, in US dollars, or a function of the plugin's settings and the call's
    arguments that returns it; `price` works it out. What a call did cost says `Output.cost`. `standing` admits that
    the owner agrees beforehand to calls with enumerated arguments (`consent:` in a pipeline); never for what pays,
    deletes, or installs. `strict` says that it does such a thing, or touches credentials or schedules: then what others
    wrote may not even decide whether it is called. `private` marks output as the person's own affairs, such as their
    mail. `confides` says that what it sends goes only to a server that the owner has set up for it, as prompts go to
    the model's: private data may. `keeps_files`: what it writes stays in the workspace, unless it hands a file over
    itself. `reaches` are the hosts that the owner lets everything inside reach; the catalogue sets it, no plugin does.

    `function_name` is the name to call inside, that of the function. A tool may be known by its description alone
    (`tool_from_schema`): its parameters are those of a JSON `schema`, `takes_context` says whether its function wants
    the context first, and `function` raises PluginError when it is called here.
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
    cost: float | Cost = 0.0
    standing: bool = False
    keeps_files: bool = False
    strict: bool = False
    private: bool = False
    confides: bool = False
    reaches: tuple[str, ...] = ()
    function_name: str = ""
    schema: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    takes_context: bool = False

    def __post_init__(self) -> None:
        """Name the function to call inside."""
        object.__setattr__(self, "function_name", self.function_name or getattr(self.function, "__name__", self.name))

    @property
    def sends_out(self) -> bool:
        """True when a call inside has a way to the network: whatever it is given and can read may leave by it."""
        return not self.host and bool(self.network or self.reaches)

    def price(self, settings: Mapping[str, str], arguments: Mapping[str, Any]) -> float:
        """Return what a call costs at most, in US dollars. Raises PluginError when the tool's own function fails."""
        if not callable(self.cost):
            return float(self.cost)
        try:
            money = float(self.cost(settings, arguments))
        except Exception as problem:
            said = f"{self.full_name}: its cost can't be worked out: {type(problem).__name__}: {problem}"
            raise PluginError(said) from problem
        if not 0 <= money < math.inf:
            raise PluginError(f"{self.full_name}: its cost must be US dollars from 0 up, not {money!r}.")
        return money

    @functools.cached_property
    def wants_context(self) -> bool:
        """True when the function's first parameter is the context."""
        if self.schema is not None:
            return self.takes_context
        return context_parameter(self.function) is not None

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
        return _hints(self) if self.schema is None else schemas.hints_of(self.schema)

    @functools.cached_property
    def defaults(self) -> dict[str, Any]:
        """Parameter name → default, of those that may be left out."""
        if self.schema is not None:
            return schemas.defaults_of(self.schema)
        given = inspect.signature(self.function).parameters
        return {name: given[name].default for name in self.hints if given[name].default is not inspect.Parameter.empty}

    @functools.cached_property
    def arguments(self) -> Any:
        """The pydantic model of the arguments (a `type[BaseModel]`). Raises PluginError for a type without a schema.

        For a tool of a JSON Schema it is a `schemas.SchemaArguments`, which answers the same.
        """
        if self.schema is not None:
            return schemas.SchemaArguments(self.name, self.schema, self.hints).prepared()
        return _arguments_model(self)

    @functools.cached_property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, as models are shown it."""
        if self.schema is not None:
            return schemas.without_marks(self.schema)
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
    def service_parameters(self) -> dict[str, str]:
        """Parameter name → the service whose name it takes."""
        marks = ((name, mark) for name, hint in self.hints.items() for mark in getattr(hint, "__metadata__", ()))
        return {name: mark.service for name, mark in marks if isinstance(mark, ServiceName)}

    @functools.cached_property
    def file_parameters(self) -> dict[str, tuple[str, ...]]:
        """Parameter name → accepted suffixes, for every parameter that is a workspace path."""
        marks = ((name, _file_mark(hint)) for name, hint in self.hints.items())
        return {name: mark.suffixes for name, mark in marks if mark is not None}


@dataclass(frozen=True)
class ServiceSpec:
    """A service as declared: an asynchronous generator function that yields the instance once.

    `secrets` names the ones that it may read, `settings` the names of what a pipeline may set for it; each is also a
    setting of the plugin.
    """

    name: str
    function: Callable[[ServiceContext], AsyncIterator[Any]]
    description: str
    secrets: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    plugin: str = ""

    @property
    def full_name(self) -> str:
        """`plugin.service`, which is unique."""
        return f"{self.plugin}.{self.name}" if self.plugin else self.name


def tool_from_schema(
    name: str,
    description: str,
    schema: Mapping[str, Any],
    *,
    function_name: str = "",
    wants_context: bool = False,
    plugin: str = "",
    **more: Any,
) -> ToolSpec:
    """Return a tool whose parameters a JSON Schema of an object describes, and whose function is not in this process.

    `parameters` is that schema; keywords that are not understood are kept in it and do no harm. `more` are further
    fields of ToolSpec. Raises PluginError for an unknown field and for what is no schema of an object.
    """
    if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), Mapping):
        raise PluginError(f"{name}: its parameters must be the JSON Schema of an object, with properties by name.")
    unknown = sorted(more.keys() - {one.name for one in fields(ToolSpec)})
    if unknown:
        raise PluginError(f"{name}: a tool has no field '{unknown[0]}'.")
    function_name = function_name or name
    return ToolSpec(
        name=name,
        function=schemas.Elsewhere(function_name),
        description=description,
        plugin=plugin,
        function_name=function_name,
        schema=schema,
        takes_context=wants_context,
        **more,
    )


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


def context_parameter(function: Callable[..., Any]) -> str | None:
    """Return the name of the parameter that takes the context: the first, if it is annotated so or called `ctx`."""
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
    skip = context_parameter(spec.function)
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
