"""References carry values from step to step without passing through the model.

A reference names a step, one of its three results, and optionally a path into it::

    {{ s1.output }}   {{ s1.output.rows[0]["unit price"] }}   {{ s1.text }}   {{ s1.files[0] }}

Anything else between braces is literal text and survives as it is. Reading is one pass of a regular expression whose
parts are bounded, so its time is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent.errors import ToolArguments

if TYPE_CHECKING:
    from agent.domain.plan import PlanStep

MAX_NESTING = 64
SHOWN = 12

_INDEX = r"\[[ \t]{0,8}(?:-?\d{1,9}|\"[^\"\\\n{}]{0,200}\"|'[^'\\\n{}]{0,200}')[ \t]{0,8}\]"
_ACCESS = rf"\.[^\W\d][\w-]{{0,99}}|{_INDEX}"
_PATH = rf"([A-Za-z][A-Za-z0-9_-]{{0,63}})\.(output|text|files)((?:{_ACCESS}){{0,40}})"
REFERENCE = re.compile(rf"\{{\{{[ \t]{{0,8}}{_PATH}[ \t]{{0,8}}\}}\}}")
BARE_REFERENCE = re.compile(rf"{_PATH}(?![\w.\[(-])")
_ACCESSES = re.compile(_ACCESS)
_LOOSE = re.compile(rf"\{{\{{[ \t]{{0,8}}([A-Za-z][A-Za-z0-9_-]{{0,63}})((?:{_ACCESS}){{0,40}})[ \t]{{0,8}}\}}\}}")
_ROOTS = ("output", "text", "files")


class StepResult(Protocol):
    """What a reference may look into: an ExecutorResponse and a StepRecord both are one."""

    @property
    def output(self) -> Any:
        """Any JSON value."""

    @property
    def text(self) -> str:
        """What a person reads."""

    @property
    def files(self) -> Sequence[Any]:
        """Artifacts, dictionaries with a `path`, or paths."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One parsed reference. `path` holds attribute names and keys (str) and list positions (int)."""

    step: str
    root: str
    path: tuple[str | int, ...]
    source: str


def whole_reference(text: str) -> Reference | None:
    """Return the reference when the text is exactly one, surrounding blanks aside."""
    match = REFERENCE.fullmatch(text.strip())
    return _parsed(match) if match else None


def find_references(value: Any) -> frozenset[str]:
    """Return the ids of all steps that a string, or any string nested in lists and dictionaries, refers to."""
    return frozenset(match[1] for text in _texts(value) for match in REFERENCE.finditer(text))


def resolve(value: Any, results: Mapping[str, StepResult]) -> tuple[Any, frozenset[str]]:
    """Return the value with its references replaced, and the ids of the steps used.

    A string that is exactly one reference becomes the referenced value with its type; in longer text strings are
    inserted as they are and everything else as JSON. Raises ToolArguments naming the step, the path, and what is there.
    """
    used: set[str] = set()
    return _resolved(value, results, used, 0), frozenset(used)


def with_reference_dependencies(step: PlanStep) -> PlanStep:
    """Return the step with the steps that it refers to added to `depends_on`."""
    found = find_references(_referring(step))
    missing = sorted(found.difference(step.depends_on))
    return step.model_copy(update={"depends_on": (*step.depends_on, *missing)}) if missing else step


def tidied_references(step: PlanStep, known: Callable[[str], bool]) -> PlanStep:
    """Return the step with `{{ s1 }}` and `{{ s1.rows }}` written out as `{{ s1.output.rows }}`, for known steps."""

    def tidied(match: re.Match[str]) -> str:
        first = _ACCESSES.match(match[2])
        if not known(match[1]) or (first and first[0][1:] in _ROOTS):
            return match[0]
        return f"{{{{ {match[1]}.output{match[2]} }}}}"

    return _with_texts(step, lambda text: _LOOSE.sub(tidied, text))


def renamed_references(step: PlanStep, names: Mapping[str, str]) -> PlanStep:
    """Return the step with its references and dependencies following steps that got another id."""
    if not names.keys() & find_references(_referring(step)) | (names.keys() & set(step.depends_on)):
        return step

    def renamed(match: re.Match[str]) -> str:
        return f"{{{{ {names.get(match[1], match[1])}.{match[2]}{match[3]} }}}}"

    step = _with_texts(step, lambda text: REFERENCE.sub(renamed, text))
    return step.model_copy(update={"depends_on": tuple(names.get(name, name) for name in step.depends_on)})


def _referring(step: PlanStep) -> list[Any]:
    return [step.args, step.instruction, step.question, list(step.options)]


def _with_texts(step: PlanStep, change: Callable[[str], str]) -> PlanStep:
    if not any(True for _ in _texts(_referring(step))):
        return step
    update = {
        "args": _changed(step.args, change),
        "instruction": change(step.instruction),
        "question": change(step.question),
        "options": tuple(change(option) for option in step.options),
    }
    return step.model_copy(update=update)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value) if "{{" in value else value
    if isinstance(value, Mapping):
        return {key: _changed(part, change) for key, part in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list | tuple) else value


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value:
            yield value
    elif isinstance(value, Mapping | list | tuple):
        _check_depth(depth)
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part, depth + 1)


def _check_depth(depth: int) -> None:
    if depth > MAX_NESTING:
        raise ToolArguments(f"The arguments are nested more than {MAX_NESTING} levels deep.", hint="Flatten them.")


def _resolved(value: Any, results: Mapping[str, StepResult], used: set[str], depth: int) -> Any:
    if isinstance(value, str):
        return _resolved_text(value, results, used) if "{{" in value else value
    if not isinstance(value, Mapping | list | tuple):
        return value
    _check_depth(depth)
    if isinstance(value, Mapping):
        return {key: _resolved(part, results, used, depth + 1) for key, part in value.items()}
    return [_resolved(part, results, used, depth + 1) for part in value]


def _resolved_text(text: str, results: Mapping[str, StepResult], used: set[str]) -> Any:
    def look_up(reference: Reference) -> Any:
        used.add(reference.step)
        return _look_up(reference, results)

    whole = whole_reference(text)
    if whole is not None:
        return look_up(whole)
    return REFERENCE.sub(lambda match: _as_text(look_up(_parsed(match))), text)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _parsed(match: re.Match[str]) -> Reference:
    path = tuple(_key(access) for access in _ACCESSES.findall(match[3]))
    return Reference(match[1], match[2], path, match[0])


def _key(access: str) -> str | int:
    if access.startswith("."):
        return access[1:]
    inner = access[1:-1].strip()
    return inner[1:-1] if inner[0] in "\"'" else int(inner)


def _look_up(reference: Reference, results: Mapping[str, StepResult]) -> Any:
    result = results.get(reference.step)
    if result is None:
        known = _listed(results) or "none yet"
        raise ToolArguments(f"{reference.source}: step '{reference.step}' has no result (steps with one: {known}).")
    value = _root(reference, result)
    for position, key in enumerate(reference.path):
        value = _entered(value, key, reference, position)
    return value


def _root(reference: Reference, result: StepResult) -> Any:
    if reference.root == "files":
        return [_file_path(file) for file in result.files]
    # A step that only wrote text has no other output than that text.
    if reference.root == "text" or (result.output is None and not reference.path):
        return result.text
    return result.output


def _file_path(file: Any) -> str:
    if isinstance(file, Mapping):
        return str(file.get("path", ""))
    return str(getattr(file, "path", file))


def _entered(value: Any, key: str | int, reference: Reference, position: int) -> Any:
    try:
        if isinstance(value, Mapping):
            return value[key if key in value else str(key)]
        if isinstance(value, list | tuple) and isinstance(key, int):
            return value[key]
    except (KeyError, IndexError):
        pass
    done = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in reference.path[:position])
    where = f"{reference.step}.{reference.root}{done}"
    raise ToolArguments(f"{reference.source}: {where} has no {key!r}; it is {_described(value)}.")


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary with {_listed(value)}" if value else "an empty dictionary"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None:
        return "empty"
    return f"the {type(value).__name__} {_as_text(value)[:80]!r}"


def _listed(names: Mapping[Any, Any]) -> str:
    shown = ", ".join(repr(str(name)[:40]) for name in list(names)[:SHOWN])
    return f"{shown}, … ({len(names)} in all)" if len(names) > SHOWN else shown
