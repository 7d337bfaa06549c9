"""How fast `nirgen translate` is, beside a plain loop and beside the model alone; and its memory for many files.

    python benchmarks/translate.py stub [--images 96] [--rounds 3] [--photos FOLDER]
    python benchmarks/translate.py model [--name compact] [--images 4] [--rounds 3] [--photos FOLDER] [--device cuda]
        [--precision bf16] [--size 256x256]
    python benchmarks/translate.py many [--files 200000] [--folder DIR]

`stub`: JPEGs of 1280x720 to one-channel PNGs, with a 1x1 convolution as the model, so that files are the work; against
a loop in the manner of the released code (one image at a time: Pillow, float tensors, save), interleaved in one run.
`model`: the same photographs with a real model, against the model alone on tensors in memory, interleaved.
`many`: tiny PNGs, two counts in fresh processes: peak memory of both, and when work begins.
Without --photos, the photographs are smooth random ones.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from nirgen import images
from nirgen.translate.job import Job
from nirgen.translate.network import Network
from nirgen.translate.options import RunOptions, TranslateOptions
from nirgen.translate.run import translate_folder
from nirgen.translate.stores import FolderSink, FolderSource
from nirgen.translate.summary import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


SIZE = (720, 1280)


class Stub:
    """A 1x1 convolution."""

    id, stride, header = "0" * 64, 32, {"architecture": "stub"}

    def __init__(self) -> None:
        self.layer = torch.nn.Conv2d(3, 1, 1, bias=False).requires_grad_(requires_grad=False)
        self.layer.weight[:] = torch.tensor([0.6, 0.3, 0.1]).reshape(1, 3, 1, 1)

    @torch.inference_mode()
    def network(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) float in [-1, 1] -> (N, 1, H, W) in [-1, 1]."""
        return self.layer(rgb)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:  # noqa: ARG002 - of the protocol
        """See `nirgen.translate.items.Translator`."""
        # The normalisation to [-1, 1] and back, folded into the layer.
        return torch.nn.functional.conv2d(rgb.float(), self.layer.weight / 255).clamp_(0, 1)


def photographs(folder: Path, count: int, given: Path | None) -> Path:
    """Fill a folder with JPEGs of 1280x720: copies of given ones, or smooth random ones."""
    folder.mkdir(parents=True)
    found = sorted(given.rglob("*.jpg")) if given is not None else []
    for number in range(count):
        path = folder / f"{number:05}.jpg"
        if found:
            shutil.copyfile(found[number % len(found)], path)
            continue
        rough = np.random.default_rng(number % 16).integers(0, 256, (45, 80, 3), dtype=np.uint8)
        noise = np.random.default_rng(number % 16).normal(0, 4, (*SIZE, 1))
        smooth = images.resize(rough, SIZE, resample="bilinear").astype(float) + noise
        Image.fromarray(smooth.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return folder


def plain_loop(source: Path, out: Path, network: Callable[[Tensor], Tensor], channels: int) -> None:
    """Translate a folder in the manner of the released code: one image after the other.

    torchvision's `save_image` repeats one channel to three before it calls Pillow; with `channels` of 1 its arithmetic
    is the same, and Pillow gets one.
    """
    from torchvision.transforms.functional import normalize, to_pil_image, to_tensor
    from torchvision.utils import save_image

    out.mkdir()
    for path in sorted(source.iterdir()):
        rgb = normalize(to_tensor(Image.open(path).convert("RGB")), [0.5] * 3, [0.5] * 3)[None]
        nir = network(rgb) * 0.5 + 0.5
        if channels == 3:
            save_image(nir, out / f"{path.stem}.png")
        else:
            grey = nir[0].mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
            to_pil_image(grey).save(out / f"{path.stem}.png")


def seconds_of(work: Callable[[], object]) -> tuple[float, float]:
    """How long something takes, and how long it keeps processors busy, which others on the machine change less."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def tell(name: str, seconds: list[tuple[float, float]], count: int) -> float:
    """Print a rate; images a second by the median round."""
    rate = count / statistics.median(wall for wall, _ in seconds)
    busy = statistics.median(busy for _, busy in seconds) / count
    spread = ", ".join(f"{count / wall:.2f}" for wall, _ in seconds)
    print(f"{name:34} {rate:8.2f} images/s, {1000 * busy:7.1f} ms of a core each   (rounds: {spread})", flush=True)
    return rate


def measure_stub(arguments: argparse.Namespace, folder: Path) -> None:
    """The engine against the plain loop; files are the work."""
    stub = Stub()
    source = photographs(folder / "src", arguments.images, arguments.photos)
    few = photographs(folder / "few", max(8, arguments.images // 8), arguments.photos)
    times: dict[str, list[tuple[float, float]]] = {"engine": [], "loop, one channel": [], "loop, save_image": []}
    run = RunOptions(workers=arguments.workers) if arguments.workers else RunOptions()
    for number in range(arguments.rounds):
        out = folder / f"out{number}"
        times["loop, one channel"].append(
            seconds_of(lambda o=out: plain_loop(few, o.with_suffix(".a"), stub.network, 1))
        )  # type: ignore[misc]
        times["engine"].append(seconds_of(lambda o=out: translate_folder(source, o, model=stub, run=run)))  # type: ignore[misc]
        times["loop, save_image"].append(
            seconds_of(lambda o=out: plain_loop(few, o.with_suffix(".b"), stub.network, 3))
        )  # type: ignore[misc]
        check_equal(out, out.with_suffix(".a"))
    counts = {"engine": arguments.images}
    rates = {name: tell(name, seconds, counts.get(name, len(list(few.iterdir())))) for name, seconds in times.items()}
    for name in ("loop, one channel", "loop, save_image"):
        print(f"engine against {name}: {rates['engine'] / rates[name]:.1f} times")


def check_equal(out: Path, loop: Path) -> None:
    """Both wrote the same picture, to a level (they round differently)."""
    one, other = (images.read(folder / "00000.png").astype(int) for folder in (out, loop))
    if np.abs(one - other).max() > 1:
        raise SystemExit("the loop and the engine don't agree")


def measure_model(arguments: argparse.Namespace, folder: Path) -> None:
    """The engine against the model alone on tensors that lie where it runs, in batches like the engine's."""
    from nirgen.model import load_model

    model: Any = load_model(arguments.name, device=arguments.device, precision=arguments.precision)
    source = photographs(folder / "src", arguments.images, arguments.photos)
    options = TranslateOptions(size=arguments.size)
    run = RunOptions(batch_size=arguments.batch)
    size = arguments.size or SIZE
    arrays = [
        images.pad_to_stride(images.resize(images.read(path), size), model.stride) for path in sorted(source.iterdir())
    ]
    job = Job(model, FolderSource(source, run.pixel_limit), FolderSink(folder), options, run)
    batch = Network(job, Stopwatch()).batch_size(arrays[0].shape)
    tensors = [
        torch.from_numpy(np.stack(arrays[first : first + batch])).to(model.device).permute(0, 3, 1, 2)
        for first in range(0, len(arrays), batch)
    ]

    def alone() -> None:
        for tensor in tensors:
            model.translate_on_device(tensor, [size] * len(tensor))
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)

    alone()
    times: dict[str, list[tuple[float, float]]] = {"model alone": [], "engine": []}
    busy = []
    for number in range(arguments.rounds):
        times["model alone"].append(seconds_of(alone))
        out, summaries = folder / f"out{number}", []
        times["engine"].append(
            seconds_of(
                lambda o=out, s=summaries: s.append(translate_folder(source, o, model=model, options=options, run=run))
            )  # type: ignore[misc]
        )
        busy.append(summaries[0].profile.device_busy)
    rates = {name: tell(name, seconds, arguments.images) for name, seconds in times.items()}
    share = rates["engine"] / rates["model alone"]
    print(f"engine: {share:.1%} of the model alone; the device was busy {statistics.median(busy):.0%} of the time")
    print(f"{model.describe()}, {size[0]}x{size[1]}, batches of {batch}, torch threads: {torch.get_num_threads()}")


def measure_many(arguments: argparse.Namespace, folder: Path) -> None:
    """Peak memory of a tenth of the files, and of all."""
    root = arguments.folder or folder
    for count in (arguments.files // 10, arguments.files):
        source = root / f"src{count}"
        if not source.exists():
            make_tiny(source, count)
        out = root / f"out{count}"
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run([sys.executable, __file__, "one", "--folder", source, "--out", out], check=True)


def make_tiny(source: Path, count: int) -> None:
    """Tiny PNGs, a thousand a folder."""
    for number in range(count):
        folder = source / f"{number // 1000:04}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        pixels = np.full((8, 8), number % 256, np.uint8)
        pixels[0, :4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
        (folder / f"{number:07}.png").write_bytes(images.encode(pixels, "png"))


def measure_one(arguments: argparse.Namespace) -> None:
    """One run, told by the process that does it."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    first: list[float] = []

    def report(*_: object) -> None:
        if not first:
            first.append(time.perf_counter() - began)

    summary = translate_folder(arguments.folder, arguments.out, model=Stub(), progress=report)
    seconds, memory = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{summary.translated} files: {seconds:.1f} s ({summary.translated / seconds:.0f}/s), peak {memory:.0f} MiB, "
        f"first output after {first[0]:.2f} s"
    )


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of HxW."""
    height, _, width = text.partition("x")
    return int(height), int(width)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["stub", "model", "many", "one"])
    parser.add_argument("--images", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--name", default="compact", help="of the model, for `model`")
    parser.add_argument("--device", help="for `model`")
    parser.add_argument("--precision", default="auto", help="for `model`")
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="to resize photographs to, for `model`")
    parser.add_argument("--batch", type=int, help="images at once, for `model`; as the engine chooses")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.images is None:
        arguments.images = 96 if arguments.what == "stub" else 4
    if arguments.what == "one":
        measure_one(arguments)
        return
    measures = {"stub": measure_stub, "model": measure_model, "many": measure_many}
    with tempfile.TemporaryDirectory() as temporary:
        measures[arguments.what](arguments, Path(temporary))


if __name__ == "__main__":
    main()
