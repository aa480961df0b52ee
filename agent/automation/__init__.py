"""Automation: what starts runs by itself. Schedules, dropped files, events, fires by hand; nothing else knows of them.

`scheduler.py` is the heart: it sleeps until the journal's next fire. `times.py` knows when a schedule fires, `files.py`
which files have arrived whole, `events.py` which triggers an event concerns, `wording.py` what people mean by "every
Friday at 9", and `chat.py` shows and makes schedules in a chat.
"""
