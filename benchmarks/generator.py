"""The generator alone, on tensors in memory: eager against what translation runs, and on a GPU its rate.

On a CPU, eager and fast take turns in one process; the processor's time is measured as well as the wall's, for other
work on the machine stretches the latter. On a GPU, batches are timed between events after a warm-up, in each precision;
the fraction of the roofline is what the counted operations take at the card's own rate (`--tflops`).

    python benchmarks/generator.py --model compact --sizes 256x256,736x1280
    python benchmarks/generator.py --model released --sizes 256x256 --rounds 3
    python benchmarks/generator.py --model released --device cuda --batch 8 --tflops 989 --compiled
"""

from __future__ import annotations

import argparse
import os
import resource
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from nirgen.devices import choose_device, choose_precision, keep_freed_memory
from nirgen.model import GeneratorModel
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import build, load
from nirgen.models.config import NAMED_GENERATORS
from nirgen.models.fast import layout_of, speed_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.devices import Precision
    from nirgen.models.generator import Pix2Next


WARM_UP = 3


def generator(name: str) -> Pix2Next:
    """A model file's generator, or a fresh one of a named architecture, whose speed is that of a trained one."""
    if name in NAMED_GENERATORS and name != "compact":
        torch.manual_seed(0)
        return build(NAMED_GENERATORS[name]()).eval()
    return load(find_model(name))[0]


def processor_seconds() -> float:
    """What this process has taken of all processors."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def count_operations(network: torch.nn.Module, height: int, width: int) -> float:
    """Floating-point operations of one image, a multiplication and an addition being two."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, height, width, device=next(network.parameters()).device))
    return float(counter.get_total_flops())


def on_cpu(network: Pix2Next, height: int, width: int, rounds: int) -> None:
    """Eager and fast in turns, and how far apart their results are."""
    double = speed_up(network)
    network.to(memory_format=torch.channels_last)  # as eager was run before there was a double
    rgb = torch.rand(1, 3, height, width) * 2 - 1
    for_eager = rgb.contiguous(memory_format=torch.channels_last)
    for_double = rgb.contiguous(memory_format=layout_of(double))
    ways: dict[str, Callable[[], torch.Tensor]] = {"eager": lambda: network(for_eager)}
    ways["fast"] = lambda: double(for_double)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        eager, fast = (way() for way in ways.values())
        for _ in range(rounds):
            for name, way in ways.items():
                started, used = perf_counter(), processor_seconds()
                way()
                wall[name].append(perf_counter() - started)
                processor[name].append(processor_seconds() - used)
    error = float((fast - eager).norm() / eager.norm())
    walls, processors = ([median(times[name]) for name in ways] for times in (wall, processor))
    print(
        f"{height}x{width}: eager {walls[0]:.3f} s ({processors[0]:.3f} s of processor), fast {walls[1]:.3f} s "
        f"({processors[1]:.3f} s): {walls[0] / walls[1]:.2f} times ({processors[0] / processors[1]:.2f} times); "
        f"relative difference {error:.1e}"
    )


def on_device(model: GeneratorModel, height: int, width: int, batch: int, rounds: int) -> float:
    """Images a second of batches that are on the device already."""
    rgb = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, device=model.device)
    sizes = [(height, width)] * batch
    for _ in range(WARM_UP):
        model.translate_on_device(rgb, sizes)
    wait(model.device)
    started = perf_counter()
    for _ in range(rounds):
        model.translate_on_device(rgb, sizes)
    wait(model.device)
    return rounds * batch / (perf_counter() - started)


def wait(device: torch.device) -> None:
    """Until the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="compact", help="embedded model, model file, run folder, paper or released")
    parser.add_argument("--sizes", default="256x256,736x1280", help="HEIGHTxWIDTH, multiples of 32, by commas")
    parser.add_argument("--device", default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8, help="images at once, not on a CPU")
    parser.add_argument("--precisions", default="auto", help="of a device, separated by commas")
    parser.add_argument("--tflops", type=float, help="the device's rate in that precision, for the roofline")
    parser.add_argument("--compiled", action="store_true", help="torch.compile with CUDA graphs")
    parser.add_argument("--as-device", action="store_true", help="measure a CPU as a GPU is measured, to rehearse it")
    options = parser.parse_args()
    device = choose_device(options.device)
    network = generator(options.model)
    print(f"{options.model} on {torch.cuda.get_device_name(device) if device.type == 'cuda' else device}, ", end="")
    print(f"{torch.get_num_threads()} threads of {os.cpu_count()} processors, torch {torch.__version__}")
    if device.type == "cpu":
        keep_freed_memory()
    for size in options.sizes.split(","):
        height, width = map(int, size.split("x"))
        if device.type == "cpu" and not options.as_device:
            on_cpu(network, height, width, options.rounds)
            continue
        operations = count_operations(network, height, width)
        for wanted in options.precisions.split(","):
            precision: Precision = choose_precision(wanted, device)
            model = GeneratorModel(network, {}, device, precision, compiled=options.compiled)
            rate = on_device(model, height, width, options.batch, options.rounds)
            roof = f", {rate * operations / options.tflops / 1e12:.0%} of the roofline" if options.tflops else ""
            print(f"{size} {precision}: {rate:.2f} images/s, {operations / 1e9:.1f} GFLOP an image{roof}")


if __name__ == "__main__":
    main()
