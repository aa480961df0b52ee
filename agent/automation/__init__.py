"""Automation: what starts runs by itself. Schedules, dropped files, events, webhooks, fires by hand.

`scheduler.py` is the heart: it sleeps until the journal's next fire. `times.py` knows when a schedule fires, `files.py`
which files have arrived whole, `mapping.py` which rules an event meets and `events.py` what is done about it,
`webhook.py` whether a call is signed, `launching.py` how a fire becomes a run. `declared.py` and `pipelines.py` keep
the triggers that pipelines' files declare, `chains.py` runs pipelines one after the other. `wording.py` understands
"every Friday at 9"; `chat.py` and `desks.py` show and change all this in a chat, `overview.py` puts it into words.
`grants_desk.py` lists what was agreed to beforehand, and takes it back.
"""
