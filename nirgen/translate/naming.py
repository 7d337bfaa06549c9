"""What the outputs will be called; their names derive from the names of sources.

1. `a/b.jpg` becomes `a/b.png`.
2. Sources in one folder whose outputs would share a name (letter case and Unicode form aside) all keep their endings:
   `x.jpg` and `x.png` become `x.jpg.png` and `x.png.png`. So does a source whose output would be named as a folder is.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME_LIMIT_BYTES = 255


def name_outputs(sources: Sequence[str], suffix: str) -> list[str]:
    """The outputs' names, by the rules of this module.

    Args:
        sources: Distinct POSIX paths.
        suffix: Ending of the outputs, such as `.png`.

    Returns:
        As many distinct paths, in the same order.

    Example:
        >>> name_outputs(["a/b.jpg", "x.jpg", "X.png"], ".png")
        ['a/b.png', 'x.jpg.png', 'X.png.png']
    """
    folders = {key(folder) for source in sources for folder in _folders(source)}
    names = [_short_name(source, suffix) for source in sources]
    while True:
        takers = Counter(key(name) for name in names)
        lengthened = False
        for index, (source, name) in enumerate(zip(sources, names, strict=True)):
            taken = takers[key(name)] > 1 or key(name) in folders
            if taken and name != source + suffix:
                names[index] = source + suffix
                lengthened = True
        if not lengthened:
            return names


def _folders(source: str) -> Iterator[str]:
    """The folders that a path lies in, as far as it names them."""
    while "/" in source:
        source = source.rpartition("/")[0]
        yield source


def in_order(files: list[str], folders: list[str]) -> list[tuple[str, bool]]:
    """A folder's names in the order of the paths that begin with them, and whether each is a folder."""
    named = [(utf8(name), name, False) for name in files] + [(f"{utf8(name)}/", name, True) for name in folders]
    return [(name, is_folder) for _, name, is_folder in sorted(named)]


def _short_name(source: str, suffix: str) -> str:
    folder, slash, name = source.rpartition("/")
    dot = name.rfind(".")
    stem = name[:dot] if 0 < dot < len(name) - 1 else name
    return f"{folder}{slash}{stem}{suffix}"


def key(path: str) -> str:
    """What is equal for names that some file system takes for the same; folders are the file system's own matter."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name if name.isascii() else unicodedata.normalize("NFC", name)).casefold()


def utf8(path: str) -> str:
    """A path as text that UTF-8 can hold: other bytes become escapes."""
    return path if path.isascii() else path.encode("utf-8", "backslashreplace").decode()


def problem(source: str, output: str, is_folder: bool) -> str:
    """Why a source's name forbids translating it; empty if it doesn't."""
    if utf8(source) != source:
        return f"{source!r} has a name that is not UTF-8; rename it"
    length = len(output.rpartition("/")[2].encode())
    if length > NAME_LIMIT_BYTES:
        return f"{source!r} gives an output name of {length} bytes, over the limit of {NAME_LIMIT_BYTES}; rename it"
    if is_folder:
        return f"{source!r} gives an output with the name of the folder {output!r}; rename one of them"
    return ""
