"""Film production: from an idea or a script to a film, in six pipelines that start each other by events.

    /run film name=lighthouse "idea=A keeper finds out who answers her signals" budget=5

A film has its folder `films/NAME/` in the workspace, and its project with a budget. It stops four times to ask: when
the scenes are written, when the shots are planned, when the preview is ready, and when the film is. Each time it may go
on, be revised with a comment, or end.

With a media server (`[plugins.media]`) pictures and videos come from there; without one they are drawn here. With a
model scenes and shots are written by it; without one they come from a script that is given:
`/run film name=lighthouse script=script.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from plugins.api import Button, File, Menu, Output, Plugin, ToolFailure, tool

plugin = Plugin(
    summary="Films from an idea or a script: storyboard, preview, final video, with four checkpoints.",
    ui=(Menu("Film", (Button("Films", "film status"), Button("Tasks of a film", "film tasks"))),),
)

SEEN = 12
MAX_SCRIPT = 2_000_000
Stage = Literal["script", "shots", "frames", "final"]
Paper = Literal["subtitles", "voiceover", "music", "credits", "edit list", "report"]


@tool(effect="pure", produces=("text",), examples=("film name of {name}",))
def film_name(name: str) -> str:
    """Return a film's name as its project has it: small letters, digits and dashes."""
    from plugins.film.records import slug

    return slug(name)


@tool(effect="write_inside", produces=(".json",), examples=("begin the film {name} about {idea}",))
def film_begin(
    name: str,
    *,
    title: str = "",
    idea: str = "",
    seconds: float = 60,
    language: str = "English",
    style: str = "",
    script: Annotated[str, File(".md", ".txt", ".fountain", ".docx", ".pdf")] = "",
    people: dict[str, str] | None = None,
) -> Output:
    """Make a film's folder, or change what the film is to be. `seconds` is its length, `script` a file with scenes.

    `people` are names for the credits: a character or a role, and who that is.
    """
    import json

    from plugins.film.folder import ABOUT, Folder
    from plugins.film.records import slug

    if not 5 <= seconds <= 1_200:
        raise ToolFailure(f"A film of {seconds:g} seconds can't be made.", hint="5 to 1200 are possible.")
    if not idea.strip() and not script.strip():
        raise ToolFailure("There is neither an idea nor a script.", hint="Give idea=… or script=FILE.")
    folder = Folder(slug(name))
    about = {
        "film": folder.name,
        "title": title.strip() or name.strip().replace("-", " ").title(),
        "idea": idea.strip()[:8_000],
        "seconds": seconds,
        "language": language.strip() or "English",
        "style": style.strip()[:2_000],
        "people": people or {},
    }
    folder.write(ABOUT, json.dumps(about, ensure_ascii=False, indent=1))
    return Output({**about, "folder": f"films/{folder.name}"}, f"The film {about['title']} has its folder.")


@tool(effect="write_inside", produces=("text",), examples=("read the film script {file}", "read the screenplay {file}"))
def film_read_script(
    file: Annotated[str, File(".md", ".txt", ".fountain", ".docx", ".pdf")], title: str = ""
) -> Output:
    """Read a script from a file: Markdown with `### 1. EXT. BEACH - NIGHT` and `MARA: Hello?`, or plain text."""
    from plugins.documents import plain, reading
    from plugins.files.paths import existing
    from plugins.film import scripts

    path = existing(file)
    whole = path.suffix.lower() in {".md", ".txt", ".fountain", ""}
    said = plain.decode(path.read_bytes()[:MAX_SCRIPT])[0] if whole else reading.whole_text(str(path))
    script = scripts.parse(said, title)
    return Output(script.to_json(), scripts.render(script))


@tool(effect="write_inside", produces=(".md",), examples=("save the script of the film {film}",))
def film_save_script(film: str, script: dict[str, Any]) -> Output:
    """Write a film's script: a record with title, logline, style, characters, locations, and scenes of beats."""
    from plugins.film import scripts
    from plugins.film.folder import SCRIPT, Folder
    from plugins.film.records import Script

    folder = Folder.of(film)
    made = Script.of(script, str(folder.about().get("title") or ""))
    rendered = scripts.render(made)
    path = folder.write(SCRIPT, rendered)
    return Output(made.to_json() | {"path": path}, rendered, files=(path,))


@tool(effect="write_inside", produces=("table",), examples=("show the film {film}",))
def film_load(film: str) -> Output:
    """Return what there is of a film: what it is to be, its script, its shots, and its files."""
    from plugins.film.folder import SCRIPT, SHOTS, Folder

    folder = Folder.of(film)
    found: dict[str, Any] = {**folder.about(), "film": folder.name, "folder": f"films/{folder.name}"}
    script = folder.script() if folder.path(SCRIPT).is_file() else None
    shots = folder.shots(script) if script is not None and folder.path(SHOTS).is_file() else []
    files = folder.files()
    found |= {"title": script.title} if script else {}
    found |= {
        "script": script.to_json() if script else None,
        "scenes": len(script.scenes) if script else 0,
        "shots": [shot.to_json() for shot in shots],
        "frames": [folder.frame(shot) for shot in shots],
        "files": files,
    }
    text = f"{found.get('title')}: {found['scenes']} scenes, {len(shots)} shots, {len(files)} files."
    return Output(found, text)


@tool(effect="write_inside", produces=("table",), examples=("break down the film {film}",))
def film_break_down(film: str) -> Output:
    """Find the shots of a film's script by rule, without a model; nothing is written."""
    from plugins.film import shooting
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    script = folder.script()
    shots = shooting.break_down(script, float(folder.about().get("seconds") or 0))
    by_scene = [
        {"shots": [shot.to_json() for shot in shots if shot.scene == number]}
        for number in range(1, len(script.scenes) + 1)
    ]
    return Output({"shots": [shot.to_json() for shot in shots], "scenes": by_scene}, f"{len(shots)} shots by rule.")


@tool(effect="write_inside", produces=(".csv",), examples=("save the shots of the film {film}",))
def film_save_shots(film: str, shots: list[Any]) -> Output:
    """Write a film's list of shots, numbered anew: scene, size, camera, seconds, characters, description, dialogue."""
    from plugins.film import shooting
    from plugins.film.folder import SHOTS, Folder
    from plugins.film.records import shots_of

    folder = Folder.of(film)
    script = folder.script()
    made = shots_of(shots, script)
    path = folder.write(SHOTS, shooting.as_csv(made))
    length = shooting.length_of(made)
    value = {"path": path, "shots": [shot.to_json() for shot in made], "seconds": length}
    listed = "\n".join(
        f"{shot.number}  {shot.size}, {shot.seconds:g} s: {shot.description}"
        + (f" “{shot.dialogue}”" if shot.dialogue else "")
        for shot in made
    )
    return Output(value, f"{len(made)} shots, {shooting.clock(length)}\n{listed}", files=(path,))


@tool(effect="write_inside", produces=("number",), examples=("estimate the cost of the film {film}",))
def film_estimate(film: str, ready: dict[str, Any]) -> Output:
    """Say what a film's pictures and videos will cost at most. `ready` is what media_ready returned."""
    from plugins.film.folder import Folder
    from plugins.media import whole_seconds

    shots = Folder.of(film).shots()
    images = len(shots) * float(ready.get("price_image") or 0) if ready.get("images") else 0.0
    seconds = sum(whole_seconds(shot.seconds) for shot in shots)
    videos = seconds * float(ready.get("price_video_second") or 0) if ready.get("videos") else 0.0
    value = {"images": round(images, 4), "videos": round(videos, 4), "total": round(images + videos, 4)}
    if not ready.get("images") and not ready.get("videos"):
        return Output(value, "Everything is drawn here, which costs nothing.")
    text = f"It will cost at most ${value['total']:.2f}: {len(shots)} pictures ${images:.2f}, {seconds} s of video "
    return Output(value, f"{text}${videos:.2f}.")


@tool(effect="write_inside", produces=("table",), examples=("write the image prompts of the film {film}",))
def film_prompts(film: str) -> Output:
    """Say for each shot of a film what its picture shows, with the same words for the same people and places."""
    from plugins.film import shooting
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    script = folder.script()
    shots = folder.shots(script)
    said = shooting.prompts(script, shots)
    value = [
        shot.to_json()
        | {"prompt": prompt, "frame": folder.frame(shot), "clip": f"films/{folder.name}/clips/{shot.number}.mp4"}
        for shot, prompt in zip(shots, said, strict=True)
    ]
    return Output(value, f"{len(value)} pictures are described.")


@tool(effect="write_inside", produces=("text",), examples=("check the {stage} of the film {film}",))
def film_check(film: str, stage: Stage, looks: list[dict[str, Any]] | None = None) -> Output:
    """Look for what is wrong with a film's script, shots, frames (`looks` as check_pictures returns) or final files."""
    from plugins.film import checking
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    script, seconds = folder.script(), float(folder.about().get("seconds") or 0)
    if stage == "script":
        found = checking.script_findings(script, seconds)
    elif stage == "shots":
        found = checking.shot_findings(script, folder.shots(script), seconds)
    elif stage == "frames":
        found = checking.frame_findings(folder.shots(script), looks or [])
    else:
        found = checking.subtitle_findings(folder.read("subtitles.srt"))
        made = {path.rpartition("/")[2] for path in folder.files()}
        found += [f"{name} is missing." for name in ("poster.png", "credits.txt") if name not in made]
        found += [] if made & {"final.mp4", "final.gif"} else ["The final video is missing."]
    text = "\n".join(f"• {one}" for one in found[:SEEN]) if found else "Nothing is wrong."
    text += f"\n… and {len(found) - SEEN} more" if len(found) > SEEN else ""
    return Output({"ok": not found, "findings": found}, text)


@tool(effect="write_inside", produces=(".srt", ".md", ".txt"), examples=("write the {what} of the film {film}",))
def film_write(film: str, what: Paper, lines: list[str] | None = None, output: str = "") -> Output:
    """Write one of a film's papers: subtitles, voiceover, music, credits, edit list, report.

    `lines` are a model's words for it: for subtitles one for each shot with dialogue, for music one for each scene.
    """
    from plugins.film import papers
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    script, about = folder.script(), folder.about()
    shots = folder.shots(script)
    people = {str(role): str(name) for role, name in (about.get("people") or {}).items()}
    made: dict[str, Callable[[], tuple[str, str]]] = {
        "subtitles": lambda: ("subtitles.srt", papers.subtitles(shots, lines or ())),
        "voiceover": lambda: ("voiceover.md", papers.voiceover(script, shots, lines)),
        "music": lambda: ("music.md", papers.music(script, shots, lines)),
        "credits": lambda: ("credits.txt", papers.credit_lines(script, people)),
        "edit list": lambda: ("edit.edl", papers.edit_list(script.title, shots)),
        "report": lambda: (
            "report.md",
            papers.report(
                script, shots, {"Language": about.get("language"), "Notes": "; ".join(lines or ()) or "none"}
            ),
        ),
    }
    name, content = made[what]()
    path = folder.write(output or name, content)
    spoken = [shot.dialogue for shot in shots if shot.dialogue]
    return Output({"path": path, "text": content, "dialogue": spoken}, content[:4_000], files=(path,))


@tool(effect="write_inside", timeout=120, produces=(".png",), examples=("make the poster of the film {film}",))
def film_poster(film: str, picture: str = "") -> Output:
    """Make a film's poster: its title on one of its pictures."""
    from plugins.film import posters
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    script = folder.script()
    shots = folder.shots(script)
    wide = [shot for shot in shots if "wide" in shot.size or "full" in shot.size or "two" in shot.size]
    frames = [folder.frame(shot) for shot in wide or shots]
    path = posters.make(folder.path("poster.png"), script, picture, frames)
    return Output({"path": path}, f"{path}: the poster.", files=(path,))


@tool(effect="write_inside", timeout=300, produces=(".zip",), examples=("archive the film {film}",))
def film_archive(film: str) -> Output:
    """Put a film's folder into one zip file, and hand that over with the film itself."""
    from plugins.film.folder import Folder

    folder = Folder.of(film)
    files = folder.files()
    path = folder.archive("archive.zip", files)
    main = {"final.mp4", "final.gif", "subtitles.srt", "poster.png"}
    handed = [one for one in files if one.rpartition("/")[2] in main]
    return Output({"path": path, "files": len(files)}, f"{path}: {len(files)} files.", files=(*handed, path))


@tool(
    effect="write_inside",
    produces=("text",),
    examples=("film status", "status of the film {film}", "how far is the film {film}", "which films are there"),
)
def film_status(film: str = "") -> Output:
    """Say how far a film is, or which films there are."""
    from plugins.film.folder import Folder, names
    from plugins.film.tasks import TASKS

    if not film.strip():
        there = names()
        text = "\n".join(film_status(name).text.split("\n", 1)[0] for name in there)
        return Output(there, text or "There are no films. `/run film name=NAME idea=…` begins one.")
    folder = Folder.of(film)
    files = {path.removeprefix(f"films/{folder.name}/") for path in folder.files()}
    made = [task for task in TASKS if task.makes and any(one.startswith(task.makes) for one in files)]
    last = made[-1].name if made else "nothing"
    lines = [f"{folder.about().get('title')} ({folder.name}): {len(made)} kinds of files, last {last}"]
    lines += [f"✓ {task.name}: {task.makes}" for task in made]
    value = {"film": folder.name, "done": [task.name for task in made], "files": sorted(files)}
    return Output(value, "\n".join(lines))


@tool(effect="pure", produces=("table",), examples=("film tasks", "which tasks does a film have"))
def film_tasks() -> Output:
    """List the tasks of a film production: what each does, its pipeline, its priority and its timeout."""
    from plugins.film.tasks import TASKS

    rows = [
        {
            "task": task.name,
            "does": task.does,
            "pipeline": task.pipeline,
            "priority": task.priority,
            "timeout": task.timeout,
        }
        for task in TASKS
    ]
    return Output(rows, "\n".join(f"{row['priority']:>2}  {row['task']}: {row['does']}" for row in rows))
