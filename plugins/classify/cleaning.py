"""What somebody really wrote: a message without markup, quoted replies, signature and footers.

Every pattern looks at one line and cannot backtrack far, so a hostile message costs no more than a long one. What would
leave nothing behind is not done.
"""

from __future__ import annotations

import html
import re
import unicodedata

MAX_CHARS = 400_000
HTML = re.compile(
    r"<(?:html|head|body|div|p|br|table|span|blockquote|style|b|i|ul|ol|a)\b[^<>]{0,2000}>", re.IGNORECASE
)
TAG = re.compile(r"<(?P<closes>/?)(?P<name>[a-z][a-z0-9:]*)(?P<more>[^<>]*)>", re.IGNORECASE)
BLOCKS = {"p", "div", "br", "tr", "li", "h1", "h2", "h3", "h4", "table", "ul", "ol", "pre", "hr"}
HIDDEN = {"script", "style", "head", "title", "template", "blockquote", "noscript"}
VOID = {"br", "hr", "img", "input", "meta", "link"}
QUOTED = re.compile(
    r"(?:class|id)\s*=\s*[\"']?[^\"'=]{0,200}"
    r"(?:gmail_quote|gmail_signature|yahoo_quoted|moz-cite-prefix|moz-signature|divRplyFwdMsg)",
    re.IGNORECASE,
)
# "On Monday … Anna wrote:" in the languages that mail programs write it in; it may go over two lines.
WROTE = re.compile(
    r"^(?:on|am|le|el|il|op|em|den|w dniu)\b.{0,300}\b(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu"
    r"|skrev|napisał(?:\(a\))?)\b.{0,120}:\s*$",
    re.IGNORECASE,
)
ORIGINAL = re.compile(
    r"^[\s>]*[-_]{3,}\s*(?:original message|forwarded message|ursprüngliche nachricht|weitergeleitete nachricht"
    r"|message d'origine|message transféré|mensaje original|messaggio originale)\b",
    re.IGNORECASE,
)
HEADER = re.compile(
    r"^\*?(?:from|von|de|da|sent|gesendet|envoyé|enviado|to|an|à|para|subject|betreff|objet|asunto|date|datum)\*?\s?:",
    re.IGNORECASE,
)
SUBJECT = re.compile(r"^\*?(?:subject|betreff|objet|asunto)\b", re.IGNORECASE)
SIGNATURE = re.compile(r"^(?:--|—|__{2,})\s*$")
MOBILE = re.compile(
    r"^(?:sent from my |von meinem .{1,40} gesendet|envoyé de mon |enviado desde mi |inviato da |get outlook for )",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"^(?:(?:kind|best|warm|many)?\s*regards|best wishes|sincerely|yours (?:sincerely|faithfully)|cheers|many thanks|"
    r"mit freundlichen grü(?:ß|ss)en|(?:viele|beste|freundliche|liebe|schöne) grü(?:ß|ss)e|mfg|lg|"
    r"cordialement|bien cordialement|bien à vous|salutations|saludos|un saludo|cordiali saluti|distinti saluti)"
    r"\s*[,.!]?\s*$",
    re.IGNORECASE,
)
LINES_OF_A_NAME = 8
CHARS_OF_A_NAME = 500


def cleaned(text: str) -> str:
    """Return what the writer of a message wrote in it. Never empty for a text that holds any words."""
    whole = _plain(text[:MAX_CHARS])
    own = _without_quotes(whole.split("\n"))
    signed = _without_signature(own)
    for lines in (signed, own, whole.split("\n")):
        found = _tidy("\n".join(lines))
        if found:
            return found
    return _tidy(whole)


def _plain(text: str) -> str:
    spoken = _without_markup(text) if HTML.search(text) else text
    even = spoken.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return "".join(char for char in even if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Co"})


def _without_markup(text: str) -> str:
    """Return the words between tags, in lines, without what is hidden or an older message."""
    said, hidden, depth, at = [], "", 0, 0
    plain = _without_comments(text)
    for tag in TAG.finditer(plain):
        if not hidden:
            said.append(plain[at : tag.start()].replace("\n", " "))
        at = tag.end()
        closes, name = tag["closes"] == "/", tag["name"].lower()
        if hidden:
            # What is hidden ends with its own end tag; those of the same name within it are counted.
            depth += 0 if name != hidden else (-1 if closes else 1)
            hidden = hidden if depth else ""
        elif not closes and (name in HIDDEN or QUOTED.search(tag["more"])):
            hidden, depth = ("" if name in VOID else name), 1
        elif name in BLOCKS:
            said.append("\n")
    said.append("" if hidden else plain[at:])
    found = html.unescape("".join(said))
    return found if found.strip() else html.unescape(TAG.sub(" ", plain))


def _without_comments(text: str) -> str:
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    return "".join([*kept, text[at:]])


def _without_quotes(lines: list[str]) -> list[str]:
    """Leave out quoted lines, and all from where an older message begins that is not quoted line by line."""
    kept: list[str] = []
    number = 0
    while number < len(lines):
        plain = lines[number].strip()
        if ORIGINAL.match(plain) or _is_header(lines[number : number + 5]):
            break
        said = _says_who_wrote(lines, number)
        if said and not _next_words(lines, number + said).startswith(">"):
            break
        if not said and not plain.startswith(">"):
            kept.append(lines[number])
        number += said or 1
    return kept


def _says_who_wrote(lines: list[str], number: int) -> int:
    """Return how many lines `On … Anna wrote:` takes here, 0 when there is no such."""
    plain = lines[number].strip()[:500]
    if WROTE.match(plain):
        return 1
    following = lines[number + 1].strip()[:200] if number + 1 < len(lines) else ""
    return 2 if plain and following and WROTE.match(f"{plain[:300]} {following}") else 0


def _next_words(lines: list[str], number: int) -> str:
    return next((line.strip() for line in lines[number : number + 5] if line.strip()), "")


def _is_header(lines: list[str]) -> bool:
    """Say whether lines are the head of a mail: three fields, with an address or a subject among them."""
    if not HEADER.match(lines[0].strip()):
        return False
    fields = [line.strip()[:500] for line in lines if HEADER.match(line.strip()[:500])]
    return len(fields) >= 3 and any("@" in line or SUBJECT.match(line) for line in fields)


def _without_signature(lines: list[str]) -> list[str]:
    """Cut at the delimiter of a signature, or at a closing, that only a name and an address follow."""
    cut, below, chars = len(lines), 0, 0
    for number in range(len(lines) - 1, -1, -1):
        plain = lines[number].strip()
        if below > LINES_OF_A_NAME or chars > CHARS_OF_A_NAME:
            break
        if SIGNATURE.match(plain) or MOBILE.match(plain) or CLOSING.match(plain[:80]):
            cut = number
        below += bool(plain)
        chars += len(plain)
    return lines[:cut]


def _tidy(text: str) -> str:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
