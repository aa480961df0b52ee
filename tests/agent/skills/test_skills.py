"""Skills: folders are checked with file and line, found where the owner put them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import AppConfig
from agent.domain.session import Profile
from agent.errors import NotFound
from agent.skills import Skill, SkillError, Skills, read_skill
from agent.skills.shelf import SHOWN, narrowed

GOOD = "---\nname: {name}\ndescription: {about}\n---\n# How\nDo it like this.\n"


def make(place: Path, name: str, text: str = "", *, about: str = "Writes invoices when asked for one.") -> Path:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text or GOOD.format(name=name, about=about), encoding="utf-8")
    return folder


def test_a_skill_is_read_with_its_files(tmp_path: Path):
    folder = make(tmp_path, "invoices")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "total.py").write_text("print(1)")
    (folder / "template.md").write_text("x")
    skill = read_skill(folder)
    assert (skill.name, skill.description) == ("invoices", "Writes invoices when asked for one.")
    assert skill.body.startswith("# How")
    assert skill.files == ("scripts/total.py", "template.md")
    assert str(folder / "scripts/total.py") in skill.instructions


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("# How\n", 1, "must begin with a line `---`"),
        ("---\nname: x\n", 1, "no end"),
        ("---\nname: a-skill\ndescription: [a\n---\nb\n", 3, "no YAML"),
        ("---\njust words\n---\nb\n", 2, "must be `name: …`"),
        ("---\nname: a-skill\n---\nb\n", 1, "`description:` is missing"),
        ("---\ndescription: d\nname: other\n---\nb\n", 3, "its name is 'other'"),
        ("---\nname: a-skill\ndescription: ''\n---\nb\n", 3, "the description is empty"),
        ("---\nname: a-skill\ndescription: " + "d" * 1_025 + "\n---\nb\n", 3, "1,024 are allowed"),
        ("---\nname: a-skill\ndescription: {a: 1}\n---\nb\n", 3, "must be text"),
        ("---\nname: A Skill\ndescription: d\n---\nb\n", 2, "small letters and digits"),
        ("---\nname: a-skill\ndescription: d\n---\n\n", 5, "no instructions"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, text: str, line: int, said: str):
    folder = make(tmp_path, "a-skill", text)
    with pytest.raises(SkillError) as caught:
        read_skill(folder)
    assert f"{folder / 'SKILL.md'}, line {line}" in caught.value.message
    assert said in caught.value.message


def test_a_byte_that_is_no_text_is_named_by_its_line(tmp_path: Path):
    folder = make(tmp_path, "a-skill")
    (folder / "SKILL.md").write_bytes(b"---\nname: a-skill\ndescription: \xff\n---\nb")
    with pytest.raises(SkillError, match="line 3: it is not UTF-8"):
        read_skill(folder)


def test_a_manual_that_is_too_long_is_refused(tmp_path: Path):
    folder = make(tmp_path, "a-skill", GOOD.format(name="a-skill", about="d") + "x" * 100_001)
    with pytest.raises(SkillError, match="longer than 100,000 bytes"):
        read_skill(folder)


@pytest.mark.parametrize("name", ["Upper", "two--hyphens", "-first", "under_score", "x" * 65])
def test_names_follow_the_format(tmp_path: Path, name: str):
    with pytest.raises(SkillError, match="a skill's name is"):
        read_skill(make(tmp_path, name))


@pytest.mark.parametrize("where", ["SKILL.md", "secret.txt", "scripts"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, where: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("s")
    folder = make(tmp_path / "skills", "a-skill")
    (folder / where).unlink(missing_ok=True)
    (folder / where).symlink_to(outside if where == "scripts" else outside / "secret.txt")
    with pytest.raises(SkillError, match="is a link to"):
        read_skill(folder)


def test_a_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path):
    make(tmp_path / "elsewhere", "a-skill")
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "a-skill").symlink_to(tmp_path / "elsewhere" / "a-skill")
    skills = Skills([tmp_path / "skills"])
    assert skills.usable() == []
    assert "is a link to" in skills.broken()[0].message


def test_skills_are_found_in_the_home_and_in_folders_named_and_the_first_wins(tmp_path: Path):
    make(tmp_path / "home" / "skills", "one", about="from the home")
    make(tmp_path / "more", "one", about="from elsewhere")
    make(tmp_path / "more", "two")
    make(tmp_path / "more", "broken", "no front matter")
    (tmp_path / "more" / "no-skill").mkdir()
    skills = Skills.of(AppConfig(home=tmp_path / "home", skill_folders=(tmp_path / "more",)))
    assert [(skill.name, skill.description) for skill in skills.usable()] == [
        ("one", "from the home"),
        ("two", "Writes invoices when asked for one."),
    ]
    assert len(skills.broken()) == 1
    with pytest.raises(SkillError, match="must begin"):
        skills.find("broken")
    with pytest.raises(NotFound):  # whose name is the beginning of that of a broken one
        skills.find("brok")
    with pytest.raises(NotFound) as caught:
        skills.find("twoo")
    assert "Did you mean 'two'?" in caught.value.hint


def test_a_skill_that_has_changed_is_read_again(tmp_path: Path):
    folder = make(tmp_path, "one")
    skills = Skills([tmp_path])
    assert len(skills.usable()) == 1
    (folder / "SKILL.md").write_text(GOOD.format(name="one", about="new words"))
    assert skills.usable()[0].description == "new words"
    (folder / "SKILL.md").unlink()
    assert skills.usable() == []


def test_what_lies_among_sessions_files_is_never_a_skill(tmp_path: Path):
    work = tmp_path / "sessions" / "telegram_1" / "work" / "skills"
    make(work, "evil")
    (tmp_path / "link").symlink_to(work)
    config = AppConfig(home=tmp_path, skill_folders=(work, tmp_path / "link", tmp_path / "sessions"))
    skills = Skills.of(config)
    assert skills.usable() == []
    assert all("sessions" in error.message or "among" in error.message for error in skills.broken())
    assert len(skills.broken()) == 3


def test_a_profile_limits_skills(tmp_path: Path):
    for name in ("one", "two", "three"):
        make(tmp_path / "skills", name)
    skills = Skills.of(AppConfig(home=tmp_path, profile_skills=("one", "two")))
    assert [skill.name for skill in skills.usable()] == ["one", "two"]
    assert [skill.name for skill in skills.usable(Profile(skills=("two", "three")))] == ["two"]
    assert skills.usable(Profile(denied=("one", "two"))) == []
    assert skills.named_in("use skill one please", Profile(skills=("two",))) == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/skill invoice-writer for Ada", ["invoice-writer"]),
        ("use the invoice-writer for this", ["invoice-writer"]),
        ("take skill report", ["report"]),
        ("with the report skill", ["report"]),
        ("write a report", []),
        ("write an invoice", []),
    ],
)
def test_a_request_may_name_a_skill(tmp_path: Path, text: str, named: list[str]):
    make(tmp_path, "invoice-writer")
    make(tmp_path, "report")
    assert [skill.name for skill in Skills([tmp_path]).named_in(text)] == named


def test_of_many_skills_those_are_shown_that_fit_the_request():
    many = [Skill(f"s{number}", f"Does thing number {number}", Path("/x"), "b") for number in range(100)]
    wanted = Skill("tax-return", "Fills in tax returns for the yearly declaration", Path("/x"), "b")
    shown = narrowed([*many[:50], wanted, *many[50:]], "help me with my tax return")
    assert wanted in shown
    assert len(shown) == SHOWN
