"""Training of the systems that the paper compares Pix2Next with, by their own published settings.

Values are changes of the defaults of `nirgen.train.config.TrainConfig`; docs/reproduction.md states their sources.
"""

from __future__ import annotations

from typing import Any

_NO_JUDGE = {"adversarial": 0.0, "feature_matching": 0.0}

_ADAM = {"learning_rate": 2e-4, "discriminator_learning_rate": 2e-4, "schedule": "linear", "ema_decay": 0.0}
_PATCHES = {"in_channels": 6, "scales": 1, "norm": "batch", "form": "pix2pix"}
_PIX2PIX: dict[str, Any] = {
    "generator": {"kind": "unet"},
    "initialization": "pix2pix",
    "discriminator": _PATCHES,
    "losses": {"gan": "vanilla", "feature_matching": 0.0, "ssim": 0.0, "pixel": 100.0, "pixel_kind": "l1"},
    "crops": {"kind": "window"},
    "stages": [{"size": 256, "batch": 1}],
    "optimizer": _ADAM | {"discriminator_first": True},
    "epochs": 200,
}
_PIX2PIXHD: dict[str, Any] = {
    "generator": {"kind": "resnet"},
    "initialization": "pix2pix",
    "discriminator": {"in_channels": 6, "scales": 2},
    "losses": {
        "gan": "lsgan",
        "feature_matching": 5.0,  # 10 x 4 / (layers + 1) / scales
        "ssim": 0.0,
        "perceptual": {"weight": 10.0, "target": "nir"},
    },
    "crops": {"kind": "squash"},
    "stages": [{"size": 256, "batch": 1}],
    "optimizer": _ADAM,
    "epochs": 200,
}

_NO_PARTNER = {"feature_matching": 0.0, "ssim": 0.0}
_CYCLEGAN: dict[str, Any] = {
    "method": "cycle",
    "generator": {"kind": "resnet", "levels": 2},
    "initialization": "pix2pix",
    "discriminator": {"in_channels": 3, "scales": 1, "form": "pix2pix"},
    "losses": _NO_PARTNER | {"gan": "lsgan"},
    "crops": {"kind": "window"},
    "stages": [{"size": 256, "batch": 1}],
    "optimizer": _ADAM,
    "epochs": 200,
}

_LATENT: dict[str, Any] = {
    "method": "latent",
    "initialization": "munit",
    "discriminator": {"in_channels": 3, "scales": 3, "layers": 3, "form": "munit"},
    "crops": {"kind": "square"},
    "stages": [{"size": 256, "batch": 1}],
    "optimizer": {
        "weight_decay": 1e-4,
        "discriminator_weight_decay": 1e-4,
        "schedule": "halved",
        "ema_decay": 0.0,
    },
    "steps": 1_000_000,
}
_BBDM: dict[str, Any] = {
    "method": "bridge",
    "generator": {"kind": "bbdm"},
    "discriminator": {"in_channels": 6},
    "losses": _NO_JUDGE | {"ssim": 0.0, "pixel": 1.0, "pixel_kind": "l1"},
    "crops": {"kind": "squash", "flip": False},
    "stages": [{"size": 256, "batch": 8, "adversarial": False}],
    "optimizer": {
        "learning_rate": 1e-4,
        "betas": [0.9, 0.999],
        "accumulate": 2,
        "schedule": "linear",
        "ema_decay": 0.9994,  # 0.995 every eighth step
    },
    "save": {"validation_images": 4, "samples": 4},
    "steps": 400_000,
}

SYSTEMS: dict[str, dict[str, Any]] = {
    "irformer": {
        "generator": {"kind": "irformer"},
        "discriminator": {"in_channels": 6},
        "losses": _NO_JUDGE | {"ssim": 0.2, "ssim_border": "reflect", "pixel": 1.0, "pixel_kind": "smooth_l1"},
        "crops": {"kind": "resized", "whole": 0.0, "smallest": 0.08, "mixup": 0.17},
        "stages": [{"size": 256, "batch": 16, "adversarial": False}],
        "optimizer": {
            "kind": "adamw",
            "learning_rate": 2e-4,
            "betas": [0.9, 0.999],
            "weight_decay": 0.01,
            "schedule": "annealed",
            "ema_decay": 0.0,
        },
        "epochs": 300,
    },
    "pix2pix": _PIX2PIX,
    "pix2pixhd": _PIX2PIXHD,
    "pix2pixhd-internimage": _PIX2PIXHD | {"generator": {"kind": "resnet", "block": "internimage"}},
    "cyclegan": _CYCLEGAN,
    "unit": _LATENT
    | {
        "generator": {"kind": "unit"},
        "losses": _NO_PARTNER | {"gan": "lsgan", "latent": {"cycle": 10.0, "divergence": 0.01, "features": 1.0}},
    },
    "munit": _LATENT
    | {
        "generator": {"kind": "munit"},
        "losses": _NO_PARTNER | {"gan": "lsgan", "latent": {"content": 1.0, "style": 1.0}},
    },
    "uvcgan": _CYCLEGAN
    | {
        "generator": {"kind": "unet-vit"},
        "initialization": "uvcgan",
        "losses": _CYCLEGAN["losses"] | {"cycle": {"range": "unit", "gradient_penalty": 0.1}},
        "optimizer": _ADAM
        | {
            "learning_rate": 1e-4,
            "discriminator_learning_rate": 1e-4,
            "betas": [0.5, 0.99],
            "discriminator_betas": [0.5, 0.99],
        },
        "epochs": None,
        "steps": 1_000_000,
    },
    "bbdm": _BBDM,
    "bci": _PIX2PIX
    | {
        "generator": {"kind": "resnet", "levels": 2, "norm": "batch", "dropout": 0.5},
        "losses": _PIX2PIX["losses"] | {"pixel": 25.0, "pixel_scales": 4},
        "crops": {"kind": "squash"},
        "stages": [{"size": 256, "batch": 2}],
    },
}
