"""Templates of pipelines: Jinja's sandbox, made smaller, with native values and with limits that hold.

A text that is exactly one `{{ expression }}` becomes the value itself, with its type; anything else becomes text. What
looks like a number or a list in somebody's text stays text: nothing is ever guessed from how a result is spelt.

What a template may call is listed here, not what it may not: filters, methods and globals that can make much out of
little are absent, and those that could are measured before they work. Loops are counted. So a template ends soon,
whatever it says, and a bomb is an error with a sentence.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from agent.errors import DirigentError
from agent.execution.template_words import (
    DATE_METHODS,
    DICT_METHODS,
    FILTERS,
    GROUP_VALUES,
    KNOWN,
    LIST_METHODS,
    LOOP_VALUES,
    ROOTS,
    TEXT_METHODS,
)

MAX_SOURCE = 20_000
MAX_TEXT = 1_000_000
MAX_ITEMS = 1_000_000
MAX_CHARACTERS = 50_000_000
MAX_TURNS = 100_000
MAX_RANGE = 10_000
MAX_SECONDS = 2.0
MAX_BITS = 4_096
MAX_DEPTH = 60

EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
METHODS: dict[type, frozenset[str]] = {
    str: TEXT_METHODS,
    list: LIST_METHODS,
    dict: DICT_METHODS,
    dt.date: DATE_METHODS,
    LoopContext: LOOP_VALUES,
    tuple: GROUP_VALUES,
}
STATEMENTS = (nodes.Output, nodes.If, nodes.For, nodes.Assign)


class TemplateFailed(DirigentError):
    """A template is written wrongly, or cannot be filled in; the message quotes it."""


class SkippedValue(DirigentError):
    """A template needs the result of a step that was skipped; `step` is its id."""

    def __init__(self, step: str) -> None:
        super().__init__(f"Skipped, because step {step!r}, whose result it needs, was skipped.")
        self.step = step


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a template refers to by name, as found without running it; of `watched` steps only the status is read."""

    steps: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    env: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    watched: frozenset[str] = frozenset()

    def __or__(self, other: Mentions) -> Mentions:
        return Mentions(
            self.steps | other.steps,
            self.inputs | other.inputs,
            self.env | other.env,
            self.names | other.names,
            (self.watched - (other.steps - other.watched)) | (other.watched - (self.steps - self.watched)),
        )


@dataclass(slots=True)
class Scope:
    """What a template sees. `results` has an entry with output, text, files and status for each finished step.

    `skipped` names the steps that a false condition left out. `now` is the moment that stays the same for a whole run.
    """

    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    now: dt.datetime = EPOCH
    item: Any = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """A value, and what it was made of: step ids, and names of environment values."""

    value: Any
    steps: frozenset[str] = frozenset()
    env: frozenset[str] = frozenset()


class _Failed(Exception):
    """The template called `fail`."""


class _Spent(Exception):
    """A limit of this module held."""


class _Meter:
    """Counts the turns of all loops of one rendering, and looks at the clock meanwhile."""

    def __init__(self) -> None:
        self.turns = 0
        self.until = time.monotonic() + MAX_SECONDS

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise _Spent(f"it goes through more than {MAX_TURNS:,} turns of its loops")
        if time.monotonic() > self.until:
            raise _Spent(f"it takes longer than {MAX_SECONDS:g} s")


class _Steps:
    """The results as `steps` in a template; notes which of them are touched."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.touched: set[str] = set()

    def look_up(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise _Spent(f"a step is named by its id, not by {name!r}")
        return _Step(name, self)

    def root(self, name: str, root: str) -> Any:
        self.touched.add(name)
        result = self._scope.results.get(name)
        if root == "status":
            return result["status"] if result else "skipped" if name in self._scope.skipped else "pending"
        if name in self._scope.skipped:
            return _SkippedUndefined(name=name)
        if result is None:
            raise _Spent(f"step {name!r} has no result yet")
        return result[root]


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    owner: _Steps


class _SkippedUndefined(StrictUndefined):
    """The result of a skipped step: `default` replaces it, any other use says which step it was."""

    __slots__ = ()

    def _fail_with_undefined_error(self, *_args: Any, **_named: Any) -> Any:
        raise SkippedValue(str(self._undefined_name))

    __iter__ = __str__ = __len__ = __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __mul__ = __getitem__ = __lt__ = __gt__ = __contains__ = _fail_with_undefined_error
    __le__ = __ge__ = __int__ = __float__ = __call__ = _fail_with_undefined_error


class _Env:
    """The declared environment values as `env` in a template; notes which of them are read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.touched: set[str] = set()

    def look_up(self, name: Any) -> str:
        if name not in self._values:
            listed = ", ".join(self._values) or "none"
            raise _Spent(f"the environment value {name!r} is not declared under `env` (declared: {listed})")
        self.touched.add(str(name))
        return self._values[name]


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._entered(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._entered(obj, argument)

    def _entered(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, (_Steps, _Env)):
            return obj.look_up(key)
        if isinstance(obj, _Step):
            if key not in ROOTS:
                raise _Spent(f"step {obj.name!r} has {', '.join(ROOTS)}; `{key}` is none of them")
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
        if isinstance(obj, _Allowed):
            return True
        owner = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        return any(isinstance(owner, kind) and name in names for kind, names in METHODS.items())

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        _measure(operator, left, right)
        return self.binop_table[operator](left, right)


def _measure(operator: str, left: Any, right: Any) -> None:
    """Refuse an operation that makes much out of little."""
    sized = isinstance(left, (str, list, tuple)), isinstance(right, (str, list, tuple))
    if operator == "%" and isinstance(left, str):
        raise _Spent("text is put together with `~`, not with `%`")
    if operator == "+" and all(sized) and len(left) + len(right) > MAX_TEXT:
        raise _Spent(f"it makes more than {MAX_TEXT:,} characters or entries")
    if operator == "*" and any(sized):
        text, times = (left, right) if sized[0] else (right, left)
        if not isinstance(text, str):
            raise _Spent("a list cannot be multiplied")
        if isinstance(times, int) and len(text) * times > MAX_TEXT:
            raise _Spent(f"it makes more than {MAX_TEXT:,} characters")
    if operator in {"*", "**"} and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > MAX_BITS:
            raise _Spent("it makes too large a number")


class _Bounds(NodeTransformer):
    """Has every loop counted and every `~` measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - the library's name
        if node.recursive:
            raise _Spent("a loop must not be recursive")
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
class _Allowed:
    """A function that templates may call."""

    function: Callable[..., Any]

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.function(*args, **named)


def _text(value: Any) -> Any:
    """Return a value as the text that stands for it; a container is measured before it is written out."""
    if isinstance(value, (Mapping, list, tuple)):
        return str(plain(value))
    return value if isinstance(value, Undefined) else str(value)


def _small(value: Any) -> Any:
    """Return a container as it is. Raises when it holds, written out, more than it should."""
    plain(value, strict=False)
    return value


def _concat(parts: Iterable[Any]) -> str:
    texts = [str(_text(part)) for part in parts]
    if sum(map(len, texts)) > MAX_TEXT:
        raise _Spent(f"it makes more than {MAX_TEXT:,} characters")
    return "".join(texts)


def _join(value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    found = [part.get(attribute) if isinstance(part, Mapping) else part for part in value] if attribute else value
    texts = [str(_text(part)) for part in found]
    if sum(map(len, texts)) + len(d) * len(texts) > MAX_TEXT:
        raise _Spent(f"it makes more than {MAX_TEXT:,} characters")
    return d.join(texts)


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    text, old, new = str(text), str(old), str(new)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + times * len(new) > MAX_TEXT:
        raise _Spent(f"it makes more than {MAX_TEXT:,} characters")
    return text.replace(old, new, count)


def _sum(value: Iterable[Any], attribute: str | None = None, start: float = 0) -> Any:
    """Add numbers; adding lists up would make a long one out of a short one."""
    total = start
    for part in value:
        number = part.get(attribute) if attribute is not None and isinstance(part, Mapping) else part
        if not isinstance(number, (int, float)):
            raise _Spent(f"`sum` adds numbers; {str(number)[:40]!r} is none")
        total += number
    return total


def _round(value: float, precision: int = 0, method: str = "common") -> float:
    import math

    if not -20 <= precision <= 20:
        raise _Spent("`round` takes a precision from -20 to 20")
    if method == "common":
        return round(value, precision)
    factor = 10**precision
    return float((math.ceil if method == "ceil" else math.floor)(value * factor) / factor)


def _tojson(value: Any) -> str:
    import json

    return json.dumps(plain(value), ensure_ascii=False)


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > MAX_RANGE:
        raise _Spent(f"`range` goes to {MAX_RANGE:,} at most, not {len(made):,}")
    return made


def _environment() -> _Environment:
    made = _Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    made.filters = {name: made.filters[name] for name in made.filters if name in FILTERS}
    made.filters |= {"join": _join, "replace": _replace, "sum": _sum, "round": _round, "tojson": _tojson}
    made.filters |= {"_concat": _concat, "_measured": _small, "_counted": iter, "string": _text}
    made.finalize = _text
    made.globals = {}
    return made


@functools.cache
def _shared() -> _Environment:
    return _environment()


def _parsed(source: str) -> nodes.Template:
    """Return the syntax tree. Raises TemplateFailed."""
    if len(source) > MAX_SOURCE:
        raise TemplateFailed(f"A template of {len(source):,} characters is too long; {MAX_SOURCE:,} are allowed.")
    try:
        tree = _shared().parse(source)
    except TemplateError as error:
        raise TemplateFailed(f"{quoted(source)}: {_sentence(error)}.") from None
    except (RecursionError, MemoryError):
        raise TemplateFailed(f"{quoted(source)}: it is nested too deeply.") from None
    if any(not isinstance(found, STATEMENTS) for found in tree.find_all(nodes.Stmt)):
        raise TemplateFailed(f"{quoted(source)}: only if, for and set are statements here.")
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            raise TemplateFailed(f"{quoted(source)}: there is no filter `{used.name}`.{_near(used.name, FILTERS)}")
    return tree


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f" Did you mean `{found[0]}`?" if found else ""


def is_template(text: Any) -> bool:
    """Say whether a value is text with something to fill in."""
    return isinstance(text, str) and ("{{" in text or "{%" in text)


def mentions(value: Any) -> Mentions:
    """Return what the templates in a value (also within lists and dictionaries) refer to. Raises TemplateFailed."""
    if isinstance(value, str):
        return _mentions_of(value) if is_template(value) else Mentions()
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, (list, tuple)):
        parts = value
    return functools.reduce(Mentions.__or__, (mentions(part) for part in parts), Mentions())


def condition_mentions(condition: Any) -> Mentions:
    """Return what a `when` refers to: an expression, with or without its braces. Raises TemplateFailed."""
    return mentions(as_expression(condition))


def as_expression(condition: Any) -> Any:
    """Return a condition as a template: `x > 1` means `{{ x > 1 }}`."""
    if isinstance(condition, str) and not is_template(condition):
        return "{{ " + condition + " }}"
    return condition


def _mentions_of(source: str) -> Mentions:
    from jinja2 import meta

    tree = _parsed(source)
    names = frozenset(meta.find_undeclared_variables(tree))
    unknown = sorted(names - set(KNOWN))
    if unknown:
        near = _near(unknown[0], KNOWN) or f" There are {', '.join(KNOWN)}."
        raise TemplateFailed(f"{quoted(source)}: `{unknown[0]}` is unknown.{near}")
    entered = _entries(tree, "steps", source)
    called = _called(tree, "get_pipe_result", source)
    return Mentions(
        frozenset(entered | called),
        frozenset(_entries(tree, "inputs", source)),
        frozenset(_entries(tree, "env", source) | _called(tree, "get_env", source)),
        names,
        frozenset(entered - called - _values_of(tree)),
    )


def _values_of(tree: nodes.Template) -> set[str]:
    """Return the steps of which more than the status is read."""
    return {
        str(_key(getattr(node, "node", None)))
        for node in tree.find_all((nodes.Getattr, nodes.Getitem))
        if _is_entry(getattr(node, "node", None), "steps") and _key(node) != "status"
    }


def _is_entry(node: Any, name: str) -> bool:
    return (
        isinstance(node, (nodes.Getattr, nodes.Getitem))
        and isinstance(node.node, nodes.Name)
        and node.node.name == name
    )


def _key(node: Any) -> Any:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return getattr(node.arg, "value", None) if isinstance(node, nodes.Getitem) else None


def _entries(tree: nodes.Template, name: str, source: str) -> set[str]:
    """Return the literal keys with which a namespace is entered; any other use of it could not be checked."""
    found: set[str] = set()
    entered = 0
    found_nodes: list[Any] = list(tree.find_all((nodes.Getattr, nodes.Getitem)))
    for node in found_nodes:
        if not (isinstance(node.node, nodes.Name) and node.node.name == name):
            continue
        entered += 1
        if isinstance(node, nodes.Getattr):
            found.add(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            found.add(node.arg.value)
        else:
            raise TemplateFailed(f"{quoted(source)}: `{name}[…]` needs a name in quotes.")
    if name == "steps" and entered != sum(n.name == name for n in tree.find_all(nodes.Name)):
        raise TemplateFailed(f"{quoted(source)}: name the step, such as `steps.first.output`.")
    return found


def _called(tree: nodes.Template, function: str, source: str) -> set[str]:
    found: set[str] = set()
    for node in tree.find_all(nodes.Call):
        if not (isinstance(node.node, nodes.Name) and node.node.name == function):
            continue
        if not node.args or not isinstance(node.args[0], nodes.Const) or not isinstance(node.args[0].value, str):
            raise TemplateFailed(f"{quoted(source)}: `{function}` needs a name in quotes.")
        found.add(node.args[0].value)
    return found


def render(value: Any, scope: Scope) -> Rendered:
    """Fill in every template in a value. Raises TemplateFailed, or SkippedValue when a skipped step's result is needed.

    The limits count for the whole value.
    """
    work = _Work(scope)
    made = work.value(value, 0)
    return Rendered(made, frozenset(work.steps.touched), frozenset(work.env.touched))


def holds(condition: Any, scope: Scope) -> tuple[bool, Rendered]:
    """Return whether a `when` is true, and what it was made of. The words false, no, 0 and nothing are false."""
    rendered = render(as_expression(condition), scope)
    value = rendered.value
    if isinstance(value, str):
        return value.strip().lower() not in {"", "false", "no", "0", "none"}, rendered
    return bool(value), rendered


class _Work:
    """One rendering: what it sees, what it has touched, what it has used up."""

    def __init__(self, scope: Scope) -> None:
        self.steps = _Steps(scope)
        self.env = _Env(scope.env)
        self.meter = _Meter()
        self._left = MAX_TEXT
        self._seen = {
            "inputs": dict(scope.inputs),
            "steps": self.steps,
            "env": self.env,
            "get_pipe_result": _Allowed(self._pipe_result),
            "get_env": _Allowed(self.env.look_up),
            "fail": _Allowed(_fail),
            "now": _Allowed(lambda: scope.now),
            "range": _Allowed(_range),
        }
        if scope.index is not None:
            self._seen |= {"item": scope.item, "index": scope.index}

    def _pipe_result(self, name: str, root: str = "output") -> Any:
        return self.steps.root(str(name), root if root in ROOTS else "output")

    def value(self, value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise TemplateFailed(f"The arguments are nested more than {MAX_DEPTH} levels deep.")
        if isinstance(value, Mapping):
            return {key: self.value(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(part, depth + 1) for part in value]
        return self._filled(value) if is_template(value) else value

    def _filled(self, source: str) -> Any:
        try:
            return self._rendered(source)
        except SkippedValue:
            raise
        except _Failed as failure:
            raise TemplateFailed(str(failure)) from None
        except (_Spent, UndefinedError, SecurityError) as error:
            raise TemplateFailed(f"{quoted(source)}: {_sentence(error)}.") from None
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateFailed(f"{quoted(source)}: {_sentence(error)}.") from None
        except (RecursionError, MemoryError, SyntaxError):
            raise TemplateFailed(f"{quoted(source)}: it is nested too deeply.") from None

    def _rendered(self, source: str) -> Any:
        tree = _Bounds().visit(_parsed(source))
        env = _environment()
        env.filters["_counted"] = self._counted
        whole = _whole(tree)
        if whole is not None:
            tree = nodes.Template([nodes.Assign(nodes.Name("_value", "store"), whole, lineno=1)], lineno=1)
        tree.set_environment(env)
        template = env.from_string(tree)
        context = template.new_context(self._seen)
        pieces: list[str] = []
        for piece in template.root_render_func(context):
            self._left -= len(piece)
            if self._left < 0:
                raise _Spent(f"it makes more than {MAX_TEXT:,} characters")
            pieces.append(piece)
        return "".join(pieces) if whole is None else plain(context.vars["_value"])

    def _counted(self, value: Iterable[Any]) -> Iterator[Any]:
        if isinstance(value, Undefined):
            iter(value)  # says what is undefined
        for part in list(value) if not isinstance(value, range) else value:
            self.meter.turn()
            yield part


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    """Return the expression of a template that is exactly one."""
    body = tree.body
    if len(body) == 1 and isinstance(body[0], nodes.Output) and len(body[0].nodes) == 1:
        only = body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


def plain(value: Any, *, strict: bool = True) -> Any:
    """Return a value in JSON's own types. Raises for what is undefined, too much or (`strict`) of another type."""
    return _Plain(strict=strict).value(value, 0)


class _Plain:
    """Copies a value and counts what it is made of: one list that is named a thousand times counts a thousand times."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._entries = 0
        self._characters = 0

    def value(self, value: Any, depth: int) -> Any:
        self._entries += 1
        if self._entries > MAX_ITEMS:
            raise _Spent(f"it makes more than {MAX_ITEMS:,} entries")
        if depth > MAX_DEPTH:
            raise _Spent(f"its value is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, str):
            self._characters += len(value)
            if self._characters > MAX_CHARACTERS:
                raise _Spent(f"it makes more than {MAX_CHARACTERS:,} characters")
            return str(value)
        if isinstance(value, Mapping):
            return {str(key): self.value(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(part, depth + 1) for part in value]
        return self._other(value, depth) if self._strict else value

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Undefined):
            str(value)  # raises, with its name
        if value is None or isinstance(value, (int, float, bool)):
            return value
        if isinstance(value, (dt.datetime, dt.date)):
            return value.isoformat()
        if isinstance(value, (_Step, _Steps, _Env, _Allowed)):
            raise _Spent("name what is wanted of it, such as `steps.first.output`")
        if isinstance(value, Iterable):
            return [self.value(part, depth + 1) for part in value]
        raise _Spent(f"its value is a {type(value).__name__}, which is no JSON value")


def _fail(message: Any = "The pipeline was told to fail.") -> None:
    raise _Failed(str(message)[:500])


def quoted(source: str) -> str:
    """Return a template on one line, shortened, in marks."""
    flat = " ".join(source.split())
    return f"`{flat if len(flat) <= 80 else flat[:79] + '…'}`"


def _sentence(error: Exception) -> str:
    text = str(error).strip().rstrip(".") or type(error).__name__
    return text[:300]
