"""Random arrays for the tests, and the sampling operations in one common form."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

import geoattn_jax
from geoattn_jax.ops import reference


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def off_kinks(seed: int, *shape: int, low: int, high: int) -> np.ndarray:
    """Numbers between the integers low and high, none within a tenth of an integer, where kinks are."""
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, size=shape) + rng.uniform(0.1, 0.9, size=shape)


def positions(seed: int, *shape: int, hw: tuple[int, ...], margin: int = 2) -> np.ndarray:
    """Positions (*shape, 2) in and around an image of size hw, or 3 of a volume, off the kinks."""
    return np.stack(
        [off_kinks(seed + axis, *shape, low=-margin, high=size - 1 + margin) for axis, size in enumerate(hw)],
        axis=-1,
    )


@dataclass(frozen=True)
class Operation:
    """One sampling operation, all whose arguments are differentiable and given by name."""

    fast: Callable
    reference: Callable
    oracle: Callable
    arguments: Callable[..., dict[str, np.ndarray]]  # of batch
    where: str  # the argument that says where to read; its last axis is (y, x) or (z, y, x)
    image: str = "image"  # the argument that is read
    weights: int = 2  # of pixels, along each axis
    overshoot: float = 1.0  # how much brighter than the brightest pixel a sample can be


def _sampling_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    return {"image": normal(0, batch, 5, 7, 2), "coords": positions(1, batch, 4, 3, hw=(5, 7))}


def _volume_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    return {"image": normal(0, batch, 4, 3, 5, 2), "coords": positions(1, batch, 4, 3, hw=(4, 3, 5))}


def _resampling_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    return {"image": normal(0, batch, 4, 6, 3), "offsets": off_kinks(1, batch, 4, 6, 3, 2, low=-3, high=3)}


def _deform_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    return {
        "image": normal(0, batch, 5, 7, 4),
        "offsets": off_kinks(1, batch, 3, 6, 2, 6, 2, low=-3, high=3),
        "kernel": normal(2, 3, 2, 2, 6),
        "bias": normal(3, 6),
        "mask": np.random.default_rng(4).uniform(0.2, 1.8, size=(batch, 3, 6, 2, 6)),
    }


def _attention_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    shape = (batch, 5, 2, len(LEVEL_SHAPES), 3)
    # Positions off the kinks, as fractions of their level.
    levels = [positions(level, *shape[:3], 3, hw=hw) for level, hw in enumerate(LEVEL_SHAPES)]
    fractions = [(level + 0.5) / hw for level, hw in zip(levels, LEVEL_SHAPES, strict=True)]
    return {
        "values": normal(0, batch, sum(h * w for h, w in LEVEL_SHAPES), 2, 3),
        "locations": np.stack(fractions, axis=3),
        "weights": np.random.default_rng(4).uniform(0.2, 1.8, size=shape),
    }


def _deform_3d_arguments(batch: int = 3) -> dict[str, np.ndarray]:
    return {
        "volume": normal(0, batch, 4, 3, 3, 4),
        "offsets": off_kinks(1, batch, 2, 3, 2, 2, 4, 3, low=-3, high=3),
        "kernel": normal(2, 2, 1, 2, 2, 2),
        "bias": normal(3, 2),
        "mask": np.random.default_rng(4).uniform(0.2, 1.8, size=(batch, 2, 3, 2, 2, 4)),
    }


def _operation(
    name: str, arguments: Callable[..., dict], where: str, properties: dict | None = None, **options
) -> Operation:
    implementations = (
        partial(getattr(module, name), **options) for module in (geoattn_jax, reference, oracles)
    )
    return Operation(*implementations, arguments, where, **(properties or {}))


# Powers of two, so that locations of whole positions are exact; of one level, to compile less.
LEVEL_SHAPES = ((4, 8),)

OPERATIONS = {
    "bilinear_sample-zeros": _operation(
        "bilinear_sample", _sampling_arguments, "coords", padding_mode="zeros"
    ),
    "bilinear_sample-border": _operation(
        "bilinear_sample", _sampling_arguments, "coords", padding_mode="border"
    ),
    "offset_resample": _operation("offset_resample", _resampling_arguments, "offsets"),
    "deform_conv2d": _operation(
        "deform_conv2d", _deform_arguments, "offsets",
        strides=(2, 1), padding=((2, 0), (0, 0)), feature_group_count=2,
    ),
}  # fmt: skip
# They share most of their code with those above, and take long to compile: a test names those that it runs.
FURTHER_OPERATIONS = {
    "sample-bicubic-reflection": _operation(
        "sample", _sampling_arguments, "coords",
        {"weights": 4, "overshoot": 1.375**2},  # halfway weights are -3, 19, 19, -3 of 32
        method="bicubic", padding_mode="reflection",
    ),
    "sample-trilinear-border": _operation("sample", _volume_arguments, "coords", padding_mode="border"),
    "deform_conv3d": _operation(
        "deform_conv3d", _deform_3d_arguments, "offsets", {"image": "volume"},
        strides=(2, 1, 1), padding=((1, 0), (0, 0), (0, 0)), feature_group_count=2,
    ),
    "deform_attention": _operation(
        "deform_attention", _attention_arguments, "locations", {"image": "values"}, level_shapes=LEVEL_SHAPES
    ),
}  # fmt: skip

BICUBIC, TRILINEAR, VOLUMES_CONV, ATTENTION = FURTHER_OPERATIONS
ALL_OPERATIONS = {**OPERATIONS, **FURTHER_OPERATIONS}


def every_operation(*further: str, **crossed: dict | list) -> pytest.MarkDecorator:
    """Parametrizes a test by `operation`: all in OPERATIONS, and the further ones that are named.

    Another parameter may be crossed with them, given by its name as a list of values or as a dictionary whose
    keys are ids. The further operations take its first value only.
    """
    names = [*OPERATIONS, *further]
    if not crossed:
        return pytest.mark.parametrize("operation", [ALL_OPERATIONS[name] for name in names], ids=names)
    ((parameter, values),) = crossed.items()
    if not isinstance(values, dict):
        values = {getattr(value, "__name__", str(value)): value for value in values}
    first = next(iter(values))
    return pytest.mark.parametrize(
        (parameter, "operation"),
        [
            pytest.param(value, ALL_OPERATIONS[name], id=f"{of_value}-{name}")
            for of_value, value in values.items()
            for name in (names if of_value == first else OPERATIONS)
        ],
    )


# The arguments whose leading axis is the batch.
PER_IMAGE = {"image", "volume", "coords", "offsets", "mask", "values", "locations", "weights"}


def on_device(arguments: dict[str, np.ndarray], dtype=jnp.float64) -> dict[str, jax.Array]:
    return {name: jnp.asarray(array, dtype) for name, array in arguments.items()}


@partial(jax.jit, static_argnums=0)
def compute(function: Callable, arguments: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The output, and the gradients for a fixed random cotangent (`cotangent_of` gives it).

    Tests that share a function and shapes share the compiled program.
    """
    output, vjp = jax.vjp(lambda arguments: function(**arguments), arguments)
    return output, vjp(cotangent_of(output))[0]


def cotangent_of(output: jax.Array) -> jax.Array:
    return jnp.asarray(normal(9, *output.shape), output.dtype)


def loss_of(function):
    """A smooth scalar of the output, with second derivatives of its own."""
    return lambda arguments: jnp.sum(jnp.sin(function(**arguments)))


def assert_close(computed, expected, *, atol=1e-12, where=None):
    """Equal dictionaries of arrays; `where` names the entries to compare, per argument, all if missing."""
    assert computed.keys() == expected.keys()
    for name, array in expected.items():
        chosen = (where or {}).get(name, ...)
        np.testing.assert_allclose(
            np.asarray(computed[name])[chosen], np.asarray(array)[chosen], rtol=0, atol=atol, err_msg=name
        )
