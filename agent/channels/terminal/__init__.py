"""The terminal as a channel: a conversation, or one request; drawn, plain, or as JSON lines.

`conversation.py` tells the story; `face.py` says what a face draws; `rich_face.py`, `plain_face.py` and `json_face.py`
are the three there are; `keyboard.py` reads what a person types or pipes in, `meanwhile.py` what is typed while work
goes on; `named_files.py` finds the files that a
request names.
"""

from agent.channels.terminal.conversation import Terminal
from agent.channels.terminal.endings import Ending

__all__ = ["Ending", "Terminal"]
