"""Where plans come from: the model (`planner.py`, streamed, in the notation of `notation.py`) or the request's own words
(`offline.py`). `references.py` reads `{{ step.output.path[0] }}`.
"""
