from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nirgen.dataset.reading import Looked, hash_file, look_at, read_all
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path


def test_results_come_in_the_order_of_the_files_and_errors_are_results(save, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.png", seed=seed) for seed in range(40)]
    paths[7].write_text("no image")
    paths[9].unlink()
    told: list[tuple[str, int, int]] = []
    results = read_all(look_at, paths, what="look", report=lambda *step: told.append(step))
    assert [isinstance(result, ImageError) for result in results] == [number in {7, 9} for number in range(40)]
    data = paths[3].read_bytes()
    assert results[3] == Looked(hashlib.sha256(data).hexdigest(), len(data), (20, 30))
    assert told == [("look", done, 40) for done in range(1, 41)]


def test_a_file_that_is_only_hashed_need_not_be_an_image(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a") == Looked(hashlib.sha256(b"abc").hexdigest(), 3)
