from __future__ import annotations

import pytest

from nirgen.dataset.entries import match_names, misfit
from nirgen.errors import NirgenError
from nirgen.labels.file import LabelledImage


@pytest.mark.parametrize(
    ("labelled", "size", "remark"),
    [
        ((1280, 720), (1280, 720), None),
        ((1280, 720), (640, 360), None),
        ((1280, 720), (456, 256), None),
        ((1280, 720), (720, 1280), "is 720x1280, labelled as 1280x720, turned by EXIF or not"),
        ((1280, 720), (1280, 704), "is 1280x704, labelled as 1280x720"),
        ((0, 0), (1280, 720), "is 1280x720, labelled as 0x0"),
    ],
)
def test_boxes_can_be_scaled_only_to_an_image_of_the_same_proportions(
    labelled: tuple[int, int], size: tuple[int, int], remark: str | None
) -> None:
    entry = LabelledImage("a.jpg", *labelled, None, None, {}, {}, ())
    assert misfit(entry, *size) == remark


@pytest.mark.parametrize(
    ("image", "entry", "how"),
    [
        ("a/b.jpg", "a/b.jpg", "exact"),
        ("train/a/b.jpg", "a/b.jpg", "trailing"),
        ("b.jpg", "images/train/b.jpg", "trailing"),
        ("train/b.jpg", "train2017/b.jpg", "name"),
        ("train/0000f77c-6257be58.jpg", "0000f77c-6257be58", "stem"),
        ("0000f77c.v2.jpg", "0000f77c.v2", "stem"),
        ("a/my image.png", "my%20image.png", "spelling"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}.png", "x/cafe\N{COMBINING ACUTE ACCENT}.png", "spelling"),
        ("train/b.png", "train/b.jpg", "spelling"),
    ],
)
def test_an_image_finds_its_entry(image: str, entry: str, how: str) -> None:
    assert match_names([image], [entry], "l.json") == {image: (entry, how)}


def test_names_of_other_images_do_not_match() -> None:
    assert match_names(["ab.jpg", "x/c.jpg", "d.png", "e/d.png"], ["b.jpg", "xx/e.jpg", "d.jpg"], "l.json") == {}


def test_frames_of_several_videos_with_equal_names_keep_their_own_entries() -> None:
    images = ["train/a/0001.jpg", "train/b/0001.jpg", "train/c/0001.jpg"]
    matches = match_names(images, ["b/0001.jpg", "a/0001.jpg"], "l.json")
    assert matches == {
        "train/a/0001.jpg": ("a/0001.jpg", "trailing"),
        "train/b/0001.jpg": ("b/0001.jpg", "trailing"),
    }


def test_a_frame_does_not_take_the_entry_of_another_video() -> None:
    """`b` has no entry and the entry of `c` no image; that both are called 0001.jpg says nothing."""
    matches = match_names(["a/0001.jpg", "b/0001.jpg"], ["a/0001.jpg", "c/0001.jpg"], "l.json")
    assert matches == {"a/0001.jpg": ("a/0001.jpg", "exact")}


def test_the_longer_trailing_part_wins() -> None:
    matches = match_names(["x/a/1.jpg"], ["1.jpg", "a/1.jpg"], "l.json")
    assert matches == {"x/a/1.jpg": ("a/1.jpg", "trailing")}


def test_an_exact_match_goes_before_a_longer_path() -> None:
    assert match_names(["1.jpg", "a/1.jpg"], ["1.jpg"], "l.json") == {"1.jpg": ("1.jpg", "exact")}


def test_the_order_of_the_inputs_does_not_matter() -> None:
    images, entries = ["t/a.jpg", "t/b.jpg", "q/c.jpg", "d.jpg"], ["d.jpg", "b.jpg", "a", "z/c.jpg"]
    forwards = match_names(images, entries, "l.json")
    assert len(forwards) == 4
    assert match_names(images[::-1], entries[::-1], "l.json") == forwards


@pytest.mark.parametrize(
    ("images", "entries", "message"),
    [
        (
            ["a/1.jpg", "b/1.jpg"],
            ["1.jpg"],
            "l.json: '1.jpg' may be 'a/1.jpg' or 'b/1.jpg'; name it with its folder in the labels, or take away one",
        ),
        (
            ["1.jpg"],
            ["a/1.jpg", "b/1.jpg"],
            "l.json: both 'a/1.jpg' and 'b/1.jpg' may be '1.jpg'; put the images into the folders that the labels name",
        ),
        (
            ["1.jpg", "1.png"],
            ["1"],
            "l.json: '1' may be '1.jpg' or '1.png'; name it with its folder in the labels, or take away one",
        ),
    ],
)
def test_what_fits_two_is_refused_naming_both(images: list[str], entries: list[str], message: str) -> None:
    with pytest.raises(NirgenError) as error:
        match_names(images, entries, "l.json")
    assert str(error.value) == message
