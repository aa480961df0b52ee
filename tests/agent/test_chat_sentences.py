"""No sentence that a person sees in a chat bypasses the catalogues: the sources are walked for them.

Looked at is whatever is handed over to be shown: texts, hints, labels and titles of messages, what desks and doors return
and say, errors with their ways on, and constants. A sentence counts as said when the catalogues have it, whole or with
names in the place of its values.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import texts
from agent.texts import SLOT, catalogue

SOURCES = Path(texts.__file__).parents[1]
ROOMS = (
    *("reception.py", "intake.py", "lifecycle.py", "spending.py", "steering.py", "deciding.py", "continuing.py"),
    *("leases.py", "composer.py", "channels", "execution", "versions", "llm", "automation", "planning", "policy"),
    *("catalogue", "pipelines.py", "domain"),
)
# Seen by those who set things up on the command line, call the API or write pipelines: in English, like those.
NOT_IN_CHATS = {
    *("automation/chains.py", "automation/checking.py", "automation/declared.py", "automation/launching.py"),
    *("automation/files.py", "automation/webhook.py", "automation/times.py", "automation/scheduler.py"),
    *("automation/pipelines.py", "channels/telegram/channel.py", "channels/telegram/webhook.py"),
    *("channels/telegram/directory.py", "channels/terminal/named_files.py", "execution/publishing.py"),
    *("execution/shaped.py", "execution/lists.py", "execution/graph.py", "execution/services.py", "llm/detect.py"),
    *("execution/templates.py", "execution/template_language.py", "execution/template_limits.py", "llm/structured.py"),
    *("llm/sse.py", "execution/pipes.py", "planning/pipeline.py", "planning/pipeline_preview.py"),
    *("planning/pipeline_reading.py", "planning/pipeline_checks.py", "planning/pipeline_yaml.py"),
    *("planning/pipeline_triggers.py", "planning/pipeline_services.py", "planning/pipeline_consent.py"),
    *("planning/trigger_checks.py", "planning/pipeline_plan.py"),
}
# Read by models, or by the person's own hand in a file.
FOR_MODELS = (
    *("You write the final answer", "You carry out one step", "Not called: ", "This step has no tool"),
    *("The arguments of ", "{}… ", "[… {}", "[{} ", "The person refused this call", "(The person changed the call"),
    *(
        "The request replies to an earlier answer",
        "The result of ",
        "'{}' must be JSON",
        "The person refused the calls",
    ),
    *("The person wants the plan changed", "{} entries, the first", "The owner's rules forbid these tools"),
    *("Write the answer", "{}, … ({} in all)"),
)
TOOLS_FOR_MODELS = "There are {}"
# For whoever keeps this installation, on the command line and in its log: in English, as those are.
FOR_THE_OWNER = (
    *("`dirigent plugins` lists", "{} can't be allowed beforehand", "Agree to each call", "A rule may hold for"),
    *(
        "Say it with --days",
        "{} has no argument",
        "It has {}.",
        "A rule can't allow",
        "There is no tool {}.",
        "There is no service",
    ),
    *(
        "Add {}=VALUE",
        "More than one plugin has",
        "Write one of {}",
        "There are {} rules",
        "`dirigent rules remove N`",
        "A known contact needs",
    ),
    *("Nobody is known as", "`dirigent rules` lists who", "{} is no exact value", "`required: false` allows"),
    *("Keep one table", "Write effect", "Leave it out.", "Name a YAML file.", "{} in dirigent.toml: "),
)
# The terminal's own frame, which is English as the command line is, and words for times.
FRAME = (
    "{} between {}:{} and {}",
    "Call {} of {}",
    "{} calls wait for your word",
    "For this task",
    "{} is no address",
    "Stopped by the person",
)
SHOWN_KEYS = {"text", "hint", "label", "because", "title", "caption", "question"}
SHOWING = {"Direct", "_say", "_post", "say", "Alert", "Notice", "Note", "_tell", "button", "_button"}
ERRORS = {
    *("ToolError", "ModelRefused", "ModelUnavailable", "ModelRubbish", "PromptTooLong", "PlanError", "DirigentError"),
    *("LimitReached", "OverBudget", "ConfigError", "NotFound", "SetAside", "TooMuch", "Damaged", "ToolUnknown"),
    "MachineFailed",
}


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def _literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that an expression may become."""
    text = _text(node)
    if text is not None:
        yield getattr(node, "lineno", 0), text
        return
    below: list[ast.AST] = []
    match node:
        case ast.IfExp():
            below = [node.body, node.orelse]
        case ast.BoolOp():
            below = list(node.values)
        case ast.BinOp():
            below = [node.left, node.right]
        case ast.Tuple() | ast.List():
            below = list(node.elts)
        case ast.Dict():
            below = list(node.values)
    for one in below:
        yield from _literals(one)


def _shown(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts that somebody is shown."""
    for node in ast.walk(tree):
        match node:
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value in SHOWN_KEYS:
                        yield from _literals(value)
            case ast.Call():
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                said = node.args if name in SHOWING else node.args[:1] if name in ERRORS else []
                hints = [one.value for one in node.keywords if one.arg in {"hint", "lead"} and name in ERRORS]
                for one in [*said, *hints]:
                    yield from _literals(one)
            case ast.Return() if node.value is not None:
                yield from _literals(node.value)
            case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper():
                yield from _literals(node.value)


def _is_sentence(text: str) -> bool:
    """Say whether a text is words for people and not a name, a pattern or a key."""
    words = re.findall(r"[A-Za-z]{2,}", text.replace("{}", ""))
    begins = re.match(r"^[^\w]*[A-Z{“`]", text.strip())
    patterned = re.search(r"\\[bdswu]|\(\?|SELECT|</|^\{\}[/:|]|^[a-z]+:", text)
    spoken = re.search(r"[a-z] [a-z{“`]|[.!?]$", text.strip())
    return len(words) >= 2 and begins is not None and patterned is None and spoken is not None


def _bare(text: str) -> str:
    return re.sub(r"(\{\})+", "{}", SLOT.sub("{}", text)).strip()


def _known() -> set[str]:
    ids = (entry.id for entry in catalogue("de") if entry.id)
    return {_bare(one if isinstance(one, str) else one[0]) for one in ids} | {TOOLS_FOR_MODELS}


def _files() -> Iterator[Path]:
    for room in ROOMS:
        place = SOURCES / room
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _untold(source: str) -> list[str]:
    known = _known()
    lines = [line for _, text in _shown(ast.parse(source)) for line in text.split("\n")]
    return [
        line
        for line in dict.fromkeys(lines)
        if _is_sentence(line)
        and _bare(line) not in known
        and not _bare(line).startswith((*FOR_MODELS, *FOR_THE_OWNER, *FRAME))
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_sentence_of_a_chat_is_in_the_catalogues(room: str):
    files = [file for file in _files() if file.relative_to(SOURCES).parts[0] == room]
    assert files
    missing = {
        str(name): found
        for file in files
        if str(name := file.relative_to(SOURCES)) not in NOT_IN_CHATS and (found := _untold(file.read_text()))
    }
    assert missing == {}


@pytest.mark.parametrize(
    "source",
    [
        'x = {"text": f"Nobody has ever translated {this}."}',
        'def press():\n    return "Nobody has translated this."',
        'raise ModelRefused("Fine.", hint="Nobody has translated this.")',
        'SAYING = "Nobody has translated this."',
        'self._say(message, "Nobody has " if a else "Nobody has translated this.")',
    ],
)
def test_a_sentence_that_bypasses_the_catalogues_is_found(source: str):
    assert len(_untold(source)) >= 1


def test_what_is_left_out_of_the_walk_is_there():
    assert all((SOURCES / name).exists() for name in NOT_IN_CHATS)
