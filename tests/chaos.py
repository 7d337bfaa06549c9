"""Run commands under random faults, and check that a plain rerun mends them or names the loss.

    python tests/chaos.py --seconds 1800 --seed 1 --work FOLDER

Each round disturbs one command: it is killed or stopped at a random moment, its disk fills, files of its output go away
or change by a bit, or it runs twice at once. Then the same command runs undisturbed. A round is

- `mended`, if the output then equals that of an undisturbed run;
- `named`, if the command instead ends with one line that names the loss, also when it is run once more, and a run with
  a new output folder equals the undisturbed one;
- `silent`, if it exits with 0 and another output; `broken`, if it hangs or ends otherwise. Both are failures.

A disturbed command that itself exits with 0 must have the right output at that moment. The same seed draws the same
faults; the moment at which they strike depends on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("translate", "build", "train", "detect", "browse")
FAULTS = ("kill", "stop", "full", "delete", "flip", "twice")
_PREVIEW = "preview.png"
_HANG_SECONDS = 900  # a busy machine takes minutes
_SMALL = "--size 96x128"
_NO_CLOCK = ("run.json", "log.jsonl", "curves.png", "config.yaml", "card.md")  # clocks, or written from them


@dataclass(frozen=True)
class Stage:
    """A command, its output and what counts of it.

    Attributes:
        words: Arguments of nirgen; `OUT` stands for the output folder.
        digest: Of the output: name -> hash, or any other text.
        environment: Further variables of the environment.
    """

    words: str
    digest: Callable[[Path], dict[str, str]]
    environment: dict[str, str]

    def command(self, out: Path) -> list[str]:
        return [sys.executable, "-m", "nirgen", *shlex.split(self.words.replace("OUT", shlex.quote(str(out))))]


def hashes(out: Path) -> dict[str, str]:
    """Hash the files of a folder, but for hidden ones and those with clocks."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in _NO_CLOCK and not path.relative_to(out).as_posix().startswith(".")
    }


def weights(out: Path) -> dict[str, str]:
    """Return the id of a generator's weights; its header has the minutes that the training took."""
    from nirgen.errors import NirgenError
    from nirgen.models.catalog import verify

    try:
        return {"model": verify(out / "model.safetensors")[0]["model_id"]}
    except NirgenError as error:
        return {"model": str(error)}


def detector(out: Path) -> dict[str, str]:
    """Hash the folder of a detector."""
    return hashes(out / "model")


@dataclass
class Started:
    """A command whose outputs go to files: FiftyOne's services inherit them, live on, and would hold a pipe open."""

    process: subprocess.Popen[bytes]
    outputs: tuple[IO[bytes], IO[bytes]]

    @classmethod
    def of(cls, command: list[str], environment: dict[str, str]) -> Started:
        outputs = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=outputs[0],
            stderr=outputs[1],
            start_new_session=True,
        )
        return cls(process, outputs)

    def end(self) -> tuple[int, str, str]:
        """Wait for it; exit code, 124 if it hangs and is killed with its group, and both outputs."""
        try:
            code = self.process.wait(_HANG_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            code = 124
        out, error = map(_read, self.outputs)
        return code, out, error


def _read(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")


class Bench:
    """The inputs, the commands, and what each gives undisturbed."""

    def __init__(self, work: Path, stages: list[str]) -> None:
        self.work = work
        self.nirgen("sample-data", work / "sample", "--frames", "6")
        photos, labels = work / "sample/frames", work / "sample/frames.json"
        nir, dataset = work / "right/translate", work / "right/build"
        self.stages = {"translate": Stage(f"translate {photos} OUT --model compact --device cpu {_SMALL}", hashes, {})}
        if set(stages) & {"build", "detect", "browse"}:
            self.right("translate")
            build = f"build-dataset made={nir} {labels} OUT --yes"
            self.stages["build"] = Stage(build, hashes, {})
        if set(stages) & {"detect", "browse"}:
            self.right("build")
        if "train" in stages:
            self.nirgen("pairs", work / "sample/pairs", "-o", work / "pairs.csv")
            train = (
                f"train {self._settings()} OUT --pairs {work}/pairs.csv --root {work}/sample/pairs --device cpu "
                "--set steps=40 --set save.checkpoint_steps=5 --set save.validation_images=0"
            )
            self.stages["train"] = Stage(train, weights, {})
        if "detect" in stages:
            detect = (
                f"detect train {dataset} OUT --model fresh-tiny --size 64 --batch 2 --steps 12 --device cpu "
                "--set checkpoint_steps=3 --set workers=0"
            )
            self.stages["detect"] = Stage(detect, detector, {})
        if "browse" in stages:
            openssl = Path(sys.prefix) / "openssl-1.1"  # of nirgen doctor --fix
            environment = {"LD_LIBRARY_PATH": str(openssl), "FIFTYONE_DO_NOT_TRACK": "1"}
            self.stages["browse"] = Stage(f"browse {dataset} --no-launch --no-scores", self._loaded, environment)
        for name in stages:
            self.right(name)

    def nirgen(self, *words: object) -> None:
        """Run a command that must succeed."""
        subprocess.run([sys.executable, "-m", "nirgen", *map(str, words)], check=True, capture_output=True)

    def environment(self, stage: Stage, out: Path) -> dict[str, str]:
        """Return the environment of a stage's command; FiftyOne's database is in its output folder."""
        own = {"FIFTYONE_DATABASE_DIR": str(out / "database"), "FIFTYONE_DEFAULT_DATASET_DIR": str(out / "datasets")}
        return os.environ | {"OMP_NUM_THREADS": "1"} | stage.environment | own

    def right(self, name: str) -> dict[str, str]:
        """Return the digest of an undisturbed run."""
        out = self.work / "right" / name
        stage = self.stages[name]
        if not out.exists():
            out.parent.mkdir(exist_ok=True)
            code, _, error = self.run(stage, out)
            if code:
                raise SystemExit(f"{name} fails undisturbed: {error}")
        return stage.digest(out)

    def start(self, stage: Stage, out: Path) -> Started:
        return Started.of(stage.command(out), self.environment(stage, out))

    def run(self, stage: Stage, out: Path) -> tuple[int, str, str]:
        """Run a stage's command; see `Started.end`."""
        return self.start(stage, out).end()

    def _settings(self) -> Path:
        import yaml

        from nirgen.models.config import GeneratorConfig, NoExtractorConfig

        small = GeneratorConfig(
            stem_channels=8,
            encoder=((8,), (8,)),
            bottleneck=((8,), (8,), (8,)),
            decoder=((8,), (8,)),
            attention_heads=2,
            norm_groups=4,
            extractor=NoExtractorConfig(),
        )
        values = {
            "generator": small.model_dump(mode="json"),
            "losses": {"adversarial": 0, "feature_matching": 0, "pixel": 1},
            "stages": [{"size": 64, "batch": 1}],
            "compute": {"precision": "fp32"},
        }
        path = self.work / "train.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return path

    def _loaded(self, out: Path) -> dict[str, str]:
        """Return what loading once more says."""
        code, said, error = self.run(self.stages["browse"], out)
        return {"code": str(code), "said": said if not code else error}


class Faults:
    """Faults by name; each runs a stage's command and returns its exit code, None if it was killed."""

    def __init__(self, bench: Bench, chance: random.Random, seconds: dict[str, float]) -> None:
        self.bench, self.chance, self.seconds = bench, chance, seconds
        self.note = ""  # on the last fault

    def strike(self, fault: str, name: str, out: Path) -> int | None:
        self.note = ""
        stage, moment = self.bench.stages[name], self.chance.uniform(0.3, 1.0) * self.seconds[name]
        return getattr(self, f"_{fault}")(stage, out, moment)

    def _at(self, moment: float, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a moment of a run; False if it ends before."""
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        return process.poll() is None

    def _kill(self, stage: Stage, out: Path, moment: float) -> int | None:
        started = self.bench.start(stage, out)
        alive = self._at(moment, started.process)
        if alive:
            started.process.kill()
        code = started.end()[0]
        return None if alive else code

    def _stop(self, stage: Stage, out: Path, moment: float) -> int | None:
        started = self.bench.start(stage, out)
        if self._at(moment, started.process):
            started.process.send_signal(signal.SIGSTOP)
            time.sleep(self.chance.uniform(0.1, 1))
            started.process.send_signal(signal.SIGCONT)
        return started.end()[0]

    def _delete(self, stage: Stage, out: Path, moment: float) -> int | None:
        """Remove a file or folder; None also where the command wrote nothing after that: it had ended."""
        started, struck = self.bench.start(stage, out), 0
        if self._at(moment, started.process):
            started.process.send_signal(signal.SIGSTOP)
            places = [out, *sorted(out.rglob("*"))] if out.exists() else []
            if places:
                victim, struck = self.chance.choice(places), time.time_ns()
                shutil.rmtree(victim, ignore_errors=True) if victim.is_dir() else victim.unlink(missing_ok=True)
                self.note = f"{victim.relative_to(out.parent)} removed"
            started.process.send_signal(signal.SIGCONT)
        code = started.end()[0]
        written = max((path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()), default=struck)
        return code if written >= struck else None

    def _flip(self, stage: Stage, out: Path, moment: float) -> int | None:
        code = self._kill(stage, out, moment)
        files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.stat().st_size]
        if files:
            victim = self.chance.choice(files)
            data = bytearray(victim.read_bytes())
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
            victim.unlink()  # images of a dataset are links to those that it was made of
            victim.write_bytes(data)
            self.note = f"{victim.relative_to(out.parent)} changed"
            return None
        return code

    def _full(self, stage: Stage, out: Path, _moment: float) -> int | None:
        """Run on a small disk of its own, which is copied to the output folder when the command ends."""
        kilobytes = self.chance.choice((64, 256, 1024))
        out.mkdir(parents=True, exist_ok=True)
        disk = out.with_name("disk")
        disk.mkdir(exist_ok=True)
        script = (
            f"mount -t tmpfs -o size={kilobytes}k tmpfs {disk} || exit 99; {shlex.join(stage.command(disk / 'out'))}; "
            f"code=$?; [ ! -d {disk}/out ] || cp -a {disk}/out/. {out}/; exit $code"
        )
        root = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", "--mount", *root, "sh", "-c", script]
        code, _, error = Started.of(command, self.bench.environment(stage, disk / "out")).end()
        if code not in {0, 3, 99} and "Traceback" in error:
            return 125
        return None if code else 0

    def _twice(self, stage: Stage, out: Path, moment: float) -> int | None:
        first = self.bench.start(stage, out)
        self._at(moment / 2, first.process)
        second = self.bench.start(stage, out)
        codes = {first.end()[0], second.end()[0]}
        return max(codes - {1}, default=1)  # the second may say that the first is at work


def judge(bench: Bench, name: str, code: int | None, out: Path) -> tuple[str, str]:
    """Run a disturbed stage again; return the verdict and what there is to say."""
    stage, right = bench.stages[name], bench.right(name)
    if code in {124, 125}:
        return "broken", "hangs" if code == 124 else "a traceback on a full disk"
    # a preview that can't be written is a warning
    if code == 0 and name != "browse" and stage.digest(out) | {_PREVIEW: ""} != right | {_PREVIEW: ""}:
        return "silent", "the disturbed run exits with 0 and another output"
    error = ""
    for _ in range(3):
        code, _, error = bench.run(stage, out)
        if code == 0:
            found = stage.digest(out)
            return ("mended", "") if found == right else ("silent", f"{differences(found, right)}")
        if code == 124 or "Traceback" in error or "error: " not in error.splitlines()[-1]:
            return "broken", f"exit code {code}: {error[-2000:]}"
    fresh = out.with_name("fresh")
    code = bench.run(stage, fresh)[0]
    same = code == 0 and stage.digest(fresh) == right
    shutil.rmtree(fresh, ignore_errors=True)
    return ("named", error.splitlines()[-1]) if same else ("broken", "a new folder does not help")


def differences(found: dict[str, str], right: dict[str, str]) -> list[str]:
    """Return the first names that differ."""
    return [name for name in sorted(found.keys() | right.keys()) if found.get(name) != right.get(name)][:5]


def remove(folder: Path) -> None:
    """Remove a folder, once FiftyOne's MongoDB, which outlives `browse` by seconds, has left it."""
    deadline = time.monotonic() + 60
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)
        time.sleep(0.1)


def main() -> None:
    """Run rounds until the time is over; exit with 1 if any has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for rounds; the last one is finished")
    parser.add_argument("--rounds", type=int, default=10**6, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--work", type=Path, help="folder to work in, kept; a temporary one by default")
    options = parser.parse_args()
    stages, faults = options.stages.split(","), options.faults.split(",")
    chance, counts = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work.resolve(), stages)
        seconds = {}
        for name in stages:  # how long each takes, to draw moments from
            began = time.monotonic()
            bench.run(bench.stages[name], work / "timed" / name)
            seconds[name] = time.monotonic() - began
            print(f"{name}: {seconds[name]:.1f} s undisturbed", flush=True)
        faulty = Faults(bench, chance, seconds)
        began = time.monotonic()
        for number in range(options.rounds):
            if time.monotonic() - began > options.seconds:
                break
            name, fault = chance.choice(stages), chance.choice(faults)
            out = work / f"round-{number}" / name
            out.parent.mkdir()
            code = faulty.strike(fault, name, out)
            verdict, text = judge(bench, name, code, out)
            counts[verdict] += 1
            print(f"{number}: {name}, {fault} ({faulty.note or '-'}, exit code {code}): {verdict} {text}", flush=True)
            if verdict in {"mended", "named"}:
                remove(out.parent)
    print(json.dumps(dict(sorted(counts.items()))))
    sys.exit(1 if counts["silent"] or counts["broken"] else 0)


if __name__ == "__main__":
    main()
