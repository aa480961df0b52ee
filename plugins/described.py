"""A plugin made of its description (`describing`), which strangers wrote: every value is checked, none is believed.

What may be said is bounded in type, size and number, and nothing that can't be seen is let through. A description can
claim what it likes of its own tools: they run behind the walls whatever it says, reach only the hosts and see only the
secrets that it names, and what it calls harmless is judged by what the walls let it do. What would run outside is held
back.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_args

from plugins.api import Button, Effect, Field, Form, Menu, PluginError, ToolSpec, tool_from_schema
from plugins.api.declaring import COMMAND_NAME, SLOT, TOOL_NAME
from plugins.api.schemas import MARKS, compiles, properties
from plugins.describing import FORMAT, FUNCTION, PLAIN_FIELDS
from plugins.loader import LoadedPlugin, check_fields, check_names, tool_of

MOST_CHARACTERS = 1_000_000
MOST_SCHEMA, DEEPEST = 64_000, 24
MOST_TOOLS, MOST_SETTINGS, MOST_ELEMENTS, MOST_NAMES = 128, 64, 32, 64
LINE, TEXT, TOLD = 300, 8_000, 700
LONGEST_S = 86_400.0
PLUGIN_NAME = re.compile(r"\w[\w .+-]{0,63}")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
HOST = re.compile(r"[^\s/\\@]{1,255}")
SUFFIX = re.compile(r"\.?[A-Za-z0-9_.+-]{1,32}")
FLAGS = ("once", "host", "untrusted", "data", "reads_all", "standing", "keeps_files", "strict", "private", "confides")
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
SEEN_ALL_THE_SAME = {"\n", "\t", "\u200c", "\u200d"}  # what joins letters and signs
Made = TypeVar("Made")


def plugin_of(said: object, *, source: str, sha256: str) -> LoadedPlugin:
    """Return the plugin that a description tells of. Raises PluginError for anything that it may not say."""
    try:
        size = len(json.dumps(said, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as problem:
        raise PluginError(f"its description is no JSON: {problem}.") from None
    if size > MOST_CHARACTERS:
        raise PluginError(f"its description has {size:,} characters; {MOST_CHARACTERS:,} are the most.")
    whole = _object(said, "its description")
    if whole.get("format") != FORMAT:
        raise PluginError("its description is of another version.")
    if "error" in whole:
        raise PluginError(seen(str(whole["error"])) or "it is broken and does not say why.")
    return _plugin(whole, source, sha256)


def _plugin(whole: Mapping[str, Any], source: str, sha256: str) -> LoadedPlugin:
    name = _text(whole, "name", 64, PLUGIN_NAME)
    described = [_tool(one, name) for one in _list(whole, "tools", MOST_TOOLS)]
    services = dict(_service(one) for one in _list(whole, "services", MOST_TOOLS))
    check_names([spec.name for spec, _ in described], "tools")
    held = {spec.name: why for spec, why in described if why} | services
    tools = tuple(spec for spec, why in described if not why)
    ui = [_element(one) for one in _list(whole, "ui", MOST_ELEMENTS)]
    if not described and not services and not ui:
        raise PluginError("it declares no tool; put @tool above a function.")
    return LoadedPlugin(
        name=name,
        source=source,
        summary=_text(whole, "summary", LINE),
        version=_text(whole, "version", 64),
        tools=tools,
        commands=tuple(spec for spec in tools if spec.command),
        ui=tuple(part for part in ui if isinstance(part, Menu) or _asks_for(part, tools)),
        settings=_settings(whole),
        sha256=sha256,
        held_back=held,
    )


def _settings(whole: Mapping[str, Any]) -> dict[str, str]:
    said = _object(whole.get("settings"), "its settings")
    if len(said) > MOST_SETTINGS:
        raise PluginError(f"it has more than {MOST_SETTINGS} settings.")
    return {_shown(name, "a setting's name", 64, IDENTIFIER): _text(said, name, LINE * 4) for name in said}


# --- tools ----------------------------------------------------------------------------------------------------------
def _tool(said: object, plugin: str) -> tuple[ToolSpec, str]:
    """Return a tool and why it is held back, "" when it is not."""
    whole = _object(said, "a tool")
    name = _text(whole, "name", 64, TOOL_NAME)
    try:
        return _checked(whole, name, plugin)
    except PluginError as problem:
        raise PluginError(f"{name}: {problem}") from None


def _checked(whole: Mapping[str, Any], name: str, plugin: str) -> tuple[ToolSpec, str]:
    unknown = sorted(whole.keys() - {*PLAIN_FIELDS, "cost", "function", "context", "schema"})
    if unknown:
        raise PluginError(f"its description has the unknown field {unknown[0][:64]!r}.")
    schema = _schema(whole.get("schema"))
    cost = whole.get("cost")
    spec = tool_from_schema(
        name,
        _text(whole, "description", TEXT, least=1),
        schema,
        function_name=_text(whole, "function", 128, IDENTIFIER),
        wants_context=_flag(whole, "context"),
        plugin=plugin,
        effect=_effect(whole),
        timeout=_number(whole, "timeout", LONGEST_S, above=True),
        cost=0.0 if cost == FUNCTION else _number(whole, "cost", math.inf),
        command=_text(whole, "command", 32) and _text(whole, "command", 32, COMMAND_NAME),
        network=_texts(whole, "network", HOST),
        secrets=_texts(whole, "secrets", IDENTIFIER),
        produces=_texts(whole, "produces"),
        examples=_texts(whole, "examples"),
        egress=_texts(whole, "egress"),
        content_args=_texts(whole, "content_args"),
        **{flag: _flag(whole, flag) for flag in FLAGS},
    )
    _check_names(spec)
    why = "runs outside the sandbox (host=True)" if spec.host else ""
    why = why or ("works out its cost by a function" if cost == FUNCTION else "")
    return _judged(spec), f"{why}{_and_sees(spec.secrets)}" if why else ""


def _effect(whole: Mapping[str, Any]) -> Effect:
    effect: Effect = whole.get("effect")  # type: ignore[assignment]
    if effect not in get_args(Effect):
        raise PluginError(f"its effect is none of {', '.join(get_args(Effect))}.")
    return effect


def _check_names(spec: ToolSpec) -> None:
    known = properties(spec.schema or {})
    used = {*spec.egress, *spec.content_args, *(slot for one in spec.examples for slot in SLOT.findall(one))}
    if unknown := sorted(used - known.keys()):
        raise PluginError(f"it names '{unknown[0]}', which is no parameter of it.")
    if spec.network and spec.effect in {"pure", "write_inside"}:
        raise PluginError(f"effect={spec.effect!r} and the network do not go together.")


def _judged(spec: ToolSpec) -> ToolSpec:
    """Return the tool as it is judged, by what the walls let it do: it can read and write the workspace's files.

    So "pure" is not believed, nor that it reads only the files that it is given. With a network of its own it is judged
    by that, as all are who have one. An effect that takes no file is asked about or ruled by the owner as it is: its
    result has the labels of every file in any case.
    """
    effect: Effect = "write_inside" if spec.effect == "pure" else spec.effect
    files = any("file" in part.get(MARKS, {}) for part in properties(spec.schema or {}).values())
    reads_all = not spec.network and (effect != "effect" or files)
    return replace(spec, effect=effect, reads_all=spec.reads_all or reads_all, confides=False)


def _schema(said: object) -> dict[str, Any]:
    whole = _object(said, "its schema")
    if len(json.dumps(whole)) > MOST_SCHEMA:
        raise PluginError(f"the schema of its parameters has more than {MOST_SCHEMA:,} characters.")
    _check_inside(whole, 0)
    if whole.get("type") != "object":
        raise PluginError("the schema of its parameters is of no object.")
    for name, part in _object(whole.get("properties", {}), "its properties").items():
        _shown(name, "a parameter's name", 64, IDENTIFIER)
        _check_marks(_object(part, f"the parameter {name}").get(MARKS, {}), name)
    return dict(whole)


def _check_inside(value: object, depth: int) -> None:
    """Raise PluginError for a text in it that holds what can't be seen, and for too many levels."""
    if depth > DEEPEST:
        raise PluginError("the schema of its parameters is nested too deeply.")
    if isinstance(value, str):
        _shown(value, "its schema", TEXT)
    elif isinstance(value, dict):
        for key, part in value.items():
            _shown(key, "its schema", LINE)
            _check_inside(part, depth + 1)
    elif isinstance(value, list):
        for part in value:
            _check_inside(part, depth + 1)


def _check_marks(said: object, name: str) -> None:
    marks = _object(said, f"the mark of {name}")
    for suffix in _list(marks, "file", MOST_NAMES):
        _shown(suffix, "a suffix", 32, SUFFIX)
    if "pattern" in marks:
        _check_pattern(_text(marks, "pattern", 500), name)
    if "service" in marks:
        _text(marks, "service", 128)


def _check_pattern(pattern: str, name: str) -> None:
    """Let only patterns through that are matched in linear time: they are tried outside, on what a person writes."""
    if not compiles(pattern):
        raise PluginError(f"the Pattern of '{name}' is none that can be matched safely: no look-around, no references.")


def _service(said: object) -> tuple[str, str]:
    """Return a service's name and why it is held back."""
    whole = _object(said, "a service")
    _text(whole, "description", TEXT)
    _texts(whole, "settings", IDENTIFIER)
    secrets = _texts(whole, "secrets", IDENTIFIER)
    return _text(whole, "name", 64, TOOL_NAME), f"is a service{_and_sees(secrets)}"


def _and_sees(secrets: tuple[str, ...]) -> str:
    return f" and would see the secrets {', '.join(secrets)}" if secrets else ""


# --- UI -------------------------------------------------------------------------------------------------------------
def _element(said: object) -> Menu | Form:
    whole = _object(said, "a menu or form")
    if whole.get("type") == "menu":
        return Menu(_text(whole, "title", LINE), _parts(whole, "buttons", _button))
    if whole.get("type") == "form":
        return Form(_text(whole, "title", LINE), _text(whole, "command", 128), _parts(whole, "fields", _field))
    raise PluginError("an element of its UI is neither a menu nor a form.")


def _button(said: Mapping[str, Any]) -> Button:
    return Button(_text(said, "label", LINE), _text(said, "action", LINE * 4))


def _field(said: Mapping[str, Any]) -> Field:
    kind = _text(said, "kind", 16)
    if kind not in {"text", "number", "date", "choice", "file"}:
        raise PluginError(f"a field of a form is of the unknown kind {kind!r}.")
    name, label = _text(said, "name", 64, IDENTIFIER), _text(said, "label", LINE)
    return Field(name, label, kind, _texts(said, "choices"), _flag(said, "required"))  # type: ignore[arg-type]


def _parts(said: Mapping[str, Any], name: str, make: Callable[[Mapping[str, Any]], Made]) -> tuple[Made, ...]:
    return tuple(make(_object(one, name)) for one in _list(said, name, MOST_ELEMENTS))


def _asks_for(form: Form, tools: tuple[ToolSpec, ...]) -> bool:
    """Tell whether a form's tool is there; raise PluginError when it asks for what that does not take."""
    meant = tool_of(form, tools)
    if meant is None:
        return False
    check_fields(form, properties(meant.schema or {}))
    return True


def seen(text: str) -> str:
    """Return a text of a stranger's as it may be shown: one line, cut, without what can't be seen."""
    line = " ".join(text[: 4 * LINE].split())
    return "".join(one if unicodedata.category(one) not in UNSEEN else "\ufffd" for one in line)[:TOLD]


# --- values ---------------------------------------------------------------------------------------------------------
def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PluginError(f"{what} is no object.")
    return value


def _list(whole: Mapping[str, Any], name: str, most: int) -> list[Any]:
    value = whole.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise PluginError(f"its {name} are no list of up to {most}.")
    return value


def _text(
    whole: Mapping[str, Any], name: str, most: int, form: re.Pattern[str] | None = None, *, least: int = 0
) -> str:
    return _shown(whole.get(name), f"its {name}", most, form, least=least)


def _texts(whole: Mapping[str, Any], name: str, form: re.Pattern[str] | None = None) -> tuple[str, ...]:
    return tuple(_shown(one, f"one of its {name}", LINE, form) for one in _list(whole, name, MOST_NAMES))


def _shown(value: object, what: str, most: int, form: re.Pattern[str] | None = None, *, least: int = 0) -> str:
    """Return a text that shows all that is in it. Raises PluginError."""
    if not isinstance(value, str):
        raise PluginError(f"{what} is no text.")
    if not least <= len(value) <= most:
        raise PluginError(f"{what} has {len(value)} characters; it may have {least} to {most}.")
    unseen = next((one for one in value if one not in SEEN_ALL_THE_SAME and unicodedata.category(one) in UNSEEN), None)
    if unseen is not None:
        raise PluginError(f"{what} holds the character U+{ord(unseen):04X}, which can't be seen.")
    if form is not None and not form.fullmatch(value):
        raise PluginError(f"{what} is {value[:80]!r}, which it may not be.")
    return value


def _flag(whole: Mapping[str, Any], name: str) -> bool:
    value = whole.get(name)
    if not isinstance(value, bool):
        raise PluginError(f"its {name} is neither true nor false.")
    return value


def _number(whole: Mapping[str, Any], name: str, most: float, *, above: bool = False) -> float:
    value = whole.get(name)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
    if not fits or (above and not value) or value == math.inf:
        raise PluginError(f"its {name} is no number from 0 to {most:g}.")
    return float(value)  # type: ignore[arg-type]
