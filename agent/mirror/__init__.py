"""Sessions' files where several hosts work on them: an object each in S3-compatible storage, mirrored into the home.

Read `mirror.py` first: `fetch` brings a session's folder here, `keep` brings what has changed here into the storage.
`objects.py` is the only door to the library; what it raises are Dirigent's errors.
"""
