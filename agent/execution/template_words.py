# ruff: noqa: SIM905 - lines of words read better than lists of quotes
"""What templates may use: the filters, the methods of values, the names that they see; and how they fail."""

from __future__ import annotations

from agent.errors import DirigentError

KNOWN = ("inputs", "steps", "item", "index", "revision", "env", "get_pipe_result", "get_env", "fail", "now", "range")
ROOTS = ("output", "text", "files", "status", "failed")
FILTERS = frozenset(
    """
    abs capitalize count d default dictsort first float groupby int items join last length list lower
    map max min reject rejectattr replace reverse round select selectattr sort string striptags sum
    title tojson trim truncate unique upper wordcount
    """.split(),
)
TEXT_METHODS = frozenset(
    """
    capitalize count endswith find isalpha isdigit lower lstrip partition removeprefix removesuffix
    rpartition rsplit rstrip split splitlines startswith strip title upper
    """.split(),
)
LIST_METHODS = frozenset({"index", "count"})
DICT_METHODS = frozenset({"get", "keys", "values", "items"})
DATE_METHODS = frozenset("isoformat date year month day hour minute weekday".split())
LOOP_VALUES = frozenset("index index0 first last length revindex previtem nextitem".split())
GROUP_VALUES = frozenset({"grouper", "list"})


class TemplateFailed(DirigentError):
    """A template is written wrongly, or cannot be filled in; the message quotes it."""


class SkippedValue(DirigentError):
    """A template needs the result of a step that was skipped; `step` is its id."""

    def __init__(self, step: str) -> None:
        super().__init__(f"Skipped, because step {step!r}, whose result it needs, was skipped.")
        self.step = step
