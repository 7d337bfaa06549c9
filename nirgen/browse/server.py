"""Process of the App's server: FiftyOne's, behind a guard."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from typing import TYPE_CHECKING, Any

from nirgen.browse.guard import Folders, Guard

if TYPE_CHECKING:
    from collections.abc import Iterable


SETTINGS = "NIRGEN_APP"
"""Environment variable with address, port, token, first page as JSON; other users could read a command's words."""

_SERVED = "nirgen.served"  # collection of the folders that nirgen has loaded
_FOLDER = {
    "$let": {
        "vars": {"found": {"$regexFind": {"input": "$path", "regex": r"^([\s\S]*)/[^/]*$"}}},
        "in": {"$arrayElemAt": ["$$found.captures", 0]},
    }
}


def main() -> None:
    """Serve the App until the process is ended."""
    settings = json.loads(os.environ.pop(SETTINGS))
    os.environ.pop("FIFTYONE_DISABLE_SERVICES", None)  # as FiftyOne's own server does
    os.environ["FIFTYONE_SERVER"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fiftyone.core.odm import get_db_conn
        from fiftyone.server.app import app
        from fiftyone.server.events import set_port
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

    database = get_db_conn()
    folders = Folders(folders_of(database, database.datasets.find()), lambda: recorded(database))
    address, port = settings["address"], settings["port"]
    config = Config()
    config.bind = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    set_port(port)
    guarded: Any = Guard(app, address, port, folders, settings["token"], settings["home"])
    asyncio.run(serve(guarded, config))


def folders_of(database: Any, datasets: Iterable[dict[str, Any]]) -> set[str]:
    """Return the folders of the media files of FiftyOne datasets, given by their documents."""
    found: set[str] = set()
    for dataset in datasets:
        fields = {"filepath", *((dataset.get("app_config") or {}).get("media_fields") or ())}
        for field in sorted(fields):
            steps: list[dict[str, Any]] = [
                {"$match": {field: {"$type": "string"}}},
                {"$project": {"path": f"${field}"}},
                {"$group": {"_id": _FOLDER}},
            ]
            found.update(each["_id"] for each in database[dataset["sample_collection_name"]].aggregate(steps))
    return found - {None, ""}


def record(database: Any, dataset: Any) -> None:
    """Note the folders of a dataset's media files, so that an App that runs already may serve them."""
    folders = folders_of(database, database.datasets.find({"_id": dataset._doc.id}))
    for folder in sorted(folders - recorded(database)):
        database[_SERVED].replace_one({"_id": folder}, {"_id": folder}, upsert=True)


def recorded(database: Any) -> set[str]:
    """Return the folders of all datasets that nirgen has loaded."""
    return {str(each["_id"]) for each in database[_SERVED].find()}


if __name__ == "__main__":
    main()
