"""Ray on this machine: a real cluster of two workers, which the tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nirgen.errors import ConfigError, NirgenError
from nirgen.translate.cluster import Cluster
from nirgen.translate.manifest import read_manifest
from nirgen.translate.run import translate_folder

# Ray warns of what it does itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

# A model that a worker can import. While there is a file `hold` in its folder, each image waits, and a file says so.
STUB = """
import os, time
from dataclasses import dataclass
from pathlib import Path

class Red:
    id, stride, header = "5" * 64, 8, {}
    def __init__(self, folder):
        self.folder = Path(folder)
    def translate(self, rgb, sizes):
        while (self.folder / "hold").exists():
            (self.folder / f"waiting{os.getpid()}").touch()
            time.sleep(0.01)
        return rgb[:, :1].float() / 255

@dataclass
class Loader:
    folder: str
    def __call__(self, device):
        return Red(self.folder)
"""


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """The module of the model, importable here and in the cluster."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "cluster_stub.py").write_text(STUB)
    sys.path.insert(0, str(folder))
    import cluster_stub

    yield cluster_stub
    sys.path.remove(str(folder))
    sys.modules.pop("cluster_stub")


@pytest.fixture(scope="module")
def ray(stub):
    """A cluster that stays for all tests; an engine takes the one that there is."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            "local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
            runtime_env={"env_vars": {"PYTHONPATH": str(Path(stub.__file__).parent)}},
        )  # fmt: skip
        yield ray
        ray.shutdown()


@pytest.fixture
def source(tmp_path, save):
    for number in range(40):
        save(tmp_path / f"src/{number % 3}/{number:02}.png", 64, 64 + number, seed=number)
    return tmp_path / "src"


def snapshot(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".nirgen" not in path.parts and path.name not in {"run.json", "preview.png"}
    }


@pytest.fixture
def undisturbed(tmp_path, source, stub):
    translate_folder(source, tmp_path / "undisturbed", model=stub.Red(tmp_path))
    return snapshot(tmp_path / "undisturbed")


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_cluster_that_is_not_there_is_refused(tmp_path, save, stub):
    save(tmp_path / "src/a.png")
    cluster = Cluster(stub.Loader(str(tmp_path)), address="127.0.0.1:9")
    with pytest.raises(NirgenError, match=r"no cluster of Ray answers at '127.0.0.1:9': .*refused"):
        translate_folder(tmp_path / "src", tmp_path / "out", model=cluster.describe(), engine=cluster)


def test_two_workers_of_a_cluster_give_the_bytes_of_one_process(tmp_path, ray, stub, source):
    (source / "0/00.png").write_bytes(b"no image")
    translate_folder(source, tmp_path / "one", model=stub.Red(tmp_path))
    cluster = Cluster(stub.Loader(str(tmp_path)), workers=2)
    summary = translate_folder(source, tmp_path / "out", model=cluster.describe(), engine=cluster)
    assert (summary.exit_code, summary.translated, summary.failed) == (3, 39, 1)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "one")
    assert len(read_manifest(tmp_path / "out").rows) == 40
    assert {stage.name: stage.images for stage in summary.profile.stages}["write"] == 39
    assert ray.is_initialized()


def test_an_actor_that_is_killed_loses_nothing(tmp_path, ray, stub, source, undisturbed):
    killed = []

    def kill():
        deadline = time.monotonic() + 300
        while not (waiting := list(tmp_path.glob("waiting*"))) and time.monotonic() < deadline:
            time.sleep(0.01)
        actor = parent(int(waiting[0].name.removeprefix("waiting")))
        killed.append(Path(f"/proc/{actor}/cmdline").read_bytes())
        os.kill(actor, signal.SIGKILL)
        (tmp_path / "hold").unlink()

    (tmp_path / "hold").touch()
    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    cluster = Cluster(stub.Loader(str(tmp_path)), workers=2)
    summary = translate_folder(source, tmp_path / "out", model=cluster.describe(), engine=cluster)
    thread.join(60)
    assert b"ray::MapWorker" in killed[0]
    assert summary.exit_code == 0
    assert snapshot(tmp_path / "out") == undisturbed


def test_a_run_that_is_to_stop_stops_and_can_be_taken_up(tmp_path, ray, stub, source, undisturbed):
    stop = threading.Event()
    cluster = Cluster(stub.Loader(str(tmp_path)), workers=1)
    with pytest.raises(KeyboardInterrupt):
        translate_folder(
            source, tmp_path / "out", model=cluster.describe(), engine=cluster,
            progress=lambda *_: stop.set(), stopped=stop.is_set,
        )  # fmt: skip
    translate_folder(source, tmp_path / "out", model=stub.Red(tmp_path))
    assert snapshot(tmp_path / "out") == undisturbed


def test_more_workers_than_processors_are_refused(tmp_path, ray, stub, source):
    cluster = Cluster(stub.Loader(str(tmp_path)), workers=9)
    with pytest.raises(ConfigError, match="the cluster has 2 processors for 9 workers; use fewer"):
        translate_folder(source, tmp_path / "out", model=cluster.describe(), engine=cluster)


def test_a_gpu_that_the_cluster_lacks_is_refused(tmp_path, ray, stub, source):
    cluster = Cluster(stub.Loader(str(tmp_path)), device="cuda")
    with pytest.raises(ConfigError, match="the cluster has 0 GPUs"):
        translate_folder(source, tmp_path / "out", model=cluster.describe(), engine=cluster)


def test_one_gpu_of_a_cluster_can_not_be_named(stub):
    with pytest.raises(ConfigError, match="device is 'cuda:1'; on a cluster it is cpu or cuda"):
        Cluster(stub.Loader("."), device="cuda:1")


def test_the_command_begins_a_cluster_of_its_own_and_ends_it(tmp_path, save):
    for number in range(3):
        save(tmp_path / f"src/{number}.png", 64, 64, seed=number)
    command = [sys.executable, "-m", "nirgen", "translate", "src"]
    done = subprocess.run(
        [*command, "out", "--engine", "ray", "--ray-workers", "2"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("wrote: out (images, manifest.parquet")
    threads = os.environ | {"OMP_NUM_THREADS": "1"}  # as many as each of two workers had
    subprocess.run([*command, "one", "--device", "cpu", "--quiet"], cwd=tmp_path, check=True, env=threads)
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "one")


def test_without_ray_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NirgenError, match=r"--engine ray needs Ray: pip install 'nirgen\[ray\]'"):
        Cluster(lambda device: None)
