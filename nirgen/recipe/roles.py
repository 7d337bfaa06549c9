"""Which options of each command name what it reads and what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Roles:
    """What the options of a command are to a recipe.

    Attributes:
        inputs: Options that name files or folders to read, perhaps with a name in front, `bdd=FOLDER`.
        outputs: Options that name what is written, with the name in the stage's folder where the recipe says none;
            None: not written unless the recipe names it.
        keeps: Who takes up what an earlier attempt left: one with the same `options`, one with the `same` options and
            inputs, or nobody (`never`).
        fixed: What a recipe can't change, since nobody is there to be asked.
        before: Arguments that one variadic argument of the command is made of, in their order.
        instead: The option with which the first of `before` may be left out.
        hubs: Those of `inputs` that may name a model of a hub instead, which looks like a path.
    """

    inputs: tuple[str, ...] = ()
    outputs: dict[str, str | None] = field(default_factory=dict)
    keeps: str = "never"
    fixed: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    instead: str = ""
    hubs: tuple[str, ...] = ()


ROLES: dict[str, Roles] = {
    "sample-data": Roles(outputs={"out": "data"}),
    "pairs list": Roles(("root", "rgb", "nir", "index"), {"out": "pairs.csv"}),
    "pairs check": Roles(("listing", "root"), {"out": "check.parquet", "sheet": "worst.png", "clean-list": None}),
    "train": Roles(("config", "pairs", "root"), {"out": "model"}, "same"),
    "evaluate": Roles(("folders", "model", "pairs", "root", "rgb", "weights"), {"out": "judged"}),
    "translate": Roles(
        ("source", "model", "list"),
        {"out": "nir", "preview": None},
        "options",
        before=("source", "out"),
        instead="list",
    ),
    "manifest merge": Roles(("parts", "source"), {"out": "nir"}),
    "labels": Roles(("inputs", "policy", "images"), {"out": "labels.json"}),
    "build-dataset": Roles(
        ("generated", "labels", "sources", "real", "real-labels", "real-pairs", "policy", "curation"),
        {"out": "dataset"},
        fixed={"yes": True},
    ),
    "validate": Roles(("paths", "images", "model")),
    "detect train": Roles(("dataset", "config", "model"), {"run": "detector"}, "same", hubs=("model",)),
    "detect evaluate": Roles(
        ("model", "dataset", "detections"),
        {"out": "judged"},
        before=("model", "dataset"),
        instead="detections",
        hubs=("model",),
    ),
    "detect compare": Roles(("dataset", "config", "model"), {"out": "comparison"}, "same", hubs=("model",)),
    "browse": Roles(("dataset", "sources")),
    "report": Roles(("folder", "sources"), {"out": "report.html"}),
    "export": Roles(("model",), {"output": "model.onnx"}),
    "models import": Roles(("source",), {"target": "model.safetensors"}),
    "models export": Roles(("model",), {"target": "model.pt"}),
    "curation apply": Roles(("dataset", "file")),
    "curation import": Roles(("dataset", "file")),
    "curation export": Roles(("dataset",), {"out": "curation.jsonl"}),
}
