"""`dirigent deploy`: a folder that starts in containers, and stays its owner's."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.cli.deploying import DATA, HOUSES, PACKAGES
from agent.config.reference import settings_reference

DESK = {"plain": (), "workers": ("--workers", "3")}
SERVICE = {
    *("build", "cap_add", "cap_drop", "command", "depends_on", "environment", "extends", "extra_hosts"),
    *("healthcheck", "image", "init", "logging", "mem_limit", "memswap_limit", "networks", "pids_limit", "ports"),
    *(
        "read_only",
        "restart",
        "scale",
        "secrets",
        "security_opt",
        "shm_size",
        "stop_grace_period",
        "tmpfs",
        "user",
        "volumes",
    ),
}  # of the compose specification; a name that it does not have is refused by every engine
TOP = {"name", "services", "volumes", "networks", "secrets"}


@pytest.fixture
def deploy(dirigent, tmp_path: Path):
    def run(*words: str) -> tuple[int, str, str]:
        return dirigent("deploy", "--no-input", str(tmp_path / "there"), *words)

    return run


@pytest.fixture(params=DESK)
def there(request: pytest.FixtureRequest, deploy, tmp_path: Path) -> Path:
    assert deploy(*DESK[request.param], "--token", "1:abc", "--owner", "4711", "--owner", "12", "--model", "m")[0] == 0
    return tmp_path / "there"


def compose(folder: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML

    read: dict[str, Any] = YAML(typ="safe").load((folder / "compose.yaml").read_text())
    return {name: value for name, value in read.items() if not name.startswith("x-")}


def ours(read: dict[str, Any]) -> list[dict[str, Any]]:
    return [read["services"][name] for name in ("dirigent", "worker") if name in read["services"]]


def test_compose_holds_only_what_its_specification_knows(there: Path):
    read = compose(there)
    assert set(read) <= TOP
    for service in read["services"].values():
        assert set(service) <= SERVICE
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert {name for name in named if not name.startswith(".")} <= set(read["volumes"])
        assert set(service.get("secrets", ())) <= set(read["secrets"])
        assert set(service.get("networks", ())) <= set(read.get("networks", {}))
        assert set(service.get("depends_on", {})) <= set(read["services"])


def test_everything_that_compose_names_is_there(there: Path):
    read = compose(there)
    mounted = {volume.partition(":")[0] for one in read["services"].values() for volume in one.get("volumes", ())}
    files = [secret["file"] for secret in read["secrets"].values()]
    extended = [one["extends"]["file"] for one in read["services"].values() if "extends" in one]
    for path in [*(path for path in mounted if path.startswith(".")), *files, *extended, "image/Dockerfile"]:
        assert (there / path).exists(), path
    given = {line.partition("=")[0] for line in (there / ".env").read_text().splitlines() if "=" in line}
    assert set(re.findall(r"\$\{([A-Z_]+)", (there / "compose.yaml").read_text())) == given


def test_the_sandbox_is_the_sidecars_own(there: Path):
    from ruamel.yaml import YAML

    read = compose(there)
    beside = there / read["services"]["sandbox"]["extends"]["file"]
    sidecar = YAML(typ="safe").load(beside.read_text())["services"]["sandbox"]
    context = (beside.parent / sidecar["build"]["context"]).resolve()
    assert context == there / "image"
    copied = re.findall(r"^COPY (\S+)", (context / sidecar["build"]["dockerfile"]).read_text(), re.MULTILINE)
    assert copied
    assert all((context / name).exists() for name in copied)
    for one in ours(read):
        assert one["user"] == sidecar["user"]
        assert set(sidecar["volumes"]) <= set(one["volumes"])
        assert one["environment"]["DIRIGENT_SANDBOX__SIDECAR"] == "/run/dirigent/sandbox.sock"
    assert not {"environment", "secrets", "networks", "ports"} & set(read["services"]["sandbox"])


def test_the_containers_can_write_only_their_volumes_and_have_no_rights(there: Path):
    for one in ours(compose(there)):
        assert (one["read_only"], one["cap_drop"], one["user"]) == (True, ["ALL"], "10001:10001")
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "pids_limit", "restart", "stop_grace_period", "init"} <= set(one)
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ()))


def test_the_containers_find_their_settings_in_it(there: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from agent.config import load_config

    values = dict(line.split("=", 1) for line in (there / ".env").read_text().splitlines() if "=" in line)
    known = {setting.env for setting in settings_reference()} | {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
    for one in ours(compose(there)):
        environment = {name: filled(text, values) for name, text in one["environment"].items() if name != "TZ"}
        assert {name.removesuffix("_FILE") for name in environment} <= known
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value.replace("/run/secrets", str(there / "secrets")))
            patch.setenv("DIRIGENT_HOME", str(tmp_path / "inside"))
            config = load_config()
        assert (config.owners, config.model) == ((12, 4711), "m")
        assert config.telegram_token is not None
        assert config.web.password is not None
        assert (config.store is None) == ("DIRIGENT_STORE_FILE" not in environment)


def filled(text: str, values: dict[str, str]) -> str:
    """Put in values as compose does: `${NAME:-default}`."""
    return re.sub(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", lambda found: values.get(found[1]) or found[2] or "", text)


def test_others_on_the_machine_are_kept_away_by_the_folder(there: Path):
    assert stat.S_IMODE(there.stat().st_mode) == 0o700
    for secret in (there / "secrets").iterdir():  # the containers' user has another number
        assert stat.S_IMODE(secret.stat().st_mode) == 0o644


def test_no_secret_stands_outside_the_secrets(there: Path):
    secrets = [file.read_text().strip() for file in (there / "secrets").iterdir()]
    texts = [path.read_text() for path in there.iterdir() if path.is_file()]
    assert not [value for value in secrets if value for text in texts if value in text]


def test_the_database_takes_the_password_that_the_agent_has(deploy, tmp_path: Path):
    deploy("--workers")
    folder = tmp_path / "there" / "secrets"
    password = (folder / "postgres_password").read_text()
    assert len(password) > 40
    assert (folder / "store").read_text() == f"postgresql://dirigent:{password}@postgres/dirigent"


def test_what_the_images_are_built_from_is_whole_and_starts(there: Path, tmp_path: Path):
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=HOUSES, capture_output=True, text=True, check=False)
    tracked = {name for name in listed.stdout.splitlines() if (HOUSES / name).exists()}
    image = there / "image"
    assert tracked
    assert not {name for name in tracked if not (image / name).is_file()}
    assert not list(image.rglob("*.pyc"))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(image), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-P", "-m", "agent", "version"]
    said = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert str(image) in said


def test_an_update_replaces_the_image_and_keeps_settings_and_secrets(deploy, there: Path):
    kind = "workers" if (there / "secrets" / "store").exists() else "plain"
    env = (there / ".env").read_text()
    (there / ".env").write_text(
        env.replace("DIRIGENT_VERSION=0.1.0", "DIRIGENT_VERSION=0.0.9").replace("TZ=", "TZ=Mars/")
    )
    (there / "dirigent.toml").write_text('log_level = "DEBUG"\n')
    (there / "image" / "agent" / "gone.py").write_text("")
    before = {file.name: file.read_text() for file in (there / "secrets").iterdir()}
    assert deploy()[0] == 0  # of the kind that it was
    assert (there / ".env").read_text() == env.replace("TZ=", "TZ=Mars/")
    assert (there / "dirigent.toml").read_text() == 'log_level = "DEBUG"\n'
    assert {file.name: file.read_text() for file in (there / "secrets").iterdir()} == before
    assert not (there / "image" / "agent" / "gone.py").exists()
    assert ("worker" in compose(there)["services"]) == (kind == "workers")


def test_a_changed_compose_file_is_not_written_over_unasked(deploy, there: Path):
    mine = (there / "compose.yaml").read_text() + "# mine\n"
    (there / "compose.yaml").write_text(mine)
    code, _, err = deploy()
    assert code == 1
    assert "compose.yaml in" in err
    assert "--yes" in err
    assert (there / "compose.yaml").read_text() == mine
    assert deploy("--yes")[0] == 0
    assert (there / "compose.yaml.before").read_text() == mine
    assert "# mine" not in (there / "compose.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--base-url", "localhost"), "openai_base_url"),
        (("--workers", "-1"), "-1 workers"),
        (("--model", "a b"), "holds a sign"),
    ],
)
def test_what_no_dirigent_would_start_with_is_refused_and_nothing_is_written(deploy, tmp_path: Path, words, said: str):
    code, _, err = deploy(*words)
    assert code == 1
    assert said in err
    assert not (tmp_path / "there").exists()


def test_a_folder_named_image_that_is_somebody_elses_stays(deploy, tmp_path: Path):
    (tmp_path / "there" / "image").mkdir(parents=True)
    (tmp_path / "there" / "image" / "holiday.jpg").write_text("")
    code, _, err = deploy()
    assert code == 1
    assert "is not of `dirigent deploy`" in err
    assert (tmp_path / "there" / "image" / "holiday.jpg").exists()


def test_the_image_has_a_user_of_its_own():
    text = (DATA / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in last
    assert "--require-hashes" in text
    assert not re.search(r"(?i)^(ARG|ENV) .*(token|key|password|secret)", text, re.MULTILINE)


def test_the_images_packages_are_those_of_the_lock_without_the_developers():
    pins = [set(re.findall(r"^\S+==\S+", path.read_text(), re.MULTILINE)) for path in locks()]
    assert pins[0] < pins[1]
    assert not {pin.partition("==")[0] for pin in pins[0]} & {"pytest", "mypy", "playwright", "ruff"}


def locks() -> list[Path]:
    return [DATA / "requirements.lock", HOUSES / "requirements.lock"]


def test_each_container_is_asked_for_its_health_where_it_answers(there: Path):
    for one in ours(compose(there)):  # not by the image: podman builds images without a health check
        port = one["environment"]["DIRIGENT_WEB__PORT"]
        assert f"http://127.0.0.1:{port}/health" in one["healthcheck"]["test"][-1]
        assert one.get("command") in (None, ["worker", "--metrics-port", port])


def test_folders_in_memory_are_made_with_what_every_engine_knows(there: Path):
    for one in ours(compose(there)):
        for folder in one["tmpfs"]:
            options = folder.partition(":")[2].split(",")
            assert {option.partition("=")[0] for option in options} == {"size", "mode"}  # podman refuses uid and gid
            assert "mode=1777" in options
