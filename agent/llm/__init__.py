"""Models: the LLM protocol, the OpenAI-compatible client (the only door to `openai`), tokens, prices, detection.

`detect` finds a model and opens it · `openai_client` calls it, on top of `quirks` (what a server does not take),
`structured` (answers of a given shape), `reading`, `sse`, `reply`, `thoughts`, `repetition` (its stream) and `failures`
(what went wrong, and whether to try again) · `tokens` and `prices` count · `probe` and `addresses` know servers.
"""
