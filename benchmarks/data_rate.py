"""Training samples per second that the data loaders give, and that training steps take.

    python benchmarks/data_rate.py --data datasets/bokehme-small

See README.md beside this file.
"""

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from bokehdata.opening import open_cases
from bokehdata.torch_data import CropSettings, PictureCrops, Sample
from scenes.recipe import load_recipe
from training.data import margin_for
from training.models.arnet import ARNET
from training.on_the_fly import OnTheFly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a dataset")
    parser.add_argument("--recipe", default="bokehme-small", help="kind of scenes traced on the fly (bokehme-small)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes to make samples with (1 2)")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each row (20)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()

    preset = ARNET.presets["cpu"]
    settings = CropSettings(preset.crop_px, margin_for(preset.blur_parameter_max), preset.augmentation)
    shared = {"seed": 0, "planes": ARNET.samples.planes, "blur_parameter_max": preset.blur_parameter_max}
    crops = PictureCrops(open_cases(options.data), settings, **shared)
    on_the_fly = OnTheFly(load_recipe(options.recipe), settings, **shared)

    rows = []
    for workers in options.workers:
        loader = DataLoader(crops, None, sampler=range(1 << 30), num_workers=workers, multiprocessing_context="spawn")
        rows.append({"what": "from disk", "workers": workers, "samples_per_s": rate(loader, options.seconds)})
        loader = DataLoader(on_the_fly, None, num_workers=workers, multiprocessing_context="spawn")
        rows.append({"what": "on the fly", "workers": workers, "samples_per_s": rate(loader, options.seconds)})
    rows.append({"what": "ARNet step", "workers": 0, "samples_per_s": step_rate(crops, options.seconds)})

    print(f"crops of {preset.crop_px} px, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads of torch\n")
    print("| samples | workers | per second |\n|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['workers'] or '-'} | {row['samples_per_s']:.1f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def rate(samples: Iterable[Sample], seconds: float) -> float:
    """Samples per second over at least `seconds`, without the first ones, which compile and start everything."""
    stream: Iterator[Sample] = iter(samples)
    for _ in islice(stream, 8):
        pass
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        next(stream)
        count += 1
    return count / (time.perf_counter() - begin)


def step_rate(crops: PictureCrops, seconds: float) -> float:
    """Samples per second of ARNet's training steps (forward, backward, optimizer) with the `cpu` preset."""
    preset = ARNET.presets["cpu"]
    batch = next(iter(DataLoader(crops, preset.batch)))
    training = ARNET.build(preset, 1, {})
    optimizer = torch.optim.Adam(training.network.parameters())
    count, begin = -1, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        optimizer.zero_grad()
        training.objective(batch)["loss"].backward()
        optimizer.step()
        count += 1
        if count == 0:
            begin = time.perf_counter()
    return count * preset.batch / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
