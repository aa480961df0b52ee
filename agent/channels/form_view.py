"""How a plugin's form that is being filled in stands, and how it is shown: one message with its buttons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agent.channels.form_values import command_line
from agent.texts import say

DOOR = "f"
IN_A_ROW = 3
ROW_CHARS = 24
VALUE_SHOWN = 60
Rows = list[list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Filling:
    """A form that is being filled in. `at` is the field that is asked for, `by` names the message heard last.

    `state` is open, done or cancelled; `until` is in seconds since 1970: later on, typed words are something else.
    `offered` holds the values that the present field's buttons stand for.
    """

    id: str
    form: dict[str, Any]
    user_id: str
    values: dict[str, str] = field(default_factory=dict)
    at: int = 0
    offered: tuple[str, ...] = ()
    trouble: str = ""
    by: str = ""
    state: str = "open"
    until: float = 0.0

    @property
    def key(self) -> str:
        """The key of the message that shows it."""
        return f"form:{self.id}"

    @property
    def fields(self) -> list[dict[str, Any]]:
        """The form's fields."""
        return list(self.form["fields"])

    @property
    def line(self) -> str:
        """The words that run the command."""
        return command_line(self.form["command"].removeprefix("/"), self.values)


def view(filling: Filling, language: str) -> tuple[str, Rows]:
    """Return a form as it is shown: what was filled in, what is asked for, what was wrong, and the buttons."""
    title, fields = filling.form["title"], filling.fields
    if filling.state == "cancelled":
        return f"📝 {title}: {say(language, 'Nothing was done')}", []
    before = fields if filling.state == "done" else fields[: filling.at]
    values = {one["label"]: filling.values[one["name"]] for one in before if one["name"] in filling.values}
    filled = [f"✓ {label} {_shown(value)}" for label, value in values.items()]
    if filling.state == "done":
        return "\n".join([f"📝 {title}", *filled, f"→ {_shown(filling.line, 300)}"]), []
    asked = fields[filling.at]
    number = f" ({filling.at + 1}/{len(fields)})" if len(fields) > 1 else ""
    lines = [f"📝 {title}{number}", *filled, f"❓ {asked['label']}"]
    if filling.trouble:
        lines.append(f"⚠️ {filling.trouble}")
    offers = [
        button(_label(asked["kind"], value, language), f"{filling.id}/{filling.at}-{number}")
        for number, value in enumerate(filling.offered)
    ]
    return "\n".join(lines), [*in_rows(offers), _ways_out(filling, language)]


def _ways_out(filling: Filling, language: str) -> list[dict[str, str]]:
    ways = [button(f"‹ {say(language, 'Back')}", f"{filling.id}/back")] if filling.at else []
    if not filling.fields[filling.at]["required"]:
        ways.append(button(say(language, "Skip"), f"{filling.id}/skip"))
    return [*ways, button(say(language, "Cancel"), f"{filling.id}/cancel")]


def _label(kind: str, value: str, language: str) -> str:
    if kind == "date":
        return say(language, "Today") if value == "today" else say(language, "Tomorrow")
    return _shown(value, 40)


def in_rows(buttons: list[dict[str, str]]) -> Rows:
    """Put short labels side by side."""
    rows: Rows = []
    for button in buttons:
        here = sum(len(one["label"]) + 2 for one in rows[-1]) if rows else 0
        if rows and len(rows[-1]) < IN_A_ROW and here + len(button["label"]) <= ROW_CHARS:
            rows[-1].append(button)
        else:
            rows.append([button])
    return rows


def _shown(value: str, most: int = VALUE_SHOWN) -> str:
    line = " ".join(value.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def button(label: str, verb: str) -> dict[str, str]:
    """Return a button of this door."""
    return {"label": label, "action": f"{DOOR}/{verb}"}
