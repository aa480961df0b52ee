"""The service `tickets`: one client for all calls, with its connections and its login, of the system that is set up."""

from __future__ import annotations

from collections.abc import Mapping

from plugins.api import Context, ServiceContext, ToolFailure
from plugins.tickets.records import TicketSystem
from plugins.tickets.workspace import TicketFolder

SYSTEMS = ("zammad", "otobo", "files")
ALIASES = {"znuny": "otobo", "otrs": "otobo", "file": "files", "folder": "files"}
SECRETS = ("zammad_token", "otobo_user", "otobo_password")
SETTINGS = ("system", "url", "folder", "otobo_login", "otobo_tag_field")
FOLDER = "tickets"


class Desk:
    """A ticket system as it is set up. A folder of tickets belongs to a session, so it is opened anew for each call."""

    def __init__(self, settings: Mapping[str, str], client: TicketSystem | None) -> None:
        self._settings = settings
        self._client = client

    @classmethod
    def opened(cls, ctx: ServiceContext) -> Desk:
        """Return the desk of the settings. Raises ToolFailure for a system that is not set up."""
        return cls(ctx.settings, _client(ctx, system_named(ctx.settings.get("system", "")) or "files"))

    def system(self, ctx: Context, wanted: str, folder: str) -> TicketSystem:
        """Return the system for one call; `wanted` "" means the one that is set up."""
        configured = system_named(self._settings.get("system", "")) or "files"
        chosen = system_named(wanted) or configured
        if chosen == "files":
            return TicketFolder(ctx, folder or self._settings.get("folder", "") or FOLDER)
        if chosen != configured or self._client is None:
            # The one address that is set is that of the other system: its secrets must not go there.
            said = f"The ticket system {chosen} is not set up."
            raise ToolFailure(said, hint=f'Set [plugins.tickets] system = "{chosen}" and url = "…" in dirigent.toml.')
        return self._client

    async def aclose(self) -> None:
        """Free connections."""
        if self._client is not None:
            await self._client.aclose()


def system_named(system: str) -> str:
    """Return the plain name of a system, "" for none. Raises ToolFailure for one that is unknown."""
    plain = system.strip().lower()
    chosen = ALIASES.get(plain, plain)
    if chosen and chosen not in SYSTEMS:
        raise ToolFailure(f"There is no ticket system {system!r}.", hint=f"Known are {', '.join(SYSTEMS)}.")
    return chosen


def _client(ctx: ServiceContext, system: str) -> TicketSystem | None:
    settings = ctx.settings
    url = settings.get("url", "")
    if system == "zammad":
        from plugins.tickets.zammad import Zammad

        return Zammad(url, ctx.secret("zammad_token"))
    if system == "otobo":
        from plugins.tickets.otobo import Login, Otobo

        kind = settings.get("otobo_login", "") or "session"
        login = Login(ctx.secret("otobo_user"), ctx.secret("otobo_password"), kind)
        return Otobo(url, login, tag_field=settings.get("otobo_tag_field", ""))
    return None
