"""The plugin in FiftyOne's folder of plugins, so that the App has its operators."""

from __future__ import annotations

import os
from pathlib import Path

from nirgen.errors import OutputError

PLUGIN = Path(__file__).parent / "plugin"
"""The plugin: `fiftyone.yml` and the Python that FiftyOne runs."""

_LINK = "nirgen-curation"
_OURS = PLUGIN.parts[-3:]  # nirgen/browse/plugin, of this installation or another


def install() -> None:
    """Make FiftyOne find the plugin: a link to it in FiftyOne's folder of plugins.

    A link to the plugin of another installation of nirgen, there or gone, is made to point to this one. Nothing else
    is touched.

    Raises:
        OutputError: Something else has the link's name, or the link can't be made.
    """
    import fiftyone as fo

    link = Path(fo.config.plugins_dir) / _LINK
    try:
        if link.is_symlink() and link.readlink().parts[-3:] == _OURS:
            if link.resolve() == PLUGIN.resolve():
                return
        elif link.is_symlink() or link.exists():
            raise OutputError(f"{link} isn't nirgen's; move it away, or the App has no buttons to reject or keep with")
        link.parent.mkdir(parents=True, exist_ok=True)
        made = link.with_name(f".{link.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        made.symlink_to(PLUGIN, target_is_directory=True)
        made.replace(link)
    except OSError as error:
        raise OutputError(f"{link}: the plugin can't be linked there: {error.strerror or error}") from error
