"""The pages for the owner under `/admin`: what runs, what waits for a word, what it costs, and what starts by itself.

`entry.py` lets the owner in (password or a one-time code, then a cookie), `house.py` is what the pages work with,
`pages.py` and `changes.py` are the routes that show and that change, `live.py` streams a run as it goes, `views.py` and
`picture.py` make what the templates show. Pages are made here on the server; without JavaScript only the live updates
are missing.
"""
