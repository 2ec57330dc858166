"""NaN and infinite pixels: they spoil what is read from them, as in torch, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from inputs import (
    ATTENTION,
    BICUBIC,
    PER_IMAGE,
    TRILINEAR,
    compute,
    cotangent_of,
    every_operation,
    normal,
    on_device,
)

import geoattn_jax
from geoattn_jax import bilinear_sample, deform_conv2d
from geoattn_jax.layers import max_pool
from geoattn_jax.ops import reference
from geoattn_jax.ops.crop import max_pool_crop, sample_crop

pytestmark = pytest.mark.usefixtures("x64", "compiled_quickly")
both_modes = pytest.mark.parametrize("padding_mode", ["zeros", "border"])
bad_pixels = pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
HW = (4, 8)  # powers of two: normalized positions are exact


def grid(hw=HW, margin=3, step=0.25) -> np.ndarray:
    """Positions on, between, beside and far from all pixels: (n, 2)."""
    axes = [np.append(np.arange(-margin, size + margin, step), [-1e9, 1e9]) for size in hw]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def images_with(bad: float, channels: int, hw=HW) -> np.ndarray:
    """For each pixel an image in which it alone is bad, in the first channel."""
    count = hw[0] * hw[1]
    images = normal(0, count, *hw, channels)
    images.reshape(count, count, channels)[np.arange(count), np.arange(count), 0] = bad
    return images


def sampled(ops, image, coords, padding_mode):
    """Samples and gradients; the cotangent is 1."""

    def sample(image, coords):
        return ops.bilinear_sample(image, coords, padding_mode=padding_mode)

    samples, vjp = jax.vjp(jax.jit(sample), jnp.asarray(image), jnp.asarray(coords))
    return samples, *vjp(jnp.ones_like(samples))


@bad_pixels
@both_modes
@pytest.mark.parametrize("channels", [1, 2, 9])
@pytest.mark.parametrize("ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"])
def test_as_torch(ops, channels, padding_mode, bad):
    """Values and gradients, finite, infinite and NaN."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
    image = images_with(bad, channels)
    coords = np.stack([grid()] * len(image))
    if padding_mode == "border":
        # Behind the last pixel and at the very first, derivatives are other ones on purpose.
        coords = coords[:, np.all((coords[0] > 0) & (coords[0] < np.array(HW) - 1), axis=-1)]
    to_normalized = (2 * coords + 1) / HW - 1
    leaves = (
        torch.tensor(image.transpose(0, 3, 1, 2), requires_grad=True),
        torch.tensor(to_normalized[:, None, :, ::-1].copy(), requires_grad=True),
    )
    torchs = torch.nn.functional.grid_sample(*leaves, padding_mode=padding_mode, align_corners=False)
    grad_image, grad_grid = torch.autograd.grad(torchs, leaves, torch.ones_like(torchs))

    samples, to_image, to_coords = sampled(ops, image, coords, padding_mode)
    np.testing.assert_allclose(
        samples, torchs.detach().numpy()[:, :, 0].transpose(0, 2, 1), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(to_image, grad_image.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-9)
    expected = grad_grid.numpy()[:, 0, :, ::-1] * 2 / HW
    np.testing.assert_allclose(to_coords, expected, rtol=0, atol=1e-12)


@bad_pixels
@both_modes
@pytest.mark.parametrize("ops", [geoattn_jax, reference], ids=["geoattn_jax", "reference"])
def test_as_the_loops(ops, padding_mode, bad):
    """Beyond the border, too, and for images of one row, one column, one pixel."""
    for hw in ((3, 4), (1, 4), (3, 1), (1, 1)):
        image = images_with(bad, channels=1, hw=hw)
        coords = np.stack([grid(hw, margin=2, step=0.5)] * len(image))
        samples = ops.bilinear_sample(jnp.asarray(image), jnp.asarray(coords), padding_mode=padding_mode)
        expected = oracles.bilinear_sample(image, coords, padding_mode=padding_mode)
        np.testing.assert_allclose(samples, expected, rtol=0, atol=1e-12)


@every_operation(BICUBIC, TRILINEAR, ATTENTION, bad=[np.nan, np.inf, -np.inf])
def test_what_is_read_elsewhere_keeps_its_value_and_gradient(operation, bad):
    """A row (or slice) of the first image is bad, and the loss hides the outputs that it spoils."""
    arguments = operation.arguments()
    spoiled = {**arguments, operation.image: arguments[operation.image].copy()}
    spoiled[operation.image][0, -2, ..., 0] = bad
    output, _ = compute(operation.fast, on_device(spoiled))
    expected = operation.oracle(**spoiled)
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-12)
    finite = np.isfinite(expected)
    assert finite.any()
    assert not finite.all()

    def gradients(function, arguments):
        def loss(arguments):
            output = function(**arguments)
            return jnp.sum(jnp.where(finite, output * cotangent_of(output), 0))

        return jax.jit(jax.grad(loss))(on_device(arguments))

    computed, expected = gradients(operation.fast, spoiled), gradients(operation.reference, arguments)
    # In the first image, positions and masks get zero times the bad pixels, as a convolution's kernel does.
    for name in PER_IMAGE & arguments.keys():
        rest = np.s_[:] if name == operation.image else np.s_[1:]
        np.testing.assert_allclose(
            computed[name][rest], expected[name][rest], rtol=0, atol=1e-12, err_msg=name
        )


@bad_pixels
@pytest.mark.parametrize("padding", ["SAME", ((2, 0), (3, 1))])
def test_a_tap_far_outside_touches_nothing(bad, padding):
    """Every pixel of the border is bad, every tap looks far beyond it."""
    image = np.full((1, 4, 5, 2), bad)
    image[:, 1:-1, 1:-1] = normal(0, 1, 2, 3, 2)
    kernel, mask = normal(1, 3, 3, 2, 2), np.ones((1, *output_hw(padding), 1, 9))
    offsets = np.full((1, *output_hw(padding), 1, 9, 2), -30.0)
    arguments = on_device({"image": image, "offsets": offsets, "kernel": kernel, "mask": mask})
    output, gradients = (
        compute(deform_conv2d, {**arguments})
        if padding == "SAME"
        else compute(lambda **arguments: deform_conv2d(**arguments, padding=padding), arguments)
    )
    np.testing.assert_array_equal(output, 0)
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, 0, err_msg=name)


def output_hw(padding) -> tuple[int, int]:
    return oracles.output_size((4, 5), (3, 3), padding=padding)


@bad_pixels
def test_a_mask_of_zero_still_reads(bad):
    """As in torchvision, whose value is the mask times the sample."""
    image, kernel = np.full((1, 4, 5, 1), bad), np.ones((1, 1, 1, 1))
    mask = np.zeros((1, 4, 5, 1, 1))
    offsets = np.zeros((1, 4, 5, 1, 1, 2))
    assert np.isnan(oracles.deform_conv2d(image, offsets, kernel, mask=mask)).all()
    image, offsets, kernel, mask = map(jnp.asarray, (image, offsets, kernel, mask))
    for function in (deform_conv2d, reference.deform_conv2d):
        assert np.isnan(function(image, offsets, kernel, mask=mask)).all()


@every_operation(TRILINEAR, ATTENTION)
def test_a_bad_cotangent_spoils_only_pixels_that_were_read(operation):
    """The gradient of one row of outputs is NaN: the image's becomes so in the pixels around it."""
    arguments = operation.arguments()
    arguments[operation.where] = np.clip(arguments[operation.where], 0, 0.1)
    output, vjp = jax.vjp(
        lambda image: operation.fast(**{**on_device(arguments), operation.image: image}),
        jnp.asarray(arguments[operation.image]),
    )
    cotangent = jnp.ones_like(output).at[1, 0].set(jnp.nan)
    (gradient,) = vjp(cotangent)
    assert np.isnan(gradient[1]).any()
    assert np.isfinite(gradient[0]).all()
    assert np.isfinite(gradient[2]).all()
    assert np.isfinite(gradient[1, -1, -1]).all()


@both_modes
def test_nan_positions_and_nan_pixels_together(padding_mode):
    """A NaN position has no gradient and gives none, whatever pixel happens to be in the corner."""
    image = np.ones((1, *HW, 1))
    image[0, 0, 0] = np.nan
    coords = np.array([[[np.nan, 2.0], [1.5, 2.5]]])

    def hidden(image, coords):
        samples = bilinear_sample(image, coords, padding_mode=padding_mode)
        return jnp.sum(jnp.where(jnp.isnan(samples), 0, samples))

    to_image, to_coords = jax.grad(hidden, argnums=(0, 1))(jnp.asarray(image), jnp.asarray(coords))
    np.testing.assert_array_equal(to_coords, 0)
    assert np.isfinite(to_image).all()
    assert to_image.sum() == 1


@bad_pixels
def test_windows_do_not_see_what_lies_beside_them(bad):
    image, top_left, crop_hw = np.full((2, 8, 9, 2), bad), jnp.array([[1, 2], [3, 3]]), (4, 5)
    crops = normal(0, 2, *crop_hw, 2)
    for one, crop, (y, x) in zip(image, crops, np.asarray(top_left), strict=True):
        one[y : y + crop_hw[0], x : x + crop_hw[1]] = crop
    coords = np.stack([grid(crop_hw, margin=2, step=0.5)] * 2)
    pairs = (
        (lambda image, coords: sample_crop(image, top_left, coords, crop_hw=crop_hw), bilinear_sample),
        (
            lambda image, coords: max_pool_crop(image, top_left, crop_hw=crop_hw, window=2),
            lambda image, coords: max_pool(image),
        ),
    )
    for of_window, of_copy in pairs:
        values, vjp = jax.vjp(of_window, jnp.asarray(image), jnp.asarray(coords))
        expected, expected_vjp = jax.vjp(of_copy, jnp.asarray(crops), jnp.asarray(coords))
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
        cotangent = normal(1, *values.shape)
        (to_image, to_coords), (to_crops, expected_to_coords) = vjp(cotangent), expected_vjp(cotangent)
        np.testing.assert_allclose(to_coords, expected_to_coords, rtol=0, atol=1e-12)
        assert np.isfinite(to_image).all()
        np.testing.assert_allclose(to_image.sum(axis=(1, 2)), to_crops.sum(axis=(1, 2)), rtol=0, atol=1e-9)
