"""Settings of a run. Each model has presets of its own; two that most models begin from are written here once."""

from dataclasses import dataclass
from typing import Literal, Self

PresetName = Literal["smoke", "cpu", "paper"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings of a run. A model that has more of them derives a class.

    crop_px              side of the crops, pixels
    batch                crops per step and device
    learning_rate        of Adam, at its largest
    steps                optimiser steps; None for `epochs`
    epochs               passes over the pictures, where `steps` is None
    schedule             "constant", or "cosine": up over the first twentieth of the steps, then down to 0
    gradient_norm_max    gradients are scaled down to this norm; None leaves them
    ema_decay            what is validated and saved is an exponential moving average of the weights, in which older
                         weights lose this factor with every step; None for the last weights
    augmentation         probability that the disparity of a crop is corrupted, as an estimator's is imperfect
    blur_parameter_min   pictures of smaller K are left out, pixels per unit of normalized disparity
    blur_parameter_max   pictures of larger K are left out
    validate_every       steps between validations
    checkpoint_every     steps between checkpoints
    validation_pictures  at most this many, evenly spread over the held-out scenes
    """

    crop_px: int
    batch: int
    learning_rate: float
    steps: int | None = None
    epochs: int | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    gradient_norm_max: float | None = None
    ema_decay: float | None = None
    augmentation: float = 0.75
    blur_parameter_min: float = 0.0
    blur_parameter_max: float = 12.0
    validate_every: int = 2000
    checkpoint_every: int = 500
    validation_pictures: int = 48

    @classmethod
    def smoke(cls) -> Self:
        """A few steps to see that everything works."""
        return cls(
            crop_px=32,
            batch=2,
            learning_rate=1e-3,
            steps=20,
            validate_every=10,
            checkpoint_every=10,
            validation_pictures=2,
        )

    @classmethod
    def cpu(cls) -> Self:
        """Hours on two CPU cores: a step of ARNet takes about a quarter of a second on two idle ones."""
        return cls(
            crop_px=96,
            batch=4,
            learning_rate=6e-4,
            steps=24000,
            schedule="cosine",
            gradient_norm_max=1.0,
            ema_decay=0.999,
            augmentation=0.25,
            validate_every=1000,
            checkpoint_every=200,
        )
