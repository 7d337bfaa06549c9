r"""Text that comes from data, written for what reads it: terminals, Markdown, Python, YAML, mmengine, drawn labels.

A class may be named `{{$HOME:x}}`, `$\frac$`, `![](http://...)` or hold an escape sequence. HTML is escaped by the
templates of `nirgen.templates`, which make control characters visible by `printable`, too.
"""

from __future__ import annotations

import re

# C0 and C1 controls, line separators, marks that reorder a line, halves of surrogate pairs (bytes that are no UTF-8).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Ends with the character to escape; colons, underscores and braces of plain sentences are left, for who reads the file.
_MARKUP = re.compile(
    r"""[\\`*\[\]<|~$]                         # code, emphasis, links, HTML, cells, formulas
    | (?<![^\W_])_ | _(?![^\W_])             # emphasis, but not within a word
    | (?<!\d):(?=\S) | :(?=[^\s\d])          # addresses and emoji, but not 0.5:0.95
    | @(?=[^\W\d]) | (?<=www)\.             # addresses
    | &(?=[#\w])                            # entities
    | \{(?=[{%\#:.]) | (?<=\{)\{             # templates, attributes
    | ^[-+=>\#] | ^\d{1,9}[.)](?=\s|$)       # lists, headings, quotes
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CODE = re.compile(r"[\w./+-]+")
_DRAWN = 40  # characters of a name in a picture


def printable(text: str) -> str:
    r"""Return a text as one line that can't steer a terminal; in JSON it stays the same text.

    Example:
        >>> printable("a\nb\x1b[31m \N{GRINNING FACE}")
        'a\\nb\\u001b[31m 😀'
    """
    return _CONTROL.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", text)


def printable_lines(text: str) -> str:
    """Return a text whose line ends are its own, and whose other control characters are visible (see `printable`)."""
    return "\n".join(map(printable, text.split("\n")))


def quoted(text: str) -> str:
    r"""Return a text as a literal of both Python and YAML, in quotes, from which mmengine substitutes nothing.

    mmengine replaces `{{ name }}`, `{{$VARIABLE:default}}` and `{{_base_.name}}` in the text of a file, quotes or not,
    before it is Python; so no brace stays.

    Example:
        >>> print(quoted('{{ fileDirname }} "\N{GRINNING FACE}"'))
        "\x7b\x7b fileDirname \x7d\x7d \"😀\""
    """
    return '"' + "".join(letter if _is_plain(letter) else _escaped(letter) for letter in text) + '"'


def _is_plain(letter: str) -> bool:
    return letter.isprintable() and letter not in "\"\\{}$'"


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def yaml_key(text: str) -> str:
    """Return a text as the key of a YAML mapping that is indented by two spaces: the text up to the colon.

    YAML takes keys of over 1024 characters only behind a `?`, on a line of their own.
    """
    key = quoted(text)
    return key if len(key) <= 1000 else f"? {key}\n  "


def markdown(text: str) -> str:
    r"""Return a text as one line of Markdown without markup, links and entities, also for the cell of a table.

    Example:
        >>> markdown("a|b  <i>"), markdown("http://x"), markdown("AP: a_b.json")
        ('a\\|b \\<i>', 'http\\://x', 'AP: a_b.json')
    """
    return _MARKUP.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", printable(" ".join(text.split())))


def code(text: str) -> str:
    r"""Return a text as code in Markdown if it is as plain as a hash or a file name, else as `markdown` does.

    Example:
        >>> code("0a1b"), code("`x`")
        ('`0a1b`', '\\`x\\`')
    """
    return f"`{text}`" if _CODE.fullmatch(text) else markdown(text)


def drawn(text: str) -> str:
    """Return a text as a short label for a picture: one line of at most 40 characters.

    Example:
        >>> drawn("x" * 50)[-3:], len(drawn("x" * 50))
        ('xx…', 40)
    """
    text = printable(text)
    return text if len(text) <= _DRAWN else f"{text[: _DRAWN - 1]}…"


def mathtext(text: str) -> str:
    r"""Return a text as a short label that matplotlib doesn't take for a formula; see `drawn`.

    Example:
        >>> mathtext(r"$x^2$")
        '\\$x^2\\$'
    """
    return drawn(text).replace("$", "\\$")
