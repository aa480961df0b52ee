"""One line of the compact notation → one PlanStep, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from agent.domain.plan import OnFailure, PlanStep, StepType
from agent.planning.reads import Signatures, Unreadable
from agent.planning.references import REFERENCE
from agent.planning.values import BLANKS, WORD, BareWord, Cursor, no_bare_words, read_string, read_value

_NUMBER = re.compile(r"\d{1,6}")
STEP_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
# An optional bullet or number, the id, and the name that is called: `s1 search(`, `- s1: search(`, `1. search(`.
HEAD = re.compile(
    r"\s*(?:[-*•]\s+)?(?:[*`]{0,3}(?P<number>\d{1,6})[.):]\s*)?"
    r"(?:[*`]{0,3}(?P<id>[A-Za-z][A-Za-z0-9_-]{0,63})[*`]{0,3}(?:\s*[:=]\s*|[.)]?[ \t]+))?"
    r"`?(?:\"(?P<quoted>[^\"\\\n]{1,200})\"|(?P<name>[^\W\d][\w.-]{0,199}))\(",
)
_AFTER = re.compile(r"after\b\s*")
_MORE = re.compile(r"\s*(?:,|and\b)\s*(?!as\b|after\b)(?=[A-Za-z])")
_AS = re.compile(r"as(?=\s*[\"'])\s*")
_OUTPUT = re.compile(r"[^\s,\"'()]+")
_FLAG = re.compile(r"(on_failure|timeout|retries|alone|parallel|note)(?:\s*=\s*|(?=[\s,;]|$))")
_TRAILING = re.compile(r"[`.,;\s]*(?:#.*)?$", re.DOTALL)
_PLAIN_PATH = re.compile(r"[\w./*?\[\]{}@+~:-]*[\w./*]")
_RESERVED = {"ask": ("question", "options"), "llm": ("instruction",), "task": ("instruction", "tools")}
_REASON_IN = re.compile(r"^Value error, ")


def read_line(line: str, signatures: Signatures) -> PlanStep:
    """Read one step. `signatures` names arguments given by position. Raises Unreadable."""
    match = HEAD.match(line)
    if match is None:
        raise Unreadable('expected `id tool(argument="value")`')
    cursor = Cursor(line, match.end())
    arguments = _read_arguments(cursor)
    fields = _fields(match, arguments, signatures)
    fields["id"] = _step_id(match)
    _read_tail(cursor, fields)
    return build_step(fields)


def build_step(fields: dict[str, Any]) -> PlanStep:
    """Return the step made of its fields, or raise Unreadable with all that is wrong in words."""
    try:
        return PlanStep(**fields)
    except ValidationError as error:
        raise Unreadable("; ".join(_in_words(problem) for problem in error.errors()[:5])) from None


def _in_words(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = _REASON_IN.sub("", problem["msg"])
    return f"{where}: {message}" if where else message


def _step_id(match: re.Match[str]) -> str:
    if match["id"]:
        return match["id"]
    if match["number"]:
        return f"s{match['number']}"
    name = match["quoted"] or match["name"]
    raise Unreadable(f"the step has no id; write `s1 {name}(…)`")


def _read_arguments(cursor: Cursor) -> list[tuple[str, bool, Any]]:
    """Return (name, quoted, value) for each argument; a positional one has the name ''."""
    found: list[tuple[str, bool, Any]] = []
    while not cursor.take(")"):
        if found:
            cursor.expect(",")
            if cursor.take(")"):
                break
        found.append(_read_argument(cursor))
    return found


_NAME = re.compile(r"(?:\"([^\"\\\n]{1,200})\"|([^\W\d][\w.-]{0,199}))\s*=(?!=)")


def _read_argument(cursor: Cursor) -> tuple[str, bool, Any]:
    cursor.skip()
    name = cursor.match(_NAME)
    value = read_value(cursor)
    if name is None:
        return "", False, value
    return name[1] or name[2], bool(name[1]), value


def _fields(match: re.Match[str], arguments: list[tuple[str, bool, Any]], signatures: Signatures) -> dict[str, Any]:
    name = match["quoted"] or match["name"]
    if match["name"] not in _RESERVED:
        parameters = signatures.get(name, ())
        named, _ = _named(arguments, parameters, ())
        return {"step_type": StepType.TOOL, "tool": name, "args": _checked(named)}
    reserved = _RESERVED[name]
    args, special = _named(arguments, (), reserved)
    return {"step_type": StepType(name), "args": _checked(args), **_special(special)}


def _named(
    arguments: list[tuple[str, bool, Any]],
    parameters: Iterable[str],
    reserved: tuple[str, ...],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give positional arguments their names; part those that belong to the step from those of the call."""
    order = reserved or tuple(parameters)
    args: dict[str, Any] = {}
    special: dict[str, Any] = {}
    for position, (given, quoted, value) in enumerate(arguments):
        name = given or (order[position] if position < len(order) else f"argument {position + 1}")
        target = special if name in reserved and not quoted else args
        if name in target:
            raise Unreadable(f"the argument {name!r} is given twice")
        target[name] = value
    return args, special


def _checked(args: dict[str, Any]) -> dict[str, Any]:
    return {name: no_bare_words(value) for name, value in args.items()}


def _special(special: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in ("instruction", "question"):
        if name in special:
            fields[name] = _text(special[name], name)
    if "options" in special:
        fields["options"] = tuple(_text(option, "options") for option in _list(special["options"], "options"))
    if "tools" in special:
        tools = _list(special["tools"], "tools")
        fields["allowed_tools"] = tuple(tool.text if isinstance(tool, BareWord) else str(tool) for tool in tools)
    return fields


def _text(value: Any, name: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise Unreadable(f"{name} must be text in quotes")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable(f"{name} must be a list in [ ]")
    return value


def _read_tail(cursor: Cursor, fields: dict[str, Any]) -> None:
    while True:
        if _TRAILING.match(cursor.text, cursor.at):
            return
        cursor.match(BLANKS)
        if not _read_clause(cursor, fields):
            raise Unreadable(f"after the call I can read `after`, `as`, `>` and flags, not {cursor.near}")


def _read_clause(cursor: Cursor, fields: dict[str, Any]) -> bool:
    if cursor.match(_AFTER):
        fields["depends_on"] = _read_names(cursor)
    elif cursor.match(_AS):
        fields["title"] = read_string(cursor)
    elif cursor.take(">"):
        fields["outputs"] = _read_outputs(cursor)
    elif flag := cursor.match(_FLAG):
        _read_flag(cursor, flag, fields)
    else:
        return False
    return True


def _read_names(cursor: Cursor) -> tuple[str, ...]:
    names: list[str] = []
    brackets = cursor.take("[")
    cursor.skip()
    while not (brackets and cursor.take("]")):
        name = cursor.match(STEP_ID) or cursor.match(_NUMBER)
        if name is None:
            raise Unreadable(f"expected a step's id after `after` at {cursor.near}")
        names.append(name[0] if name[0][0].isalpha() else f"s{name[0]}")
        if not cursor.match(_MORE):
            if brackets:
                cursor.expect("]")
            break
    return tuple(dict.fromkeys(names))


def _read_outputs(cursor: Cursor) -> tuple[str, ...]:
    paths: list[str] = []
    while True:
        cursor.skip()
        if cursor.text[cursor.at : cursor.at + 1] in {'"', "'"}:
            paths.append(read_string(cursor))
        else:
            path = cursor.match(_OUTPUT)
            if path is None:
                raise Unreadable(f"expected a file name after `>` at {cursor.near}")
            paths.append(path[0])
        if not cursor.take(","):
            return tuple(paths)


def _read_flag(cursor: Cursor, flag: re.Match[str], fields: dict[str, Any]) -> None:
    name = flag[1]
    valued = "=" in flag[0]
    if name in {"alone", "parallel"}:
        fields["parallelizable"] = name == "parallel"
        fields["parallel_reason"] = read_string(cursor) if valued else ""
    elif not valued:
        raise Unreadable(f"write {name}=value")
    elif name == "note":
        fields["instruction"] = read_string(cursor)
    elif name == "on_failure":
        fields[name] = _on_failure(cursor)
    else:
        fields[name] = read_value(cursor)


def _on_failure(cursor: Cursor) -> OnFailure:
    quoted = cursor.text[cursor.at : cursor.at + 1] in {'"', "'"}
    word = read_string(cursor) if quoted else (match[0] if (match := cursor.match(WORD)) else "")
    try:
        return OnFailure(word)
    except ValueError:
        raise Unreadable(f"on_failure is continue, stop or replan, not {word[:20]!r}") from None


def render_step(step: PlanStep) -> str:
    """Return the step as the one line that `read_line` reads back to the same step. Its status is left out."""
    name = _quoted_call(step.tool or "") if step.step_type is StepType.TOOL else str(step.step_type)
    parts = _reserved_arguments(step) + [_argument(key, value, step) for key, value in step.args.items()]
    return f"{step.id} {name}({', '.join(parts)}){_tail(step)}"


def _quoted_call(tool: str) -> str:
    return tool if WORD.fullmatch(tool) and tool not in _RESERVED else json.dumps(tool, ensure_ascii=False)


def _reserved_arguments(step: PlanStep) -> list[str]:
    if step.step_type is StepType.ASK:
        options = [_literal(list(step.options))] if step.options else []
        return [_literal(step.question, quoted=True), *options]
    if step.step_type in {StepType.LLM, StepType.TASK}:
        listed = step.allowed_tools if step.step_type is StepType.TASK else ()
        tools = [f"tools=[{', '.join(_tool_name(tool) for tool in listed)}]"] if listed else []
        return [_literal(step.instruction, quoted=True), *tools]
    return []


def _tool_name(tool: str) -> str:
    return tool if WORD.fullmatch(tool) and tool not in {"true", "false", "null"} else _literal(tool)


def _argument(name: str, value: Any, step: PlanStep) -> str:
    reserved = _RESERVED.get(str(step.step_type), ())
    plain = _NAME.fullmatch(f"{name}=") and name not in reserved and not name.startswith('"')
    return f"{name if plain else json.dumps(name, ensure_ascii=False)}={_literal(value)}"


def _literal(value: Any, *, quoted: bool = False) -> str:
    if isinstance(value, str):
        if not quoted and REFERENCE.fullmatch(value):
            return value
        return _one_line(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list | tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_literal(str(key), quoted=True)}: {_literal(item)}" for key, item in value.items())
        return "{" + inner + "}"
    return json.dumps(value)


_LINE_ENDS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}


def _one_line(text: str) -> str:
    for char, escaped in _LINE_ENDS.items():
        text = text.replace(char, escaped)
    return text


def _tail(step: PlanStep) -> str:
    parts = [f"after {','.join(step.depends_on)}"] if step.depends_on else []
    if step.title:
        parts.append(f"as {_literal(step.title, quoted=True)}")
    if step.outputs:
        parts.append("> " + ", ".join(_path(path) for path in step.outputs))
    parts += _flags(step)
    return "".join(f" {part}" for part in parts)


def _path(path: str) -> str:
    return path if _PLAIN_PATH.fullmatch(path) else _literal(path, quoted=True)


def _flags(step: PlanStep) -> list[str]:
    flags = []
    if step.on_failure is not OnFailure.REPLAN:
        flags.append(f"on_failure={step.on_failure}")
    if step.timeout is not None:
        flags.append(f"timeout={int(step.timeout) if step.timeout.is_integer() else step.timeout!r}")
    if step.retries:
        flags.append(f"retries={step.retries}")
    if not step.parallelizable or step.parallel_reason:
        word = "parallel" if step.parallelizable else "alone"
        flags.append(f"{word}={_literal(step.parallel_reason, quoted=True)}" if step.parallel_reason else word)
    if step.step_type in {StepType.TOOL, StepType.ASK} and step.instruction:
        flags.append(f"note={_literal(step.instruction, quoted=True)}")
    return flags
