from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nirgen.dataset.config import DatasetConfig
from nirgen.errors import ConfigError

BDD: dict[str, Any] = {"origin": "bdd", "folder": "/in/bdd", "labels": "/in/bdd.json", "sources": "/in/rgb"}
RANUS: dict[str, Any] = {"origin": "ranus", "folder": "/in/ranus", "labels": "/in/ranus.json"}


def read(**values: Any) -> DatasetConfig:
    return DatasetConfig.read({"generated": [BDD], "real": [RANUS]} | values, where="here")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"generated": [], "real": []}, "here: a dataset needs images; give --generated with --labels, or --real"),
        ({"real": [RANUS | {"origin": "BDD"}]}, "two inputs are named 'BDD'; name one of them anew with NAME=FOLDER"),
        ({"splits": {"train": 0.5, "val": 0.4}}, "here: 'splits': the shares add up to 0.9 and not to 1"),
        ({"splits": {"train": 0.5, "dev": 0.5}}, "'dev' is no split of a dataset; there are train, val, test"),
        ({"balance": "class"}, "--balance chooses images, and nothing is chosen; say how many with --limit"),
        ({"balence": "class"}, "here: unknown key 'balence'; did you mean 'balance'?"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(**values)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a\\b", "C:", "a#b", " a", "a\nb"])
def test_a_name_that_can_be_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="can't name an input; write NAME=FOLDER"):
        read(generated=[BDD | {"origin": name}])


def test_moving_changes_every_path_and_nothing_else() -> None:
    config = read(policy="mine.yaml", limit=3)
    moved = config.moved(lambda path: Path("/new") / path.name)
    assert moved.generated[0].model_dump() == {
        "origin": "bdd",
        "folder": Path("/new/bdd"),
        "labels": Path("/new/bdd.json"),
        "sources": Path("/new/rgb"),
    }
    assert moved.real[0].pairs is None
    assert (moved.policy, moved.limit) == ("/new/mine.yaml", 3)
    assert read().moved(lambda path: Path("/new") / path.name).policy == "default"
