"""The commands and buttons that come with Telegram, joined: people, groups, settings, /start, /more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.channels.people import PeopleDesk
from agent.channels.telegram.groups import GroupDesk
from agent.channels.telegram.more import MoreDesk
from agent.channels.telegram.settings import SettingsDesk
from agent.channels.telegram.start import StartDesk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from agent.channels.chat_settings import ChatSettings
    from agent.channels.telegram.start import Checks
    from agent.config import AppConfig
    from agent.domain.messages import Door, InboundMessage
    from agent.store.protocol import Store


def desks_of(
    config: AppConfig,
    store: Store,
    hear: Callable[[InboundMessage], Awaitable[None]],
    *,
    checks: Callable[[], Awaitable[Checks]],
    examples: Callable[[], list[str]],
    plugins: Callable[[], Mapping[str, str]],
    chat_settings: ChatSettings | None = None,
) -> list[Door]:
    """Return the doors, which any channel may use; see their classes for what they take."""
    return [
        PeopleDesk(store, config.owners),
        GroupDesk(store, config.telegram.groups),
        SettingsDesk(store, chat_settings),
        StartDesk(store, hear, checks, examples),
        MoreDesk(store, plugins),
    ]
