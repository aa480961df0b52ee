"""Plugins do: one folder or file per plugin, and `plugins.api` as the only door they use."""
