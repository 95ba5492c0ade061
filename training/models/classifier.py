"""Classifiers of what a picture shows (`inverse.attacks`), on the all-in-focus pictures of labelled scenes."""

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from bokehdata.format import DatasetError
from bokehdata.torch_data import Crop
from inverse.attacks.classifiers import OBJECTS
from inverse.attacks.networks import SMALL, Classifier
from renderers.neural.trunks import normalized
from training.model import Model, Samples
from training.models.pairs import for_pairs
from training.module import Batch, PictureBatch, Training
from training.presets import Preset, PresetName

# Of training pictures: largest turn, range of enlargement, largest shift in sides, largest change of each colour.
_TURN_DEG, _ENLARGED, _SHIFTED, _TINTED = 10.0, (0.85, 1.2), 0.1, 0.15


class ClassifierBatch(Batch):
    """image   all-in-focus display values, clipped at white
    label   index in `OBJECTS`
    """

    image: PictureBatch
    label: Float32[Tensor, " batch"]


def classifier_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The planes of a ClassifierBatch; DatasetError for a picture without a label of ours."""
    label = crop.case.label
    if label not in OBJECTS:
        raise DatasetError(
            f"{crop.case.name}: has the label {label!r}, which is not learned; train on scenes of the recipe objects"
        )
    return {"image": np.clip(crop.image, 0.0, 1.0), "label": np.array(OBJECTS.index(label), np.float32)}


def varied_planes(crop: Crop) -> dict[str, NDArray[np.float32]]:
    """The same of a picture that is mirrored, turned, enlarged, shifted and tinted at random."""
    planes, rng = classifier_planes(crop), crop.rng
    height, width = planes["image"].shape[:2]
    turned = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), rng.uniform(-_TURN_DEG, _TURN_DEG), rng.uniform(*_ENLARGED)
    )
    turned[:, 2] += rng.uniform(-_SHIFTED, _SHIFTED, 2) * (width, height)
    picture = planes["image"][:, ::-1] if rng.integers(2) else planes["image"]
    picture = cv2.warpAffine(np.ascontiguousarray(picture), turned, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    tint = 1.0 + rng.uniform(-_TINTED, _TINTED, 3)
    return {**planes, "image": np.clip(picture * tint, 0.0, 1.0).astype(np.float32)}


class ClassifierTraining(Training[ClassifierBatch, ClassifierBatch]):
    """Cross-entropy. A picture of a validation is right, 1, or wrong, 0."""

    criterion = "accuracy"

    def __init__(self, name: str, preset: Preset, steps: int):
        super().__init__(SMALL[name](len(OBJECTS)), preset, steps)

    def objective(self, batch: ClassifierBatch) -> dict[str, Tensor]:
        assert isinstance(self.network, Classifier)
        logits = self.network.logits(normalized(batch["image"]))
        return {"loss": cross_entropy(logits, batch["label"].long(), label_smoothing=0.05)}

    def measurements(self, batch: ClassifierBatch) -> tuple[dict[str, float], list[Tensor]]:
        assert isinstance(self.validated, Classifier)
        logits = self.validated.logits(normalized(batch["image"]))
        return {"accuracy": float(logits.argmax(1) == batch["label"])}, [batch["image"]]


def _model(name: str) -> Model[Preset]:
    return Model(
        name=name,
        presets=PRESETS,
        build=lambda preset, steps, weights: ClassifierTraining(name, preset, steps),
        samples=Samples(ClassifierBatch, varied_planes, margin_px=0, traced=False, turned=False),
        validation_samples=Samples(ClassifierBatch, classifier_planes, margin_px=0, traced=False),
        information="picture",
    )


PRESETS: dict[PresetName, Preset] = {
    "smoke": for_pairs(Preset.smoke()),
    "cpu": replace(
        for_pairs(Preset.cpu()),
        crop_px=112,
        batch=24,
        learning_rate=2e-3,
        steps=1500,
        gradient_norm_max=5.0,
        ema_decay=0.99,
        augmentation=0.0,
        validate_every=250,
        checkpoint_every=100,
        validation_pictures=1000,
    ),
}
CLASSIFIERS = {name: _model(name) for name in SMALL}
