"""Fits of baselines, which make no steps: settings, and the run folder with the model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nirgen import images
from nirgen.config import FrozenConfig, differences, read_yaml
from nirgen.errors import ConfigError, nearest
from nirgen.files import make_folder, write_whole
from nirgen.models.baselines import Linear, LinearFit, Trees, TreesFit, TreesSettings
from nirgen.models.catalog import RUN_FILE
from nirgen.pairs.listing import read_rows
from nirgen.runlog import environment, write_run
from nirgen.train.config import PRESETS, PairsConfig, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nirgen.pairs import PairList


class LinearFitConfig(FrozenConfig):
    """Settings of `nirgen train linear`."""

    preset: Literal["linear"] = "linear"
    data: PairsConfig = PairsConfig()
    size: int = Field(256, ge=32)  # height and width that both images of a pair are squashed to, in pixels
    licence: str = "unknown"  # licence of the model, for its header


class TreesFitConfig(TreesSettings):
    """Settings of `nirgen train trees`."""

    preset: Literal["trees"] = "trees"
    data: PairsConfig = PairsConfig()
    size: int = Field(256, ge=32)  # height and width that both images of a pair are squashed to, in pixels
    licence: str = "unknown"  # licence of the model, for its header


FITS: dict[str, type[LinearFitConfig | TreesFitConfig]] = {"linear": LinearFitConfig, "trees": TreesFitConfig}
_PLACES = {"data.pairs", "data.root"}


def load_settings(
    config: str, changes: Sequence[str] = (), given: Mapping[str, Any] | None = None
) -> TrainConfig | LinearFitConfig | TreesFitConfig:
    """Read a preset or a YAML file, of a training or a fit, overlaid by `changes` and `given`.

    Raises:
        ConfigError: There is no such preset or file, or a key or value is wrong.
    """
    known = [*PRESETS, *FITS]
    if config not in known and not Path(config).exists():
        raise ConfigError(
            f"{config}: no such file, and no preset{nearest(config, known)} (there are {', '.join(known)})"
        )
    values = {"preset": config} if config in known else read_yaml(Path(config))
    kind = FITS.get(str(values.get("preset")))
    if kind is None:
        return TrainConfig.load(config, changes, given)
    for text in changes:
        if text.startswith("preset="):
            raise ConfigError(f"--set {text}: name the preset in CONFIG's place")
    for name in given or {}:
        if name.split(".")[0] not in kind.model_fields:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option}: the baseline '{values['preset']}' has no such setting; omit it")
    return kind.overlay(values, changes, given or {}, where=config)


def fit(
    pairs: PairList,
    config: LinearFitConfig | TreesFitConfig,
    out: Path,
    *,
    allow_changes: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Path:
    """Fit a baseline to the split `train`; a repeated fit writes the same model.

    Args:
        pairs: The list.
        config: The fit.
        out: The run folder, new or of the same fit (docs/formats.md describes its files).
        allow_changes: Replace a fit of other settings or pairs.
        report: Called after each pair with the pairs read and their number.

    Returns:
        The model file.

    Raises:
        ConfigError: The folder holds another run; or other settings or pairs, without `allow_changes`.
        NirgenError: A pair of the list has the bytes of one in another split.
        ImageError: A pair can't be read.
        OutputError: Another process trains here, or the folder can't be written.
    """
    import sklearn
    import yaml

    from nirgen.models.checkpoint import save_baseline
    from nirgen.pairs.duplicates import refuse_copies
    from nirgen.train.export import entries_of, write_card
    from nirgen.train.folder import alone

    refuse_copies(pairs.pairs)
    started, chosen = datetime.now(UTC), pairs.split("train")
    make_folder(out)
    with alone(out):
        _check_folder(out, config, chosen, allow_changes=allow_changes)
        baseline = _fit(chosen, config, report)
        (out / RUN_FILE).unlink(missing_ok=True)  # no model beside settings that aren't its own
        write_whole(out / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode())
        chosen.write(out / "pairs.csv")
        settings = config.model_dump(mode="json", exclude={"data"})
        training = {"config": settings, "pairs": entries_of(chosen)}
        save_baseline(out / RUN_FILE, baseline, training=training, licence=config.licence)
        write_card(out / RUN_FILE, out / "card.md")
        about = {
            "schema": 1,
            "state": "ended",
            "started": started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
            "root": str(pairs.root.resolve()),
        }
        write_run(out, about | environment(sklearn=sklearn.__version__))
    return out / RUN_FILE


def refuse_fit(out: Path) -> None:
    """Raise a ConfigError if a folder holds a baseline, which a training would replace."""
    preset = _preset_in(out)
    if preset in FITS:
        raise ConfigError(f"{out}: holds the baseline '{preset}'; name a new folder")


def _preset_in(out: Path) -> str | None:
    """Return the preset that a run folder's settings name; None if they name none, as those of a training."""
    path = out / "config.yaml"
    return read_yaml(path).get("preset") if path.exists() else None


def _check_folder(out: Path, config: LinearFitConfig | TreesFitConfig, pairs: PairList, *, allow_changes: bool) -> None:
    if not (out / "config.yaml").exists() and not (out / RUN_FILE).exists():
        return
    if _preset_in(out) != config.preset:
        raise ConfigError(f"{out}: holds another run; name a new folder")
    changes = differences(type(config).read(read_yaml(out / "config.yaml"), where=str(out)), config, ignored=_PLACES)
    listed = out / "pairs.csv"
    if listed.exists() and set(read_rows(listed)) != set(pairs.pairs):
        changes.append("the pairs of the split 'train'")
    if changes and not allow_changes:
        raise ConfigError(
            f"{out}: holds a fit with other settings ({'; '.join(changes)}); name a new folder, or replace it with "
            "--allow-changes"
        )


def _fit(
    pairs: PairList, config: LinearFitConfig | TreesFitConfig, report: Callable[[int, int], None] | None
) -> Linear | Trees:
    from nirgen.train.batches import read_photo

    count = len(pairs.pairs)
    fitting = TreesFit(count, config) if isinstance(config, TreesFitConfig) else LinearFit()
    for done, pair in enumerate(pairs.pairs, start=1):
        photo = read_photo(pairs, pair)
        rgb, nir = photo.rgb.permute(1, 2, 0).numpy(), photo.nir[0].numpy()
        size = config.size, config.size
        fitting.add(images.resize(rgb, size, resample="bilinear"), images.resize(nir, size, resample="bilinear"))
        if report is not None:
            report(done, count)
    return fitting.solve()
