"""Temporary name for agent.planning.references, which moves here."""

from agent.planning.references import *  # noqa: F403
