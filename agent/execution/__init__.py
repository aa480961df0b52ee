"""Where plans are carried out: `graph.py` orders, `scheduler.py` hands out what is ready, `dispatcher.py` takes one step
through, `executor.py` runs `task` and `llm` steps with the model, `host_tools.py` runs what may run outside the walls.
"""
