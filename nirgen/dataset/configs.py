"""Settings with which detectors train on a dataset as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.dataset.contents import splits_in
from nirgen.dataset.plan import SPLITS
from nirgen.dataset.rendering import render

if TYPE_CHECKING:
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Store

TRANSFORMERS = {
    "transformers_rtdetr_v2.yaml": ("RT-DETRv2", "PekingU/rtdetr_v2_r50vd"),
    "transformers_dfine.yaml": ("D-FINE", "ustc-community/dfine-medium-coco"),
}
"""By file: the detector, and the weights that training starts from."""


def write_configs(store: Store, plan: Plan) -> None:
    """Write `configs/`; that of rfdetr only where its folder is written too.

    Args:
        store: The dataset.
        plan: What it is made by.
    """
    splits = splits_in(plan)
    loaders = {split: split if split in splits else None for split in SPLITS}
    loaders["test"] = loaders["test"] or loaders["val"]
    store.write("configs/mmdet_co_dino.py", render("mmdet_co_dino.py.j2", plan, loaders=loaders))
    for name, (title, checkpoint) in TRANSFORMERS.items():
        text = render("transformers.yaml.j2", plan, name=name, title=title, checkpoint=checkpoint, splits=splits)
        store.write(f"configs/{name}", text)
    if "rfdetr" in plan.config.formats:
        store.write("configs/rfdetr.yaml", render("rfdetr.yaml.j2", plan, splits=splits))
