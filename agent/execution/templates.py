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
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.runtime import Undefined

from agent.execution.template_language import (
    Allowed,
    Bounds,
    Environ,
    Steps,
    language,
    near,
    parsed,
    quoted,
    sentence,
)
from agent.execution.template_limits import MAX_DEPTH, MAX_TEXT, Spent, bounded_range, plain
from agent.execution.template_words import KNOWN, ROOTS, SkippedValue, TemplateFailed

__all__ = [
    "Mentions",
    "Rendered",
    "Scope",
    "SkippedValue",
    "TemplateFailed",
    "as_expression",
    "condition_mentions",
    "holds",
    "is_template",
    "mentions",
    "render",
]

MAX_TURNS = 100_000
MAX_SECONDS = 2.0
EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


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
    `more` are further names, such as `event` where a trigger's inputs are filled in.
    """

    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    skipped: Container[str] = frozenset()
    now: dt.datetime = EPOCH
    item: Any = None
    index: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A value, and what it was made of: step ids, and names of environment values."""

    value: Any
    steps: frozenset[str] = frozenset()
    env: frozenset[str] = frozenset()


class _Failed(Exception):
    """The template called `fail`."""


class _Meter:
    """Counts the turns of all loops of one rendering, and the time that its thread has worked meanwhile.

    Not the time of day: that goes on while the machine has no time for the thread.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.until = time.thread_time() + MAX_SECONDS

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise Spent(f"it goes through more than {MAX_TURNS:,} turns of its loops")
        if time.thread_time() > self.until:
            raise Spent(f"it takes longer than {MAX_SECONDS:g} s")


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

    tree = parsed(source)
    names = frozenset(meta.find_undeclared_variables(tree))
    unknown = sorted(names - set(KNOWN))
    if unknown:
        hint = near(unknown[0], KNOWN) or f" There are {', '.join(KNOWN)}."
        raise TemplateFailed(f"{quoted(source)}: `{unknown[0]}` is unknown.{hint}")
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
        self.steps = Steps(scope)
        self.env = Environ(scope.env)
        self.meter = _Meter()
        self._left = MAX_TEXT
        self._seen = {
            "inputs": dict(scope.inputs),
            "steps": self.steps,
            "env": self.env,
            "get_pipe_result": Allowed(self._pipe_result),
            "get_env": Allowed(self.env.look_up),
            "fail": Allowed(_fail),
            "now": Allowed(lambda: scope.now),
            "range": Allowed(bounded_range),
        }
        self._seen |= scope.more
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
        except (Spent, UndefinedError, SecurityError) as error:
            raise TemplateFailed(f"{quoted(source)}: {sentence(error)}.") from None
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateFailed(f"{quoted(source)}: {sentence(error)}.") from None
        except (RecursionError, MemoryError, SyntaxError):
            raise TemplateFailed(f"{quoted(source)}: it is nested too deeply.") from None

    def _rendered(self, source: str) -> Any:
        tree = Bounds().visit(parsed(source))
        env = language()
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
                raise Spent(f"it makes more than {MAX_TEXT:,} characters")
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


def _fail(message: Any = "The pipeline was told to fail.") -> None:
    raise _Failed(str(message)[:500])
