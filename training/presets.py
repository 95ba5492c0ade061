"""How each model is trained: named settings, those of the papers and small ones for a CPU."""

from dataclasses import dataclass, replace
from typing import Literal

Model = Literal["arnet", "iunet", "deepfocus", "error-map"]
Name = Literal["smoke", "cpu", "paper"]


@dataclass(frozen=True)
class Preset:
    """Settings of a run.

    crop_px              side of the crops, pixels
    batch                crops per step and device
    steps                optimiser steps; None for `epochs`
    epochs               passes over the pictures, where `steps` is None
    rate                 largest learning rate of Adam
    schedule             "constant", or "cosine": up over the first twentieth of the steps, then down to 0
    gradient_norm_max    gradients are scaled down to this norm; None leaves them
    averaging            what is validated and saved is the mean of the weights over steps, older ones weighing this
                         factor less with every step; None for the last weights
    elsewhere            weight of the errors of ARNet's and IUNet's own picture where the scatter makes none; 1 in the
                         paper
    augmentation         part of the crops whose disparity is corrupted, as that of an estimator
    blur_parameter_min   pictures of smaller K are left out, pixels per unit of normalized disparity
    blur_parameter_max   pictures of larger K are left out
    validate_every       steps between validations
    checkpoint_every     steps between checkpoints
    validation_pictures  at most this many, evenly spread over the held-out scenes
    """

    crop_px: int
    batch: int
    rate: float
    steps: int | None = None
    epochs: int | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    gradient_norm_max: float | None = None
    averaging: float | None = None
    elsewhere: float = 1.0
    augmentation: float = 0.75
    blur_parameter_min: float = 0.0
    blur_parameter_max: float = 12.0
    validate_every: int = 2000
    checkpoint_every: int = 500
    validation_pictures: int = 48


_SMOKE = Preset(32, 2, 1e-3, steps=20, validate_every=10, checkpoint_every=10, validation_pictures=2)

# A step takes about a quarter of a second on two cores that have nothing else to do.
_CPU = Preset(
    96,
    4,
    6e-4,
    steps=24000,
    schedule="cosine",
    gradient_norm_max=1.0,
    averaging=0.999,
    elsewhere=0.1,
    augmentation=0.25,
    validate_every=1000,
    checkpoint_every=200,
)

# BokehMe, section 4.1: Adam at 1e-4, batches of 16, 50 epochs, K = 12 for ARNet and 24 for IUNet. It does not give the
# crop; 128 px is that of DeepFocus, whose preprocessing it names, and IUNet's blur is twice as large.
_PAPER = Preset(128, 16, 1e-4, epochs=50)

PRESETS: dict[Model, dict[Name, Preset]] = {
    "arnet": {"smoke": _SMOKE, "cpu": _CPU, "paper": _PAPER},
    "iunet": {
        "smoke": replace(_SMOKE, blur_parameter_max=24.0),
        "cpu": replace(_CPU, crop_px=128, steps=12000, blur_parameter_max=24.0),
        "paper": replace(_PAPER, crop_px=256, blur_parameter_min=24.0, blur_parameter_max=24.0),
    },
    "deepfocus": {"smoke": _SMOKE, "cpu": _CPU, "paper": replace(_PAPER, epochs=200)},
    "error-map": {"smoke": _SMOKE, "cpu": replace(_CPU, steps=4000), "paper": _PAPER},
}
