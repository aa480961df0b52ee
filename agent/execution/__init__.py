"""Where plans are carried out.

`graph.py` orders, `scheduler.py` hands out what is ready, `dispatcher.py` takes one step through, `executor.py` runs
`task` and `llm` steps with the model, `toolbox.py` runs a tool inside the walls or, for host tools, in this process.

Steps of pipelines have more: `pipes.py` looks at their conditions, fills in their templates (with `values.py`), and
turns them into others: `lists.py` one for each entry, `checkpoints.py` those that a person wants to be different.
"""
