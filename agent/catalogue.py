"""Tools and commands: found, validated, described compactly, and filtered by profile.

A tool has a bare name (`fetch`) and a full one (`web.fetch`). Where two plugins use the same bare name it belongs to
the built-in one, or else to the one that loaded first; the other is reached by its full name. That does not depend on
a profile: what a name means never changes because something is forbidden.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import types
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, Self, Union, get_args, get_origin

from loguru import logger

from agent.errors import ConfigError, ToolArguments, ToolUnknown
from plugins.api import Form, PluginError, ToolSpec
from plugins.loader import LoadedPlugin, discover

if TYPE_CHECKING:
    from agent.config import AppConfig
    from agent.domain.session import Profile

CORE = ("python", "read_file", "write_file", "fetch", "search_web")
"""What narrowing keeps in any case: with these a planner can do what no other tool was made for."""
WORD = re.compile(r"[^\W_]+")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SHOWN = 80
NAMED_IN_ERRORS = 12
FUZZY = 86
SHORT_TYPES: dict[Any, str] = {dict: "dict", list: "list", types.NoneType: "None", Any: "any"}
EMPTY_WORDS = frozenset(
    WORD.findall(
        "a an and are as at be by can could do does for from give i in into is it its me my of on or please show tell"
        " than that the their them then this to us was what when which with would you your"
        " der die das und ein eine mir bitte von aus im zu mit für le la les un une de des du et en pour",
    ),
)


class Catalogue:
    """Every plugin that was found, and what a profile may use of it.

    `settings` are those of the plugins, by plugin. Raises ConfigError for a setting that its plugin does not know.
    """

    def __init__(
        self,
        plugins: Iterable[LoadedPlugin],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.plugins = tuple(plugins)
        self.settings = {name: dict(values) for name, values in (settings or {}).items()}
        self._by_plugin = {plugin.name: plugin for plugin in self.plugins}
        self._all = [spec for plugin in self.plugins for spec in plugin.tools]
        self._bare: dict[str, ToolSpec] = {}
        for plugin in sorted(self.plugins, key=lambda plugin: not plugin.builtin):
            for spec in plugin.tools:
                self._bare.setdefault(spec.name, spec)
        self._names = _names(self._all, self._bare)
        self._words: dict[str, Counter[str]] = {}
        self._check_settings()

    @classmethod
    def load(cls, config: AppConfig) -> Self:
        """Find the plugins that the configuration allows: built in, installed, and in the owner's folders."""
        folders = [config.folder / "plugins", *(folder.expanduser().absolute() for folder in config.plugin_folders)]
        allowed = set(config.profile_plugins)
        found = discover(folders, enabled=lambda name: "*" in allowed or name in allowed)
        return cls(found, settings=config.plugins)

    @property
    def broken(self) -> tuple[LoadedPlugin, ...]:
        """The plugins that could not be loaded; `error` says why."""
        return tuple(plugin for plugin in self.plugins if plugin.error)

    def settings_of(self, plugin: str) -> dict[str, str]:
        """Return what the owner set for a plugin."""
        return dict(self.settings.get(plugin, {}))

    def plugin(self, name: str) -> LoadedPlugin:
        """Return a plugin by name; raises ToolUnknown naming the nearest."""
        if name not in self._by_plugin:
            raise ToolUnknown(f"There is no plugin '{name}'.", hint=_did_you_mean(name, self._by_plugin))
        return self._by_plugin[name]

    def source(self, spec: ToolSpec) -> str:
        """Return where the tool's function is, as `sandbox.api.ToolCall` takes it: a module's name or a host path."""
        plugin = self._by_plugin.get(spec.plugin)
        return plugin.source if plugin else spec.function.__module__

    # --- what a profile may use ---------------------------------------------------------------------------------

    def allowed(self, spec: ToolSpec, profile: Profile) -> bool:
        """Say whether a profile may use a tool: its `plugins` and its `tools` must both admit it; `denied` always wins.

        Each list may hold `"*"`, a plugin's name, a tool's, or `plugin.tool`. A bare name admits only the tool that it
        stands for, and denies every tool of that name.
        """
        if {"*", spec.plugin, spec.name, spec.full_name, spec.command or spec.name} & set(profile.denied):
            return False
        names = {"*", spec.plugin, spec.full_name}
        if self._bare.get(spec.name, spec).full_name == spec.full_name:
            names.add(spec.name)
        return bool(names & set(profile.plugins)) and bool(names & set(profile.tools))

    def tools(self, profile: Profile | None = None) -> list[ToolSpec]:
        """Return the tools that a profile may use (all without one), always in the same order."""
        return [spec for spec in self._all if profile is None or self.allowed(spec, profile)]

    def find(self, name: str, profile: Profile | None = None) -> ToolSpec:
        """Return the tool of a bare name, `plugin.tool`, `plugin__tool` or `/command`.

        Raises ToolUnknown, naming the nearest tools, or what is allowed when the profile forbids it.
        """
        plain = name.strip().removeprefix("/")
        spec = self._names.get(plain) or self._names.get(plain.lower().replace("-", "_"))
        if spec is None:
            near = _did_you_mean(plain, [self.name_of(tool) for tool in self.tools(profile)])
            raise ToolUnknown(f"There is no tool '{name}'.", hint=near or self._what_is_allowed(profile))
        if profile is not None and not self.allowed(spec, profile):
            raise ToolUnknown(f"The tool '{name}' is not allowed here.", hint=self._what_is_allowed(profile))
        return spec

    def name_of(self, spec: ToolSpec) -> str:
        """Return the shortest name that `find` understands: the bare one where it is this tool's, else the full one."""
        return spec.name if self._bare.get(spec.name, spec).full_name == spec.full_name else spec.full_name

    def get_plugin_commands(self, profile: Profile) -> dict[str, Any]:
        """Return the chat commands that a profile may use: name → description, plugin, and parameters (JSON Schema)."""
        commands: dict[str, Any] = {}
        for spec in sorted(self.tools(profile), key=lambda spec: not self._by_plugin[spec.plugin].builtin):
            if spec.command and spec.command not in commands:
                commands[spec.command] = {
                    "description": spec.summary,
                    "plugin": spec.plugin,
                    "tool": self.name_of(spec),
                    "parameters": spec.parameters,
                }
        return commands

    def get_plugin_ui(self, profile: Profile) -> dict[str, Any]:
        """Return the menus and forms of the plugins of which a profile may use something, as plain data.

        Plugin → {"summary", "elements": [{"type": "menu" | "form", …}]}; forms for forbidden commands are left out.
        """
        shown: dict[str, Any] = {}
        for plugin in self.plugins:
            mine = [spec for spec in plugin.tools if self.allowed(spec, profile)]
            names = {name for spec in mine for name in (spec.name, spec.full_name, spec.command)}
            elements = [
                {"type": type(part).__name__.lower(), **asdict(part)}
                for part in plugin.ui
                if not isinstance(part, Form) or part.command.removeprefix("/") in names
            ]
            if elements and (mine or not plugin.tools):
                # JSON's own types: tuples become lists.
                shown[plugin.name] = json.loads(json.dumps({"summary": plugin.summary, "elements": elements}))
        return shown

    # --- arguments ----------------------------------------------------------------------------------------------

    def validate(self, spec: ToolSpec, args: Mapping[str, Any], *, unresolved: Collection[str] = ()) -> dict[str, Any]:
        """Return the arguments as plain JSON values of the right types; only those that were given.

        Harmless differences are mended: "3" for 3, 3 for "3", one value for a list of one, null for "not given".
        `unresolved` names arguments that still hold references: they are checked for their name alone and returned as
        they are. Raises ToolArguments naming the parameter, the value and what was expected, for all at once.
        """
        known = list(spec.hints)
        problems = [self._unknown_argument(name, known) for name in args if name not in known]
        now = {name: value for name, value in args.items() if name in known and name not in unresolved}
        good, wrong = _converted(spec, now, later={name for name in unresolved if name in args})
        problems += wrong
        if problems:
            listed = f"Its parameters: {self._signature(spec)}." if known else "It takes no arguments."
            raise ToolArguments(f"{self.name_of(spec)}: " + "; ".join(problems) + ".", hint=listed)
        return {name: good.get(name, value) for name, value in args.items() if name in good or name in unresolved}

    @staticmethod
    def _unknown_argument(name: str, known: Sequence[str]) -> str:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        return f"there is no parameter '{name}'" + (f" (did you mean '{near[0]}'?)" if near else "")

    # --- for models ---------------------------------------------------------------------------------------------

    def describe(self, specs: Iterable[ToolSpec]) -> str:
        """Return one line a tool, such as `fetch(url: str, max_chars: int = 20000) — Fetch a page as readable text`."""
        return "\n".join(f"{self.name_of(spec)}({self._signature(spec)}) — {spec.summary}" for spec in specs)

    def schema(self, spec: ToolSpec) -> dict[str, Any]:
        """Return the tool as an OpenAI function schema; `find` understands the name in it."""
        name = self.name_of(spec).replace(".", "__")
        description = spec.description.split("\n\nExample", 1)[0]
        return {
            "type": "function",
            "function": {"name": name, "description": description, "parameters": spec.parameters},
        }

    def narrow(self, request: str, specs: Sequence[ToolSpec], limit: int) -> list[ToolSpec]:
        """Return at most `limit` of the tools: the best matches of the request and a small core, in their old order."""
        if len(specs) <= limit:
            return list(specs)
        scores = self._scores(request, specs)
        room = max(limit // 3, 1)
        core = sorted((spec for spec in specs if spec.name in CORE), key=lambda spec: CORE.index(spec.name))[:room]
        ranked = sorted(specs, key=lambda spec: -scores[spec.full_name])
        best = [spec for spec in ranked if scores[spec.full_name] > 0]
        # The best matches come before the core, which comes before what matches nothing.
        wanted = [*best[: limit - len(core)], *core, *best, *ranked]
        chosen = {spec.full_name for spec in list({spec.full_name: spec for spec in wanted}.values())[:limit]}
        return [spec for spec in specs if spec.full_name in chosen]

    def _scores(self, request: str, specs: Sequence[ToolSpec]) -> dict[str, float]:
        asked = _stems(request)
        if "://" in request or "www." in request:
            asked |= {"url", "page"}
        bags = {spec.full_name: self._bag(spec) for spec in specs}
        spread = Counter(word for bag in bags.values() for word in bag)
        rarity = {word: math.log(1 + len(bags) / count) for word, count in spread.items()}
        meant = {word: near for word in asked for near in _near(word, rarity)}
        return {name: sum(bag[near] * rarity[near] for near in meant.values()) for name, bag in bags.items()}

    def _bag(self, spec: ToolSpec) -> Counter[str]:
        """Return the words that stand for a tool with their weights: its name 3, its examples 2, its summary 1."""
        bag = self._words.get(spec.full_name)
        if bag is None:
            bag = Counter()
            examples = re.sub(r"\{\w+\}", " ", " ".join(spec.examples))
            parts = ((3, spec.name), (2, examples), (1, f"{spec.plugin} {spec.summary} {' '.join(spec.produces)}"))
            for weight, text in parts:
                for word in _stems(text):
                    bag[word] = max(bag[word], weight)
            self._words[spec.full_name] = bag
        return bag

    def _signature(self, spec: ToolSpec) -> str:
        import inspect

        given = inspect.signature(spec.function).parameters
        return ", ".join(_parameter(name, hint, given[name].default) for name, hint in spec.hints.items())

    # --- in words -----------------------------------------------------------------------------------------------

    def _what_is_allowed(self, profile: Profile | None) -> str:
        names = [self.name_of(spec) for spec in self.tools(profile)]
        more = f" and {len(names) - NAMED_IN_ERRORS} more" if len(names) > NAMED_IN_ERRORS else ""
        return f"Allowed here: {', '.join(names[:NAMED_IN_ERRORS])}{more}." if names else "No tool is allowed here."

    def _check_settings(self) -> None:
        for name, values in self.settings.items():
            plugin = self._by_plugin.get(name)
            if plugin is None:
                near = _did_you_mean(name, self._by_plugin)
                logger.warning(
                    "dirigent.toml has settings for [plugins.{}], and there is no such plugin. {}", name, near
                )
                continue
            for key in values:
                if key not in plugin.settings and not plugin.error:
                    listed = ", ".join(plugin.settings) or "none"
                    hint = _did_you_mean(key, plugin.settings) or f"Its settings: {listed}."
                    raise ConfigError(f"[plugins.{name}] in dirigent.toml has the unknown setting '{key}'.", hint=hint)


def _names(specs: Iterable[ToolSpec], bare: Mapping[str, ToolSpec]) -> dict[str, ToolSpec]:
    names = dict(bare)
    for spec in specs:
        names.setdefault(spec.full_name, spec)
        names.setdefault(spec.full_name.replace(".", "__"), spec)
        if spec.command:
            names.setdefault(spec.command, spec)
    return names


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.55)
    return f"Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""


def _stems(text: str) -> set[str]:
    words = (word.lower() for word in WORD.findall(CAMEL.sub(" ", text)))
    return {_stem(word) for word in words if word not in EMPTY_WORDS and len(word) > 1}


def _stem(word: str) -> str:
    """Cut the endings that make `files` and `file`, `searching` and `search` differ."""
    for ending in ("ing", "ies", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _near(word: str, known: Mapping[str, float]) -> list[str]:
    """Return the word itself where some tool has it, else the likeliest one that it is a misspelling of."""
    if word in known or len(word) < 4:
        return [word] if word in known else []
    from rapidfuzz import fuzz, process

    best = process.extractOne(word, known.keys(), scorer=fuzz.ratio, score_cutoff=FUZZY)
    return [best[0]] if best else []


# --- arguments ------------------------------------------------------------------------------------------------------


def _converted(spec: ToolSpec, args: Mapping[str, Any], *, later: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the arguments as JSON values, and what is wrong with them in words."""
    from pydantic import ValidationError

    try:
        model = spec.arguments
    except PluginError as problem:
        raise ToolArguments(str(problem)) from problem
    given = dict(args)
    for _ in range(2):
        try:
            made = model.model_validate({**given, **_stand_ins(model, later)})
        except ValidationError as problem:
            mended = _mended(model, given, problem.errors(include_url=False))
            if mended != given:
                given = mended
                continue
            wrong = [_in_words(error) for error in problem.errors(include_url=False) if error["loc"][0] not in later]
            if wrong:
                return {}, list(dict.fromkeys(wrong))
            made = None
        break
    if made is None:
        # Only what is still to be resolved does not fit its stand-in, which proves nothing: the rest is as given.
        return given, []
    return {name: value for name, value in made.model_dump(mode="json").items() if name in given}, []


def _stand_ins(model: Any, later: Collection[str]) -> dict[str, Any]:
    """Return a value for each argument that is not known yet, so that it is not reported as missing."""
    return {name: None for name in later if name in model.model_fields}


def _mended(model: Any, given: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    mended = dict(given)
    for error in errors:
        name = error["loc"][0]
        if len(error["loc"]) != 1 or name not in given:
            continue
        value = given[name]
        if value is None and not model.model_fields[name].is_required():
            del mended[name]
        elif error["type"] in {"list_type", "dict_type"} and isinstance(value, str) and value[:1] in "[{":
            mended[name] = _parsed(value)
        elif error["type"] == "list_type" and isinstance(value, (str, int, float)):
            mended[name] = [value]
        elif error["type"] == "literal_error" and isinstance(value, str):
            mended[name] = _choice(value, error["ctx"]["expected"])
    return mended


def _choice(value: str, expected: str) -> str:
    """Return the choice that differs from the value in case or in the plural's `s` alone, else the value."""
    plain = value.strip().lower().removesuffix("s")
    choices: list[str] = re.findall(r"'([^']*)'", expected)
    same = [choice for choice in choices if choice.lower().removesuffix("s") == plain]
    return same[0] if len(same) == 1 and plain else value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return [text]


EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "an object",
    "date_from_datetime_parsing": "a date such as 2026-12-24",
    "date_parsing": "a date such as 2026-12-24",
    "date_type": "a date such as 2026-12-24",
    "datetime_parsing": "a time such as 2026-12-24T18:30",
    "datetime_from_date_parsing": "a time such as 2026-12-24T18:30",
}


def _in_words(error: Mapping[str, Any]) -> str:
    where = str(error["loc"][0]) + "".join(f"[{part!r}]" for part in error["loc"][1:] if isinstance(part, int))
    if error["type"] == "missing":
        return f"'{where}' is missing"
    value = _shown(error["input"])
    if error["type"] == "literal_error":
        return f"'{where}' must be one of {error['ctx']['expected'].replace(' or ', ', ')}, not {value}"
    expected = EXPECTED.get(error["type"])
    if expected:
        return f"'{where}' must be {expected}, not {value}"
    reason = str(error["msg"])
    return f"'{where}': {reason[:1].lower()}{reason[1:]}, not {value}"


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


# --- signatures -----------------------------------------------------------------------------------------------------


def _parameter(name: str, hint: Any, default: Any) -> str:
    import inspect

    shown = f"{name}: {_type(hint)}"
    if default is inspect.Parameter.empty:
        return shown
    if default is None:
        return f"{name}: {_type(hint).removesuffix(' | None')} = None"
    return f"{shown} = {_shown(default)}"


def _type(hint: Any) -> str:
    """Return an annotation in few words: `list[str]`, `line|bar`, `date`."""
    if hint in SHORT_TYPES:
        return SHORT_TYPES[hint]
    origin, parts = get_origin(hint), get_args(hint)
    if hasattr(hint, "__metadata__"):
        return _type(hint.__origin__)
    if origin is Literal:
        # Quotes cost tokens, and a word is a word without them.
        return "|".join(part if isinstance(part, str) and part.isidentifier() else _shown(part) for part in parts)
    if origin in {Union, types.UnionType}:
        return " | ".join(_type(part) for part in parts)
    if origin is not None:
        inside = ", ".join(_type(part) for part in parts if part is not ...)
        return f"{_type(origin)}[{inside}]" if origin in {list, set, tuple} and inside else _type(origin)
    return getattr(hint, "__name__", str(hint)).replace("Path", "str")
