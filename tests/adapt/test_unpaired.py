from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.adapt.unpaired import adapt_tones, tone_curve
from nirgen.errors import ImageError, NirgenError
from nirgen.model import load_model
from nirgen.models.catalog import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.adapt.config import AdaptConfig
    from nirgen.pairs import PairList


@pytest.fixture
def folders(write_pairs: Callable[..., PairList], tmp_path: Path) -> tuple[Path, Path]:
    """Photos, and NIR images of camera 1 of other scenes."""
    write_pairs(tmp_path / "photos", {0: range(6)})
    write_pairs(tmp_path / "target", {1: range(30, 36)})
    return tmp_path / "photos" / "rgb", tmp_path / "target" / "nir"


def test_tones_come_nearer_to_those_of_the_camera(
    known: Path, folders: tuple[Path, Path], tmp_path: Path, config: AdaptConfig
) -> None:
    photos, nir = folders
    settings = config.model_copy(update={"steps": 40})
    verdict = adapt_tones(known, nir, photos, tmp_path / "out", settings)
    assert (verdict.outcome, verdict.what, verdict.photos, verdict.nirs, verdict.classes) == (
        "adapted",
        "last",
        6,
        6,
        (),
    )
    assert verdict.after < verdict.before / 2
    with Image.open(photos / "0_000.png") as photo:
        levels = [np.mean(load_model(path, device="cpu")(photo)) for path in (known, tmp_path / "out")]
    target = np.mean([np.mean(Image.open(path)) for path in nir.iterdir()])
    assert abs(levels[1] - target) < abs(levels[0] - target)
    adaptation = read_header(tmp_path / "out" / "model.safetensors")["training"]["adaptation"]
    assert (adaptation["outcome"], adaptation["nir_images"]) == ("adapted", 6)
    assert adapt_tones(known, nir, photos, tmp_path / "out", settings) == verdict


def test_the_models_own_tones_are_no_gain(
    known: Path, folders: tuple[Path, Path], tmp_path: Path, config: AdaptConfig
) -> None:
    photos, _ = folders
    translate = load_model(known, device="cpu")
    (tmp_path / "own").mkdir()
    for path in photos.iterdir():
        with Image.open(path) as photo:
            translate(photo).save(tmp_path / "own" / path.name)
    verdict = adapt_tones(known, tmp_path / "own", photos, tmp_path / "out", config)
    assert verdict.outcome == "no gain"
    assert verdict.lines()[0].startswith("no gain: kept the old one (distance of tones on held-out images: ")


def test_classes_of_masks_have_curves_of_their_own(
    known: Path, folders: tuple[Path, Path], tmp_path: Path, config: AdaptConfig
) -> None:
    photos, nir = folders
    for folder, name in ((photos, "photo-masks"), (nir, "nir-masks")):
        (tmp_path / name).mkdir()
        for path in folder.iterdir():
            mask = np.zeros((40, 48), np.uint8)
            mask[:20] = 7
            Image.fromarray(mask).save(tmp_path / name / path.name)
    masks = tmp_path / "photo-masks", tmp_path / "nir-masks"
    assert adapt_tones(known, nir, photos, tmp_path / "out", config, masks=masks).classes == (0, 7)
    (tmp_path / "nir-masks" / "1_030.png").unlink()
    with pytest.raises(ImageError, match=r"1_030.png: no mask '1_030.\*' in .*nir-masks; add it, or give no masks"):
        adapt_tones(known, nir, photos, tmp_path / "again", config, masks=masks)


def test_a_tone_curve_rises_and_gives_the_other_histogram() -> None:
    random = np.random.default_rng(0)
    made, real = random.integers(0, 200, 5000), random.integers(90, 120, 5000)
    curve = tone_curve(np.bincount(made, minlength=256), np.bincount(real, minlength=256))
    assert (np.diff(curve) >= 0).all()
    assert abs(np.sort(curve[made]) - np.sort(real)).max() <= 1
    assert tone_curve(np.zeros(256), np.ones(256)).tolist() == list(range(256))


def test_too_few_images_are_refused(
    known: Path, folders: tuple[Path, Path], tmp_path: Path, config: AdaptConfig
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NirgenError, match=r"empty: 0 image\(s\); at least 3 are needed to match tones"):
        adapt_tones(known, tmp_path / "empty", folders[0], tmp_path / "out", config)
