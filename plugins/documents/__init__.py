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
DOCUMENTS = (".pdf", ".docx", ".pptx", ".html", ".htm", ".eml", ".rtf")
COUNTED = (*DOCUMENTS, ".txt", ".md", ".log", ".py")


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
        "fasse {path} zusammen",
        "résume {path}",
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


@tool(
    effect="pure",
    untrusted=True,
    produces=("text",),
    timeout=120,
    examples=(
        "find {text} in {path}",
        "search {path} for {text}",
        "search {text} in {path}",
        "search for {text} in {path}",
        "what does {path} say about {text}",
        "what is the {text} in {path}",
        "what is {text} in {path}",
        "where does {path} mention {text}",
        "does {path} mention {text}",
        "suche {text} in {path}",
        "was steht in {path} über {text}",
        "cherche {text} dans {path}",
    ),
)
def search_document(path: Annotated[str, File(*DOCUMENTS)], text: str) -> Output:
    """Find the passages of a document (PDF, Word, PowerPoint, HTML, mail) that mention a text."""
    from plugins.documents import finding

    return finding.search(path, text)


@tool(
    effect="pure",
    produces=("number",),
    timeout=120,
    examples=(
        "how many words are in {path}",
        "how many words does {path} have",
        "how many words has {path}",
        "how many lines are in {path}",
        "how many lines does {path} have",
        "how many lines has {path}",
        "how many characters are in {path}",
        "how long is {path}",
        "word count of {path}",
        "word count for {path}",
        "line count of {path}",
        "count the words in {path}",
        "count the lines in {path}",
        "count the lines of {path}",
        "wie viele Wörter hat {path}",
        "wie viele Wörter sind in {path}",
        "zähle die Wörter in {path}",
        "wie viele Zeilen hat {path}",
        "combien de mots y a-t-il dans {path}",
    ),
)
def count_words(path: Annotated[str, File(*COUNTED)]) -> Output:
    """Count the words, lines and characters of a text or document."""
    from plugins.documents import finding

    return finding.count(path)
