"""What a job needs to find inside so that ordinary programs use the network through the proxy, and pip works.

Programs are told of the proxy by the variables that everybody reads. There are no name servers inside: the proxy looks
names up.
"""

from __future__ import annotations

import configparser
import functools
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from loguru import logger

from sandbox.api import SandboxError
from sandbox.places import BadPlace, Places
from sandbox.proxy import Grant, Rules
from sandbox.workspace import PACKAGES

if TYPE_CHECKING:
    from sandbox.api import Job, Policy

_LOCAL = "localhost,127.0.0.1,::1"
_USUAL_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",
)
_ROOT_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO")
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host")


def grant(session: str, job: Job, policy: Policy) -> Grant | None:
    """Return the leave that a job gets, None when it asks for nothing and nothing is allowed to all.

    Raises SandboxError for a rule that cannot be read.
    """
    if not job.net and not policy.allow_hosts:
        return None
    rules = Rules(
        _places("sandbox.allow_hosts", policy.allow_hosts),
        _places("the job's hosts", job.net),
        _places("sandbox.tool_hosts", policy.tool_hosts),
        _places("sandbox.private_hosts", policy.private_hosts),
    )
    dial = policy.dialler() if policy.dialler is not None else None
    limit = policy.traffic_mb << 20
    return Grant(session, rules, limit, policy.on_connection, run=job.run, step=job.step, dial=dial)


def nobody(session: str, policy: Policy) -> Grant:
    """Return what stands for a session's jobs without leave: it allows nothing and notes what they want."""
    return Grant(session, Rules(*[Places()] * 4), 0, policy.on_connection)


@functools.lru_cache(maxsize=256)
def _places(setting: str, texts: tuple[str, ...]) -> Places:
    try:
        return Places.parse(texts)
    except BadPlace as error:
        remedy = "Write hosts like: api.example.org, api.example.org:8443, *.example.org."
        raise SandboxError(f"{setting} holds something that is no host: {error}.", remedy=remedy) from None


def environment(given: Grant, port: int) -> dict[str, str]:
    """Return the variables for a job that may use the proxy at `port`."""
    url = f"http://job:{given.token}@127.0.0.1:{port}"
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    found = {name: url for upper in names for name in (upper, upper.lower())}
    return found | {"NO_PROXY": _LOCAL, "no_proxy": _LOCAL} | pip_settings()


@functools.cache
def roots() -> str:
    """Return the file with the certificates that this machine trusts, empty when there is none."""
    given = [os.environ.get(name, "") for name in _ROOT_VARIABLES]
    for path in (*given, ssl.get_default_verify_paths().cafile or "", *_USUAL_ROOTS):
        if path and Path(path).is_file():
            return path
    return ""


def trust(path: str) -> dict[str, str]:
    """Return the variables by which programs find the trusted certificates at `path`."""
    return dict.fromkeys(_ROOT_VARIABLES, path) if path else {}


def packages(workdir: str) -> dict[str, str]:
    """Return the variables that have pip install into the session's own folder, and programs find it there."""
    return {
        "PYTHONUSERBASE": f"{workdir}/{PACKAGES}",
        "PIP_USER": "1",
        "PIP_BREAK_SYSTEM_PACKAGES": "1",  # it is the session's own folder that they go into
        "PIP_NO_INPUT": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_WARN_SCRIPT_LOCATION": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def library_folder(workdir: str) -> str:
    """Return where pip puts libraries of the session."""
    return f"{workdir}/{PACKAGES}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


@functools.cache
def pip_settings() -> dict[str, str]:
    """Return where this machine's pip looks for packages, as variables; its own default when nothing is set.

    Files of packages stay outside, and so does the password of an index: a job would see it.
    """
    found: dict[str, str] = {}
    for path in _pip_files():
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key: value for key, value in parser.items(section) if key in _PIP_KEYS}
    for key in _PIP_KEYS:
        found[key] = os.environ.get(_variable(key), found.get(key, ""))
    kept = {_variable(key): " ".join(filter(_fit, value.split())) for key, value in found.items()}
    return {name: value for name, value in kept.items() if value}


def _variable(key: str) -> str:
    return "PIP_" + key.upper().replace("-", "_")


def _pip_files() -> list[Path]:
    """Return pip's configuration files, those that win last."""
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    usual = (Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf", Path(sys.prefix, "pip.conf"))
    named = os.environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    return [*usual, *([Path(named)] if named else [])]


def _fit(value: str) -> bool:
    if "://" not in value:
        return True
    parts = urlsplit(value)
    if parts.username or parts.password:
        logger.warning("pip's index at {} needs a password, which is kept from the sandbox", parts.hostname)
        return False
    return parts.scheme in {"http", "https"}
