"""Settings: every source, its strength, and what a person reads when something is wrong."""

import stat
from pathlib import Path

import pytest

from agent.config import AppConfig, load_config
from agent.config.reference import settings_reference
from agent.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import os

    for name in list(os.environ):
        if name.startswith(("DIRIGENT_", "OPENAI_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("DIRIGENT_HOME", str(home))
    return home


def write(home: Path, text: str) -> Path:
    home.mkdir(exist_ok=True)
    (home / "dirigent.toml").write_text(text)
    return home / "dirigent.toml"


def problem(**overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(**overrides)
    return str(caught.value)


def test_without_any_source_the_defaults_hold(home: Path):
    config = load_config()
    assert (config.folder, config.limits.steps, config.model) == (home, 500, "auto")


def test_the_home_is_made_for_its_owner_only(home: Path):
    load_config()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_record_itself_looks_at_no_environment(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_MODEL", "from-env")
    assert AppConfig().model == "auto"


def test_arguments_beat_the_environment_which_beats_the_file(home: Path, monkeypatch: pytest.MonkeyPatch):
    write(home, 'model = "file"\nlog_level = "warning"\n[limits]\nsteps = 7\nreplans = 3')
    monkeypatch.setenv("DIRIGENT_MODEL", "env")
    monkeypatch.setenv("DIRIGENT_LIMITS__STEPS", "8")
    config = load_config(limits={"replans": 4})
    assert (config.model, config.limits.steps, config.limits.replans, config.log_level) == ("env", 8, 4, "WARNING")
    assert load_config(model="argument").model == "argument"


def test_an_argument_of_none_is_one_not_given(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_MODEL", "env")
    assert load_config(model=None).model == "env"


def test_an_empty_variable_is_one_not_set(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "")
    assert load_config().telegram_token is None


@pytest.mark.parametrize("text", ["4711,4712", " 4711 , 4712 ", "[4711, 4712]"])
def test_owners_are_a_list_of_numbers(home: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("DIRIGENT_OWNERS", text)
    assert load_config().owners == (4711, 4712)


def test_the_usual_names_of_the_model_server_are_read(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-one")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    config = load_config()
    assert config.openai_api_key is not None
    assert (config.openai_api_key.get_secret_value(), config.openai_base_url) == ("sk-one", "http://localhost:9/v1")
    monkeypatch.setenv("DIRIGENT_OPENAI_API_KEY", "sk-two")
    stronger = load_config().openai_api_key
    assert stronger is not None
    assert stronger.get_secret_value() == "sk-two"


def test_secrets_come_from_files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "token").write_text("1:abc\n")
    write(home, 'openai_api_key_file = "secrets/key"\n[secrets]\nMAIL_FILE = "secrets/mail"')
    (home / "secrets").mkdir()
    (home / "secrets" / "key").write_text("sk-file")
    (home / "secrets" / "mail").write_text("swordfish")
    (home / "secrets" / "GITHUB").write_text("octopus")
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN_FILE", str(tmp_path / "token"))
    config = load_config()
    assert config.telegram_token is not None
    assert config.openai_api_key is not None
    assert config.telegram_token.get_secret_value() == "1:abc"
    assert config.openai_api_key.get_secret_value() == "sk-file"
    assert config.secrets["MAIL"].get_secret_value() == "swordfish"
    assert config.secrets["GITHUB"].get_secret_value() == "octopus"


def test_a_secret_keeps_the_spelling_of_its_name(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_SECRETS__WEATHER_KEY", "sunny")
    assert load_config().secrets["WEATHER_KEY"].get_secret_value() == "sunny"


def test_a_missing_secret_file_is_named(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN_FILE", "/nowhere/token")
    assert "DIRIGENT_TELEGRAM_TOKEN_FILE" in problem()
    assert "/nowhere/token" in problem()


def test_plugins_have_settings_of_their_own(home: Path, monkeypatch: pytest.MonkeyPatch):
    write(home, '[plugins.web]\nsearxng = "http://localhost:8888"')
    monkeypatch.setenv("DIRIGENT_PLUGINS__MAIL__HOST", "localhost")
    assert load_config().plugins == {"web": {"searxng": "http://localhost:8888"}, "mail": {"host": "localhost"}}


def test_an_unknown_variable_is_refused_and_the_nearest_named(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKN", "123:secret")
    said = problem()
    assert "DIRIGENT_TELEGRAM_TOKN: no such setting; did you mean DIRIGENT_TELEGRAM_TOKEN?" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DIRIGENT_LIMITS__STPES", "DIRIGENT_LIMITS__STPES: no such setting; did you mean DIRIGENT_LIMITS__STEPS?"),
        ("DIRIGENT_LIMITS_STEPS", "DIRIGENT_LIMITS_STEPS: no such setting; did you mean DIRIGENT_LIMITS__STEPS?"),
        ("DIRIGENT_MODEL__NAME", "DIRIGENT_MODEL__NAME: no such setting"),
        ("DIRIGENT_XYZ__ABC__D", "DIRIGENT_XYZ__ABC__D: no such setting; `dirigent settings` lists all."),
        ("DIRIGENT_LIMITS__STEPS__X", 'limits.steps = {"x": "1"} (DIRIGENT_LIMITS__STEPS__X): must be a whole number.'),
        ("DIRIGENT_PLUGINS", "plugins (DIRIGENT_PLUGINS): must be a table."),
    ],
)
def test_a_variable_at_a_wrong_level_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str):
    monkeypatch.setenv(name, "1")
    assert said in problem()


def test_a_section_may_be_json(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_LIMITS", '{"steps": 3, "replans": 1}')
    monkeypatch.setenv("DIRIGENT_LIMITS__REPLANS", "2")
    limits = load_config().limits
    assert (limits.steps, limits.replans) == (3, 2)


def test_text_where_json_is_needed_is_said(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_LLM__PRICES", "cheap")
    assert "llm.prices (DIRIGENT_LLM__PRICES): must be JSON." in problem()


def test_the_files_in_secrets_set_no_other_settings(home: Path):
    write(home, "")
    (home / "secrets").mkdir()
    (home / "secrets" / "telegram_token").write_text("1:file\n")
    (home / "secrets" / "model").write_text("a secret of this name")
    (home / "secrets" / ".hidden").write_text("x")
    config = load_config()
    assert config.telegram_token is not None
    assert (config.telegram_token.get_secret_value(), config.model) == ("1:file", "auto")
    assert set(config.secrets) == {"model"}


def test_the_variable_of_a_secret_beats_the_variable_of_its_file(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN_FILE", "/nowhere/token")
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "1:direct")
    token = load_config().telegram_token
    assert token is not None
    assert token.get_secret_value() == "1:direct"


def test_an_unknown_key_of_the_file_is_refused_and_the_nearest_named(home: Path):
    file = write(home, "[limits]\nstpes = 3")
    assert f"limits.stpes ({file}): no such setting; did you mean limits.steps?" in problem()


def test_everything_wrong_is_said_at_once(home: Path, monkeypatch: pytest.MonkeyPatch):
    file = write(home, '[limits]\nsteps = "many"\n[telegram]\ngroups = "loud"')
    monkeypatch.setenv("DIRIGENT_LIMITS__REPLANS", "99")
    monkeypatch.setenv("DIRIGENT_OPENAI_BASE_URL", "localhost")
    said = problem()
    assert f'limits.steps = "many" ({file}): must be a whole number.' in said
    assert 'limits.replans = "99" (DIRIGENT_LIMITS__REPLANS): must be at most 25.' in said
    assert 'telegram.groups = "loud"' in said
    assert "'mention', 'commands', 'all' or 'never'" in said
    assert "must be an address that begins with http:// or https://" in said


def test_a_wrong_secret_is_never_shown(home: Path):
    write(home, "telegram_token = 123456789012")
    said = problem()
    assert "telegram_token" in said
    assert "123456789012" not in said


def test_a_file_that_is_no_toml_is_named(home: Path):
    file = write(home, "model = ")
    assert str(file) in problem()
    assert "Invalid value" in problem()


def test_the_home_cannot_move_itself(home: Path):
    write(home, 'home = "/elsewhere"')
    assert "set DIRIGENT_HOME instead" in problem()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, home: Path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file" / "home") in problem(home=tmp_path / "file" / "home")


def test_a_short_token_of_the_api_is_refused_and_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_WEB__TOKEN", "swordfish")
    with pytest.raises(ConfigError, match=r"web\.token \(DIRIGENT_WEB__TOKEN\).*16") as error:
        load_config()
    assert "swordfish" not in str(error.value)


def test_every_setting_is_explained():
    for setting in settings_reference():
        assert len(setting.text) > 10, setting.key
        assert setting.env == "DIRIGENT_" + setting.key.upper().replace(".", "__")


def test_the_reference_names_every_setting_and_no_secret_default():
    keys = {setting.key for setting in settings_reference()}
    assert {"telegram_token", "owners", "limits.money", "sandbox.unsafe", "llm.prices", "telegram.groups"} <= keys


@pytest.mark.parametrize("setting", settings_reference(), ids=lambda setting: setting.key)
def test_every_setting_can_be_given_by_its_variable(home: Path, monkeypatch: pytest.MonkeyPatch, setting):
    other = {
        "int": lambda: str(int(setting.default) + 1),
        "float": lambda: str(float(setting.default) / 2 or 1.5),
        "bool": lambda: str(setting.default != "true"),
        "path": lambda: str(home / "elsewhere"),
        "secret": lambda: "s3cret-and-long-enough",
        "text": lambda: {"tracing.sample": "0.5", "sessions.storage": "s3://bucket/x"}.get(
            setting.key, setting.choices[-1] if setting.choices else "https://other"
        ),
        "list": lambda: "5",
        "table": lambda: {
            "secrets": '{"A": "b"}',
            "llm.prices": '{"m": [1, 2]}',
            "plugins": '{"a": {"b": "c"}}',
            "tools": '{"a.b": {"once": true}}',
            "tracing.headers": '{"a": "b"}',
            "mcp": '{"time": {"command": ["mcp-server-time"]}}',
        }[setting.key],
    }
    monkeypatch.setenv(setting.env, other[setting.kind]())
    given, default = load_config(), AppConfig()
    for part in setting.key.split("."):
        given, default = getattr(given, part), getattr(default, part)
    assert given != default
