"""What a trigger hands to the run that it opens: values made of the event, the file or the fire that is its cause."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from agent.execution.template_language import near, parsed, quoted
from agent.execution.templates import Scope, TemplateFailed, is_template, render

GLOBALS = frozenset({"now", "range", "fail"})


def names_in(value: Any) -> frozenset[str]:
    """Return the names that the templates in a value need, such as `event`. Raises TemplateFailed."""
    if isinstance(value, Mapping):
        return frozenset[str]().union(*(names_in(part) for part in value.values()))
    if isinstance(value, (list, tuple)):
        return frozenset[str]().union(*(names_in(part) for part in value))
    if not is_template(value):
        return frozenset()
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(parsed(value))) - GLOBALS


def check_names(value: Any, known: tuple[str, ...]) -> None:
    """Raise TemplateFailed for a template that needs a name which is not there, or is written wrongly."""
    unknown = sorted(names_in(value) - set(known))
    if unknown:
        hint = near(unknown[0], known) or f" There are {', '.join(known)}."
        raise TemplateFailed(f"{quoted(str(value))}: `{unknown[0]}` is unknown here.{hint}")


def fill(value: Any, seen: Mapping[str, Any]) -> Any:
    """Return a value with its templates filled in; one that is exactly `{{ … }}` keeps its type.

    Raises TemplateFailed, also for what is not there.
    """
    check_names(value, tuple(seen))
    return render(value, Scope(more=seen, now=dt.datetime.now(dt.UTC))).value
