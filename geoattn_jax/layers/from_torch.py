"""Parameters of the layers from torch's state dicts: mappings from names to tensors, or to NumPy's arrays."""

import math
from collections.abc import Mapping, Set
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_array, check_shape

StateDict: TypeAlias = Mapping[str, Any]
Params: TypeAlias = dict[str, Any]


def deform_attention_params(
    state_dict: StateDict, *, num_heads: int, num_levels: int, num_points: int
) -> Params:
    """Turns the state dict of Deformable DETR's attention module into `DeformAttention`'s parameters.

    Convention: torch's linear layers hold (outputs, inputs), flax's (inputs, outputs); that module's offsets
    are (dx, dy), `DeformAttention`'s (dy, dx).

    Args:
      state_dict: weight and bias of `sampling_offsets`, `attention_weights`, `value_proj`, `output_proj`.
      num_heads, num_levels, num_points: as of the module; the sizes of the tensors tell their product only.

    Returns: the parameters.
    Raises: ValueError naming an entry that is missing, unknown or of another shape.

    Example:
      >>> import numpy as np
      >>> from geoattn_jax.layers import deform_attention_params
      >>> sizes = {"sampling_offsets": 16, "attention_weights": 8, "value_proj": 6, "output_proj": 6}
      >>> state_dict = {f"{name}.weight": np.ones((size, 6)) for name, size in sizes.items()}
      >>> state_dict |= {f"{name}.bias": np.ones(size) for name, size in sizes.items()}
      >>> params = deform_attention_params(state_dict, num_heads=2, num_levels=2, num_points=2)
      >>> params["sampling_offsets"]["kernel"].shape
      (6, 16)
    """
    function = "deform_attention_params"
    names = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
    arrays = _arrays(
        function,
        "state_dict",
        state_dict,
        {f"{name}.{part}" for name in names for part in ("weight", "bias")},
    )
    features = _rank_checked(function, "value_proj.weight", arrays["value_proj.weight"], "out in").shape[0]
    width = _rank_checked(
        function, "sampling_offsets.weight", arrays["sampling_offsets.weight"], "out in"
    ).shape[1]
    points = num_heads * num_levels * num_points
    counts = f"(num_heads {num_heads}, num_levels {num_levels}, num_points {num_points})"
    expected = {
        "sampling_offsets": (2 * points, width, counts),
        "attention_weights": (points, width, counts),
        "value_proj": (features, arrays["value_proj.weight"].shape[1], "(value_proj)"),
        "output_proj": (features, features, "(as wide as value_proj)"),
    }
    params = {}
    for name, (outputs, inputs, because) in expected.items():
        weight, bias = arrays[f"{name}.weight"], arrays[f"{name}.bias"]
        _shape_checked(function, f"{name}.weight", weight, (outputs, inputs), because)
        _shape_checked(function, f"{name}.bias", bias, (outputs,), because)
        if name == "sampling_offsets":
            weight, bias = (
                array.reshape(points, 2, *array.shape[1:])[:, ::-1].reshape(array.shape)
                for array in (weight, bias)
            )
        params[name] = {"kernel": jnp.asarray(weight.T), "bias": jnp.asarray(bias)}
    return params


def deform_conv_params(
    state_dict: StateDict,
    *,
    offset: StateDict | None = None,
    mask: StateDict | None = None,
    branch: StateDict | None = None,
    offset_groups: int = 1,
    feature_group_count: int = 1,
) -> Params:
    """Turns torchvision's `DeformConv2d`, and what computes its offsets, into `DeformConv`'s parameters.

    Convention: torch's kernels are OIHW, flax's HWIO. In torch the outputs of `offset` are (group, tap,
    (dy, dx)) and those of `mask` (group, tap), in row-major order. Those of `branch`, DCNv2's one convolution
    for both, are three equal shares: the first two, one after the other, are as those of `offset`, the third
    as those of `mask`. `DeformConv` takes the sigmoid of the mask, as DCNv2 does.

    Args:
      state_dict: `weight` and, for a layer with bias, `bias` of the deformable convolution.
      offset: `weight` and, if any, `bias` of the convolution that computes the offsets.
      mask: likewise of the one that computes the mask; None for a layer that is not modulated.
      branch: likewise of the one that computes both, in place of `offset` and `mask`.
      offset_groups: number of offset groups.
      feature_group_count: number of groups of the deformable convolution (torch's `groups`).

    Returns: the parameters.
    Raises: ValueError naming an entry that is missing, unknown or of another shape.

    Example:
      >>> import numpy as np
      >>> from geoattn_jax.layers import deform_conv_params
      >>> conv = {"weight": np.ones((8, 4, 3, 3)), "bias": np.ones(8)}
      >>> offset = {"weight": np.ones((18, 4, 3, 3)), "bias": np.ones(18)}
      >>> params = deform_conv_params(conv, offset=offset)
      >>> params["kernel"].shape, params["offset"]["kernel"].shape
      ((3, 3, 4, 8), (3, 3, 4, 18))
    """
    function = "deform_conv_params"
    if (offset is None) == (branch is None) or (branch is not None and mask is not None):
        given = [name for name, one in {"offset": offset, "mask": mask, "branch": branch}.items() if one]
        raise ValueError(
            f"{function}: offset (and mask, if the layer is modulated) must be given, or branch alone, "
            f"got {' and '.join(given) or 'none of them'}; each is the state dict of the convolution that "
            f"computes it, such as conv_offset's in a DCNv2 layer for branch"
        )
    arrays = _arrays(function, "state_dict", state_dict, {"weight"}, may={"bias"})
    weight = _rank_checked(function, "weight", arrays["weight"], "out in kh kw")
    taps = offset_groups * math.prod(weight.shape[2:])
    inputs = (weight.shape[1] * feature_group_count, *weight.shape[2:])
    because = (
        f"(weight {weight.shape}, offset_groups {offset_groups}, feature_group_count {feature_group_count})"
    )

    def conv(name: str, given: StateDict, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        found = _arrays(function, name, given, {"weight"}, may={"bias"})
        bias = found.get("bias", np.zeros(outputs, found["weight"].dtype))
        _shape_checked(function, f"{name}.weight", found["weight"], (outputs, *inputs), because)
        _shape_checked(function, f"{name}.bias", bias, (outputs,), because)
        return found["weight"], bias

    if branch is not None:
        both = conv("branch", branch, 3 * taps)
        parts = [_with_mask(array[: 2 * taps], array[2 * taps :]) for array in both]
    elif offset is not None and mask is not None:
        pairs = zip(conv("offset", offset, 2 * taps), conv("mask", mask, taps), strict=True)
        parts = [_with_mask(*pair) for pair in pairs]
    elif offset is not None:
        parts = list(conv("offset", offset, 2 * taps))
    params: Params = {
        "kernel": _hwio(weight),
        "offset": {"kernel": _hwio(parts[0]), "bias": jnp.asarray(parts[1])},
    }
    if "bias" in arrays:
        _shape_checked(function, "bias", arrays["bias"], weight.shape[:1], f"(weight {weight.shape})")
        params["bias"] = jnp.asarray(arrays["bias"])
    return params


def _with_mask(offsets: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Puts each tap's mask behind its (dy, dx); taps are on the first axis."""
    taps, *rest = mask.shape
    both = np.concatenate([offsets.reshape(taps, 2, *rest), mask[:, None]], axis=1)
    return both.reshape(3 * taps, *rest)


def _hwio(oihw: Float[np.ndarray, "o i h w"]) -> Float[Array, "h w i o"]:
    return jnp.asarray(oihw.transpose(2, 3, 1, 0))


def _arrays(
    function: str, argument: str, state_dict: StateDict, must: Set[str], may: Set[str] = frozenset()
) -> dict[str, np.ndarray]:
    """The entries as arrays.

    Raises: ValueError if one is missing, unknown or no array.
    """
    if not isinstance(state_dict, Mapping):
        raise ValueError(
            f"{function}: {argument} must be a mapping from names to tensors, "
            f"got a {type(state_dict).__name__}; give what a module's state_dict() returns"
        )
    for kind, keys in (("missing", must - state_dict.keys()), ("unknown", state_dict.keys() - must - may)):
        if keys:
            raise ValueError(
                f"{function}: {argument} must have entries {sorted(must)}"
                + (f" and may have {sorted(may)}" if may else "")
                + f", got {sorted(state_dict)}, where {sorted(keys)} are {kind}; "
                f"take the prefix of the layer off the names"
            )
    return {name: _as_numpy(array) for name, array in state_dict.items()}


def _as_numpy(array: Any) -> np.ndarray:
    """Of a tensor of torch, too, which may be a parameter, or of bfloat16, which NumPy lacks."""
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        array = array.float() if array.element_size() < 4 else array
    return np.asarray(array)


def _rank_checked(function: str, name: str, array: np.ndarray, axes: str) -> np.ndarray:
    check_array(function, name, array, axes, "give the tensor as torch's layer holds it")
    return array


def _shape_checked(
    function: str, name: str, array: np.ndarray, expected: tuple[int, ...], because: str
) -> None:
    remedy = "give the tensor as torch's layer holds it, and check the numbers that its size follows from"
    check_shape(function, name, array, expected, because, remedy)
    check_array(function, name, array, " ".join(["n"] * array.ndim), remedy)
