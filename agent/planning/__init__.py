"""Where plans come from: the model, or without one the request's own words.

`planner.py` streams the model's plan, `notation.py` reads it line by line, `offline.py` plans without a model, and
`references.py` reads `{{ step.output.path[0] }}`.
"""
