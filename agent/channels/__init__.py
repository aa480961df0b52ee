"""Doors for people. `base.py` is the protocol; `inbox.py` and `outbox.py` are what every channel shares."""
