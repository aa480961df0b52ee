"""The Telegram door. Start at `channel.py`.

`receive.py` polls and stores · `updates.py` turns updates into messages · `files.py` downloads · `render.py` makes what
a person sees out of payloads · `formatting.py` turns Markdown into texts with entities · `courier.py` and
`sendfiles.py` put them into the chat.
"""
