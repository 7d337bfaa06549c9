from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import NirgenError
from nirgen.evaluate.methods import Case, from_folders
from nirgen.evaluate.regions import REGIONS, Regions, match, read_mask

if TYPE_CHECKING:
    from pathlib import Path

GREEN, PURPLE, GREY, NAVY, VIOLET = (0, 128, 0), (128, 64, 128), (128, 128, 128), (0, 0, 128), (64, 0, 128)


@pytest.fixture
def nir(tmp_path: Path) -> Path:
    """Real NIR images of 40x60 (width x height) under `gt`: `01/a_nir.png`, `01/b_nir.png`."""
    for name in ("a", "b"):
        path = tmp_path / f"gt/01/{name}_nir.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 60), 100).save(path)
    return tmp_path / "gt"


def stripes(path: Path, *colours: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> None:
    """Save a mask of equally high stripes."""
    pixels = np.zeros((*size, 3), np.uint8)
    for number, colour in enumerate(colours):
        pixels[number * size[0] // len(colours) : (number + 1) * size[0] // len(colours)] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rows_of(regions: Regions, case: Case, shape: tuple[int, int] = (60, 40)) -> dict[str, list[int]]:
    """The rows of each region that is there."""
    return {
        name: np.flatnonzero(mask.any(axis=1)).tolist() for name, mask in regions.of(case, shape).items() if mask.any()
    }


def test_a_mask_in_ranus_colours_gives_the_five_regions(nir: Path, tmp_path: Path) -> None:
    stripes(tmp_path / "masks/01/a_gt.png", GREY, GREEN, PURPLE, NAVY, VIOLET, (64, 64, 0))
    cases = from_folders(nir)
    regions = Regions.find(tmp_path / "masks", cases)
    assert regions.about == "masks of 1 of 2 images"
    found = regions.of(cases[0], (12, 8))
    assert [np.flatnonzero(found[name][:, 0]).tolist() for name in REGIONS] == [[2, 3], [0, 1], [4, 5], [6, 7], [8, 9]]
    assert regions.of(cases[1], (12, 8)) == {}


def test_colours_may_be_fuzzy_and_a_mask_of_other_colours_is_refused(tmp_path: Path) -> None:
    stripes(tmp_path / "fuzzy.png", (3, 124, 2), (128, 64, 137))
    assert sorted(np.unique(read_mask(tmp_path / "fuzzy.png")).tolist()) == [0, 2]
    stripes(tmp_path / "ids.png", (1, 1, 1), (0, 0, 90), (40, 40, 40), (90, 90, 90))
    with pytest.raises(NirgenError, match=r"ids\.png: 25% of it has colours of RANUS's classes; save masks in these"):
        read_mask(tmp_path / "ids.png")


def test_masks_of_another_picture_are_refused(nir: Path, tmp_path: Path) -> None:
    stripes(tmp_path / "masks/01/a_gt.png", GREY, size=(40, 60))
    cases = from_folders(nir)
    with pytest.raises(NirgenError, match=r"a_nir\.png: 40x60, but its regions are of 60x40; give regions of the same"):
        Regions.find(tmp_path / "masks", cases).of(cases[0], (60, 40))


def test_masks_of_no_image_are_refused(nir: Path, tmp_path: Path) -> None:
    stripes(tmp_path / "masks/02/z_gt.png", GREY)
    with pytest.raises(NirgenError, match=r"masks: none of its 1 names, such as '02/z', fits any of the 2 images"):
        Regions.find(tmp_path / "masks", from_folders(nir))


def labels(path: Path, annotations: list[dict], name: str = "01/a_rgb.jpg") -> Path:
    names = ["vegetation", "car", "pedestrian", "traffic sign"]
    document = {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 60}],
        "categories": [{"id": number, "name": each} for number, each in enumerate(names, start=1)],
        "annotations": [
            {"id": number, "image_id": 1, "iscrowd": 0, "area": 1} | entry
            for number, entry in enumerate(annotations, start=1)
        ],
    }
    path.write_text(json.dumps(document))
    return path


def test_outlines_are_filled_and_of_a_box_the_middle_is_taken(nir: Path, tmp_path: Path) -> None:
    outline = {"category_id": 1, "bbox": [0, 0, 40, 10], "segmentation": [[0, 0, 40, 0, 40, 10, 0, 10]]}
    car = {"category_id": 2, "bbox": [4, 20, 16, 20]}
    sign = {"category_id": 4, "bbox": [0, 40, 40, 20]}
    cases = from_folders(nir)
    regions = Regions.find(labels(tmp_path / "coco.json", [outline, car, sign]), cases)
    assert rows_of(regions, cases[0]) == {"vegetation": list(range(10)), "vehicle": list(range(25, 35))}
    columns = np.flatnonzero(regions.of(cases[0], (60, 40))["vehicle"].any(axis=0))
    assert (columns.min(), columns.max()) == (8, 15)


@pytest.mark.parametrize(
    "outline",
    [{"size": [20, 30], "counts": [700]}, {"size": [-20, -30], "counts": [600]}, [[0, 0, 3e8, 0, 3e8, 3e8]]],
)
def test_an_outline_that_pycocotools_would_crash_at_is_one_line(
    nir: Path, tmp_path: Path, write_labels, outline: object
) -> None:
    path = write_labels(tmp_path / "own.json", {"01/a.jpg": {"boxes": [(1, [1, 2, 9, 9])]}})
    values = json.loads(path.read_text())
    values["annotations"][0]["segmentation"] = outline
    path.write_text(json.dumps(values))
    cases = from_folders(nir)
    with pytest.raises(NirgenError, match=r"own.json: '01/a.jpg' has (run lengths|a mask|a polygon) .*; mend it"):
        Regions.find(path, cases).of(cases[0], (60, 40))


def test_polygons_beside_images_are_labels(nir: Path, tmp_path: Path) -> None:
    stripes(tmp_path / "iddaw/rgb/01/a_rgb.png", GREY)
    outline = {"label": "sky", "polygon": [[0, 0], [40, 0], [40, 20], [0, 20]]}
    (tmp_path / "iddaw/gtSeg/01").mkdir(parents=True)
    document = {"imgHeight": 60, "imgWidth": 40, "objects": [outline]}
    (tmp_path / "iddaw/gtSeg/01/a_mask.json").write_text(json.dumps(document))
    cases = from_folders(nir)
    regions = Regions.find(tmp_path / "iddaw", cases)
    assert regions.about == "labels of 1 of 2 images"
    assert rows_of(regions, cases[0]) == {"sky": list(range(20))}


def test_a_box_of_vegetation_and_a_crowd_are_no_region(nir: Path, tmp_path: Path) -> None:
    boxes = [{"category_id": 1, "bbox": [0, 0, 40, 20]}, {"category_id": 3, "bbox": [0, 20, 40, 20], "iscrowd": 1}]
    cases = from_folders(nir)
    assert rows_of(Regions.find(labels(tmp_path / "coco.json", boxes), cases), cases[0]) == {}


def test_what_is_drawn_later_lies_on_top(nir: Path, tmp_path: Path) -> None:
    car = {"category_id": 2, "bbox": [0, 0, 40, 40], "segmentation": [[0, 0, 40, 0, 40, 40, 0, 40]]}
    person = {"category_id": 3, "bbox": [0, 10, 40, 10], "segmentation": [[0, 10, 40, 10, 40, 20, 0, 20]]}
    cases = from_folders(nir)
    found = rows_of(Regions.find(labels(tmp_path / "coco.json", [car, person]), cases), cases[0])
    assert found == {"vehicle": [*range(10), *range(20, 40)], "person": list(range(10, 20))}


def test_names_match_by_path_and_never_by_position() -> None:
    assert match(["01/x_nir", "02/x_nir"], ["02/x", "01/x", "03/y"], "here") == {"01/x_nir": "01/x", "02/x_nir": "02/x"}
    assert match(["x"], ["train/01/x"], "here") == {"x": "train/01/x"}
    assert match(["01/x", "02/x"], ["03/x"], "here") == {}
    assert match(["01/x"], ["02/y"], "here") == {}
    with pytest.raises(NirgenError, match="here: '01/x' and '02/x' may both belong to 'x'; remove one"):
        match(["x"], ["01/x", "02/x"], "here")
    with pytest.raises(NirgenError, match="here: 'x' may belong to '01/x' or '02/x'; name it with its folder"):
        match(["01/x", "02/x"], ["x"], "here")
