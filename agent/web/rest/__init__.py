"""The API's routes by subject.

`runs.py`, `people.py` (what waits for a word), `automation.py`, `sessions.py`, `accounts.py` (money, figures, the audit
log). `taking.py` reads bodies; `agent.web.orders` says what comes in, `agent.web.shapes` what goes out.
"""
