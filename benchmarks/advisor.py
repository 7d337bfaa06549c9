"""How often the answer of `nirgen detect compare` is right about planted truths.

    python benchmarks/advisor.py simulate [--repeats 100] [--images 200] [--seeds 3]
    python benchmarks/advisor.py scenes [--repeats 3] [--images 150] [--steps 300] [--folder DIR]

The truths: generated images help, they are as good as grey copies, they hurt, they help too little for the test images,
and they change nothing. `simulate` draws detections from a model of detectors: each object has a difficulty that all
share, each training shifts the skill of its arm by chance, and each image has false detections. `scenes` trains small
detectors (a network of four convolutions that finds centres) on street scenes; see street.py.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import street

from nirgen.dataset.read import Box, Image
from nirgen.detect.answer import answer
from nirgen.detect.arms import Arm, Run
from nirgen.detect.coco_eval import Result
from nirgen.detect.comparison import Judged, sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig
from nirgen.detect.data import Split
from nirgen.detect.evaluation import write_results
from nirgen.labels.file import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nirgen.detect.answer import Answer


ARMS = (
    Arm("pretrained", "as pretrained"),
    Arm("real", "+ real", ("r",), 1, 0),
    Arm("real+1x", "+ real + 1 x generated", ("g", "r"), 1, 1),
    Arm("real+grey", "+ real + 1 x RGB in grey", ("g", "r"), 1, 0, look="grey"),
)
# what must come out, and what would be a claim against the truth
TRUTHS = {
    "helps": ({"helps"}, {"hurts", "grey"}),
    "grey": ({"grey"}, {"helps", "hurts"}),
    "hurts": ({"hurts"}, {"helps", "grey"}),
    "too little": ({"undecided", "unknown"}, {"helps", "grey", "hurts"}),
    "nothing": ({"undecided"}, {"helps", "grey", "hurts"}),
}
_LABELS = tuple(Category(number, name, "thing") for number, name in enumerate(street.CLASSES, start=1))


def main() -> None:
    """Print the shares of right answers and of wrong claims of each truth, by class."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("simulate", "scenes"))
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--images", type=int, default=200, help="test images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--truths", help="by default all; nothing is of simulate alone")
    parser.add_argument("--first", type=int, default=0, help="number of the first repeat")
    options = parser.parse_args()
    judge = simulate if options.what == "simulate" else train_on_scenes
    usual = [truth for truth in TRUTHS if options.what == "simulate" or truth != "nothing"]
    for truth in options.truths.split(",") if options.truths else usual:
        began, cpu = time.perf_counter(), time.process_time()
        counts: dict[str, Counter[str]] = {}
        for repeat in range(options.first, options.first + options.repeats):
            with tempfile.TemporaryDirectory() as folder:
                found = judge(truth, repeat, Path(folder), options)
            for each in found.findings:
                if each.key == "ap" or each.key.startswith("ap/"):
                    counts.setdefault(each.title, Counter())[each.advice] += 1
            if options.what == "scenes":
                print(f"  {truth} {repeat}: {found.sentence}", flush=True)
                for each in found.findings:
                    print(f"    {each.sentence}", flush=True)
        seconds, busy = time.perf_counter() - began, time.process_time() - cpu
        right, wrong = TRUTHS[truth]
        for title, of_title in counts.items():
            share = sum(of_title[each] for each in right) / options.repeats
            false = sum(of_title[each] for each in wrong) / options.repeats
            print(f"{truth:>10} {title:>8}: right {share:.0%}, wrong claims {false:.0%}  {dict(of_title)}", flush=True)
        print(f"{truth:>10} took {seconds:.0f} s, {busy:.0f} of the processor", flush=True)


def simulate(truth: str, repeat: int, folder: Path, options: argparse.Namespace) -> Answer:
    """Answer from drawn detections."""
    random = np.random.default_rng((repeat, list(TRUTHS).index(truth)))
    count = options.images // 12 if truth == "too little" else options.images
    boxes = [
        [
            (
                street.CLASSES[int(random.integers(3))],
                tuple(map(float, (*random.uniform(0, 300, 2), *random.uniform(20, 120, 2)))),
            )
            for _ in range(random.integers(1, 6))
        ]
        for _ in range(count)
    ]
    split = _split([f"{number}.png" for number in range(count)], boxes, (400, 400), Path("D"))
    difficulty = [[random.normal(0, 1.2) for _ in on_image] for on_image in boxes]
    gain = {"helps": 0.7, "too little": 0.35, "grey": 0.7, "hurts": -0.7, "nothing": 0.0}[truth]
    skills = {"pretrained": -1.0, "real": 0.2, "real+1x": 0.2 + gain}
    skills["real+grey"] = 0.2 + (0.7 if truth == "grey" else 0.2 if truth == "helps" else 0.0)

    def detect(arm: Arm, _seed: int) -> list[Result]:
        skill = skills[arm.name] + random.normal(0, 0.08)
        found = []
        for number, (on_image, hard) in enumerate(zip(boxes, difficulty, strict=True), start=1):
            for (name, box), each in zip(on_image, hard, strict=True):
                margin = skill - each + random.normal(0, 0.5)
                if margin < -0.6:
                    continue
                loose = 0.09 * np.exp(-0.4 * margin) * np.array([box[2], box[3]] * 2) * random.normal(0, 1, 4)
                x, y, width, height = np.array(box) + loose
                score = 1 / (1 + np.exp(-margin + random.normal(0, 0.5)))
                place = (float(x), float(y), float(max(2, width)), float(max(2, height)))
                found.append(Result(number, street.CLASSES.index(name) + 1, place, float(score)))
            for _ in range(random.poisson(1.2)):
                place = tuple(map(float, (*random.uniform(0, 300, 2), *random.uniform(20, 120, 2))))
                score = 1 / (1 + np.exp(skill + random.normal(0, 1)))
                found.append(Result(number, int(random.integers(1, 4)), place, float(score)))
        return found

    return _answer(split, ARMS, detect, folder, options)


def _answer(
    split: Split, arms: Sequence[Arm], detect: Callable[[Arm, int], list[Result]], folder: Path, options: Any
) -> Answer:
    """Answer from the detections of all arms and seeds."""
    judged = []
    for arm in arms:
        for seed in range(options.seeds) if arm.images else [0]:
            path = folder / f"{arm.name}-{seed}.json"
            write_results(path, detect(arm, seed))
            judged.append(Judged(Run(arm, seed if arm.images else None), "0" * 64, path))
    config = CompareConfig(seeds=tuple(range(options.seeds)), bootstrap=BootstrapConfig(resamples=options.resamples))
    return answer(sum_up(judged, split, config))


def _split(names: Sequence[str], boxes: Sequence[Any], size: tuple[int, int], folder: Path) -> Split:
    """Return test images with boxes, (class, COCO xywh) each."""
    images = []
    for number, (name, on_image) in enumerate(zip(names, boxes, strict=True), start=1):
        found = tuple(
            Box(f"{name}#{place}", number * 100 + place, category, box, box[2] * box[3], False, category, ())
            for place, (category, box) in enumerate(on_image)
        )
        values: dict[str, Any] = dict.fromkeys(("rgb", "rgb_name", "rgb_sha256", "sequence", "model_id"))
        images.append(
            Image(
                key=f"real/{name}", id=number, split="test", origin="real", generated=False, path=folder / name,
                width=size[1], height=size[0], sha256="", input_sha256="", attributes={}, boxes=found, **values,
            )
        )  # fmt: skip
    return Split(folder, "0" * 64, "d" * 64, "test", _LABELS, tuple(images))


def train_on_scenes(truth: str, repeat: int, folder: Path, options: argparse.Namespace) -> Answer:
    """Answer from small detectors that were trained on street scenes, a few real ones and many generated ones."""
    from street_net import StreetNet

    real = [street.draw_scene((repeat, 1, number)) for number in range(12)]
    photos = [street.draw_scene((repeat, 2, number)) for number in range(100)]
    count = options.images // 12 if truth == "too little" else options.images
    test = [street.draw_scene((repeat, 3, number)) for number in range(count)]
    boxes = [[(name, tuple(map(float, box))) for name, box in scene.boxes] for scene in test]
    split = _split([f"{number}.png" for number in range(count)], boxes, (street.HEIGHT, street.WIDTH), folder)
    greys = [(street.to_grey(scene.rgb), scene.boxes) for scene in photos]
    made = {"grey": greys, "hurts": [(scene.nir, _shifted(scene.boxes)) for scene in photos]}
    generated = made.get(truth, [(scene.nir, scene.boxes) for scene in photos])
    sets = {"real": [], "real+1x": generated, "real+grey": greys}

    def detect(arm: Arm, seed: int) -> list[Result]:
        examples = [(scene.nir, scene.boxes) for scene in real] + sets.get(arm.name, [])
        steps = options.steps if arm.images else 0
        network = StreetNet(seed=1000 * repeat + 10 * seed + list(sets).index(arm.name) if steps else 0)
        network.fit(examples, steps)
        found = []
        for number, scene in enumerate(test, start=1):
            found += [Result(number, category + 1, box, score) for category, box, score in network.detect(scene.nir)]
        return found

    return _answer(split, ARMS, detect, folder, options)


def _shifted(boxes: Sequence[tuple[str, tuple[int, int, int, int]]]) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Return labels that are off by half a box, inside the frame."""
    return [
        (name, (min(x + width // 2, street.WIDTH - width), min(y + height // 3, street.HEIGHT - height), width, height))
        for name, (x, y, width, height) in boxes
    ]


if __name__ == "__main__":
    main()
