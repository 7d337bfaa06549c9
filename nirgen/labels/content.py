"""Contents of label files: JSON of which only the top level is decoded, XML, text; faults in one line."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import math
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.parsers import expat

import msgspec

from nirgen.errors import NirgenError, one_line
from nirgen.labels.frames import read_labels

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path


Json = dict[str, msgspec.Raw] | list[msgspec.Raw]  # document of which only the top level is decoded
_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder(Json)
FAULTS = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)
"""Errors at JSON that is damaged, too deep or of too large numbers; parts that stay raw raise them when decoded."""
_UNPACKED_BYTES = 2**31  # largest content of a compressed file


def read_json(path: Path) -> Json:
    """Read a JSON file, which may be compressed by gzip, and decode its top level."""
    data = read_content(path)
    with explained(path, data):
        try:
            return _JSON.decode(data)
        except msgspec.ValidationError:
            raise NirgenError(f"{path}: neither a JSON object nor a list; give a file of labels") from None


_MISMATCH = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<key>[^`]+)`(?: - at `\$\.?(?P<place>[^`]*)`)?")
_IN_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a group in braces",
    "null": "empty",
}


def plainly(error: Exception) -> str:
    """Return what an error of decoding says, without the words of a parser.

    Example:
        >>> plainly(ValueError("Expected `array | null`, got `str` - at `$.bbox`"))
        'bbox is a text, not a list'
        >>> plainly(ValueError("Object missing required field `id`"))
        'id is missing'
    """
    text = one_line(error)
    if found := _MISMATCH.fullmatch(text):
        wanted = [_IN_WORDS.get(name, name) for name in found["wanted"].split(" | ") if name != "null"]
        return f"{found['place'] or 'it'} is {_IN_WORDS.get(found['got'], found['got'])}, not {' or '.join(wanted)}"
    if found := _MISSING.fullmatch(text):
        return f"{found['key']} is missing" + (f" in {found['place']}" if found["place"] else "")
    return text


@contextmanager
def explained(path: Path, data: bytes | None = None) -> Generator[None]:
    """Raise errors of decoding as NirgenError; entries of a file stay undecoded, and unchecked, until they are used."""
    try:
        yield
    except FAULTS as error:
        data = data if data is not None or not path.is_file() else read_content(path)
        raise NirgenError(f"{path}: {_fault(data or b'', error)}") from None


def _fault(data: bytes, error: Exception) -> str:
    """Return what is wrong with the content of a JSON file, and the remedy."""
    if isinstance(error, RecursionError):
        return "its JSON is nested too deeply for labels; give a file of labels"
    try:
        data.decode()
        json.loads(data, parse_constant=_refuse_constant)
    except UnicodeDecodeError as wrong:
        return f"no UTF-8 (byte 0x{data[wrong.start]:02x} at position {wrong.start}); save it as UTF-8"
    except _ConstantError as constant:
        return f"holds {constant}, which is no JSON; write a number or null instead"
    except (ValueError, RecursionError) as wrong:
        place = one_line(error)
        if isinstance(wrong, json.JSONDecodeError):
            place = f"at line {wrong.lineno}, column {wrong.colno}"
        return f"damaged, or no JSON ({place}); copy it again"
    return f"a value can't be used ({plainly(error)}); correct it"


class _ConstantError(Exception):
    """NaN or an infinity."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def read_content(path: Path) -> bytes:
    """Read a text file of labels: unpacked if compressed by gzip, and without a byte order mark."""
    data = read_labels(path)
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, path)
    if data.startswith(b"PK\x03\x04"):
        raise NirgenError(f"{path}: a ZIP archive; unpack it, and give the labels in it")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise NirgenError(f"{path}: UTF-16; save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NirgenError(f"{path}: damaged gzip file ({error}); copy it again") from None
    if len(content) > _UNPACKED_BYTES:
        raise NirgenError(f"{path}: unpacks to over {_UNPACKED_BYTES >> 30} GB; unpack it, and give parts of it")
    return content


def read_xml(path: Path) -> ET.Element:
    """Read an XML file; a document type, and thereby every entity, is refused."""
    data = read_labels(path)
    guard = expat.ParserCreate()

    def refuse(*_declaration: object) -> None:
        raise NirgenError(f"{path}: declares a document type, which labels don't need; remove the declaration")

    guard.StartDoctypeDeclHandler = refuse
    try:
        guard.Parse(data, True)
        return ET.fromstring(data)  # noqa: S314 - without a document type there are no entities to expand
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        line, column = getattr(error, "position", (getattr(error, "lineno", 0), getattr(error, "offset", 0)))
        place = f"at line {line}, column {column + 1}" if line else one_line(error)
        raise NirgenError(f"{path}: damaged, or no XML ({place}); copy it again") from None


def text_of(path: Path) -> str:
    """Read a text file in UTF-8."""
    try:
        return read_content(path).decode()
    except UnicodeDecodeError as error:
        raise NirgenError(f"{path}: no UTF-8 (at position {error.start}); save it as UTF-8") from None


def lines_of(path: Path) -> list[str]:
    """Read the lines of a text file, without blanks around them and without blank lines."""
    return [line.strip() for line in text_of(path).splitlines() if line.strip()]


def numbers_of(texts: Sequence[str], where: str) -> list[float]:
    """Return the finite numbers that texts state; `where` names them in errors."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise NirgenError(f"{where}: {' '.join(texts)[:60]!r} aren't all numbers; correct the line")
    return numbers


def children(element: ET.Element | None) -> dict[str, str]:
    """Return the texts of the children of an element by their tags; of equal tags the first one's."""
    return {child.tag: (child.text or "").strip() for child in reversed(element)} if element is not None else {}


def number_of(text: str | None, key: str, path: Path) -> float | None:
    """Return the number that a text states, None if it is missing; `key` names it in errors."""
    try:
        number = float(text) if text is not None else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise NirgenError(f"{path}: {key} is {text!r}; write a number")
    return number
