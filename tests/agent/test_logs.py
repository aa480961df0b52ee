"""The log: planted secrets never reach the file, whatever way they take."""

import base64
import json
import logging
import stat
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from agent import logs
from agent.logs import HIDDEN, PATTERNS, Redactor, correlated, set_up_logs

CANARY = 'swordfish"with\\odd/characters'
TOKEN = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "redact", Redactor())
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logs.close_logs()
    root.handlers[:] = before
    root.setLevel(level)


def by_argument() -> None:
    logger.info("the value is {}", CANARY)


def by_extra() -> None:
    logger.bind(secret=CANARY).info("bound")


def by_exception() -> None:
    try:
        raise ValueError(f"no such key {CANARY}")
    except ValueError:
        logger.exception("it failed")


def by_cause() -> None:
    try:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        logger.opt(exception=True).error("it failed")


def by_a_library() -> None:
    logging.getLogger("some.library").warning("POST %s", f"http://x/{CANARY}/send")


def by_a_librarys_exception() -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("some.library").exception("failed")


def by_address() -> None:
    logger.info("GET http://x/?key={}", urllib.parse.quote(CANARY, safe=""))


def by_basic_authentication() -> None:
    logger.info("Authorization: Basic {}", base64.b64encode(CANARY.encode()).decode())


def by_repr() -> None:
    logger.info("arguments {!r}", {"key": CANARY})


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    "way",
    [by_argument, by_extra, by_exception, by_cause, by_a_library, by_a_librarys_exception, by_address,
     by_basic_authentication, by_repr],
)  # fmt: skip
def test_a_configured_secret_never_reaches_the_file(tmp_path: Path, way, as_json: bool):
    file = set_up_logs(tmp_path, as_json=as_json, secrets=[CANARY])
    way()
    written = file.read_text()
    assert "[hidden]" in written
    for spelling in (CANARY, "swordfish", base64.b64encode(CANARY.encode()).decode()):
        assert spelling not in written


@pytest.mark.parametrize(
    "secret",
    [
        f"https://host/bot{TOKEN}/getMe",
        "sk-proj-abcdefghijklmnopqrst",
        "ghp_abcdefghijklmnopqrstuvwx",
        "AKIAABCDEFGHIJKLMNOP",
    ],
)
def test_what_looks_like_a_key_is_hidden_though_nobody_configured_it(tmp_path: Path, secret: str):
    file = set_up_logs(tmp_path)
    logger.info("used {}", secret)
    assert secret.removeprefix("https://host/bot").removesuffix("/getMe") not in file.read_text()


@pytest.mark.parametrize(
    "ordinary", ["4711:12", "see http://localhost:8000/v1", "12:30:59", "task-force", "a@b.example"]
)
def test_ordinary_text_stays_as_it_is(ordinary: str):
    assert Redactor()(ordinary) == ordinary


def test_a_password_in_an_address_is_hidden():
    assert Redactor()("postgres://me:pass@host/db") == "postgres://[hidden]@host/db"


def test_a_short_value_does_not_garble_the_log():
    assert Redactor(["ab"])("about") == "about"


def test_local_variables_are_not_written_with_a_traceback(tmp_path: Path):
    file = set_up_logs(tmp_path)
    kept_aside = "a-value-that-nobody-declared"
    try:
        raise ValueError(len(kept_aside))
    except ValueError:
        logger.exception("it failed")
    assert "ValueError: 28" in file.read_text()
    assert "a-value-that" not in file.read_text()


def test_only_the_owner_can_read_the_file(tmp_path: Path):
    file = set_up_logs(tmp_path / "logs")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_line_of_a_block_carries_its_correlation_id(tmp_path: Path):
    file = set_up_logs(tmp_path)
    logger.info("before")
    with correlated("R-17"):
        logger.info("inside")
    before, inside = file.read_text().splitlines()
    assert " R-17 " not in before
    assert " R-17 " in inside


def test_a_message_cannot_pose_as_a_line_of_its_own(tmp_path: Path):
    file = set_up_logs(tmp_path)
    logger.info("first\n2026-01-01 ERROR forged")
    assert file.read_text().splitlines()[1].startswith("    ")


def test_json_lines_are_json(tmp_path: Path):
    file = set_up_logs(tmp_path, as_json=True, secrets=[CANARY])
    with correlated("R-1"):
        logger.bind(step="s1").warning('said "{}"', CANARY)
    line = json.loads(file.read_text())
    assert (line["level"], line["corr"], line["step"], line["message"]) == ("WARNING", "R-1", "s1", 'said "[hidden]"')


def test_lines_below_the_level_are_left_out(tmp_path: Path):
    file = set_up_logs(tmp_path, level="ERROR")
    logger.warning("quiet")
    logger.error("loud")
    assert "quiet" not in file.read_text()
    assert "loud" in file.read_text()


def test_a_service_shows_its_log_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    set_up_logs(tmp_path, secrets=[CANARY], to_stderr=True)
    logger.warning("key {}", CANARY)
    shown = capsys.readouterr().err
    assert "key [hidden]" in shown


def test_the_file_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "FILE_BYTES", 500)
    file = set_up_logs(tmp_path)
    for number in range(20):
        logger.info("line {}", number)
    assert (tmp_path / "dirigent.log.1").exists()
    assert file.stat().st_size < 600


FRAGMENTS = [
    "123456789:",
    "A" * 35,
    "sk-",
    "\u017fk-",
    "ghp_",
    "x" * 24,
    "xoxb-",
    "1234567890",
    "AKIA",
    "eyJ",
    ".",
    "://",
]
FRAGMENTS += [
    "user:pass@",
    "Bearer ",
    "-----BEGIN PRIVATE KEY-----",
    "github_pat_",
    " ",
    "/bot",
    "ordinary words",
    "\n",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join))
def test_what_is_looked_for_first_leaves_out_no_key(text: str):
    assert Redactor()(text) == PATTERNS.sub(HIDDEN, text)
