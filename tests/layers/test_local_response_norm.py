"""local_response_norm: equal to nested loops and to torch, with its gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from variables import normal

from geoattn_jax.layers import local_response_norm

CONSTANTS = {"k": 1.5, "alpha": 0.3, "beta": 0.6}  # strong enough for every one of them to matter


def oracle(image, window, k, alpha, beta):
    output = np.empty(image.shape)
    for b, y, x, c in np.ndindex(image.shape):
        energy = 0.0
        for neighbour in range(c - window // 2, c + window // 2 + 1):
            if 0 <= neighbour < image.shape[-1]:
                energy += float(image[b, y, x, neighbour]) ** 2
        output[b, y, x, c] = image[b, y, x, c] / (k + alpha * energy) ** beta
    return output


@pytest.mark.parametrize("window", [1, 3, 5, 9])
def test_equals_nested_loops(x64, window):
    image = normal(0, 2, 3, 4, 6, dtype="float64")
    output = jax.jit(partial(local_response_norm, window=window, **CONSTANTS))(image)
    np.testing.assert_allclose(output, oracle(np.asarray(image), window, **CONSTANTS), rtol=1e-12)


def test_constants_are_the_papers(x64):
    image = 100 * normal(0, 2, 3, 4, 6, dtype="float64")
    expected = oracle(np.asarray(image), window=5, k=2, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(local_response_norm(image), expected, rtol=1e-12)


@pytest.mark.parametrize("window", [3, 5])
def test_equals_torch_with_its_gradient(x64, window):
    torch = pytest.importorskip("torch")
    image, grad_output = (normal(seed, 2, 3, 4, 7, dtype="float64") for seed in (0, 1))
    theirs = torch.tensor(np.asarray(image)).permute(0, 3, 1, 2).requires_grad_()
    # torch divides alpha by the size of the window.
    constants = {**CONSTANTS, "alpha": window * CONSTANTS["alpha"]}
    expected = torch.nn.functional.local_response_norm(theirs, window, **constants)
    expected.backward(torch.tensor(np.asarray(grad_output)).permute(0, 3, 1, 2))

    output, vjp = jax.vjp(partial(local_response_norm, window=window, **CONSTANTS), image)
    np.testing.assert_allclose(output, expected.detach().permute(0, 2, 3, 1), rtol=1e-12)
    np.testing.assert_allclose(vjp(grad_output)[0], theirs.grad.permute(0, 2, 3, 1), rtol=1e-12)


def test_gradient_of_both_modes(x64):
    image = normal(0, 2, 2, 3, 7, dtype="float64")
    check_grads(jax.jit(partial(local_response_norm, **CONSTANTS)), (image,), order=1)


def test_bfloat16_is_computed_in_float32():
    image = 30 * normal(0, 2, 3, 4, 6)
    rounded = image.astype(jnp.bfloat16)
    output = local_response_norm(rounded)
    assert output.dtype == jnp.bfloat16
    exact = local_response_norm(rounded.astype(jnp.float32))
    np.testing.assert_array_equal(output, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize("window", [0, -1, 4])
def test_a_window_without_a_centre_is_named(window):
    with pytest.raises(ValueError, match=f"window must be a positive odd number, .* got {window}"):
        local_response_norm(jnp.zeros((1, 2, 3, 4)), window=window)
