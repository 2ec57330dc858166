"""The law of the public interface, enforced on every name in `geoattn_jax.__all__`."""

import inspect
import re
import typing

import jaxtyping
import pytest

import geoattn_jax

FUNCTIONS = {
    name: getattr(geoattn_jax, name)
    for name in geoattn_jax.__all__
    if inspect.isfunction(getattr(geoattn_jax, name))
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)

# The contract: other people's programs call these, in these ways.
SIGNATURES = {
    "affine_grid": "(theta, *, input_hw, output_hw, align_corners=False)",
    "crop_theta": "(top_left, size, *, input_hw, align_corners=False)",
    "bilinear_sample": "(image, coords, *, padding_mode='zeros')",
    "deform_conv2d": (
        "(image, offsets, kernel, bias=None, *, mask=None, strides=(1, 1), padding='SAME', "
        "kernel_dilation=(1, 1), feature_group_count=1)"
    ),
    "deform_attention": "(values, locations, weights, *, level_shapes)",
    "offset_resample": "(image, offsets)",
    "offsets_from_torchvision": "(offset_nchw, *, kernel_size, offset_groups)",
    "offsets_and_mask_from_dcnv2": "(branch_nchw, *, kernel_size, offset_groups)",
    "mask_from_torchvision": "(mask_nchw, *, kernel_size, offset_groups)",
}


def is_array(annotation) -> bool:
    """Whether an annotation is a jaxtyping array, or one or None."""
    return any(
        inspect.isclass(part) and issubclass(part, jaxtyping.AbstractArray)
        for part in (annotation, *typing.get_args(annotation))
    )


def sections(docstring: str) -> dict[str, str]:
    """The docstring's sections by title: "Args", "Returns", ..."""
    pieces = re.split(
        r"^(Convention|Args|Returns|Raises|Example):", inspect.cleandoc(docstring), flags=re.MULTILINE
    )
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_names_are_sorted_and_exist():
    assert sorted(geoattn_jax.__all__) == geoattn_jax.__all__
    assert all(hasattr(geoattn_jax, name) for name in geoattn_jax.__all__)
    assert set(SIGNATURES) <= set(FUNCTIONS)


@pytest.mark.parametrize("name", geoattn_jax.__all__)
def test_everything_is_documented(name):
    assert inspect.getdoc(getattr(geoattn_jax, name)), f"{name} has no docstring"


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    signature = inspect.signature(FUNCTIONS[name])
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()
    ]
    shown = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(shown) == SIGNATURES[name]


@every_function
def test_docstring_sections(name):
    found = sections(FUNCTIONS[name].__doc__)
    assert list(found) == ["Convention", "Args", "Returns", "Raises", "Example"]
    assert "ValueError" in found["Raises"]
    documented = re.findall(r"^  (\w+):", found["Args"], flags=re.MULTILINE)
    assert documented == list(inspect.signature(FUNCTIONS[name]).parameters)


@every_function
def test_options_are_keyword_only(name):
    """Whatever has a default; a bias, the last of the first, is the exception."""
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.default is not inspect.Parameter.empty and parameter.name != "bias":
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter.name


@every_function
def test_annotations(name):
    signature = inspect.signature(FUNCTIONS[name])
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name
    first = next(iter(signature.parameters.values()))
    assert is_array(first.annotation), f"{first.name} is the first operand: annotate its axes"
    result = signature.return_annotation
    results = typing.get_args(result) if typing.get_origin(result) is tuple else [result]
    assert all(is_array(one) for one in results), "annotate the result's axes"


@every_function
def test_align_corners_is_off_by_default(name):
    parameter = inspect.signature(FUNCTIONS[name]).parameters.get("align_corners")
    assert parameter is None or parameter.default is False
