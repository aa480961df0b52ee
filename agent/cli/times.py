"""Times on the command line: --every 1d, --cron "0 9 * * 5", --say "every Friday at 9"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config import AppConfig


def spec_of(config: AppConfig, *, every: str = "", cron: str = "", say: str = "") -> dict[str, Any]:
    """Return a schedule's spec from the one option that is given. Raises ConfigError."""
    import time
    from datetime import UTC, datetime

    from agent.automation.times import local_zone, zone
    from agent.automation.wording import time_of
    from agent.planning.pipeline_triggers import seconds_of

    if sum(map(bool, (every, cron, say))) != 1:
        raise ConfigError("When it should run is missing.", hint="Give one of --every 1d, --cron and --say.")
    name = local_zone(config.plugins.get("time", {}).get("time_zone", ""))
    if cron:
        return {"cron": cron, "zone": name}
    if every:
        try:
            return {"every": seconds_of(every), "zone": name}
        except ValueError as error:
            raise ConfigError(f"--every: {error}.") from None
    found = time_of(say, datetime.fromtimestamp(time.time(), UTC).astimezone(zone(name)), name)
    if found is None:
        raise ConfigError(f"--say: I don't understand “{say}”.", hint="Try “every Friday at 9” or “every 2 hours”.")
    return {**found[0], "said": found[1]}
