"""The sums of `renderers.splatting.splat` in Taichi: all sources add their changes of weight, then every row is summed.

In float64, so that the order in which the threads of a GPU add makes no difference that float32 would show.
"""

# Taichi's argument annotations are values, not types.
# pyright: reportInvalidTypeForm=false, reportGeneralTypeIssues=false

import numpy as np
import taichi as ti
from numpy.typing import NDArray

from renderers.splatting.kernels import KernelBank


def splat_taichi(values: NDArray[np.float32], kernel: NDArray[np.int32], bank: KernelBank) -> NDArray[np.float32]:
    """`renderers.splatting.splat.splat` on the backend that Taichi runs on."""
    height, width = kernel.shape
    reach_max = int(bank.reach.max())
    changes = ti.ndarray(ti.f64, (height, reach_max + width + reach_max + 1, values.shape[2]))
    changes.fill(0.0)
    _add_changes(values, kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step, reach_max, changes)
    out = np.empty_like(values)
    _sum_rows(changes, reach_max, out)
    return out


def gather_taichi(prefix: NDArray[np.float64], kernel: NDArray[np.int32], bank: KernelBank) -> NDArray[np.float32]:
    """`renderers.splatting.splat.gather` of the prefix sums (H, W + 1) of the values."""
    out = np.empty(kernel.shape, np.float32)
    _gather(prefix, kernel, bank.reach, bank.first_row, bank.row_taps, bank.offset, bank.step, out)
    return out


@ti.kernel
def _add_changes(
    values: ti.types.ndarray(ti.f32, ndim=3),
    kernel: ti.types.ndarray(ti.i32, ndim=2),
    reach: ti.types.ndarray(ti.i32, ndim=1),
    first_row: ti.types.ndarray(ti.i32, ndim=1),
    row_taps: ti.types.ndarray(ti.i64, ndim=1),
    offset: ti.types.ndarray(ti.i32, ndim=1),
    step: ti.types.ndarray(ti.f32, ndim=1),
    reach_max: int,
    changes: ti.types.ndarray(ti.f64, ndim=3),
):
    height = kernel.shape[0]
    for y, x in ti.ndrange(kernel.shape[0], kernel.shape[1]):
        n = kernel[y, x]
        if n >= 0:
            h = reach[n]
            for dy in range(ti.max(-h, -y), ti.min(h, height - 1 - y) + 1):
                i = first_row[n] + dy + h
                for t in range(int(row_taps[i]), int(row_taps[i + 1])):
                    w = ti.cast(step[t], ti.f64)
                    for c in range(values.shape[2]):
                        changes[y + dy, x + reach_max + offset[t], c] += w * values[y, x, c]


@ti.kernel
def _sum_rows(changes: ti.types.ndarray(ti.f64, ndim=3), reach_max: int, out: ti.types.ndarray(ti.f32, ndim=3)):
    for y, c in ti.ndrange(out.shape[0], out.shape[2]):
        total = ti.cast(0.0, ti.f64)
        for x in range(reach_max + out.shape[1]):
            total += changes[y, x, c]
            if x >= reach_max:  # rounding may leave less than nothing
                out[y, x - reach_max, c] = ti.max(ti.cast(total, ti.f32), 0.0)


@ti.kernel
def _gather(
    prefix: ti.types.ndarray(ti.f64, ndim=2),
    kernel: ti.types.ndarray(ti.i32, ndim=2),
    reach: ti.types.ndarray(ti.i32, ndim=1),
    first_row: ti.types.ndarray(ti.i32, ndim=1),
    row_taps: ti.types.ndarray(ti.i64, ndim=1),
    offset: ti.types.ndarray(ti.i32, ndim=1),
    step: ti.types.ndarray(ti.f32, ndim=1),
    out: ti.types.ndarray(ti.f32, ndim=2),
):
    height, width = kernel.shape[0], kernel.shape[1]
    for y, x in ti.ndrange(kernel.shape[0], kernel.shape[1]):
        n = kernel[y, x]
        h = reach[n]
        total = ti.cast(0.0, ti.f64)
        for dy in range(ti.max(-h, -y), ti.min(h, height - 1 - y) + 1):
            i = first_row[n] + dy + h
            for t in range(int(row_taps[i]), int(row_taps[i + 1])):
                # The steps of a row add up to zero, so only the part left of each counts.
                total -= step[t] * prefix[y + dy, ti.min(ti.max(x + offset[t], 0), width)]
        out[y, x] = ti.max(ti.cast(total, ti.f32), 0.0)
