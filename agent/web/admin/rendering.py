"""How a page is made: a template, what it shows, and headers that let nothing foreign in."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse

from agent.web.admin import views

if TYPE_CHECKING:
    from jinja2 import Environment

    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# With "no-referrer" a browser sends forms with an Origin of "null", which can't be told from a foreign page's.
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
PLACES = (
    ("overview", "Overview", "/admin"),
    ("waiting", "Waiting", "/admin/waiting"),
    ("runs", "Runs", "/admin/runs"),
    ("triggers", "Triggers", "/admin/triggers"),
    ("pipelines", "Pipelines", "/admin/pipelines"),
    ("events", "Events", "/admin/events"),
    ("sessions", "Sessions", "/admin/sessions"),
    ("plugins", "Plugins", "/admin/plugins"),
    ("budget", "Budget", "/admin/budget"),
    ("metrics", "Metrics", "/admin/metrics"),
    ("audit", "Audit", "/admin/audit"),
)


@functools.cache
def templates() -> Environment:
    """Return the templates; everything that they show is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": views.moment,
        "ago": views.ago,
        "money": views.money,
        "taken": views.taken,
        "json": views.as_json,
        "mark": views.mark,
        "word": views.word,
        "stamp": views.stamp,
        "number": views.number,
        "size": views.size,
        "plain": views.plain,
        "origins": views.origins,
        "day": views.day,
    }
    made.globals |= {"places": PLACES, "static": static_address}
    return made


def fragment(template: str, **shown: Any) -> str:
    """Return a piece of a page."""
    return templates().get_template(template).render(**shown)


async def page(
    house: House, visit: Visit | None, template: str, here: str, *, status: int = 200, **shown: Any
) -> HTMLResponse:
    """Return a whole page. `here` names the place in the menu."""
    notes = house.heard(visit.key) if visit else []
    waiting = await views.how_many_wait(house.rooms.store) if visit else 0
    csrf = visit.csrf if visit else ""
    text = fragment(template, here=here, visit=visit, csrf=csrf, notes=notes, waiting=waiting, **shown)
    return HTMLResponse(text, status, HEADERS)


@functools.cache
def static_file(name: str) -> tuple[bytes, str, str] | None:
    """Return a static file's bytes, its type and the digest that its address carries; None when there is none."""
    kinds = {"admin.css": "text/css; charset=utf-8", "admin.js": "text/javascript; charset=utf-8"}
    if name not in kinds:
        return None
    data = (HERE / "static" / name).read_bytes()
    return data, kinds[name], hashlib.sha256(data).hexdigest()[:12]


def static_address(name: str) -> str:
    """Return the address of a static file; it changes with its content."""
    found = static_file(name)
    assert found is not None, name
    return f"/admin/static/{name}?{found[2]}"
