"""`dirigent plugins trust NAME`: what a plugin would be allowed, and the owner's yes, pinned to its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import DirigentError

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from plugins.loader import LoadedPlugin, Place

MEANS = """\
Trusted, every line of it runs in the agent's own process: it can read the bot's token, every secret, every session and
the journal, and do on this machine whatever the agent may. Nothing of that asks you. Read its files first."""


def decide(config: AppConfig, verb: str, name: str, *, sure: bool = False) -> int:
    """Trust a plugin, or do so no more; return 1 when the owner did not agree. Raises DirigentError."""
    if verb not in {"trust", "distrust"}:
        raise DirigentError(
            f"`dirigent plugins {verb} {name}` says nothing.", hint="`dirigent plugins trust NAME`, or distrust."
        )
    if not name:
        raise DirigentError(f"`dirigent plugins {verb}` needs a name.", hint="`dirigent plugins` lists them.")
    return _trust(config, name, sure=sure) if verb == "trust" else _distrust(config, name)


def _trust(config: AppConfig, name: str, *, sure: bool) -> int:
    from agent.catalogue.trusting import pin
    from agent.cli.asking import agreed
    from agent.parts import load_catalogue

    plugin, place = _meant(config, load_catalogue(config, again=True), name)
    if plugin.trusted:
        print(f"{place.name} is trusted already, with these files (sha256 {plugin.sha256}).")
        return 0
    print("\n".join(_shown(plugin, place)))
    if not (sure or agreed(f"\nTrust {place.name}?")):
        print(f"{place.name} is not trusted.")
        return 1
    pin(config.folder, place.name, plugin.sha256)
    _name(config, (*config.trusted_plugins, place.name))
    print(f"{place.name} is trusted from the next start on, until one of its files changes.")
    return 0


def _distrust(config: AppConfig, name: str) -> int:
    from agent.catalogue.trusting import pin, pins

    if name not in config.trusted_plugins and name not in pins(config.folder):
        listed = ", ".join(config.trusted_plugins) or "none"
        raise DirigentError(f"You do not trust a plugin {name!r}.", hint=f"You trust: {listed}.")
    pin(config.folder, name, "")
    _name(config, tuple(one for one in config.trusted_plugins if one != name))
    print(f"{name} is not trusted from the next start on.")
    return 0


def _name(config: AppConfig, names: tuple[str, ...]) -> None:
    """Write who is trusted into dirigent.toml, where that changes."""
    from agent.cli.init import Answers, write

    wanted = tuple(dict.fromkeys(names))
    if wanted != config.trusted_plugins:
        write(config.folder, Answers(settings={"trusted_plugins": list(wanted)}))


def _meant(config: AppConfig, catalogue: Catalogue, name: str) -> tuple[LoadedPlugin, Place]:
    """Return the plugin of a name, and where it is. Raises DirigentError."""
    from plugins.loader import places

    found = {place.source: place for place in places(config.plugin_places)}
    for plugin in catalogue.plugins:
        place = found.get(plugin.source)
        if place is not None and name in {plugin.name, place.name}:
            if not plugin.sha256:
                raise DirigentError(f"The files of {name} can't be found, so nothing can hold its trust to them.")
            return plugin, place
    plugin = catalogue.plugin(name)
    what = "comes with Dirigent" if plugin.builtin else f"is from {plugin.source}"
    raise DirigentError(f"{name} {what}: there is nothing to trust.", hint="Trust is for plugins of your own.")


def _shown(plugin: LoadedPlugin, place: Place) -> list[str]:
    """Return what a plugin would be allowed, as far as it says so itself."""
    lines = [f"{plugin.name}  {plugin.summary}".rstrip(), f"    from {plugin.source}", f"    sha256 {plugin.sha256}"]
    lines += [f"    {file}" for file in _files(place)]
    if plugin.note:
        lines.append(f"    {plugin.note}")
    if plugin.error:
        lines.append(f"    It says nothing of itself: {plugin.error}")
    held = [f"    {name} {why}" for name, why in plugin.held_back.items()]
    lines += ["Held back so far:", *held] if held else ["Nothing of it has to run outside the sandbox."]
    return [*lines, "", MEANS]


def _files(place: Place) -> list[str]:
    from plugins.described import seen

    path = place.path
    if path is None or path.is_file():
        return []
    names = sorted(seen(str(file.relative_to(path))) for file in path.rglob("*") if file.is_file())
    more = [f"… and {len(names) - 20} more files"] if len(names) > 20 else []
    return [*names[:20], *more]
