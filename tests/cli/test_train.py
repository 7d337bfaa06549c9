"""`nirgen pairs`, `train`, `evaluate` and `models info`, one after the other, as a person runs them."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, save
from nirgen.models.config import NAMED_GENERATORS
from nirgen.train.config import PRESETS, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList
    from tests.conftest import Running


@pytest.fixture
def settings(tmp_path: Path, small_config: GeneratorConfig) -> Path:
    values = {
        "generator": small_config.model_dump(mode="json"),
        "losses": {"adversarial": 0, "feature_matching": 0, "pixel": 1},
        "stages": [{"size": 64, "batch": 1}],
        "compute": {"precision": "fp32"},
        "save": {"log_steps": 1, "validation_size": 32},
        "steps": 2,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


@pytest.fixture
def listing(pairs: PairList, tmp_path: Path) -> tuple[object, ...]:
    """The options that name the pairs."""
    pairs.write(tmp_path / "pairs.csv")
    return "--pairs", tmp_path / "pairs.csv", "--root", pairs.root


def test_from_two_folders_to_numbers(nirgen, pairs: PairList, settings: Path, tmp_path: Path) -> None:
    listing, run = tmp_path / "pairs.csv", tmp_path / "run"
    assert nirgen("pairs", pairs.root, "--out", listing)[:2] == (0, f"{listing}: 4 train, 2 val; layout splits\n")

    options = ("--pairs", listing, "--root", pairs.root, "--seed", 7)
    code, out, _ = nirgen("train", settings, run, *options, "--licence", "MIT")
    assert (code, out.splitlines()[-1]) == (0, f"wrote: {run}/model.safetensors")
    headings, *judged, verdict, _ = out.splitlines()[-8:]
    assert verdict.startswith("model is ")
    assert verdict.partition(" on ")[0].endswith("grey")
    assert headings.split("  ")[0] == "method"
    assert [name in headings for name in ("PSNR ↑", "SSIM ↑", "PSNR affine ↑", "SSIM affine ↑")] == [True] * 4
    assert [line.split()[0] for line in judged] == [
        "model",
        "grey",
        "red",
        "linear",
        "marks",
    ]
    header = read_header(run / "model.safetensors")
    assert [(metric["name"], metric["on"]) for metric in header["metrics"]] == [
        (name, f"val, {subset}: 2 images at 256x256")
        for subset in ("all", "not urban-like")
        for name in ("PSNR dB", "SSIM")
    ]
    assert f"{header['metrics'][0]['value']:.2f}" in judged[0]
    assert f"| PSNR dB | {header['metrics'][0]['value']:g} |" in (run / "card.md").read_text()
    assert header["licence"] == "MIT"
    assert yaml.safe_load((run / "config.yaml").read_text())["seed"] == 7

    arguments = ("--pairs", listing, "--root", pairs.root, "--model", run, "--size", 32, "--device", "cpu")
    code, out, _ = nirgen("evaluate", *arguments)
    assert code == 0
    assert " than grey on these images (" in out.splitlines()[0] or "undecided against grey" in out.splitlines()[0]
    names = [line.split()[0] for line in out.splitlines()[1:] if line]
    assert [name for name in names if name in {"run", "grey", "red", "linear"}][:4] == ["run", "grey", "red", "linear"]

    code, out, _ = nirgen("models", "info", run)
    assert code == 0
    assert "4 pairs, 2 steps" in out


def test_numbers_come_as_json(nirgen, pairs: PairList, settings: Path, tmp_path: Path) -> None:
    pairs.write(tmp_path / "pairs.csv")
    nirgen("train", settings, tmp_path / "run", "--pairs", tmp_path / "pairs.csv", "--root", pairs.root)
    arguments = ("--root", pairs.root, "--model", tmp_path / "run", "--size", 32, "--device", "cpu", "--json")
    code, out, _ = nirgen("evaluate", "--pairs", tmp_path / "pairs.csv", *arguments)
    assert code == 0
    subset = json.loads(out)["subsets"][0]
    assert (subset["methods"][0]["method"], subset["name"], subset["images"]) == ("run", "all", 2)
    assert 0 < subset["methods"][0]["estimates"]["psnr"]["value"] < 40


def test_a_dry_run_prints_the_resolved_settings_and_writes_nothing(
    nirgen, settings: Path, listing: tuple[object, ...], tmp_path: Path
) -> None:
    changes = ("--set", "losses.ssim=3", "--set", "stages.0.batch=4", "--set", "generator.attention_heads=4")
    code, out, error = nirgen("train", settings, tmp_path / "run", *listing, *changes, "--dry-run")
    assert code == 0
    values = yaml.safe_load(out)
    assert (values["losses"]["ssim"], values["losses"]["pixel"], values["stages"][0]["batch"]) == (3, 1, 4)
    assert (values["generator"]["attention_heads"], values["generator"]["stem_channels"]) == (4, 8)
    assert "4 training pairs of 4 sequences, 2 pairs for validation" in error
    assert "19,817 parameters, 2 steps" in error
    assert not (tmp_path / "run").exists()


def test_one_key_of_an_extractor_or_of_the_weights_can_be_changed(
    nirgen, listing: tuple[object, ...], tmp_path: Path
) -> None:
    changes = ("--set", "generator.extractor.pretrained=true", "--set", "data.category_weights.urban=7")
    code, out, error = nirgen("train", "compact", tmp_path / "run", *listing, *changes, "--dry-run")
    assert code == 0, error
    values = yaml.safe_load(out)
    extractor = values["generator"]["extractor"]
    assert (extractor["pretrained"], extractor["name"]) == (True, "tf_efficientnet_lite0")
    assert values["data"]["category_weights"] == {"urban": 7, "street": 4, "oldbuilding": 4}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_named_like_a_file(nirgen, listing: tuple[object, ...], tmp_path: Path, preset: str) -> None:
    width = {"uvcgan": "widths=[8, 16]", "bbdm": "filters=32"}.get(preset, "filters=4")
    smaller = ("--set", f"generator.{width}")
    if PRESETS[preset]().method == "paired":
        smaller = ("--set", "generator=compact", "--set", "discriminator.in_channels=4")
    code, out, _ = nirgen("train", preset, tmp_path / "run", *listing, *smaller, "--dry-run")
    assert code == 0
    assert TrainConfig.read(yaml.safe_load(out), where="").losses == PRESETS[preset]().losses


@pytest.fixture
def start(running: Callable[..., Running]) -> Callable[..., Running]:
    """Start a training in a process of its own."""
    return lambda *words: running(sys.executable, "-m", "nirgen", "train", *words, "--device", "cpu")


def wait_for(path: Path, pattern: str, process: Running) -> None:
    """Wait for the first file of a pattern."""
    process.until(lambda: sorted(path.glob(pattern)))


ENDLESS = ("--set", "steps=100000", "--set", "save.checkpoint_steps=5", "--set", "save.validation_images=0")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_asked_to_stop_saves_and_says_how_to_go_on(
    start, settings: Path, listing: tuple[object, ...], tmp_path: Path, by: signal.Signals
) -> None:
    with start(settings, tmp_path / "run", *listing, *ENDLESS) as process:
        wait_for(tmp_path, "run/checkpoints/*.pt", process)
        process.send_signal(by)
        out, error = process.communicate()
    assert (process.returncode, out) == (130, f"{tmp_path}/run/model.safetensors\n")
    assert "stopping: finishing what is in flight" in error
    assert "the same command goes on from there" in error
    last = max((tmp_path / "run/checkpoints").iterdir())
    assert f"stopped after step {int(last.stem.removeprefix('step_'))};" in error
    assert read_header(tmp_path / "run/model.safetensors")["training"]["steps"] == int(last.stem[5:])


def test_a_killed_training_loses_at_most_what_came_after_its_checkpoint(
    nirgen, start, settings: Path, listing: tuple[object, ...], tmp_path: Path
) -> None:
    steps = ("--set", "steps=30", "--set", "save.checkpoint_steps=5", "--set", "save.validation_images=0")
    with start(settings, tmp_path / "killed", *listing, *steps) as process:
        wait_for(tmp_path, "killed/checkpoints/*.pt", process)
        process.kill()
    assert len(list((tmp_path / "killed/checkpoints").glob("*.pt"))) >= 1
    for run in ("killed", "straight"):
        assert nirgen("train", settings, tmp_path / run, *listing, *steps, "--device", "cpu")[0] == 0
    ids = [read_header(tmp_path / run / "model.safetensors")["model_id"] for run in ("killed", "straight")]
    assert ids[0] == ids[1]
    logged = [json.loads(line) for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == list(range(1, 31))


def test_a_full_disk_keeps_the_old_checkpoint_and_says_so_in_one_line(
    nirgen, on_a_small_disk, settings: Path, listing: tuple[object, ...], tmp_path: Path
) -> None:
    steps = ("--set", "save.keep=1000")
    train = shlex.join(
        [sys.executable, "-m", "nirgen", "train", str(settings), "run", *map(str, listing + ENDLESS + steps)]
    )
    done = on_a_small_disk(f"{{ {train} --device cpu; code=$?; cp -r run {tmp_path}/copy; exit $code; }}")
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: run: can't be written any more (")
    newest = max((tmp_path / "copy/checkpoints").glob("*.pt"))
    assert (
        f"the last good checkpoint is run/checkpoints/{newest.name}: make room and run the same command again" in last
    )
    code, _, error = nirgen(
        "train",
        settings,
        tmp_path / "copy",
        *listing,
        *ENDLESS,
        *steps,
        "--set",
        "steps=1",
        "--allow-changes",
        "--device",
        "cpu",
    )
    assert code == 0, error  # what was saved can be taken up


SHORT = (
    "--set",
    "steps=30",
    "--set",
    "save.checkpoint_steps=5",
    "--set",
    "save.validation_images=0",
    "--device",
    "cpu",
)


def test_a_flipped_bit_in_the_newest_checkpoint_costs_the_steps_since_the_one_before(
    nirgen, settings: Path, listing: tuple[object, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert nirgen("train", settings, run, *listing, *SHORT)[0] == 0
    before = read_header(run / "model.safetensors")["model_id"]
    newest = run / "checkpoints/step_000030.pt"
    data = bytearray(newest.read_bytes())
    data[data.index(b"/data/0") + 200] ^= 4
    newest.write_bytes(data)
    code, _, error = nirgen("train", settings, run, *listing, *SHORT)
    assert code == 0, error
    assert f"warning: {newest}: damaged (the checksum of " in error
    assert "resuming from step 25 instead" in error
    assert read_header(run / "model.safetensors")["model_id"] == before


@pytest.mark.parametrize("removed", ["run", "run/checkpoints", "run/.lock", "run/log.jsonl"])
def test_what_goes_away_in_mid_run_is_no_success_and_the_same_command_mends_it(
    nirgen, start, settings: Path, listing: tuple[object, ...], tmp_path: Path, removed: str
) -> None:
    with start(settings, tmp_path / "run", *listing, *SHORT) as process:
        wait_for(tmp_path, "run/checkpoints/*.pt", process)
        process.send_signal(signal.SIGSTOP)
        shutil.rmtree(tmp_path / removed) if (tmp_path / removed).is_dir() else (tmp_path / removed).unlink()
        process.send_signal(signal.SIGCONT)
        out, error = process.communicate()
    last = error.splitlines()[-1]
    assert (process.returncode, out) == (1, ""), error
    assert last.startswith(f"error: {tmp_path}/run: ")
    assert "while the run was at work" in last
    assert "run the same command again" in last
    assert len(list((tmp_path / "run/checkpoints").glob("*.pt"))) >= 1  # the last step was saved anew
    for run in ("run", "straight"):
        assert nirgen("train", settings, tmp_path / run, *listing, *SHORT)[0] == 0
    ids = [read_header(tmp_path / run / "model.safetensors")["model_id"] for run in ("run", "straight")]
    assert ids[0] == ids[1]


def test_a_folder_that_takes_the_runs_place_is_left_alone(
    start, settings: Path, listing: tuple[object, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with start(settings, run, *listing, *ENDLESS, "--set", "save.checkpoint_steps=50") as process:
        wait_for(tmp_path, "run/curves.png", process)  # drawn after a checkpoint; nothing is written for some steps now
        process.send_signal(signal.SIGSTOP)
        run.rename(tmp_path / "moved")
        run.mkdir()
        (run / "other").write_text("mine")
        process.send_signal(signal.SIGCONT)
        error = process.communicate()[1]
    assert process.returncode == 1
    assert error.splitlines()[-1] == (
        f"error: {run}: was removed or replaced while the run was at work, and nothing was written to what is there "
        "now; name a new folder"
    )
    assert [path.name for path in run.iterdir()] == ["other"]
    assert list((tmp_path / "moved/checkpoints").glob("*.pt"))


@pytest.mark.parametrize("command", ["pairs", "train", "import", "export"])
def test_what_lies_where_a_file_should_go_is_one_line(
    nirgen, pairs: PairList, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "file").touch()
    pairs.write(tmp_path / "pairs.csv")
    small = TrainConfig.read(yaml.safe_load(settings.read_text()), where="").generator
    monkeypatch.setitem(NAMED_GENERATORS, "released", lambda: small)
    monkeypatch.setattr("nirgen.models.importing.our_name", str)
    state = build(small).state_dict()
    monkeypatch.setattr("nirgen.models.importing.read_foreign", lambda path: state)
    model, inside = tmp_path / "m.safetensors", tmp_path / "file/m"
    save(model, state, small)
    arguments = {
        "pairs": ("pairs", pairs.root, "--out", inside),
        "train": ("train", settings, inside, "--pairs", tmp_path / "pairs.csv", "--root", pairs.root),
        "import": ("models", "import", model, inside.with_suffix(".safetensors"), "--as", "released"),
        "export": ("models", "export", model, inside),
    }[command]
    code, _, error = nirgen(*arguments)
    assert (code, error.count("\n")) == (1, 1)
    assert "file" in error
    assert "can't be made a folder" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stpes: 3", "run.yaml: unknown key 'stpes'; did you mean 'steps'?"),
        ("steps: 0", "run.yaml: 'steps': Input should be greater than or equal to 1 (it is 0)"),
        ("- 1", "run.yaml: holds a list; write settings as 'name: value'"),
        ("a: [", "run.yaml: can't be read as YAML"),
        (None, "run.yaml: no such file, and no preset (there are paper, released, compact, irformer, pix2pix, "),
        (
            "generator: {output_channels: 3}",
            "run.yaml: discriminator.in_channels is 4, but RGB and the generator's output have 6\n",
        ),
        ("generator: {extractor: {kind: internimg}}", "run.yaml: 'generator.extractor': "),
        (
            "generator: {extractor: {kind: timm, name: resnet81}}",
            "extractor 'resnet81': timm has no such backbone; did you mean 'resnet",
        ),
    ],
)
def test_settings_that_can_not_be_used_are_one_line(
    nirgen, pairs: PairList, tmp_path: Path, text: str | None, message: str
) -> None:
    pairs.write(tmp_path / "pairs.csv")
    if text is not None:
        (tmp_path / "run.yaml").write_text(text)
    arguments = ("--root", pairs.root, "--pairs", tmp_path / "pairs.csv")
    code, out, error = nirgen("train", tmp_path / "run.yaml", tmp_path / "run", *arguments)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("losses.sim=3", "run.yaml with --set: unknown key 'losses.sim'; did you mean 'ssim'?"),
        ("losses.ssim", "--set losses.ssim: no value; write it as --set NAME=VALUE"),
        ("losses.ssim=[", "--set losses.ssim=[: '[' is no YAML value"),
        ("stages.3.size=64", "--set stages.3.size: 'stages' has the positions 0 to 0"),
        ("losses.ssim.x=1", "--set losses.ssim.x: 'losses.ssim' is a value and has no 'x'"),
        ("preset=paper", "--set preset=paper: name the preset in CONFIG's place"),
    ],
)
def test_changes_that_can_not_be_made_are_one_line(
    nirgen, settings: Path, listing: tuple[object, ...], tmp_path: Path, change: str, message: str
) -> None:
    code, out, error = nirgen("train", settings, tmp_path / "run", *listing, "--set", change)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error


def test_a_training_without_pairs_is_one_line(nirgen, settings: Path, tmp_path: Path) -> None:
    code, _, error = nirgen("train", settings, tmp_path / "run")
    assert (code, error) == (
        1,
        "error: no pairs are named; give --pairs LIST, as 'nirgen pairs' writes it, or set data.pairs\n",
    )


@pytest.mark.parametrize("preset", ["linear", "trees"])
def test_a_baseline_is_a_model_like_any_other(
    nirgen, pairs: PairList, listing: tuple[object, ...], tmp_path: Path, preset: str
) -> None:
    run = tmp_path / "run"
    code, out, error = nirgen("train", preset, run, *listing, "--licence", "MIT")
    assert (code, out.splitlines()[-1]) == (0, f"wrote: {run}/model.safetensors"), error
    header = read_header(run / "model.safetensors")
    assert header["architecture"]["kind"] == preset
    assert [pair["name"] for pair in header["training"]["pairs"]] == ["a", "b", "c", "d"]
    assert f"| PSNR dB | {header['metrics'][0]['value']:g} |" in (run / "card.md").read_text()

    code, out, error = nirgen("translate", pairs.root / "val" / "rgb", tmp_path / "nir", "--model", run)
    assert (code, len(list((tmp_path / "nir").rglob("?.png")))) == (0, 2), error
    code, out, _ = nirgen("models", "info", run)
    assert code == 0
    assert ("4 pairs\n" in out, "MIT" in out, "baseline" in out) == (True, True, True)
    arguments = ("--model", run, "--size", 48, "--device", "cpu", "--json")
    code, out, _ = nirgen("evaluate", *listing, *arguments)
    method = json.loads(out)["subsets"][0]["methods"][0]
    assert (code, method["method"]) == (0, "run")
    assert method["estimates"]["ssim"]["value"] > 0.99  # NIR is the red channel, which both find


def test_settings_of_a_fit_are_printed_and_changed_like_others(
    nirgen, listing: tuple[object, ...], tmp_path: Path
) -> None:
    arguments = ("--set", "trees=7", "--seed", 3, "--dry-run")
    code, out, error = nirgen("train", "trees", tmp_path / "run", *listing, *arguments)
    assert code == 0
    assert error.splitlines()[0] == "# 4 training pairs of 4 sequences"
    assert "has no report of 'nirgen pairs check" in error.splitlines()[1]
    values = yaml.safe_load(out)
    assert (values["preset"], values["trees"], values["seed"], values["size"]) == ("trees", 7, 3, 256)
    (tmp_path / "fit.yaml").write_text(out)
    code, again, _ = nirgen("train", tmp_path / "fit.yaml", tmp_path / "run", "--dry-run")
    assert (code, again) == (0, out)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linear", "--max-minutes", 3), "--max-minutes: the baseline 'linear' has no such setting; omit it"),
        (("linear", "--seed", 3), "--seed: the baseline 'linear' has no such setting; omit it"),
        (("trees", "--device", "cuda"), "--device cuda: baselines are fitted on the CPU; omit it"),
        (("trees", "--set", "leafs=3"), "trees with --set: unknown key 'leafs'; did you mean 'leaves'?"),
        (("trees", "--set", "window=4"), "'window': 4 is even"),
        (("linear", "--set", "preset=trees"), "--set preset=trees: name the preset in CONFIG's place"),
        (("liner",), "liner: no such file, and no preset; did you mean 'linear'?"),
        (("compact", "--set", "start_from=RUN"), "RUN/model.safetensors: the baseline 'linear', which has no network"),
    ],
)
def test_what_makes_no_sense_for_a_fit_is_one_line(
    nirgen, listing: tuple[object, ...], tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    run = tmp_path / "linear"
    if "start_from=RUN" in arguments:
        nirgen("train", "linear", run, *listing)
    preset, *rest = (str(each).replace("RUN", str(run)) for each in arguments)
    code, out, error = nirgen("train", preset, tmp_path / "run", *listing, *rest)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message.replace("RUN", str(run)) in error


def test_commands_that_need_a_network_refuse_a_baseline_in_one_line(
    nirgen, listing: tuple[object, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert nirgen("train", "trees", run, *listing, "--set", "trees=2")[0] == 0
    problem = f"error: {run}/model.safetensors: the baseline 'trees', which has no network; name a generator\n"
    assert nirgen("models", "export", run, tmp_path / "m.pt")[::2] == (1, problem)
    pytest.importorskip("onnxscript")
    assert nirgen("export", run, "-o", tmp_path / "m.onnx")[::2] == (1, problem)
    rgb = tmp_path / "pairs" / "val" / "rgb"
    code, _, error = nirgen("translate", rgb, tmp_path / "nir", "--model", run, "--tile", 32)
    assert (code, error) == (1, "error: tile is 32, but this model translates whole images only; omit it\n")
    assert not (tmp_path / "nir").exists()
