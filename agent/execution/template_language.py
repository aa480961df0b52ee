"""The language of templates: Jinja's sandbox with only the words of `template_words.py`, every loop counted.

What may be reached is listed, not what may not: anything else is an error that names it.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from agent.execution.template_limits import (
    Opaque,
    Spent,
    add_up,
    as_text,
    concat,
    join,
    measure,
    measured,
    replace,
    rounded,
    to_json,
)
from agent.execution.template_words import (
    DATE_METHODS,
    DICT_METHODS,
    FILTERS,
    GROUP_VALUES,
    LIST_METHODS,
    LOOP_VALUES,
    ROOTS,
    TEXT_METHODS,
    SkippedValue,
    TemplateFailed,
)

if TYPE_CHECKING:
    from agent.execution.templates import Scope

MAX_SOURCE = 20_000
METHODS: dict[type, frozenset[str]] = {
    str: TEXT_METHODS,
    list: LIST_METHODS,
    dict: DICT_METHODS,
    dt.date: DATE_METHODS,
    LoopContext: LOOP_VALUES,
    tuple: GROUP_VALUES,
}
STATEMENTS = (nodes.Output, nodes.If, nodes.For, nodes.Assign)


class Steps(Opaque):
    """The results as `steps` in a template; notes which of them are touched."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.touched: set[str] = set()

    def look_up(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise Spent(f"a step is named by its id, not by {name!r}")
        return StepView(name, self)

    def root(self, name: str, root: str) -> Any:
        self.touched.add(name)
        result = self._scope.results.get(name)
        if root == "status":
            return result["status"] if result else "skipped" if name in self._scope.skipped else "pending"
        if name in self._scope.skipped:
            return _SkippedUndefined(name=name)
        if result is None:
            raise Spent(f"step {name!r} has no result yet")
        return result[root]


@dataclass(frozen=True, slots=True)
class StepView(Opaque):
    """One step in a template: its output, text, files and status are looked up when they are named."""

    name: str
    owner: Steps


class _SkippedUndefined(StrictUndefined):
    """The result of a skipped step: `default` replaces it, any other use says which step it was."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_named: Any) -> Any:
        raise SkippedValue(str(self._undefined_name))

    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __mul__ = __getitem__ = __lt__ = __gt__ = __contains__ = _fail_with_undefined_error
    __le__ = __ge__ = __int__ = __float__ = __call__ = _fail_with_undefined_error


class Environ(Opaque):
    """The declared environment values as `env` in a template; notes which of them are read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.touched: set[str] = set()

    def look_up(self, name: Any) -> str:
        if name not in self._values:
            listed = ", ".join(self._values) or "none"
            raise Spent(f"the environment value {name!r} is not declared under `env` (declared: {listed})")
        self.touched.add(str(name))
        return self._values[name]


class Language(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox in which only what is listed can be reached, called or computed."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._entered(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._entered(obj, argument)

    def _entered(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, (Steps, Environ)):
            return obj.look_up(key)
        if isinstance(obj, StepView):
            if key not in ROOTS:
                raise Spent(f"step {obj.name!r} has {', '.join(ROOTS)}; `{key}` is none of them")
            return obj.owner.root(obj.name, key)
        if isinstance(obj, Undefined):
            return obj[key]
        if not isinstance(key, str) or isinstance(obj, Mapping):
            try:
                return obj[key]
            except (TypeError, LookupError):
                pass
        if isinstance(key, str) and any(isinstance(obj, kind) and key in names for kind, names in METHODS.items()):
            return getattr(obj, key)
        if isinstance(key, str) and key.startswith("_"):
            raise SecurityError(f"`{key}` is not for templates")
        return self.undefined(obj=obj, name=key)

    def call(self, context: Any, obj: Any, /, *args: Any, **named: Any) -> Any:
        if isinstance(obj, Undefined):
            obj()  # raises, and says what there is none of
        return super().call(context, obj, *args, **named)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, Allowed):
            return True
        owner = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        return any(isinstance(owner, kind) and name in names for kind, names in METHODS.items())

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        measure(operator, left, right)
        return self.binop_table[operator](left, right)


class Bounds(NodeTransformer):
    """Has every loop counted and every `~` measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the library's name
        if node.recursive:
            raise Spent("a loop must not be recursive")
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)  # made after its parts were visited: measured as text
        return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)

    def _measured(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        return nodes.Filter(node, "_measured", [], [], None, None, lineno=node.lineno)

    visit_List = visit_Dict = _measured  # noqa: N815

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        return self._measured(node) if node.ctx == "load" else node


@dataclass(frozen=True, slots=True)
class Allowed(Opaque):
    """A function that templates may call."""

    function: Callable[..., Any]

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.function(*args, **named)


def language() -> Language:
    """Return an environment of its own, with only what templates may use."""
    made = Language(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    made.filters = {name: made.filters[name] for name in made.filters if name in FILTERS}
    made.filters |= {"join": join, "replace": replace, "sum": add_up, "round": rounded, "tojson": to_json}
    made.filters |= {"_concat": concat, "_measured": measured, "_counted": iter, "string": as_text}
    made.finalize = as_text
    made.globals = {}
    return made


@functools.cache
def shared_language() -> Language:
    """Return the environment with which templates are read; what runs one has its own."""
    return language()


def parsed(source: str) -> nodes.Template:
    """Return the syntax tree. Raises TemplateFailed."""
    if len(source) > MAX_SOURCE:
        raise TemplateFailed(f"A template of {len(source):,} characters is too long; {MAX_SOURCE:,} are allowed.")
    try:
        tree = shared_language().parse(source)
    except TemplateError as error:
        raise TemplateFailed(f"{quoted(source)}: {sentence(error)}.") from None
    except (RecursionError, MemoryError):
        raise TemplateFailed(f"{quoted(source)}: it is nested too deeply.") from None
    if any(not isinstance(found, STATEMENTS) for found in tree.find_all(nodes.Stmt)):
        raise TemplateFailed(f"{quoted(source)}: only if, for and set are statements here.")
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            raise TemplateFailed(f"{quoted(source)}: there is no filter `{used.name}`.{near(used.name, FILTERS)}")
    return tree


def near(name: str, known: Iterable[str]) -> str:
    """Return the question whether the nearest known name was meant, or nothing."""
    import difflib

    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f" Did you mean `{found[0]}`?" if found else ""


def quoted(source: str) -> str:
    """Return a template on one line, shortened, in marks."""
    flat = " ".join(source.split())
    return f"`{flat if len(flat) <= 80 else flat[:79] + '…'}`"


def sentence(error: Exception) -> str:
    """Return what an error says, shortened and without its full stop."""
    text = str(error).strip().rstrip(".") or type(error).__name__
    return text[:300]
