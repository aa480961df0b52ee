"""Tools, commands and services: found by name, filtered by profile, checked, and described."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

from loguru import logger

from agent.catalogue.arguments import converted
from agent.catalogue.narrowing import Narrowing
from agent.catalogue.overriding import Overridden, overridden, with_tools
from agent.catalogue.signatures import signature
from agent.catalogue.strangers import Strangers
from agent.errors import ConfigError, ToolArguments, ToolUnknown
from plugins.api import Form, ServiceSpec, ToolSpec
from plugins.loader import LoadedPlugin, discover

if TYPE_CHECKING:
    from agent.config import AppConfig, ToolSettings
    from agent.domain.session import Profile


NAMED_IN_ERRORS = 12


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
        self._narrowing = Narrowing()
        self.declared = self  # the same without the owner's word on tools
        self.set_by_owner: Mapping[str, Overridden] = {}  # by full name
        self.remark: Callable[[str], str] = self._remark  # what the owner should know of a plugin by name, just now
        self._check_settings()

    @classmethod
    def load(cls, config: AppConfig, more: Iterable[LoadedPlugin] = (), *, again: bool = False) -> Self:
        """Find the plugins that the configuration allows: built in, installed, in the owner's folders; and `more`.

        Those that do not come with us are described inside a box, unless the owner trusts them; with `again` also
        those that were broken before and are unchanged.
        """
        folders = [config.folder / "plugins", *(folder.expanduser().absolute() for folder in config.plugin_folders)]
        allowed = set(config.profile_plugins)
        found = discover(
            folders, enabled=lambda name: "*" in allowed or name in allowed, read=Strangers(config, again=again)
        )
        found += _not_taken(more, found)
        declared = cls([_reaching(plugin, config.sandbox.allow_hosts) for plugin in found], settings=config.plugins)
        return declared.overridden(config.tools) if config.tools else declared

    def overridden(self, words: Mapping[str, ToolSettings]) -> Self:
        """Return the catalogue with the owner's word on tools, by name, in place of their authors'.

        Raises ConfigError for what is not there. Of a plugin that is broken nobody knows; that is told elsewhere.
        """
        broken = {plugin.name for plugin in self.broken}
        # Tools of an MCP server, and of a plugin that is not trusted, may be held back: what is said of them waits.
        unknown = broken | {plugin.name for plugin in self.plugins if plugin.source.startswith("mcp:")}
        held = {name for plugin in self.plugins for one in plugin.held_back for name in (one, f"{plugin.name}.{one}")}
        told = {
            name: word
            for name, word in words.items()
            if name in self._names or not (name in held or name.split(".")[0] in unknown)
        }
        tools = overridden(told, self.find, list(self._names))
        made = type(self)([with_tools(plugin, tools) for plugin in self.plugins], settings=self.settings)
        made.set_by_owner = tools
        made.declared = self
        return made

    def exchange_servers(self, config: AppConfig, servers: Iterable[LoadedPlugin]) -> None:
        """Have these MCP servers in place of others; whoever holds the catalogue has them at once, and all else stays.

        Raises ConfigError for the owner's word on a tool that is not there; nothing is changed then.
        """
        own = [plugin for plugin in self.declared.plugins if not plugin.source.startswith("mcp:")]
        new = [_reaching(plugin, config.sandbox.allow_hosts) for plugin in _not_taken(servers, own)]
        made = type(self)([*own, *new], settings=self.settings)
        made = made.overridden(config.tools) if config.tools else made
        vars(self).update({**vars(made), "remark": self.remark})

    @property
    def broken(self) -> tuple[LoadedPlugin, ...]:
        """The plugins that could not be loaded; `error` says why."""
        return tuple(plugin for plugin in self.plugins if plugin.error)

    def _remark(self, name: str) -> str:
        return self._by_plugin[name].remark if name in self._by_plugin else ""

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
            self._check_held_back(plain)
            near = _did_you_mean(plain, [self.name_of(tool) for tool in self.tools(profile)])
            raise ToolUnknown(f"There is no tool '{name}'.", hint=near or self._what_is_allowed(profile))
        if profile is not None and not self.allowed(spec, profile):
            raise ToolUnknown(f"The tool '{name}' is not allowed here.", hint=self._what_is_allowed(profile))
        return spec

    def _check_held_back(self, name: str) -> None:
        """Raise ToolUnknown for what a plugin has, but may not run as long as it is not trusted."""
        for plugin in self.plugins:
            why = plugin.held_back.get(name.removeprefix(f"{plugin.name}.").removeprefix(f"{plugin.name}__"))
            if why:
                hint = f"It needs your trust: `dirigent plugins trust {plugin.name}` shows what it would be allowed."
                raise ToolUnknown(f"'{name}' of the plugin {plugin.name} is held back: it {why}.", hint=hint)

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

    # --- services -----------------------------------------------------------------------------------------------

    @property
    def services(self) -> tuple[ServiceSpec, ...]:
        """Every service of every plugin."""
        return tuple(spec for plugin in self.plugins for spec in plugin.services)

    def service(self, name: str, plugin: str = "") -> ServiceSpec:
        """Return a service: of the plugin itself, else by `plugin.service` or a name that only one has.

        Raises ToolUnknown, naming the nearest.
        """
        every = self.services
        own = [spec for spec in every if spec.plugin == plugin and spec.name == name]
        found = own or [spec for spec in every if name in {spec.name, spec.full_name}]
        if len(found) > 1:
            listed = ", ".join(spec.full_name for spec in found)
            raise ToolUnknown(f"More than one plugin has a service '{name}'.", hint=f"Write one of {listed}.")
        if not found:
            names = [spec.full_name for spec in every]
            self._check_held_back(name)
            near = _did_you_mean(name, [*names, *(spec.name for spec in every)])
            there = f"There are {', '.join(names)}." if names else "No plugin has one."
            raise ToolUnknown(f"There is no service '{name}'.", hint=near or there)
        return found[0]

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
        good, wrong = converted(spec, now, later={name for name in unresolved if name in args})
        problems += wrong
        if problems:
            listed = f"Its parameters: {signature(spec)}." if known else "It takes no arguments."
            raise ToolArguments(f"{self.name_of(spec)}: " + "; ".join(problems) + ".", hint=listed)
        return {name: good.get(name, value) for name, value in args.items() if name in good or name in unresolved}

    @staticmethod
    def _unknown_argument(name: str, known: Sequence[str]) -> str:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if near:
            return f"there is no parameter '{name}' (did you mean '{near[0]}'?)"
        return f"there is no parameter '{name}'"

    # --- for models ---------------------------------------------------------------------------------------------

    def describe(self, specs: Iterable[ToolSpec]) -> str:
        """Return one line a tool, such as `fetch(url: str, max_chars: int = 20000) — Fetch a page as readable text`."""
        return "\n".join(f"{self.name_of(spec)}({signature(spec)}) — {spec.summary}" for spec in specs)

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
        return self._narrowing.narrow(request, specs, limit)

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


def _reaching(plugin: LoadedPlugin, hosts: tuple[str, ...]) -> LoadedPlugin:
    """Return the plugin with tools that know where the owner lets everything inside go, so that they are judged by it.

    Of those that come with us only programs and commands make use of that; what others wrote may do so at any time.
    """
    if not hosts:
        return plugin
    tools = tuple(
        spec if spec.host or (plugin.builtin and not spec.reads_all) else replace(spec, reaches=hosts)
        for spec in plugin.tools
    )
    return replace(plugin, tools=tools, commands=tuple(spec for spec in tools if spec.command))


def _not_taken(more: Iterable[LoadedPlugin], found: Sequence[LoadedPlugin]) -> list[LoadedPlugin]:
    """Return further plugins; one whose name is another's has no tools, and its error says so."""
    sources = {plugin.name.casefold(): plugin.source for plugin in found}

    def settled(one: LoadedPlugin) -> LoadedPlugin:
        source = sources.get(one.name.casefold())
        if source is None:
            return one
        return replace(one, name=f"{one.name}'", tools=(), error=f"the name '{one.name}' is taken by {source}")

    return [settled(one) for one in more]


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
