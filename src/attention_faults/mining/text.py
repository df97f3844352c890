"""Text of people, as plain text: without control characters, and without HTML where it was HTML."""

import re
import unicodedata
from collections.abc import Iterable
from html import unescape
from html.parser import HTMLParser

# `\t` and `\n` stay; format characters go but for the joiners that some scripts and emoji need
_KEPT = "\t\n\u200c\u200d"
_BLOCKS = frozenset(
    {"article", "blockquote", "br", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li"}
    | {"ol", "p", "pre", "section", "table", "tr", "ul"}
)
_HIDDEN = frozenset({"script", "style", "template", "head", "noscript"})
_TERMINAL = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]")  # ECMA-48 5.4: colours, pasted with a log
LONGEST_TITLE = 2000  # characters; services allow 300 at most
_OPEN = re.compile(r"<(?![^<>]*>)")  # no tag: HTMLParser would look for its end again and again
_PROGRAM = re.compile(r"(?:(?:^|.*[-_])bots?|SFconvertbot|parquet-converter)", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
# HTML elements, except `s`: `<s>` and `</s>` are tokens of many vocabularies, as `<mask>` and `<pad>` are
_TAG = re.compile(
    r"</?(?:a|abbr|audio|b|base|big|blockquote|body|br|button|canvas|center|code|dd|del|details|div|dl|dt|em|embed"
    r"|font|form|frame|h[1-6]|head|hr|html|i|iframe|img|input|ins|kbd|li|link|mark|math|meta|noscript|object|ol|p"
    r"|pre|q|samp|script|small|span|strong|style|sub|summary|sup|svg|table|tbody|td|textarea|th|thead|title|tr|tt"
    r"|u|ul|var|video)(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """Return a text without control, format and surrogate characters, with line feeds as line ends."""
    text = _TERMINAL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c in _KEPT or not unicodedata.category(c).startswith("C"))


def markdown(text: str) -> str:
    """Return Markdown without control characters and without the hidden comments of issue templates."""
    return plain(_COMMENT.sub("", text)).strip()


def title(text: str) -> str:
    """Return a title as one line, without control characters and HTML tags.

    What is no HTML element stays: `<pad>` in a title about tokens is no tag.
    """
    text = plain(unescape(text[:LONGEST_TITLE])).replace("\n", " ")
    while (without := _TAG.sub("", text)) != text:  # a tag within a tag leaves one behind
        text = without
    return " ".join(text.split())


def any_of(phrases: Iterable[str], gap: str = r"\s+") -> str:
    """Return a regular expression (of `re` and RE2) of some phrases; `gap` parts their words."""
    longest_first = sorted(set(phrases), key=lambda phrase: (-len(phrase), phrase))
    return "|".join(gap.join(map(re.escape, phrase.split())) for phrase in longest_first)


def names_a_program(name: str) -> bool:
    """Whether an account is a program by its name, where the service does not say so."""
    return _PROGRAM.fullmatch(name) is not None


def from_html(html: str) -> str:
    """Return the text of an HTML fragment, a line for each block; scripts and styles are dropped."""
    reader = _Reader()
    reader.feed(_OPEN.sub("&lt;", html))
    reader.close()
    lines = (line.rstrip() for line in plain("".join(reader.parts)).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in _HIDDEN))
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)
