from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.dataset.build import refuse_leaks
from nirgen.errors import NirgenError
from nirgen.models.checkpoint import build
from nirgen.models.checkpoint import save as store
from nirgen.pairs import Pair, PairList
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.dataset.plan import Plan


MODEL = "726564000000"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def trained_on(name: str, sequence: str = "elsewhere", rgb: str = "?", nir: str = "?") -> dict[str, str]:
    return {"name": name, "rgb_sha256": rgb, "nir_sha256": nir, "sequence": sequence}


def leaks(plan: Plan) -> list[tuple[str, str, str, str]]:
    return [(leak.kind, leak.key, leak.split, leak.other) for leak in plan.leaks]


def with_pairs(inputs: dict, tmp_path: Path, rgb: dict[str, Path | str], sequence: str = "") -> None:
    """Give the real images a list of pairs: RGB partners by the names of the NIR images."""
    pairs = tuple(
        Pair(
            name=name.replace("/", "-"),
            rgb=str(partner),
            nir=name,
            sequence=sequence or f"scene-{name[:2]}",
            split="train",
            category="",
            rgb_sha256=sha256(partner) if not isinstance(partner, str) else partner,
            nir_sha256=sha256(tmp_path / "ranus" / name),
        )
        for name, partner in rgb.items()
    )
    PairList(tmp_path, pairs).write(tmp_path / "lists/pairs.csv")
    inputs["real"][0]["pairs"] = tmp_path / "lists/pairs.csv"


@pytest.fixture
def scene():
    """Save a picture that is smooth enough to survive JPEG."""

    def make(path: Path, seed: int, quality: int = 95) -> Path:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((300, 200), Image.Resampling.BICUBIC)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **({"quality": quality} if path.suffix == ".jpg" else {}))
        return path

    return make


def test_a_real_image_that_trained_the_generator_leaks_by_file(
    dataset_inputs, plan_dataset, save, tmp_path: Path
) -> None:
    """Neither its name nor its folder tells it: the bytes do."""
    known = sha256(save(tmp_path / "copy/anything.png", seed=11, grey=True))
    plan = plan_dataset(dataset_inputs(training_pairs=[trained_on("train/0001", nir=known)]))
    assert leaks(plan) == [("file", "ranus/02/y.png", "val", f"pair 'train/0001' that trained {MODEL}")]


def test_a_model_file_takes_what_trained_it_along_to_the_plan(
    dataset_inputs, plan_dataset, small_config, tmp_path: Path
) -> None:
    """The whole way, with a network: model file, translation, manifest, plan."""
    inputs = dataset_inputs()
    model = tmp_path / "m.safetensors"
    training = {"pairs": [trained_on("train/0001", nir=sha256(tmp_path / "ranus/02/y.png"))]}
    store(model, build(small_config).state_dict(), small_config, training=training)
    translate_folder(tmp_path / "bdd/rgb", tmp_path / "bdd/by_model", model=model)
    inputs["generated"][0]["folder"] = tmp_path / "bdd/by_model"
    plan = plan_dataset(inputs)
    assert leaks(plan) == [
        ("file", "ranus/02/y.png", "val", f"pair 'train/0001' that trained {plan.generators[0].model_id[:12]}")
    ]


def test_a_real_image_whose_rgb_partner_trained_the_generator_leaks_by_file(
    dataset_inputs, plan_dataset, tmp_path: Path
) -> None:
    inputs = dataset_inputs(training_pairs=[trained_on("train/0001", rgb="f" * 64)])
    with_pairs(inputs, tmp_path, {"03/z.png": "f" * 64})
    assert leaks(plan_dataset(inputs)) == [
        ("file", "ranus/03/z.png", "test", f"pair 'train/0001' that trained {MODEL}")
    ]


def test_another_frame_of_a_recording_that_trained_the_generator_leaks_by_sequence(
    dataset_inputs, plan_dataset
) -> None:
    plan = plan_dataset(dataset_inputs(training_pairs=[trained_on("train/0001", "s02"), trained_on("train/2", "s9")]))
    assert leaks(plan) == [("sequence", "ranus/02/y.png", "val", f"pair 'train/0001' of 's02' that trained {MODEL}")]


@pytest.mark.parametrize("shared", [False, True])
def test_a_bare_number_names_a_recording_only_if_the_data_sets_share_a_file(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path, shared: bool
) -> None:
    """Every data set has a recording 02."""
    nir = sha256(save(tmp_path / "copy.png", seed=10, grey=True)) if shared else "?"
    inputs = dataset_inputs(training_pairs=[trained_on("01_0001", "01", nir=nir), trained_on("02_0007", "02")])
    splits = {"01/x.png": "train", "02/y.png": "val", "03/z.png": "test"}
    labels = {name: {"split": split, "sequence": name[:2]} for name, split in splits.items()}
    write_labels(tmp_path / "ranus.json", labels)
    expected = [("sequence", "ranus/02/y.png", "val", f"pair '02_0007' of '02' that trained {MODEL}")]
    assert leaks(plan_dataset(inputs)) == (expected if shared else [])
    write_labels(tmp_path / "ranus.json", {name: {"split": split} for name, split in splits.items()})
    assert leaks(plan_dataset(inputs)) == (expected if shared else [])  # then its folder names it


def test_a_real_image_whose_rgb_partner_was_translated_leaks_by_file_and_its_recording_by_sequence(
    dataset_inputs, plan_dataset, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    rgb = tmp_path / "bdd/rgb"
    with_pairs(inputs, tmp_path, {"02/y.png": rgb / "b.jpg", "03/z.png": "0" * 64}, sequence="drive")
    translated = "'bdd/b.jpg', translated from"
    assert leaks(plan_dataset(inputs)) == [
        ("file", "ranus/02/y.png", "val", f"{translated} its RGB partner"),
        ("sequence", "ranus/03/z.png", "test", f"{translated} an RGB frame of 'drive'"),
    ]


def test_a_copy_of_a_training_image_leaks_by_file(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    shutil.copy(tmp_path / "ranus/01/x.png", tmp_path / "ranus/03/z.png")
    assert leaks(plan_dataset(inputs)) == [("file", "ranus/03/z.png", "test", "'ranus/01/x.png', the same file")]


def test_an_image_that_leaks_in_several_ways_is_named_once_by_the_strongest(
    dataset_inputs, plan_dataset, save, tmp_path: Path
) -> None:
    nir = sha256(save(tmp_path / "copy.png", seed=11, grey=True))
    inputs = dataset_inputs(training_pairs=[trained_on("train/1", "s02", nir=nir)])
    shutil.copy(tmp_path / "ranus/02/y.png", tmp_path / "ranus/01/x.png")
    assert leaks(plan_dataset(inputs)) == [("file", "ranus/02/y.png", "val", f"pair 'train/1' that trained {MODEL}")]


def test_a_recording_in_two_splits_leaks_by_sequence(
    dataset_inputs, plan_dataset, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    labels = {
        "01/x.png": {"split": "train", "sequence": "s"},
        "02/y.png": {"split": "val", "sequence": "s"},
        "03/z.png": {"split": "test", "sequence": "t"},
    }
    write_labels(tmp_path / "ranus.json", labels)
    assert leaks(plan_dataset(inputs)) == [
        ("sequence", "ranus/02/y.png", "val", "'ranus/01/x.png' of the same recording")
    ]


def test_a_near_copy_of_a_training_image_leaks(
    dataset_inputs, plan_dataset, scene, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    for path in ("01/x.png", "02/y.png"):
        (tmp_path / "ranus" / path).unlink()
    scene(tmp_path / "ranus/01/x.jpg", seed=1)
    scene(tmp_path / "ranus/02/y.jpg", seed=1, quality=60)
    scene(tmp_path / "ranus/03/z.png", seed=2)
    size = {"width": 300, "height": 200}
    splits = {"01/x.jpg": "train", "02/y.jpg": "val", "03/z.png": "test"}
    write_labels(tmp_path / "ranus.json", {name: {"split": split, **size} for name, split in splits.items()})
    (leak,) = plan_dataset(inputs).leaks
    assert (leak.kind, leak.key, leak.split) == ("near-duplicate", "ranus/02/y.jpg", "val")
    assert leak.other.startswith("'ranus/01/x.jpg', of whose 64 bits ")
    assert plan_dataset(inputs, near_duplicates=False).leaks == ()


def test_a_near_copy_of_a_translated_photograph_leaks_by_its_rgb_partner(
    dataset_inputs, plan_dataset, scene, red, tmp_path: Path
) -> None:
    """A frame that two data sets have, encoded anew: neither the bytes nor the NIR images tell it."""
    inputs = dataset_inputs()
    scene(tmp_path / "bdd/rgb/a.jpg", seed=4, quality=60)
    translate_folder(tmp_path / "bdd/rgb", tmp_path / "bdd/nir", model=red)
    with_pairs(inputs, tmp_path, {"02/y.png": scene(tmp_path / "partner.jpg", seed=4)})
    (leak,) = plan_dataset(inputs).leaks
    assert (leak.kind, leak.key) == ("near-duplicate", "ranus/02/y.png")
    assert leak.other.startswith("'bdd/a.jpg', of whose 64 bits ")


def test_generated_images_that_are_not_taken_leak_nothing(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    with_pairs(inputs, tmp_path, {"02/y.png": tmp_path / "bdd/rgb/b.jpg"})
    assert plan_dataset(inputs, limit=0).leaks == ()


def test_leaks_are_refused_unless_they_are_allowed(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    refuse_leaks(plan_dataset(inputs))
    shutil.copy(tmp_path / "ranus/01/x.png", tmp_path / "ranus/03/z.png")
    with pytest.raises(NirgenError) as error:
        refuse_leaks(plan_dataset(inputs))
    assert str(error.value) == (
        "1 image(s) in validation or test were seen in training, such as 'ranus/03/z.png' (file: 'ranus/01/x.png', the "
        "same file); remove them, put them into train, or give --allow-leak, which the dataset's card states"
    )
    plan = plan_dataset(inputs, allow_leak=True)
    refuse_leaks(plan)
    assert len(plan.leaks) == 1
