"""Which of two pictures is blurred. The sets of this project are made for rendering: most give the sharp one first."""

from collections.abc import Mapping
from dataclasses import dataclass

from bokehdata.cases import Case, MemoryCase, StackCase
from bokehdata.format import DatasetError
from scenes.arrays import Picture


def begins_blurred(case: Case) -> bool:
    """Whether `image` is the blurred picture of a case and `truth` the sharp one, as in `dpdd-like`.

    Elsewhere, DPDD included, it is the other way round. DatasetError for scenes on the fly, which do not say.
    """
    if isinstance(case, MemoryCase):
        raise DatasetError(f"{case.name}: does not say which of its pictures is sharp; write the scenes to disk first")
    if not isinstance(case, StackCase) or case.input_setting is None:
        return False
    blur_parameters = case.folder.stack().blur_parameters
    return blur_parameters[case.input_setting.blur_index] > blur_parameters[case.setting.blur_index]


def views_of_blurred(case: Case) -> Mapping[str, Picture]:
    """The `left` and the `right` view of the blurred picture, display values; {} where there are not both."""
    of_sharp = isinstance(case, StackCase) and case.input_setting is not None and not begins_blurred(case)
    views = {} if of_sharp else case.views()
    return {side: views[side] for side in ("left", "right")} if {"left", "right"} <= views.keys() else {}


@dataclass(frozen=True)
class Blurred:
    """A picture to deblur.

    blurred, sharp   (H, W, 3) float32 display values, not clipped
    """

    blurred: Picture
    sharp: Picture

    @classmethod
    def of(cls, case: Case) -> "Blurred":
        """The pictures of a case; DatasetError where they cannot be read or differ in size."""
        image, truth = case.image(), case.truth()
        if image.shape != truth.shape:
            raise DatasetError(f"{case.name}: its pictures are {image.shape} and {truth.shape}, not of one size")
        return cls(image, truth) if begins_blurred(case) else cls(truth, image)
