"""Files of state, with a bit flipped, cut off, or with bytes of chance: read as they were written, or one line."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig

MUTATIONS = 150  # of each file


def mutations(data: bytes, seed: int) -> Iterator[bytes]:
    """Yield changed copies of a file."""
    chance = random.Random(seed)
    for number in range(MUTATIONS):
        changed = bytearray(data)
        place = chance.randrange(len(data))
        if number % 3 == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif number % 3 == 1:
            changed[place : place + 8] = chance.randbytes(8)
        else:
            del changed[place:]
        yield bytes(changed)


def survive(path: Path, read: Callable[[], Any], seed: int = 0) -> int:
    """Read each mutation of a file; return how many are refused. None may give another value."""
    whole, right, refused = path.read_bytes(), read(), 0
    for changed in mutations(whole, seed):
        path.write_bytes(changed)
        try:
            found = read()
        except NirgenError:
            refused += 1
            continue
        assert found == right, changed
    path.write_bytes(whole)
    return refused


@pytest.fixture
def dataset(dataset_inputs: Callable[..., Any], plan_dataset: Callable[..., Any], tmp_path: Path) -> Path:
    from nirgen.dataset.build import build

    build(plan_dataset(dataset_inputs()), tmp_path / "D")
    return tmp_path / "D"


def test_a_dataset_is_read_as_it_was_built_or_not_at_all(dataset: Path) -> None:
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.read import read

    def described() -> object:
        info = read_dataset(dataset)
        return info.digest, info.categories, info.files, info.splits

    assert survive(dataset / "dataset.json", described) > MUTATIONS * 0.8
    assert survive(dataset / "provenance.parquet", lambda: list(read(read_dataset(dataset)))) == MUTATIONS


def test_a_model_is_read_as_it_was_written_or_not_at_all(small_config: GeneratorConfig, tmp_path: Path) -> None:
    from nirgen.models.checkpoint import build, load_state, save

    path = tmp_path / "m.safetensors"
    save(path, build(small_config).state_dict(), small_config, licence="CC0-1.0", training={"pairs": [], "steps": 7})

    def model() -> object:
        state, header = load_state(path)
        sums = {name: float(tensor.double().sum()) for name, tensor in sorted(state.items())}
        return sums, {key: header[key] for key in ("licence", "training", "metrics")}

    assert survive(path, model) > MUTATIONS * 0.9


def test_a_recipes_record_counts_as_it_was_written_or_not_at_all(tmp_path: Path) -> None:
    from nirgen.recipe.plan import Hashes, State

    state = State("done", {"command": "labels", "options": {"a": 1}, "inputs": {}}, 1.5, {"out:a": [1, 2]})
    state.write(State.file(tmp_path, "labels"))

    def record() -> object:
        return State.read(tmp_path, "labels") or state

    assert survive(State.file(tmp_path, "labels"), record) == 0
    (tmp_path / "file").write_text("one")
    hashes = Hashes(tmp_path / "hashes.json")
    hashes.of(tmp_path / "file")
    hashes.save()
    assert survive(tmp_path / "hashes.json", lambda: Hashes(tmp_path / "hashes.json").of(tmp_path / "file")) == 0


def test_a_detectors_description_is_read_as_it_was_written_or_not_at_all(tmp_path: Path) -> None:
    import json

    from nirgen.detect.detector import read_about
    from nirgen.files import seal

    (tmp_path / "config.json").write_text("{}")
    about = {"schema": 1, "names": ["a", "b"], "size": 640, "dataset": {"sha256": "5" * 64}, "files": {}}
    (tmp_path / "nirgen.json").write_text(json.dumps(seal(about), indent=2))

    def known() -> object:
        values = read_about(tmp_path) or {}
        return {key: values[key] for key in about}

    assert survive(tmp_path / "nirgen.json", known) > MUTATIONS * 0.8
