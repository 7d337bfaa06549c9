"""Saved views and colours of the App."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.browse import views

if TYPE_CHECKING:
    from collections.abc import Callable


def _contrast_to_white(colour: str) -> float:
    """The contrast of WCAG 2, at least 4.5 for readable text."""
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_white_text_is_readable_on_every_badge_and_box(shared: Callable[..., Any]) -> None:
    scheme = shared(scores=False).dataset.app_config.color_scheme
    colours = {value["color"] for field in (*scheme.fields, scheme.label_tags) for value in field["valueColors"]}
    colours |= {*scheme.color_pool, scheme.label_tags["fieldColor"]}
    assert len(colours) > 40
    assert {colour: contrast for colour in colours if (contrast := _contrast_to_white(colour)) < 4.5} == {}


def test_a_higher_issue_score_has_another_colour_and_a_decision_its_own(shared: Callable[..., Any]) -> None:
    scheme = shared(scores=False).dataset.app_config.color_scheme
    of = {field["path"]: {each["value"]: each["color"] for each in field["valueColors"]} for field in scheme.fields}
    red, green = "#d62728", "#2e7d32"
    assert (of["tags"]["rejected"], of["tags"]["kept"], of["tags"]["needs-fix"]) == (red, green, "#b35900")
    assert len({of["issue"][f"trouble 0.{share}"] for share in ("00", "10", "25", "50")}) == 4
    assert of["issue"]["trouble 0.50"] == of["issue"]["trouble 1.00"]


def test_the_worst_boxes_are_there_though_none_is_suspicious(
    shared: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = shared(scores=False).dataset
    for key, troubles in (("bdd/a.jpg", [0.1]), ("bdd/b.jpg", [0.2, 0.05]), ("bdd/night/c.jpg", [0.01])):
        values = {f"boxes.detections.{at}.trouble": each for at, each in enumerate(troubles)}
        dataset._sample_collection.update_many({"key": key}, {"$set": values})
    assert views.trouble_of_worst_boxes(dataset) == 0  # all are shown
    monkeypatch.setattr(views, "SHOWN_BOXES", 2)
    assert views.trouble_of_worst_boxes(dataset) == pytest.approx(0.1)
