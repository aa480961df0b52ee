"""Where plans are carried out.

`graph.py` orders, `scheduler.py` hands out what is ready, `dispatcher.py` takes one step through, `executor.py` runs
`task` and `llm` steps with the model, `toolbox.py` runs a tool inside the walls or, for host tools, in this process.

Steps of pipelines have more: `pipes.py` looks at their conditions, fills in their templates (with `values.py`), and
turns them into others: `lists.py` one for each entry, `checkpoints.py` those that a person wants to be different.

What waits for a person: `people.py` asks and reads the answers out of the journal, `gathering.py` finds the calls that
are asked about at the same time, `together.py` shows them in one message, `editing.py` and `comments.py` take what a
person wants to be different, `standing.py` knows what was agreed to before, `in_private.py` what a group is not told.
"""
