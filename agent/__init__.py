"""The agent thinks: it plans, asks, schedules and answers.

Read `orchestrator.py` first, then `app.py`, which knows how every room is joined to the others.
"""

__version__ = "0.1.0"
