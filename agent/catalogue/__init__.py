"""Tools and commands: found, validated, described compactly, and filtered by profile.

A tool has a bare name (`fetch`) and a full one (`web.fetch`). Where two plugins use the same bare name it belongs to
the built-in one, or else to the one that loaded first; the other is reached by its full name. That does not depend on
a profile: what a name means never changes because something is forbidden.

`catalogue.py` finds them, `arguments.py` checks what they are called with, `signatures.py` and `narrowing.py` are for
models: what a tool looks like in a line, and which tools fit a request.
"""

from __future__ import annotations

from agent.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
