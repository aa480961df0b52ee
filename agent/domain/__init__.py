"""Records only, no I/O: plans, steps, runs, messages, sessions, provenance, and the seven states.

One module per subject; import from the module that defines a record.
"""
