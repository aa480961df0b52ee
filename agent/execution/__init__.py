"""Where plans are carried out.

`graph.py` orders, `scheduler.py` hands out what is ready, `dispatcher.py` takes one step through, `executor.py` runs
`task` and `llm` steps with the model, `toolbox.py` runs a tool inside the walls or, for host tools, in this process.
"""
