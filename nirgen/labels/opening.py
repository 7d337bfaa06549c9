"""Labels for what comes after: a labels file as it is, any other format converted in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.labels.convert import convert
from nirgen.labels.file import LabelFile, is_label_file
from nirgen.labels.policy import Policy
from nirgen.labels.sources import Source, read_bytes

if TYPE_CHECKING:
    from pathlib import Path


def open_labels(path: Path, policy: str | Path = "default", *, images: Path | None = None) -> LabelFile:
    """Read a labels file, or labels of any other known format.

    Args:
        path: What `nirgen labels` wrote, which stays as it is; or a file or folder of another format.
        policy: What chooses the classes of the latter.
        images: The folder of the images, for sizes that labels don't state and endings that names lack.

    Returns:
        The labels.

    Raises:
        NirgenError: There is nothing, nothing known, or a name that the policy doesn't know.
    """
    if not path.exists():
        raise NirgenError(f"{path}: not there; name a file or folder of labels")
    if path.is_file():
        data = read_bytes(path)
        if is_label_file(data):
            return LabelFile.parse(data, path)
    document = convert([Source(path)], Policy.load(policy), images=images)
    return LabelFile.parse(b"".join(document.chunks()), path, sha256=document.inputs[0]["sha256"])
