"""What `dirigent serve` listens with: webhooks, the API, metrics and the owner's pages."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.app import App
    from agent.config import Web
    from agent.domain.trigger import Trigger
    from agent.mcp.serving import HttpServing
    from agent.metrics import Metrics
    from agent.web.admin.house import House
    from agent.web.rooms import Rooms
    from agent.web.server import WebServer
    from agent.web.telegram import TelegramHook


async def open_door(
    app: App, on_telegram: TelegramHook | None = None, rung: str = ""
) -> tuple[WebServer, Metrics] | tuple[WebServer, Metrics, HttpServing] | None:
    """Listen for HTTP when a port is set, or there is something to listen for. Raises ConfigError when it can't.

    The metrics count from then on; `rung` names the walls of the sandbox.
    """
    from agent.domain.trigger import TriggerKind

    web = app.config.web
    await app.scheduled.set_schedules()  # pipelines may declare webhooks
    hooks = [trigger for trigger in await app.store.triggers(kind=TriggerKind.WEBHOOK) if trigger.enabled]
    with_pages = web.pages or web.password is not None
    if not (web.port or hooks or on_telegram or web.token or web.read_token or web.metrics_token or with_pages):
        return None
    from agent.web.app import web_app
    from agent.web.server import listen

    async def is_well() -> bool:
        await app.store.get_value("health")
        return True

    check_reach(web)
    metrics = metrics_of(app, rung)
    rooms = rooms_of(app)
    programs = programs_of(web, rooms)
    application = web_app(
        web,
        receive=app.automation.receive,
        is_well=is_well,
        on_telegram=on_telegram,
        telegram_url=app.config.telegram.webhook_url or "",
        rooms=rooms,
        metrics=metrics.page,
        house=house_of(app, rooms, rung) if with_pages else None,
        programs=programs.handle if programs is not None else None,
    )
    door = listen(application, web)
    print(f"Listening on {door.address} ({len(hooks)} webhooks)", flush=True)
    if with_pages:
        print(f"Pages: {door.address}/admin (`dirigent web` prints a link that lets in)", flush=True)
    return (door, metrics) if programs is None else (door, metrics, programs)


def programs_of(web: Web, rooms: Rooms) -> HttpServing | None:
    """Return what answers other programs at `/mcp`; None when that is off. Raises ConfigError without a token."""
    if not web.mcp:
        return None
    if web.token is None:
        raise ConfigError(
            "web.mcp lets programs in, and there is no token for them to show.",
            hint="Set web.token (or DIRIGENT_WEB__TOKEN_FILE) to a long random text.",
        )
    from agent.mcp.serving import HttpServing
    from agent.web.programs import ProgramDesk

    return HttpServing(ProgramDesk(rooms))


def rooms_of(app: App) -> Rooms:
    """Return what the API and the pages show and start."""
    from agent.web.rooms import Rooms

    return Rooms(
        app.store,
        app.pipelines,
        app.orchestrator,
        app.automation,
        app.chains,
        app.scheduled.destination,
        app.catalogue,
        app.orchestrator.sessions.memory,
        app.config.limits,
        app.config.folder / "logs",
        upcoming,
        app.config,
        app.scheduled.set_schedules,
    )


def upcoming(trigger: Trigger, many: int) -> list[float]:
    """Return the next times at which a schedule fires while it is on, in seconds since 1970."""
    from agent.automation.times import following

    found: list[float] = []
    at = trigger.next_fire
    while at is not None and len(found) < many:
        found.append(at)
        at = following(trigger.spec, trigger.created_at, at)
    return found


def check_reach(web: Web) -> None:
    """Raise ConfigError for pages that others than this machine could reach without a password."""
    if web.pages and web.password is None and not is_here(web.host):
        raise ConfigError(
            f"The pages would be open to others on {web.host}, and no password is set.",
            hint="Set web.password (or DIRIGENT_WEB__PASSWORD_FILE), or web.host to 127.0.0.1.",
        )


def is_here(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def house_of(app: App, rooms: Rooms, rung: str) -> House:
    """Return what the pages work with."""
    from agent.web.admin.entry import Entry
    from agent.web.admin.house import House

    password = app.config.web.password
    return House(
        rooms,
        Entry(app.store, password.get_secret_value() if password else ""),
        app.config,
        app.catalogue,
        app.scheduled.set_schedules,
        rung,
        app.boxes.opened,
    )


def open_metrics(app: App, rung: str, port: int) -> tuple[WebServer, Metrics]:
    """Listen on web.host with this process's own metrics alone. Raises ConfigError when it can't.

    `/health` says whether the journal can be read and the others see that this worker lives.
    """
    from agent.engine.owner import own_name
    from agent.web.measures import metrics_app
    from agent.web.server import listen

    async def is_well() -> bool:
        await app.store.get_value("health")
        seen = {worker.name for worker in (await app.engine.load()).workers}
        return not app.engine.elsewhere or own_name() in seen

    web = app.config.web.model_copy(update={"port": port})
    metrics = metrics_of(app, rung, whole=False)
    door = listen(metrics_app(metrics.page, is_well, web), web)
    print(f"Metrics: {door.address}/metrics", flush=True)
    return door, metrics


def metrics_of(app: App, rung: str = "", *, whole: bool = True) -> Metrics:
    """Return the metrics of an app, which listen to it from here on; `whole` as in `Metrics`."""
    from agent.metrics import Metrics

    made = Metrics(
        app.store,
        rung=rung,
        boxes=app.boxes.opened,
        running=app.automation.switch.working.is_set,
        load=app.engine.load,
        whole=whole,
    )
    app.orchestrator.when_ended_here.append(made.run_ended)
    app.automation.launcher.when_fired.append(made.fired)
    return made
