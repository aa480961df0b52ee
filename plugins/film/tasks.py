"""The tasks of a film production: what each does, which step carries it, how urgent it is, how long it may take.

A task WRITE_SCENE is the step `write_scene` of its pipeline; the runs of a pipeline have its priority.
"""

from __future__ import annotations

from dataclasses import dataclass

TIMEOUT = 300.0
SLOW = 1_800.0
PRIORITIES = {
    "film-script": 10,
    "film-shots": 8,
    "film-keyframes": 5,
    "film-preview": 5,
    "film-final": 3,
    "film-delivery": 1,
}


@dataclass(frozen=True, slots=True)
class TaskType:
    """A kind of task. `makes` is the file of the film that it makes, if any; `timeout` is in seconds."""

    name: str
    does: str
    pipeline: str
    makes: str = ""
    timeout: float = TIMEOUT

    @property
    def step(self) -> str:
        """The step that carries it."""
        return self.name.lower()

    @property
    def priority(self) -> int:
        """Higher comes first."""
        return PRIORITIES[self.pipeline]


TASKS = (
    TaskType("CREATE_PROJECT", "makes the film's folder", "film-script", "film.json"),
    TaskType("READ_SCRIPT", "reads a script that is there already", "film-script"),
    TaskType("WRITE_OUTLINE", "turns the idea into a logline and scenes in a sentence each", "film-script"),
    TaskType("CREATE_CHARACTERS", "says who is in the film and how they look", "film-script"),
    TaskType("DESCRIBE_LOCATIONS", "says where it plays and how that looks", "film-script"),
    TaskType("WRITE_STYLE_GUIDE", "says how the pictures look: light, colours, lenses", "film-script"),
    TaskType("WRITE_SCENE", "writes one scene: what happens, what is said", "film-script"),
    TaskType("REVISE_SCRIPT", "changes the script as the person wants it", "film-script"),
    TaskType("WRITE_SCRIPT", "puts the scenes into the script", "film-script", "script.md"),
    TaskType("CHECK_SCRIPT", "looks for what is wrong with the script", "film-script"),
    TaskType("BREAK_DOWN_SCRIPT", "finds the shots of each scene by rule", "film-shots"),
    TaskType("PLAN_SHOTS", "plans the shots of one scene", "film-shots"),
    TaskType("REVISE_SHOTS", "changes the shots as the person wants them", "film-shots"),
    TaskType("WRITE_SHOT_LIST", "numbers the shots and writes their list", "film-shots", "shots.csv"),
    TaskType("CHECK_SHOTS", "looks for what is wrong with the shots", "film-shots"),
    TaskType("ESTIMATE_COST", "says what pictures and videos will cost at most", "film-shots"),
    TaskType(
        "DRAW_STORYBOARD", "draws each shot on a card, and all on one sheet", "film-shots", "board/storyboard.png"
    ),
    TaskType("WRITE_IMAGE_PROMPTS", "says what each picture shows, in the same words each time", "film-keyframes"),
    TaskType("GENERATE_KEYFRAME", "has the picture of a shot made", "film-keyframes", "frames"),
    TaskType("DRAW_KEYFRAME", "draws the picture of a shot here", "film-keyframes", "frames"),
    TaskType("RUN_VISUAL_QA", "looks for pictures that show nothing", "film-keyframes"),
    TaskType("REGENERATE_KEYFRAME", "has a picture made again that showed nothing", "film-keyframes"),
    TaskType("CHECK_CONSISTENCY", "compares the pictures with the shots and with each other", "film-keyframes"),
    TaskType("SORT_NOTES", "finds out which shots the person's notes are about", "film-preview"),
    TaskType("EDIT_IMAGE", "changes a picture as the person wants it", "film-preview", "frames"),
    TaskType("REDRAW_KEYFRAME", "draws a picture anew as the person wants it", "film-preview", "frames"),
    TaskType("GENERATE_PREVIEW_VIDEO", "makes a film of the pictures, with title and words", "film-preview", "preview"),
    TaskType("GENERATE_FINAL_VIDEO", "has the video of a shot made from its picture", "film-final", "clips", SLOW),
    TaskType("ASSEMBLE_FINAL_VIDEO", "joins everything into the film", "film-final", "final", 900),
    TaskType("WRITE_SUBTITLES", "writes subtitles in step with the film", "film-final", "subtitles.srt"),
    TaskType("TRANSLATE_SUBTITLES", "writes them in another language", "film-final", "subtitles-other.srt"),
    TaskType("WRITE_VOICEOVER", "writes what a narrator says", "film-final", "voiceover.md"),
    TaskType("WRITE_MUSIC_CUES", "says what music each scene has", "film-final", "music.md"),
    TaskType("WRITE_CREDITS", "writes who plays and who made it", "film-final", "credits.txt"),
    TaskType("DRAW_POSTER", "makes the poster", "film-final", "poster.png"),
    TaskType("CHECK_FINAL_VIDEO", "looks for what is wrong before it is shown", "film-final"),
    TaskType("EXPORT_EDIT_LIST", "writes the edit list for editing programs", "film-delivery", "edit.edl"),
    TaskType("WRITE_REPORT", "writes the production's report", "film-delivery", "report.md"),
    TaskType("ARCHIVE_PROJECT", "puts everything into one file", "film-delivery", "archive.zip"),
)
