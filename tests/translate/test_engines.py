"""Engines by name, and the engine of this process, which loads a model late."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nirgen.errors import ConfigError, ModelError
from nirgen.models.catalog import embedded_models
from nirgen.translate.engines import LocalEngine, choose_engine
from nirgen.translate.job import ModelLoader
from nirgen.translate.options import RunOptions
from nirgen.translate.run import Request, execute, look_ahead, translate_folder
from nirgen.translate.workers import Workers

SCRIPT = """
import atexit, sys
heavy = {"torch", "timm", "torchvision", "transformers"}
atexit.register(lambda: print("heavy:", *sorted(heavy & set(sys.modules)), flush=True))
from nirgen.cli import main
main()
"""


@pytest.fixture
def source(tmp_path, save):
    return save(tmp_path / "src/a.png", 32, 32).parent


@pytest.mark.parametrize("options", [["--dry-run"], ["--quiet"], ["--device", "cpu,cpu", "--quiet"]])
def test_a_dry_run_and_a_run_with_nothing_to_do_import_no_torch(tmp_path, source, options):
    translate_folder(source, tmp_path / "out", model="compact", device="cpu")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "translate", source, tmp_path / "out", "--device", "cpu", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_a_dry_run_refuses_a_damaged_model(tmp_path, source):
    data = bytearray(embedded_models()["compact"].read_bytes())
    data[-1] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(data)
    engine = choose_engine("local", tmp_path / "damaged.safetensors", "cpu", "auto")
    for run in (look_ahead, execute):
        with pytest.raises(ModelError, match=r"damaged\.safetensors: "):
            run(Request(source, tmp_path / "out", engine))
    assert not (tmp_path / "out").exists()


def test_a_description_is_that_of_the_loaded_model():
    described, loaded = ModelLoader("compact").describe("cpu"), ModelLoader("compact")("cpu")
    for name in ("id", "stride", "header", "precision"):
        assert getattr(described, name) == getattr(loaded, name)
    assert described.device == str(loaded.device)


def test_a_precision_that_is_none_is_refused_before_the_model_is_loaded():
    with pytest.raises(ConfigError, match="precision is 'fp31'; did you mean 'fp32'"):
        LocalEngine(ModelLoader("compact", "fp31"), "cpu").describe()


@pytest.mark.parametrize(("device", "kind"), [(None, LocalEngine), ("cpu", LocalEngine), ("cpu,cpu", Workers)])
def test_several_devices_get_a_worker_each(device, kind):
    assert type(choose_engine("local", "compact", device, "auto")) is kind


def test_a_resumed_run_loads_the_model_for_what_is_left(tmp_path, source, save):
    translate_folder(source, tmp_path / "out", model="compact", device="cpu")
    save(source / "b.png", 32, 32, seed=1)
    request = Request(source, tmp_path / "out", LocalEngine(ModelLoader("compact"), "cpu"), run=RunOptions(workers=1))
    summary = execute(request)
    assert (summary.translated, summary.unchanged) == (1, 1)
