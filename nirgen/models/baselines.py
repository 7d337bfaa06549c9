"""Baselines that are fitted to pairs in seconds: the best linear map of RGB, and gradient-boosted trees of pixels.

Both read and predict 8-bit values, sRGB and NIR, without linearising them. Neither knows what a pixel shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from nirgen.config import FrozenConfig
from nirgen.errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def _odd(window: int) -> int:
    if window % 2 == 0:
        raise ValueError(f"{window} is even; a window has its pixel in the middle: give an odd side")
    return window


class LinearConfig(FrozenConfig):
    """The architecture of a `Linear`."""

    kind: Literal["linear"] = "linear"

    about: ClassVar = "the best linear map of R, G and B"
    whole_only: ClassVar = False  # a part of an image is predicted as it is in the whole one


class TreesConfig(FrozenConfig):
    """The architecture of `Trees`."""

    kind: Literal["trees"] = "trees"

    about: ClassVar = "gradient-boosted trees of a pixel, the mean around it, and its row"
    whole_only: ClassVar = True  # they read the row

    window: int = Field(15, ge=1, le=99)  # side of the neighbourhood whose mean the trees read, in pixels; odd

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, window: int) -> int:
        return _odd(window)


class Linear:
    """The map NIR = a R + b G + c B + d of 8-bit values.

    Args:
        weights: (3,) float64: a, b, c.
        offset: d, in levels of 255.
    """

    config = LinearConfig()

    def __init__(self, weights: NDArray[np.float64], offset: float) -> None:
        self.weights, self.offset = weights, offset

    @classmethod
    def from_arrays(cls, _config: LinearConfig, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build from `arrays()`; ValueError if they are none of a linear map."""
        _check_arrays(arrays, {"weights": (3,), "offset": ()})
        return cls(arrays["weights"], float(arrays["offset"]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the tensors of a model file."""
        return {"weights": self.weights, "offset": np.array(self.offset)}

    def intensities(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return NIR, (H, W) in levels of 255, neither rounded nor clipped, of RGB, (H, W, 3) uint8 sRGB."""
        nir: NDArray[np.float64] = rgb @ self.weights + self.offset
        return nir

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return NIR, (H, W) uint8, of RGB, (H, W, 3) uint8 sRGB."""
        return _levels(self.intensities(rgb))


class LinearFit:
    """Least squares over all pixels of the pairs that are added; a pair of more pixels weighs more."""

    def __init__(self) -> None:
        self._products, self._targets = np.zeros((4, 4)), np.zeros(4)

    def add(self, rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> None:
        """Add a pair: (H, W, 3) and (H, W) uint8."""
        _check_pair(rgb, nir)
        columns = np.concatenate((rgb, np.ones((*rgb.shape[:2], 1))), axis=2).reshape(-1, 4)
        self._products += columns.T @ columns
        self._targets += columns.T @ nir.reshape(-1)

    def solve(self) -> Linear:
        """Return the map; the one of smallest norm where several are as good, as on grey photos."""
        solution = np.linalg.lstsq(self._products, self._targets, rcond=None)[0]
        return Linear(solution[:3].astype(np.float64), float(solution[3]))


def fit_linear(rgb: Sequence[NDArray[np.uint8]], nir: Sequence[NDArray[np.uint8]]) -> Linear:
    """Fit a `Linear` to pairs, (H, W, 3) and (H, W) uint8 each, at least one."""
    fit = LinearFit()
    for photo, target in zip(rgb, nir, strict=True):
        fit.add(photo, target)
    return fit.solve()


_MOST_LEAVES = 32  # of a tree: bits of a mask
_BLOCK = 1 << 14  # pixels predicted at once: what they need stays in a processor's cache
_DE_BRUIJN = np.uint32(0x077CB531)  # (this << k) >> 27 is another number for each k below 32


class Trees:
    """Gradient-boosted regression trees on pixels; the prediction is `base` plus the value of one leaf of each tree.

    A pixel's features are its R, G and B, their means over a window around it (edges repeated), and its row: the
    share of the image's height above its centre, in (0, 1). So an image must be whole: the rows of a tile are others.

    The leaf of a pixel is found without walking: a bit mask for each feature and value has the leaves that remain
    possible; the first leaf that all masks have is the one (QuickScorer, Lucchese et al., SIGIR 2015). Predictions
    equal those of scikit-learn, bit for bit.

    Args:
        config: The window of the means.
        base: Constant, in levels of 255.
        nodes: Arrays (trees, nodes) by name, the root first: at an inner node, a pixel whose `feature` (int16) is at
            most `threshold` (float64) goes to the node `left`, others to `right` (int16); a leaf has -1 for both and
            adds `value` (float64). Nodes that no path reaches fill up short trees.

    Raises:
        ValueError: The nodes are none of trees, or a tree has more than 32 leaves.
    """

    FEATURES: ClassVar = ("red", "green", "blue", "mean red", "mean green", "mean blue", "row")
    ARRAYS: ClassVar = ("feature", "threshold", "left", "right", "value")

    def __init__(self, config: TreesConfig, base: float, nodes: Mapping[str, NDArray[Any]]) -> None:
        self.config, self.base, self.nodes = config, base, {name: nodes[name] for name in self.ARRAYS}
        trees = [_Tree(*(nodes[name][tree] for name in self.ARRAYS)) for tree in range(len(nodes["feature"]))]
        found: list[set[float]] = [set() for _ in self.FEATURES]
        for tree in trees:
            for feature, threshold, _ in tree.splits:
                found[feature].add(threshold)
        self._thresholds = [np.array(sorted(values)) for values in found]
        self._tables = [tree.tables(self._thresholds) for tree in trees]

    @classmethod
    def from_arrays(cls, config: TreesConfig, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Build from `arrays()`; ValueError if they are none of trees."""
        shape = np.shape(arrays.get("feature", ()))
        if len(shape) != 2 or 0 in shape or shape[1] > 2 * _MOST_LEAVES - 1:
            raise ValueError(f"'feature' has shape {shape}, not (trees, nodes) of {2 * _MOST_LEAVES - 1} nodes at most")
        _check_arrays(arrays, {"base": (), **dict.fromkeys(cls.ARRAYS, shape)})
        return cls(config, float(arrays["base"]), arrays)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the tensors of a model file."""
        return {"base": np.array(self.base), **self.nodes}

    def intensities(self, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return NIR, (H, W) in levels of 255, neither rounded nor clipped, of a whole image, (H, W, 3) uint8 sRGB."""
        height, width = rgb.shape[:2]
        nir = np.empty((height, width))
        sums = _window_sums(rgb, self.config.window)
        levels = np.arange(256)
        means = np.arange(255 * self.config.window**2 + 1) / self.config.window**2
        values = [levels] * 3 + [means] * 3 + [_rows(height)]
        places = [np.searchsorted(*both) for both in zip(self._thresholds, values, strict=True)]
        step = max(1, _BLOCK // width)
        for top in range(0, height, step):
            part = slice(top, min(top + step, height))
            colours = [places[channel][rgb[part, :, channel].reshape(-1)] for channel in range(3)]
            around = [places[3 + channel][sums[part, :, channel].reshape(-1)] for channel in range(3)]
            nir[part] = self._add_up([*colours, *around, np.repeat(places[6][part], width)]).reshape(-1, width)
        return nir

    def _add_up(self, bins: list[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the predictions of pixels whose features lie above so many thresholds."""
        total = np.full(len(bins[0]), self.base)
        for masks, values in self._tables:
            left = np.full(len(total), 0xFFFFFFFF, np.uint32)
            for feature, table in masks:
                left &= table[bins[feature]]
            left &= ~left + np.uint32(1)  # the first bit alone
            total += values[(left * _DE_BRUIJN) >> np.uint32(27)]
        return total

    def predict(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return NIR, (H, W) uint8, of a whole image, (H, W, 3) uint8 sRGB."""
        return _levels(self.intensities(rgb))


class _Tree:
    """Splits of a tree: feature, threshold, and a mask of the leaves on the left; and the values of its leaves."""

    def __init__(self, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> None:
        self._nodes = feature.tolist(), threshold.tolist(), left.tolist(), right.tolist(), value.tolist()
        self.splits: list[tuple[int, float, int]] = []
        self.values: list[float] = []
        self._unseen = set(range(len(feature)))
        self._visit(0)

    def _visit(self, node: int) -> None:
        """Number the leaves from left to right."""
        if node not in self._unseen:
            raise ValueError(f"node {node} is missing, or reached twice")
        self._unseen.remove(node)
        feature, threshold, left, right, value = (column[node] for column in self._nodes)
        if left == right == -1:
            self.values.append(value)
            if len(self.values) > _MOST_LEAVES:
                raise ValueError(f"a tree has more than {_MOST_LEAVES} leaves")
            return
        if not 0 <= feature < len(Trees.FEATURES):
            raise ValueError(f"feature {feature} doesn't exist")
        first = len(self.values)
        self._visit(left)
        self.splits.append((feature, threshold, (1 << len(self.values)) - (1 << first)))
        self._visit(right)

    def tables(self, thresholds: list[NDArray[np.float64]]) -> tuple[list[tuple[int, NDArray[np.uint32]]], Any]:
        """Return masks of leaves by feature and number of thresholds below its value, and the leaves' values.

        The values are in the order of the de Bruijn sequence.
        """
        masks: dict[int, NDArray[np.uint32]] = {}
        for feature, threshold, on_the_left in self.splits:
            table = masks.setdefault(feature, np.full(len(thresholds[feature]) + 1, 0xFFFFFFFF, np.uint32))
            table[np.searchsorted(thresholds[feature], threshold) + 1 :] &= np.uint32(0xFFFFFFFF ^ on_the_left)
        values = np.zeros(32)
        places = (np.uint32(1) << np.arange(len(self.values), dtype=np.uint32)) * _DE_BRUIJN >> np.uint32(27)
        values[places] = self.values
        return sorted(masks.items()), values


class TreesSettings(FrozenConfig):
    """Settings of a fit of `Trees`."""

    window: int = Field(15, ge=1, le=99)  # side of the neighbourhood, in pixels; odd
    trees: int = Field(100, ge=1)
    leaves: int = Field(31, ge=2, le=_MOST_LEAVES)  # most leaves of a tree
    learning_rate: float = Field(0.1, gt=0)  # factor on what each tree adds
    pixels: int = Field(500_000, ge=1)  # to fit to: each pair gives an equal share, drawn by the seed, or all it has
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("window")
    @classmethod
    def _has_a_middle(cls, window: int) -> int:
        return _odd(window)


class TreesFit:
    """Pixels drawn from the pairs that are added, and the fit to them; the same pairs and seed give the same trees.

    Args:
        pairs: Number of pairs to come.
        settings: The window, the sizes of the trees, and the seed.
    """

    def __init__(self, pairs: int, settings: TreesSettings) -> None:
        self.settings = settings
        self._share = max(1, settings.pixels // max(1, pairs))
        self._features: list[NDArray[np.float64]] = []
        self._targets: list[NDArray[np.uint8]] = []

    def add(self, rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> None:
        """Add a pair: (H, W, 3) and (H, W) uint8."""
        _check_pair(rgb, nir)
        random = np.random.default_rng((self.settings.seed, len(self._features)))
        drawn = np.sort(random.permutation(nir.size)[: self._share])
        self._features.append(features_of(rgb, self.settings.window)[drawn])
        self._targets.append(nir.reshape(-1)[drawn])

    def solve(self) -> Trees:
        """Return the trees."""
        model = self.regressor()
        model.fit(np.concatenate(self._features), np.concatenate(self._targets))
        return trees_of(model, TreesConfig(window=self.settings.window))

    def regressor(self) -> Any:
        """Return scikit-learn's regressor, not yet fitted."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(
            max_iter=self.settings.trees,
            max_leaf_nodes=self.settings.leaves,
            learning_rate=self.settings.learning_rate,
            early_stopping=False,
            random_state=self.settings.seed,
        )


def fit_trees(
    rgb: Sequence[NDArray[np.uint8]], nir: Sequence[NDArray[np.uint8]], *, seed: int = 0, **settings: Any
) -> Trees:
    """Fit `Trees` to pairs, (H, W, 3) and (H, W) uint8 each, at least one; `settings` are others of `TreesSettings`."""
    fit = TreesFit(len(rgb), TreesSettings(seed=seed, **settings))
    for photo, target in zip(rgb, nir, strict=True):
        fit.add(photo, target)
    return fit.solve()


def trees_of(regressor: Any, config: TreesConfig) -> Trees:
    """Return the trees of a fitted `HistGradientBoostingRegressor`, without any part of scikit-learn in them."""
    trees = [tree.nodes for (tree,) in regressor._predictors]
    longest = max(map(len, trees))
    columns = {
        "feature": "feature_idx",
        "threshold": "num_threshold",
        "left": "left",
        "right": "right",
        "value": "value",
    }
    nodes: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        kind = np.float64 if name in {"threshold", "value"} else np.int16
        nodes[name] = np.full((len(trees), longest), -1 if name in {"left", "right"} else 0, kind)
        for row, tree in zip(nodes[name], trees, strict=True):
            used = tree["is_leaf"].astype(bool) == (name == "value")
            row[: len(tree)][used] = tree[column][used]
    return Trees(config, float(regressor._baseline_prediction.item()), nodes)


def features_of(rgb: NDArray[np.uint8], window: int) -> NDArray[np.float64]:
    """Return the features of all pixels of a whole image (H, W, 3), row by row: (H W, 7), as `Trees.FEATURES`."""
    height, width = rgb.shape[:2]
    rows = np.broadcast_to(_rows(height)[:, None, None], (height, width, 1))
    features: NDArray[np.float64] = np.concatenate((rgb, _window_sums(rgb, window) / window**2, rows), axis=2)
    return features.reshape(-1, len(Trees.FEATURES))


def _rows(height: int) -> NDArray[np.float64]:
    return (np.arange(height) + 0.5) / height


def _window_sums(rgb: NDArray[np.uint8], window: int) -> NDArray[np.int32]:
    """Return the sum over the window around each pixel, (H, W, 3); edges are repeated."""
    sums = np.pad(rgb, ((window // 2,) * 2, (window // 2,) * 2, (0, 0)), mode="edge").astype(np.int32)
    for axis in range(2):
        padding = [(0, 0)] * 3
        padding[axis] = (1, 0)
        running = np.pad(sums.cumsum(axis=axis, dtype=np.int32), padding)
        ends, starts = (slice(window, None), slice(None, -window))
        sums = running[ends] - running[starts] if axis == 0 else running[:, ends] - running[:, starts]
    return sums


def _levels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _check_pair(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or nir.dtype != np.uint8 or rgb.shape != (*nir.shape, 3) or nir.ndim != 2:
        raise ShapeError(
            f"a pair of shapes {rgb.shape} and {nir.shape}, types {rgb.dtype} and {nir.dtype}; give (height, width, 3) "
            "and (height, width) uint8"
        )


def _check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless the arrays have these names and shapes, the type of their name, and finite values."""
    for name in sorted(arrays.keys() | shapes.keys()):
        kind = np.int16 if name in {"feature", "left", "right"} else np.float64
        if name not in shapes:
            raise ValueError(f"'{name}' is unknown")
        if name not in arrays:
            raise ValueError(f"'{name}' is missing")
        if arrays[name].shape != shapes[name] or arrays[name].dtype != kind:
            found = f"shape {arrays[name].shape}, type {arrays[name].dtype}"
            raise ValueError(f"'{name}' has {found}, not {shapes[name]}, {np.dtype(kind)}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"'{name}' isn't finite")
