"""Layers blurred with premultiplied alpha and put over each other, against closed forms."""

import math

import numpy as np
import pytest

from renderers import RENDERERS
from renderers.classical.drbokeh import DefocusedLayer
from renderers.classical.layers_over import area_disks, blur_premultiplied, density_of, full_coverage
from renderers.splatting.splat import convolve
from scenes.aperture import Character, Disk, Polygon
from scenes.billboard import Billboard, Scene
from scenes.color import linear_from_display
from scenes.lens import ThinLens

torch = pytest.importorskip("torch")
layers_torch = pytest.importorskip("renderers.differentiable.layers_over")

SIZE, OVERSCAN = 64, 42


def half_disk(t: float) -> float:
    """Share of a unit disk to the left of x = t."""
    t = min(max(t, -1.0), 1.0)
    return 0.5 + (t * math.sqrt(1.0 - t * t) + math.asin(t)) / math.pi


def half_planes(*planes: tuple[float, float, float]) -> Scene:
    """Half planes (light, disparity, first column of the frame that is covered), near to far, over a black one at 0."""
    shape = (SIZE + 2 * OVERSCAN, SIZE + 2 * OVERSCAN)
    layers = []
    for light, disparity, first in (*planes, (0.0, 0.0, -math.inf)):
        rgba = np.ones((*shape, 4), np.float16)
        rgba[..., :3] = light
        rgba[:, np.arange(shape[1]) < first + OVERSCAN, 3] = 0.0
        layers.append(Billboard(rgba, disparity))
    return Scene(tuple(layers), SIZE, SIZE, OVERSCAN)


def seen(scene: Scene, lens: ThinLens) -> np.ndarray:
    """Linear light along the middle row."""
    image = np.zeros((SIZE, SIZE, 3), np.float32)
    refocused = RENDERERS["layers-over"](image, scene.composite_disparity(), lens, scene=scene)
    return linear_from_display(refocused)[SIZE // 2, :, 0]


@pytest.mark.parametrize("radius", [1.5, 5.0, 20.0])
def test_a_half_plane_is_the_cumulative_of_the_disk(radius):
    expected = [half_disk((x + 0.5 - 32) / radius) for x in range(SIZE)]
    # A pixel's part of the rim is taken as if the rim were straight.
    np.testing.assert_allclose(
        seen(half_planes((1.0, 1.0, 32)), ThinLens(radius, 0.0)), expected, atol=0.01 / radius + 1e-3
    )


@pytest.mark.parametrize("shape", [(60, 100), (20, 100), (43, 44), (5, 6)])
def test_what_a_layer_of_one_blur_collects_is_found_at_its_border(shape):
    """In pictures that are smaller or larger than the kernel of 43 px, whose shape is not symmetric."""
    bank, kernel = area_disks(np.full(shape, 20.0, np.float32), Polygon(5))
    density = density_of(bank, kernel)
    collected = convolve(density, bank)
    # Both are correlated, of two sizes, which may be summed in another order.
    np.testing.assert_allclose(full_coverage(density, kernel, bank), collected, atol=1e-6)
    assert bank.reach[0] == 21 and (collected.max() == pytest.approx(1.0, abs=1e-5)) == (min(shape) > 42)


def test_what_two_half_planes_let_through_is_multiplied():
    # The near one, dark, hides its part of the far one, bright; their edges are 6 px apart.
    lens = ThinLens(20.0, 0.0)
    light = seen(half_planes((0.0, 1.0, 32), (1.0, 0.5, 26)), lens)
    x = np.arange(SIZE) + 0.5
    near, far = (np.array([half_disk(v) for v in (x - edge) / radius]) for edge, radius in ((32, 20.0), (26, 10.0)))
    np.testing.assert_allclose(light, (1.0 - near) * far, atol=2e-3)


@pytest.mark.parametrize(
    "aperture", [Disk(), Polygon(5), Character(Disk(), spherical=1.0), Character(Disk(), cat_eye=1.0)], ids=repr
)
def test_a_slanted_layer_of_one_colour_stays_so(aperture):
    # From 12 px of defocus to -12: the images of its texels overlap unevenly. Soap bubbles smaller than a pixel have
    # light, though their centre is dark.
    defocus_px = np.linspace(12.0, -12.0, 90, dtype=np.float32)[None].repeat(80, axis=0)
    blurred = blur_premultiplied(DefocusedLayer(np.ones((80, 90, 4), np.float32), defocus_px), aperture)
    np.testing.assert_allclose(blurred, 1.0, atol=1e-4)


def test_the_light_of_a_thing_is_shared_with_all_that_reaches_its_pixels():
    """A thing in focus on a surface that is not: with the rest of its layer it makes up the whole."""
    column = np.abs(np.arange(90) - 45)
    defocus_px = np.where(column < 4, np.float32(1.0), np.float32(12.0))[None].repeat(80, axis=0)
    alone = np.ones((80, 90, 4), np.float32)
    alone[..., 3] = column < 3
    rest = np.ones_like(alone)
    rest[..., 3] -= alone[..., 3]
    both = [blur_premultiplied(DefocusedLayer(rgba, defocus_px), Disk()) for rgba in (alone, rest)]
    np.testing.assert_allclose(both[0] + both[1], 1.0, atol=1e-4)


def test_colour_under_alpha_0_is_never_seen():
    rgba = np.ones((40, 40, 4), np.float32)
    rgba[:, :20, 3] = 0.0
    rgba[:, :20, :3] = 1000.0
    blurred = blur_premultiplied(DefocusedLayer(rgba, np.full((40, 40), 6.0, np.float32)), Disk())
    np.testing.assert_allclose(blurred[..., :3], blurred[..., 3:].repeat(3, axis=-1), atol=1e-5)


# In torch


def random_layers(*, layers: int, size: tuple[int, int], seed: int = 0):
    """(rgb, alpha, defocus_px) of one picture in float64: alpha within (0, 1), defocus on both sides of focus."""
    torch.manual_seed(seed)
    shape = (1, layers, 1, *size)
    rgb = torch.rand(1, layers, 3, *size, dtype=torch.float64)
    alpha = 0.1 + 0.8 * torch.rand(shape, dtype=torch.float64)
    slant = torch.linspace(-3.0, 4.0, size[1], dtype=torch.float64).expand(shape)
    return rgb, alpha, slant + torch.arange(layers, dtype=torch.float64).flip(0).view(1, layers, 1, 1, 1)


@pytest.mark.parametrize("aperture", [Disk(), Polygon(5)])
def test_the_layers_of_torch_are_those_of_the_renderer(aperture):
    rgb, alpha, defocus_px = random_layers(layers=1, size=(30, 40))
    rgba = torch.cat([rgb, alpha], dim=2)[0, 0].permute(1, 2, 0).numpy().astype(np.float32)
    expected = blur_premultiplied(DefocusedLayer(rgba, defocus_px[0, 0, 0].numpy().astype(np.float32)), aperture)
    refocused = layers_torch.refocus_layers(rgb, alpha, defocus_px, aperture)[0].permute(1, 2, 0).numpy()
    # Here the border repeats, there it is black.
    inside = (slice(9, -9), slice(9, -9))
    np.testing.assert_allclose(refocused[inside], expected[..., :3][inside], atol=1e-5)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("aperture", [Disk(), Polygon(3)])
def test_the_backward_is_the_transpose_of_the_forward(aperture, flat):
    """<A x, y> = <x, A^T y>, of a shape that turns between the sides of focus as well."""
    _, _, slant = random_layers(layers=2, size=(17, 23))
    defocus_px = torch.full_like(slant[0], 6.0) if flat else slant[0]
    x, y = (torch.randn(2, 4, 17, 23, dtype=torch.float64) for _ in range(2))
    x.requires_grad_()
    forward = (layers_torch.PremultipliedBlur.apply(x, defocus_px, aperture) * y).sum()
    (backward,) = torch.autograd.grad(forward, x)
    assert float(forward.detach()) == pytest.approx(float((x.detach() * backward).sum()), rel=1e-9)


def test_gradients_of_colour_and_alpha_agree_with_finite_differences():
    rgb, alpha, defocus_px = random_layers(layers=2, size=(5, 6))
    rgb.requires_grad_()
    alpha.requires_grad_()
    assert torch.autograd.gradcheck(lambda c, a: layers_torch.refocus_layers(c, a, defocus_px), (rgb, alpha))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_gradient_of_the_defocus_agrees_with_kernels_on_both_sides_of_it(sign):
    """Of each texel alone, moved by the quarter pixel that the kernels of the difference are moved by."""
    torch.manual_seed(1)
    premultiplied = torch.rand(1, 4, 12, 13, dtype=torch.float64)
    weight = torch.randn(1, 4, 12, 13, dtype=torch.float64)
    defocus_px = sign * torch.linspace(2.0, 4.0, 13, dtype=torch.float64).expand(1, 1, 12, 13).contiguous()

    def loss(s):
        return (layers_torch.PremultipliedBlur.apply(premultiplied, s, Polygon(3)) * weight).sum()

    given = defocus_px.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(given), given)
    expected = torch.zeros_like(gradient)
    for i in range(defocus_px.numel()):
        moved = torch.zeros_like(defocus_px)
        moved.view(-1)[i] = 0.25
        expected.view(-1)[i] = (loss(defocus_px + moved) - loss(defocus_px - moved)) / 0.5
    # F, which is shared, is not linear in what one texel adds.
    torch.testing.assert_close(gradient, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
