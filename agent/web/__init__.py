"""The HTTP door: signed webhooks, Telegram's webhook mode, a sign of life, metrics, the REST API.

`app.py` joins the routers, one file each; `guard.py` stands before all of them (whose Host it is, how much comes in);
`server.py` listens. Nothing here decides anything: each route hands what it was sent to the room that knows.
"""
