"""Errors that libtiff reports while Pillow decodes a TIFF file, which Pillow itself leaves to standard error.

libtiff has one handler of errors for the whole process. Ours notes the messages of each thread for the file that the
thread decodes, so that they can name it; where the library can't be reached, they are printed as before.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

_MESSAGE_BYTES, _MESSAGES = 200, 20  # longer ones are cut, more of one file are left out
_heard = threading.local()
_installing = threading.Lock()  # `cache` lets threads that come at once install two handlers, and frees the one in use


@contextmanager
def listening() -> Generator[list[str]]:
    """Collect the errors that libtiff reports in this thread during the block, such as `LZWDecode: corrupt data`."""
    with _installing:
        _install()
    messages: list[str] = []
    _heard.messages = messages
    try:
        yield messages
    finally:
        _heard.messages = None


@cache
def _install() -> Any:
    """Set the handlers of the libtiff that Pillow has loaded; return what must stay alive for them."""
    path = _loaded_library()
    if path is None:
        return None
    try:
        library, c = ctypes.CDLL(path), ctypes.CDLL(None)
        set_error, set_warning = library.TIFFSetErrorHandler, library.TIFFSetWarningHandler
        print_to = c.vsnprintf
    except (OSError, AttributeError):
        return None

    def note(module: bytes | None, text: bytes, values: int) -> None:
        messages: list[str] | None = getattr(_heard, "messages", None)
        if messages is None or len(messages) >= _MESSAGES:
            return
        line = ctypes.create_string_buffer(_MESSAGE_BYTES)
        print_to(line, ctypes.c_size_t(_MESSAGE_BYTES), text, ctypes.c_void_p(values))
        shown = line.value.decode("ascii", "replace").strip().rstrip(".")
        # The module is a function of libtiff, or the name that Pillow gives every file.
        messages.append(shown if module in {None, b"tempfile.tif"} else f"{(module or b'').decode()}: {shown}")

    handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(note)
    for function, given in ((set_error, handler), (set_warning, None)):
        function.restype = ctypes.c_void_p
        function(given)
    return handler


def _loaded_library() -> str | None:
    """Return the path of the libtiff in this process; None where the system doesn't tell."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    found = [line.split(maxsplit=5)[5] for line in lines if "/libtiff" in line and line.count(" ") > 4]
    # Other packages may have brought libraries of their own.
    return next((path for path in found if "/pillow.libs/" in path), next(iter(found), None))
