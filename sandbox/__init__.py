"""The sandbox runs: what a model wrote, and every tool by default.

This house never imports `agent`: nothing that sees the bot token or the model key is importable inside the walls.
"""
