"""Earlier states of a session's workspace, kept beside it, and the way back to them.

`kept.py` keeps bytes once per content where no sandbox reaches them, `comparing.py` says what going back would do,
`versions.py` journals a snapshot before a run's first step that can write, another at its end, and has files put back.
"""
