"""The owner's trust, in tests: plugins in the home's folder whose tools run on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.catalogue.trusting import pin
from plugins.loader import places

if TYPE_CHECKING:
    from agent.config import AppConfig


def trusting(config: AppConfig, *names: str) -> AppConfig:
    """Return the configuration with these plugins trusted as their files are now."""
    for place in places(config.plugin_places, entry_points=False):
        if place.name in names:
            pin(config.folder, place.name, place.digest())
    return config.model_copy(update={"trusted_plugins": (*config.trusted_plugins, *names)})
