"""Skills: folders with instructions of the owner's for a kind of task, in the open Agent Skills format.

A skill is `skills/NAME/SKILL.md` in the home or in one of `skill_folders`: a front matter with `name` and
`description`, then instructions in Markdown; scripts, references and templates may lie beside it. The planner is shown
names and descriptions, and loads the instructions of one when a request calls for it. The other files are read-only
inside the sandbox, where they lie outside.

What a skill says counts as the owner's word, so skills are taken from the owner's folders alone: a folder of the same
shape among a session's files is a stranger's text like any other. `reading.py` checks a folder, `shelf.py` finds them.
"""

from __future__ import annotations

from agent.skills.reading import Skill, SkillError, read_skill
from agent.skills.shelf import Skills

__all__ = ["Skill", "SkillError", "Skills", "read_skill"]
