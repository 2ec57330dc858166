"""A function with a backward pass of its own, here one that tells itself from JAX's by a factor of 10."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inputs import normal

from geoattn_jax.ops.backward_pass import with_backward_pass

X, Y = jnp.asarray(normal(0, 3, 2), jnp.float32), jnp.asarray(normal(1, 2), jnp.float32)
NESTINGS = [
    *itertools.product([jax.jacfwd, jax.jacrev], repeat=2),
    (jax.jacfwd,) * 3,
    (jax.jacrev, jax.jacfwd, jax.jacrev),
]


def plain(power, x, y, whole=None, missing=None):
    product = jnp.sin(x) * y**power
    return product if whole is None else product[whole]


def exact(power, arguments, cotangent):
    """JAX's own gradients, of all arguments."""
    x, y, *others = arguments
    _, pull_back = jax.vjp(lambda x, y: plain(power, x, y, *others), x, y)
    return *pull_back(cotangent), *[None] * len(others)


def tenfold(power, arguments, cotangent):
    return jax.tree.map(lambda gradient: 10 * gradient, exact(power, arguments, cotangent))


function = with_backward_pass(plain, exact)
marked = with_backward_pass(plain, tenfold)


def test_reverse_mode_runs_the_backward_pass_and_forward_mode_does_not():
    def loss(x, y, of=marked):
        return jnp.sum(jnp.cos(of(2, x, y)))

    expected = jax.grad(loss, argnums=(0, 1))(X, Y, plain)
    for transform in (lambda f: f, jax.jit, jax.checkpoint):
        for gradient, one in zip(transform(jax.grad(loss, argnums=(0, 1)))(X, Y), expected, strict=True):
            np.testing.assert_allclose(gradient, 10 * one, rtol=1e-6)
    _, tangent = jax.jvp(loss, (X, Y), (X, Y))
    np.testing.assert_allclose(tangent, jax.jvp(lambda x, y: loss(x, y, plain), (X, Y), (X, Y))[1], rtol=1e-6)


def test_whole_numbers_and_what_is_missing_have_no_gradient():
    rows = jnp.array([2, 0])
    gradient = jax.grad(lambda x: jnp.sum(marked(2, x, Y, rows, None)))(X)
    assert not np.any(gradient[1])
    np.testing.assert_allclose(gradient[rows], 10 * jnp.cos(X[rows]) * Y**2, rtol=1e-6)


@pytest.mark.parametrize("nesting", NESTINGS, ids=lambda nesting: "-".join(one.__name__ for one in nesting))
@pytest.mark.parametrize("jit", [False, True])
def test_nested_derivatives(nesting, jit):
    def derivative(of):
        result = lambda y: jnp.sum(jnp.cos(of(3, X, y)), axis=0)  # noqa: E731
        for transform in nesting:
            result = transform(result)
        return (jax.jit(result) if jit else result)(Y)

    np.testing.assert_allclose(derivative(function), derivative(plain), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 1), (1, None)], ids=str)
@pytest.mark.parametrize("outer", [jax.grad, jax.jacfwd])
def test_mapped(axes, outer):
    """With the derivatives inside of `vmap`, outside of it, and of a sum over what is mapped."""
    x, y = (
        array if axis is None else jnp.stack([array, -array, 2 * array], axis=axis)
        for array, axis in zip((X, Y), axes, strict=True)
    )

    def results(of):
        def loss(x, y):
            return jnp.sum(jnp.cos(of(2, x, y)))

        inside = jax.vmap(outer(loss, argnums=(0, 1)), axes)(x, y)
        outside = outer(lambda *both: jnp.sum(jax.vmap(loss, axes)(*both) ** 2), argnums=(0, 1))(x, y)
        return jax.tree.leaves((inside, outside))

    for computed, expected in zip(results(function), results(plain), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-6)
