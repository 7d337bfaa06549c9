"""What several tests need: a translator that is small enough to see through, and photographs to translate."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nirgen.cli import execute
from nirgen.translate.options import processors
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from torch import Tensor

    from nirgen.dataset.plan import Plan
    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList


_BYTES_A_WORKER = 4 * 2**30  # torch, Ray and FiftyOne in one process


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes of `-n auto`: one per core, if memory suffices."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(processors(), memory // _BYTES_A_WORKER))


def pytest_configure(config: pytest.Config) -> None:
    """Set what the processes that tests start inherit: Ctrl-C, be it ignored here, and a share of the cores."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    workers = config.getoption("numprocesses", None)
    if workers:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // workers)))


def pytest_collection_finish() -> None:
    """Exempt what was imported from garbage collection, which would walk through all of it again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let it be collected at the end: extension modules complain of what is left."""
    gc.unfreeze()


class RedTranslator:
    """Takes the red channel for NIR: the nearest to it that a photograph has.

    Attributes:
        batches: (N, H, W) of every batch that it was given.
    """

    stride = 8

    def __init__(self, name: str = "red", gain: float = 1.0) -> None:
        self.id = name.encode().hex().ljust(64, "0")
        self.header: Mapping[str, Any] = {"architecture": {"name": name, "gain": gain}}
        self.gain = gain
        self.batches: list[tuple[int, int, int]] = []

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        assert rgb.shape[2] % self.stride == 0
        assert rgb.shape[3] % self.stride == 0
        assert all(height <= rgb.shape[2] and width <= rgb.shape[3] for height, width in sizes)
        self.batches.append((rgb.shape[0], rgb.shape[2], rgb.shape[3]))
        return (rgb[:, :1].float() * self.gain / 255).clamp(0, 1)


@pytest.fixture
def red() -> RedTranslator:
    return RedTranslator()


@pytest.fixture
def red_type() -> type[RedTranslator]:
    return RedTranslator


@pytest.fixture
def photo() -> Callable[..., np.ndarray]:
    """Make the pixels of a photograph: (H, W, 3) uint8, other ones for each seed."""

    def make(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture
def save(photo: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Save a photograph, in grey if asked for, under a path, in the format of its ending; folders are made."""

    def write(path: Path, height: int = 20, width: int = 30, seed: int = 0, *, grey: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = photo(height, width, seed)
        Image.fromarray(pixels[..., 0] if grey else pixels).save(path)
        return path

    return write


@pytest.fixture(scope="session")
def small_config() -> GeneratorConfig:
    """Two levels of 8 channels, no extractor: 23 thousand values."""
    from nirgen.models.config import GeneratorConfig, NoExtractorConfig

    return GeneratorConfig(
        stem_channels=8,
        encoder=((8,), (8,)),
        bottleneck=((8,), (8,), (8,)),
        decoder=((8,), (8,)),
        attention_heads=2,
        norm_groups=4,
        extractor=NoExtractorConfig(),
    )


@pytest.fixture
def pairs(save: Callable[..., Path], tmp_path: Path) -> PairList:
    """Four pairs to train on and two to judge by, of 48x64 pixels; NIR is the red channel."""
    from nirgen.pairs import find_pairs

    for seed, name in enumerate(("train/a", "train/b", "train/c", "train/d", "val/e", "val/f")):
        split, stem = name.split("/")
        rgb = save(tmp_path / "pairs" / split / "rgb" / f"{stem}.png", 48, 64, seed)
        nir = rgb.parents[1] / "nir" / rgb.name
        nir.parent.mkdir(exist_ok=True)
        with Image.open(rgb) as image:
            image.getchannel("R").save(nir)
    return find_pairs(tmp_path / "pairs")


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the clone, which is not part of the project."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not here: real data is needed")
    return folder


@pytest.fixture
def on_a_small_disk(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a shell command in a file system of 4 MB, which goes with it; `disk` in `tmp_path` is its folder."""
    disk = tmp_path / "disk"

    def run(command: str) -> subprocess.CompletedProcess[str]:
        disk.mkdir()
        script = f"mount -t tmpfs -o size=4m tmpfs {disk} && cd {disk} && echo mounted && {command}"
        own = [] if os.geteuid() == 0 else ["--map-root-user"]
        done = subprocess.run(
            ["unshare", "--mount", *own, "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if "mounted" not in done.stdout:
            pytest.skip(f"no small disk can be mounted here ({done.stderr.strip()})")
        return done

    return run


@pytest.fixture
def describe() -> Callable[..., None]:
    """Change values of a dataset's `dataset.json`, and record its provenance as it is now, as another build would."""
    from nirgen.files import seal, sha256_of, unseal

    def write(folder: Path, **values: Any) -> None:
        path = folder / "dataset.json"
        described = unseal(json.loads(path.read_bytes()))
        files = described["files"] | {"provenance.parquet": sha256_of(folder / "provenance.parquet")}
        path.write_text(json.dumps(seal(described | {"files": files} | values)))

    return write


def without_notices(errors: str) -> str:
    """Return standard error without the lines that announce work or name the next command."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if not line.endswith(" ...\n") and not line.startswith("next: "))


@pytest.fixture
def nirgen(run_nirgen: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; its exit code, output, and errors without lines that announce work or name the next command."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, output, errors = run_nirgen(*arguments)
        return code, output, without_notices(errors)

    return run


@pytest.fixture
def run_nirgen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command; its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nirgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            execute()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


class Running(subprocess.Popen[str]):
    """A process whose outputs go to files: pipes would be held open by processes that it starts and that live on."""

    def __init__(self, words: Sequence[object], outputs: Path, **settings: Any) -> None:
        self.files = [outputs.with_name(f"{outputs.name}.{ending}") for ending in ("out", "err")]
        with self.files[0].open("w") as out, self.files[1].open("w") as error:
            super().__init__([*map(str, words)], stdin=subprocess.DEVNULL, stdout=out, stderr=error, **settings)

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait(60)

    def communicate(self, input: None = None, timeout: float | None = 300) -> tuple[str, str]:  # noqa: A002
        """Wait for the end; the outputs."""
        self.wait(timeout)
        return self.files[0].read_text(), self.files[1].read_text()

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until a condition holds, which is returned; fail after five minutes, or if the process ends before."""
        deadline = time.monotonic() + 300
        while not (found := condition()):
            ended = self.poll() is not None
            if ended and (found := condition()):
                break
            assert not ended, self.communicate()
            assert time.monotonic() < deadline, [path.read_text() for path in self.files]
            time.sleep(0.01)
        return found

    def until_said(self, text: str) -> None:
        """Wait until a text is on standard error."""
        self.until(lambda: text in self.files[1].read_text())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a process; what still runs at the end of the test is killed."""
    started: list[Running] = []

    def start(*words: object, **settings: Any) -> Running:
        started.append(Running(words, tmp_path / f"process{len(started)}", **settings))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(60)


_PAUSED = """
import functools, importlib, os, sys, time

where, go = sys.argv[1:3]
module, _, path = where.partition(":")
*owners, name = path.split(".")
owner = functools.reduce(getattr, owners, importlib.import_module(module))
plain = getattr(owner, name)

def paused(*arguments, **keywords):
    open(go + ".waiting", "w").close()
    deadline = time.monotonic() + 300
    while not os.path.exists(go):
        if time.monotonic() > deadline:
            os._exit(99)
        time.sleep(0.01)
    return plain(*arguments, **keywords)

setattr(owner, name, paused)
del sys.argv[1:3]
from nirgen.cli import main
main()
"""


@pytest.fixture
def paused(tmp_path: Path, running: Callable[..., Running]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in a process of its own, and do something to it when it first comes to a function.

    The function is named like `nirgen.dataset.build:write_card`. Returns as `nirgen` does.
    """

    def run(where: str, then: Callable[[], object], *arguments: object) -> tuple[int, str, str]:
        go = tmp_path / "go"
        process = running(sys.executable, "-c", _PAUSED, where, go, *arguments)
        process.until(go.with_name("go.waiting").exists)
        then()
        go.touch()
        out, error = process.communicate()
        go.unlink()
        go.with_name("go.waiting").unlink()
        return process.returncode, out, without_notices(error)

    return run


@pytest.fixture
def write_labels() -> Callable[..., Path]:
    """Write a labels file of images of 30x20 pixels: the keys of each by its name, its boxes as (category id, bbox)."""

    def write(
        path: Path, images: Mapping[str, Mapping[str, Any]], classes: Sequence[str] = ("person", "bicycle", "car")
    ) -> Path:
        annotations: list[dict[str, Any]] = []
        entries = []
        for image_id, (name, keys) in enumerate(sorted(images.items()), start=1):
            for number, (category, bbox) in enumerate(keys.get("boxes", ())):
                of_image = {"id": len(annotations) + 1, "image_id": image_id, "source_key": str(number)}
                box = {"category_id": category, "bbox": bbox, "area": bbox[2] * bbox[3], "iscrowd": 0}
                annotations.append(of_image | box | {"source_category": classes[category - 1]})
            own = {key: value for key, value in keys.items() if key != "boxes"}
            entries.append({"id": image_id, "file_name": name, "width": 30, "height": 20} | own)
        document = {
            "info": {"nirgen": {"schema": 1, "policy": "default", "inputs": [], "counts": {}}},
            "categories": [
                {"id": number, "name": name, "supercategory": "thing"} for number, name in enumerate(classes, start=1)
            ],
            "images": entries,
            "annotations": annotations,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def dataset_inputs(
    tmp_path: Path, save: Callable[..., Path], red: RedTranslator, write_labels: Callable[..., Path]
) -> Callable[..., dict[str, Any]]:
    """Make inputs of a dataset in a folder, and what `DatasetConfig` says of them.

    `bdd/nir` holds three translated photographs, whose sources are `bdd/rgb`; `ranus` three real images, each a
    recording and a split of its own. Nothing is empty: there is a car on each image, and a bicycle on one. `scale`
    enlarges the photographs: from 4 on they have scores.
    """

    def make(
        root: Path = tmp_path, *, training_pairs: list[dict[str, str]] | None = None, scale: int = 1
    ) -> dict[str, Any]:
        car = (3, [1, 2, 10, 5])
        rgb = {"a.jpg": {"boxes": [car]}, "b.jpg": {"boxes": [car, (2, [3, 3, 4, 4])]}, "night/c.jpg": {"boxes": [car]}}
        nir = {
            "01/x.png": {"boxes": [car], "sequence": "s01", "split": "train"},
            "02/y.png": {"boxes": [car], "sequence": "s02", "split": "val"},
            "03/z.png": {"boxes": [car], "sequence": "s03", "split": "test"},
        }
        for seed, name in enumerate(rgb):
            save(root / "bdd/rgb" / name, 20 * scale, 30 * scale, seed)
        for seed, name in enumerate(nir, start=10):
            save(root / "ranus" / name, seed=seed, grey=True)
        if training_pairs is not None:
            red.header = {**red.header, "training": {"pairs": training_pairs, "steps": 7}}
        translate_folder(root / "bdd/rgb", root / "bdd/nir", model=red)
        bdd, ranus = write_labels(root / "bdd.json", rgb), write_labels(root / "ranus.json", nir)
        return {
            "generated": [{"origin": "bdd", "folder": root / "bdd/nir", "labels": bdd}],
            "real": [{"origin": "ranus", "folder": root / "ranus", "labels": ranus}],
        }

    return make


@pytest.fixture
def age_manifest() -> Callable[[Path], None]:
    """Write a manifest as older versions did: with the list of training pairs in it, and without a checksum."""

    def age(folder: Path) -> None:
        path, listed = folder / "manifest.parquet", folder / "training_pairs.json"
        table = pq.read_table(path)
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        model = json.loads(metadata["nirgen.model"])
        del model["training"]["pairs_sha256"], metadata["nirgen.seal"]
        model["training"]["pairs"] = json.loads(listed.read_text())
        metadata["nirgen.model"] = json.dumps(model, sort_keys=True)
        pq.write_table(table.replace_schema_metadata(metadata), path)
        listed.unlink()

    return age


@pytest.fixture
def plan_dataset() -> Callable[..., Plan]:
    """Plan a dataset of some inputs, with settings."""
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan

    def make(inputs: dict[str, Any], **settings: Any) -> Plan:
        return make_plan(DatasetConfig.read(inputs | settings, where="the test"))

    return make


@pytest.fixture
def made_dataset(tmp_path: Path, write_labels: Callable[..., Path], red: RedTranslator) -> Callable[..., Path]:
    """Build a dataset of images of 30x20 pixels: real ones to train and to test on, and generated ones.

    On each image is a bright car, on every other one a person as well; the last of `test` is empty. Images to validate
    on are real.
    """
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan

    def make(folder: Path, real: int = 3, generated: int = 5, test: int = 6, val: int = 0) -> Path:
        names = {
            f"{split}/{number:02}.png": split
            for split, count in (("train", real), ("test", test), ("val", val))
            for number in range(count)
        }
        nir = {
            name: {"split": split, "sequence": name, "boxes": _boxes(seed)}
            for seed, (name, split) in enumerate(names.items())
        }
        if test:
            nir[f"test/{test - 1:02}.png"]["boxes"] = []
        rgb = {f"{number:02}.png": {"boxes": _boxes(100 + number)} for number in range(generated)}
        for place, images in (("ranus", nir), ("photos", rgb)):
            for name, keys in images.items():
                _paint(tmp_path / place / name, keys["boxes"], grey=place == "ranus")
        inputs: dict[str, Any] = {"near_duplicates": False}
        if nir:
            labels = write_labels(tmp_path / "ranus.json", nir)
            inputs["real"] = [{"origin": "ranus", "folder": tmp_path / "ranus", "labels": labels}]
        if rgb:
            translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
            labels = write_labels(tmp_path / "photos.json", rgb)
            inputs["generated"] = [{"origin": "bdd", "folder": tmp_path / "nir", "labels": labels}]
        build(make_plan(DatasetConfig.read(inputs, where="the test")), folder)
        return folder

    return make


def _boxes(seed: int) -> list[tuple[int, list[int]]]:
    """A car, and on every other image a person: (category id, COCO xywh)."""
    random = np.random.default_rng(seed)
    car = (3, [int(random.integers(0, 10)), int(random.integers(0, 8)), 12, 8])
    return [car, (1, [24, int(random.integers(0, 8)), 4, 10])][: 1 + seed % 2]


def _paint(path: Path, boxes: list[tuple[int, list[int]]], *, grey: bool) -> None:
    name = "/".join(path.parts[-2:])
    pixels = np.random.default_rng(list(name.encode())).integers(0, 60, (20, 30, 3), dtype=np.uint8)
    if grey:
        pixels = pixels[..., :1].repeat(3, axis=2)
    for _, (x, y, width, height) in boxes:
        pixels[y : y + height, x : x + width] = 230
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
