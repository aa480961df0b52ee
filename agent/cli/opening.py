"""What every command that works with an installation does first: read the settings, open the log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.config import AppConfig, load_config
from agent.logs import set_up_logs

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterator

    from agent.app import App

TELLING = ("key", "token", "secret", "password")


def open_config(arguments: argparse.Namespace, *, to_stderr: bool = False, **overrides: Any) -> AppConfig:
    """Return the settings, and log to `logs/` in the home from here on. Raises ConfigError."""
    config = load_config(home=arguments.home, **overrides)
    set_up_logs(
        config.folder / "logs",
        level=config.log_level,
        as_json=config.log_json,
        secrets=secrets_of(config),
        to_stderr=to_stderr,
    )
    return config


@contextlib.asynccontextmanager
async def journal_open(config: AppConfig) -> AsyncIterator[App]:
    """Yield the rooms of an installation with its journal open: to look and to change, not to work on runs."""
    from agent.app import build_app

    app = build_app(config)
    await app.store.open()
    try:
        yield app
    finally:
        await app.stop()


def secrets_of(config: AppConfig) -> Iterator[str]:
    """Yield every value that must never be shown."""
    tokens = (
        config.telegram_token,
        config.openai_api_key,
        config.web.token,
        config.web.read_token,
        config.web.metrics_token,
        config.web.password,
    )
    for secret in (*tokens, *config.tracing.headers.values(), *config.secrets.values()):
        if secret is not None:
            yield secret.get_secret_value()
    if config.store is not None:
        yield config.store.get_secret_value()
        yield urlsplit(config.store.get_secret_value()).password or ""
    for settings in config.plugins.values():
        yield from (value for name, value in settings.items() if any(word in name.lower() for word in TELLING))
