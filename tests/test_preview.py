"""The contact sheet shows what it was given, in display values, and always with the same bytes."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from bokehdata.preview import (
    ContactSheet,
    disparity_levels,
    disparity_palette,
    display_tile,
    encode_jpeg,
    fitted_size,
    layer_tile,
)
from scenes.color import linear_from_display
from scenes.stack import Stack


def natural_noise(side: int, rng: np.random.Generator) -> np.ndarray:
    """Colour noise whose power falls as 1/f^2, as in photographs: (side, side, 3) linear light."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((3, side, side))) / frequency
    noise = np.fft.ifft2(spectrum).real
    display = np.clip(0.5 + 0.2 * noise / noise.std(), 0.0, 1.0)
    return linear_from_display(display).transpose(1, 2, 0).astype(np.float32)


def filled_sheet(stack: Stack, colour_of, side: int = 32, num_layers: int = 2) -> np.ndarray:
    """A sheet whose traced images are flat colours given by (k, f); image and layers are black."""
    sheet = ContactSheet("000012", width=side, height=side, num_layers=num_layers, stack=stack)
    sheet.add_image(np.zeros((side, side, 3), np.float32))
    sheet.add_disparity(np.linspace(0.1, 0.9, side * side, dtype=np.float32).reshape(side, side))
    for i in range(num_layers):
        sheet.add_layer(i, np.zeros((side, side, 4), np.float16), 0.5)
    for k, f, _ in stack.lenses():
        sheet.add_bokeh(k, f, np.broadcast_to(linear_from_display(np.array(colour_of(k, f)) / 255.0), (side, side, 3)))
    return sheet.picture()


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(map(int, colour)) for colour in np.unique(picture.reshape(-1, 3), axis=0)}


def test_tiles_average_light_not_display_values():
    stripes = np.zeros((8, 8, 3), np.float32)
    stripes[::2] = 1.0
    # Half the light of white is 0.5 ** (1 / 2.2) = 0.7297 of its display value; 186 of 255.
    assert np.array_equal(display_tile(stripes, (4, 4)), np.full((4, 4, 3), 186, np.uint8))


def test_a_highlight_is_clipped_before_it_is_averaged():
    spark = np.zeros((8, 8, 3), np.float32)
    spark[4, 4] = 1000.0
    tile = display_tile(spark, (1, 1))
    # One white pixel of 64: (1 / 64) ** (1 / 2.2) = 0.151; 39 of 255. Unclipped it would be white.
    assert tile[0, 0].tolist() == [39, 39, 39]


def test_a_layer_hides_the_checkerboard_by_its_alpha():
    rgba = np.zeros((16, 16, 4), np.float16)
    board = layer_tile(rgba, (16, 16))
    assert len(colours(board)) == 2
    assert board[0, 0].tolist() == board[8, 8].tolist() != board[0, 8].tolist() == board[8, 0].tolist()
    rgba[..., 1] = 1.0
    rgba[..., 3] = 1.0
    assert colours(layer_tile(rgba, (16, 16))) == {(0, 255, 0)}


def test_colour_under_alpha_zero_does_not_bleed_into_a_tile():
    rgba = np.zeros((16, 16, 4), np.float16)
    rgba[::2] = [0.0, 0.0, 1.0, 1.0]
    rgba[1::2] = [60000.0, 60000.0, 0.0, 0.0]
    tile = layer_tile(rgba, (8, 8)).astype(int)
    assert (tile[..., 2] > tile[..., 0]).all()


def test_the_palette_climbs_from_dark_far_to_light_near():
    luminance = disparity_palette() @ np.array([0.2126, 0.7152, 0.0722])
    # 8-bit rounding of the table lets neighbours differ by less than one level the wrong way.
    assert (np.diff(luminance) > -1.0).all()
    assert luminance[0] < 5.0 and luminance[-1] > 230.0
    assert disparity_levels(np.array([0.1, 0.5, 0.9]), 0.1, 0.9).tolist() == [0, 128, 255]
    assert disparity_levels(np.array([0.3]), 0.3, 0.3).tolist() == [0]


@pytest.mark.parametrize(("count", "shown"), [(1, [0]), (2, [0, 1]), (5, [0, 1, 2, 3, 4]), (9, [0, 2, 4, 6, 8])])
def test_the_grid_shows_evenly_chosen_focus_settings(count, shown):
    stack = Stack((12.0, 24.0), tuple(np.linspace(0.1, 1.0, count)))
    present = colours(filled_sheet(stack, lambda k, f: (201, 40 + 100 * k, 10 + 20 * f)))
    expected = {(201, 40 + 100 * k, 10 + 20 * f) for k in range(2) for f in shown}
    left_out = {(201, 40 + 100 * k, 10 + 20 * f) for k in range(2) for f in range(count)} - expected
    assert expected <= present
    assert not left_out & present


@pytest.mark.parametrize("num_layers", [0, 1, 6, 40])
def test_every_layer_has_a_tile_of_its_own(num_layers):
    sheet = ContactSheet("s", width=512, height=512, num_layers=num_layers, stack=Stack((12.0,), (0.5,)))
    for i in range(num_layers):
        rgba = np.ones((64, 64, 4), np.float16)
        rgba[..., :3] = linear_from_display(np.array([0, 5 * i, 255]) / 255.0)
        sheet.add_layer(i, rgba, 0.5)
    # Half floats carry 11 bits: a display value of 8 bits comes back within one level.
    blue = sheet.picture()[(sheet.picture()[..., 2] >= 254) & (sheet.picture()[..., 0] == 0)]
    assert len({round(int(g) / 5) for g in blue[:, 1]}) == num_layers


def test_the_same_arrays_give_the_same_bytes_in_any_order():
    stack = Stack((12.0,), (0.2, 0.4, 0.6))
    images = [natural_noise(64, np.random.default_rng(f)) for f in range(3)]

    def sheet(order) -> bytes:
        page = ContactSheet("000000", width=64, height=64, num_layers=0, stack=stack)
        page.add_disparity(np.linspace(0.0, 1.0, 64 * 64).reshape(64, 64))
        for f in order:
            page.add_bokeh(0, f, images[f])
        return encode_jpeg(page.picture())

    assert sheet([0, 1, 2]) == sheet([2, 0, 1])


def test_a_default_sheet_of_natural_images_stays_below_400_kb():
    stack = Stack((12.0, 24.0), (0.1, 0.3, 0.5, 0.7, 0.9))
    rng = np.random.default_rng(5)
    sheet = ContactSheet("000000", width=512, height=512, num_layers=6, stack=stack)
    sharp = natural_noise(512, rng)
    sheet.add_image(sharp)
    sheet.add_disparity(cv2.GaussianBlur(rng.random((512, 512)), (0, 0), 20.0))
    for i in range(6):
        sheet.add_layer(i, np.dstack([sharp, np.ones((512, 512))]), 0.5)
    for k, f, _ in stack.lenses():
        sheet.add_bokeh(k, f, sharp)
    data = encode_jpeg(sheet.picture())
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    assert decoded.shape == sheet.picture().shape
    assert len(data) < 400_000


@pytest.mark.parametrize(("frame", "box", "expected"), [((100, 50), (10, 10), (10, 5)), ((1, 4000), (10, 10), (1, 10))])
def test_a_fitted_picture_keeps_its_shape(frame, box, expected):
    assert fitted_size(*frame, *box) == expected
