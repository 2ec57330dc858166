"""Parameters from torch's state dicts: what they compute, and what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geoattn_jax import DeformConv, deform_conv2d, offsets_and_mask_from_dcnv2
from geoattn_jax.layers import deform_attention_params, deform_conv_params

pytestmark = pytest.mark.usefixtures("compiled_quickly")
GROUPS, KERNEL = 2, (3, 2)
TAPS = KERNEL[0] * KERNEL[1]
PADDING = ((1, 1), (1, 0))


def entries(seed: int, outputs: int, inputs: int = 4) -> dict[str, np.ndarray]:
    """Of a convolution in torch."""
    random = np.random.default_rng(seed)
    return {
        "weight": 0.3 * random.normal(size=(outputs, inputs, *KERNEL)),
        "bias": random.normal(size=outputs),
    }


CONV = {
    "weight": np.random.default_rng(0).normal(size=(6, 2, *KERNEL)),  # in two groups of channels
    "bias": np.arange(6.0),
}
OFFSET, MASK = entries(1, 2 * GROUPS * TAPS), entries(2, GROUPS * TAPS)
BRANCH = {name: np.concatenate([OFFSET[name], MASK[name]]) for name in OFFSET}
WAYS = {
    "offset": {"offset": OFFSET},
    "offset and mask": {"offset": OFFSET, "mask": MASK},
    "branch": {"branch": BRANCH},
}
IMAGE = np.random.default_rng(3).normal(size=(2, 5, 4, 4))


def in_torch(torch, image, conv, offset, mask):
    """Zhu et al. 2018, Eq. 1, tap by tap: grid_sample of each offset group, then the tap's matrix."""
    conv, offset, mask = (
        {name: torch.tensor(array) for name, array in one.items()} for one in (conv, offset, mask)
    )
    image = torch.tensor(image).permute(0, 3, 1, 2)
    (b, channels, h, w), per_group = image.shape, conv["weight"].shape[1]
    padded = torch.nn.functional.pad(image, (*PADDING[1], *PADDING[0]))
    offsets = torch.nn.functional.conv2d(padded, offset["weight"], offset["bias"])
    weights = torch.ones(b, GROUPS * TAPS, *offsets.shape[2:], dtype=image.dtype)
    if mask:
        weights = torch.sigmoid(torch.nn.functional.conv2d(padded, mask["weight"], mask["bias"]))
    rows, columns = torch.meshgrid(*map(torch.arange, offsets.shape[2:]), indexing="ij")
    total = conv["bias"][:, None, None]
    for tap, (i, j) in enumerate(np.ndindex(KERNEL)):
        groups = []
        for group, part in enumerate(image.chunk(GROUPS, dim=1)):
            place = group * TAPS + tap
            y = rows + i - PADDING[0][0] + offsets[:, 2 * place]
            x = columns + j - PADDING[1][0] + offsets[:, 2 * place + 1]
            grid = torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], dim=-1)
            sampled = torch.nn.functional.grid_sample(part, grid, align_corners=False)
            groups.append(sampled * weights[:, place, None])
        matrix = conv["weight"][:, :, i, j, None, None]
        samples = torch.cat(groups, dim=1)
        total = total + torch.nn.functional.conv2d(samples, matrix, groups=channels // per_group)
    return total.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("way", WAYS)
def test_deform_conv_as_in_torch(x64, way):
    torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
    params = deform_conv_params(CONV, **WAYS[way], offset_groups=GROUPS, feature_group_count=2)
    modulated = way != "offset"
    layer = DeformConv(
        6, KERNEL, padding=PADDING, offset_groups=GROUPS, feature_group_count=2, modulated=modulated
    )
    output = jax.jit(layer.apply)({"params": params}, IMAGE)
    expected = in_torch(torch, IMAGE, CONV, OFFSET, MASK if modulated else {})
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-9)


def test_torchs_tensors_and_layers_without_bias():
    torch = pytest.importorskip("torch", reason="needs torch: pip install geoattn-jax[parity]")
    conv, offset = torch.nn.Conv2d(4, 6, KERNEL, bias=False), torch.nn.Conv2d(4, 2 * TAPS, KERNEL, bias=False)
    # One as parameters, which have a gradient, one in a dtype that NumPy lacks.
    of_offset = offset.to(torch.bfloat16).state_dict()
    params = deform_conv_params(dict(conv.named_parameters()), offset=of_offset)
    shapes = jax.eval_shape(
        DeformConv(6, KERNEL, use_bias=False).init, jax.random.key(0), jnp.zeros((1, 5, 4, 4))
    )
    assert jax.tree.map(jnp.shape, {"params": params}) == jax.tree.map(jnp.shape, shapes)
    np.testing.assert_array_equal(params["offset"]["bias"], 0)
    np.testing.assert_array_equal(
        params["offset"]["kernel"].transpose(3, 2, 0, 1), of_offset["weight"].float().numpy()
    )
    assert params["kernel"].dtype == np.float32


def test_dcnv2s_branch_is_what_the_layer_makes_of_it(x64):
    """The output of the branch in torch's layout, converted, against the layer with its weights converted."""
    params = deform_conv_params(CONV, branch=BRANCH, offset_groups=GROUPS, feature_group_count=2)
    options = {"padding": PADDING, "feature_group_count": 2}
    layer = DeformConv(6, KERNEL, offset_groups=GROUPS, modulated=True, **options)
    raw = jax.lax.conv_general_dilated(
        jnp.asarray(IMAGE), jnp.asarray(BRANCH["weight"]), (1, 1), PADDING,
        dimension_numbers=("NHWC", "OIHW", "NCHW"),
    ) + BRANCH["bias"][:, None, None]  # fmt: skip
    offsets, mask = offsets_and_mask_from_dcnv2(raw, kernel_size=KERNEL, offset_groups=GROUPS)
    output = deform_conv2d(
        jnp.asarray(IMAGE), offsets, params["kernel"], params["bias"], mask=mask, **options
    )
    np.testing.assert_allclose(
        output, layer.apply({"params": params}, jnp.asarray(IMAGE)), rtol=0, atol=1e-12
    )


COUNTS = {"num_heads": 3, "num_levels": 2, "num_points": 2}
ATTENTION = {
    f"{name}.{part}": np.ones((outputs, inputs) if part == "weight" else outputs)
    for name, (outputs, inputs) in {
        "sampling_offsets": (24, 7), "attention_weights": (12, 7), "value_proj": (6, 8),
        "output_proj": (6, 6),
    }.items()
    for part in ("weight", "bias")
}  # fmt: skip


def without(entries: dict, name: str) -> dict:
    return {key: array for key, array in entries.items() if key != name}


def attention(**replaced):
    return lambda: deform_attention_params({**ATTENTION, **replaced}, **COUNTS)


def conv(state_dict=CONV, groups=2, **branches):
    options = {"offset_groups": GROUPS, "feature_group_count": groups}
    return lambda: deform_conv_params(state_dict, **(branches or {"offset": OFFSET}), **options)


@pytest.mark.parametrize(
    ("convert", "parts"),
    [
        (lambda: deform_attention_params(without(ATTENTION, "value_proj.bias"), **COUNTS),
         ["value_proj.bias", "missing"]),
        (attention(**{"norm.weight": np.ones(3)}), ["norm.weight", "unknown"]),
        (attention(**{"sampling_offsets.weight": np.ones((16, 7))}),
         ["sampling_offsets.weight", "(24, 7)", "(16, 7)", "num_heads 3"]),
        (attention(**{"attention_weights.bias": np.ones(24)}), ["attention_weights.bias", "(12,)", "(24,)"]),
        (attention(**{"value_proj.weight": np.ones(6)}), ["value_proj.weight", "(6,)", "out, in"]),
        (attention(**{"output_proj.weight": np.ones((6, 6), int)}), ["output_proj.weight", "int64"]),
        (conv(without(CONV, "weight")), ["state_dict", "weight", "missing"]),
        (conv({**CONV, "gain": np.ones(6)}), ["state_dict", "gain", "unknown"]),
        (conv({**CONV, "weight": np.ones((6, 2))}), ["weight", "(6, 2)", "out, in, kh, kw"]),
        (conv({**CONV, "bias": np.ones(5)}), ["bias", "(6,)", "(5,)"]),
        (conv(groups=1), ["offset.weight", "(24, 2, 3, 2)", "(24, 4, 3, 2)", "feature_group_count 1"]),
        (conv(offset=MASK), ["offset.weight", "(24, 4, 3, 2)", "(12, 4, 3, 2)", "offset_groups 2"]),
        (conv(offset=OFFSET, mask={**MASK, "bias": np.ones(3)}), ["mask.bias", "(12,)", "(3,)"]),
        (conv(branch=OFFSET), ["branch.weight", "(36, 4, 3, 2)", "(24, 4, 3, 2)"]),
        (conv(branch=BRANCH, mask=MASK), ["branch alone", "mask and branch"]),
        (conv(mask=MASK), ["offset", "got mask", "conv_offset"]),
        (conv([CONV]), ["state_dict must be a mapping", "got a list", "state_dict()"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(unchecked, convert, parts):
    with pytest.raises(ValueError, match=r"deform_(conv|attention)_params: ") as caught:
        convert()
    for part in parts:
        assert part in str(caught.value)
