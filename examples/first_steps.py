"""First steps in Python: trace a scene, refocus its picture by two methods, and score them against the truth.

python examples/first_steps.py [FOLDER OF A DATASET]
"""

import sys

import numpy as np

import bokehforge as bf


def main(folder: str | None = None) -> None:
    traced_scene()
    if folder is not None:
        dataset(folder)


def traced_scene() -> None:
    """A white square of 40 px before a grey wall, the wall in focus."""
    size, overscan = 128, 16
    extended = size + 2 * overscan
    wall = np.full((extended, extended, 4), (0.2, 0.2, 0.2, 1.0), np.float16)
    square = np.zeros((extended, extended, 4), np.float16)
    middle = slice(extended // 2 - 20, extended // 2 + 20)
    square[middle, middle] = 1.0
    layers = (bf.Billboard(square, disparity=0.8), bf.Billboard(wall, disparity=0.2))
    scene = bf.Scene(width=size, height=size, overscan=overscan, layers=layers)

    pinhole, lens = bf.ThinLens(0.0, 0.2), bf.ThinLens(blur_parameter=20.0, focus_disparity=0.2)
    sharp = bf.trace(scene, pinhole).image
    truth = bf.trace(scene, lens, noise=0.001)
    print(f"traced with {truth.lens_points} lens points, noise {truth.noise_rmse:.4f}")

    inside = slice(middle.start - overscan, middle.stop - overscan)
    disparity = np.full((size, size), 0.2, np.float32)
    disparity[inside, inside] = 0.8
    for name in ("identity", "scatter"):
        picture = bf.refocus(sharp, disparity, lens, renderer=name)
        print(f"{name}: {bf.score(picture, truth.image)['psnr']:.1f} dB")


def dataset(folder: str) -> None:
    """The first pictures of a dataset."""
    for case in bf.open_dataset(folder)[:3]:
        disparity = case.disparity()
        assert disparity is not None
        picture = bf.refocus(case.image(), disparity, case.lens(), renderer="scatter", gamma=case.gamma)
        print(f"{case.name}: {bf.score(picture, case.truth())['psnr']:.1f} dB")


if __name__ == "__main__":
    main(*sys.argv[1:2])
