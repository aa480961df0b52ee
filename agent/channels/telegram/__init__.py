"""The Telegram door. Start at `channel.py`.

In: `receive.py` polls, `webhook.py` is called; both hand batches to `intake.py`, which stores them · `updates.py` and
`contents.py` turn updates into messages · `directory.py` knows people and chats, `strangers.py` meets the others ·
`files.py` downloads, `voices.py` understands what was spoken.

Out: `render.py` makes what a person sees out of payloads, `exact.py` what they consent to · `formatting.py` turns
Markdown into texts with entities ·
`courier.py` and `sendfiles.py` put them into the chat · `signs.py` shows signs of life, `presses.py` answers buttons.

`desks.py` joins the commands and buttons of its own: /start, /group, /settings, /more, /users; `menu.py` publishes all.
"""
