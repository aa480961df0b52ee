"""Documents: the text of PDF, Word, PowerPoint, Excel, HTML, mail and plain files, as Markdown."""

from __future__ import annotations

from typing import Annotated

from plugins.api import File, Output, Plugin, tool

plugin = Plugin(
    name="documents", summary="Read documents: PDF, Word, PowerPoint, Excel, web pages, mails, pictures of text."
)

# Tables and workbooks are read too, but what they hold is better asked of the data tools.
READABLE = (
    ".pdf",
    ".docx",
    ".pptx",
    ".html",
    ".htm",
    ".eml",
    ".txt",
    ".md",
    ".rtf",
    ".log",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".webp",
    ".bmp",
)


@tool(
    effect="write_inside",
    untrusted=True,
    produces=("text", ".md"),
    timeout=120,
    examples=(
        "read {path}",
        "extract the text of {path}",
        "extract text from {path}",
        "get the text from {path}",
        "what does {path} say",
        "what is in {path}",
        "summarize {path}",
        "summarise {path}",
        "what is written in {path}",
        "open {path}",
        "show me the text of {path}",
        "read pages {pages} of {path}",
        "read page {pages} of {path}",
        "convert {path} to markdown",
        "convert {path} to text",
        "save the text of {path} as {save}",
        "lies {path}",
        "lies den Text aus {path}",
        "was steht in {path}",
        "lis {path}",
        "extrais le texte de {path}",
    ),
)
def extract_text(path: Annotated[str, File(*READABLE)], pages: str = "", save: str = "") -> Output:
    """Read a document (PDF, Word, PowerPoint, Excel, HTML, mail, text, picture) and return its text as Markdown.

    `pages` is like "3" or "2-5,9" (pages, slides or sheets). Long text is cut; `save` writes all of it to a .md file.
    """
    from plugins.documents import reading

    return reading.extract(path, pages, save)
