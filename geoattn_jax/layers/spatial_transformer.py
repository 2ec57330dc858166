"""The spatial transformer: a localizer says where to look, the sampler reads the image there."""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_choice, check_pair
from geoattn_jax.ops.grid import affine_grid, axis_aligned_grid
from geoattn_jax.ops.padding import PaddingMode
from geoattn_jax.ops.precision import wide_dtype
from geoattn_jax.ops.sample import check_image, sample
from geoattn_jax.ops.separable import separable_sample

ThetaMode = Literal["affine", "attention", "translation"]


class SpatialTransformer(nn.Module):
    """Reads the region of an image that a localizer chooses (Jaderberg et al. 2015, section 3).

    A last layer turns the localizer's features into theta. By default its kernel is zero, so that training
    starts from the same centred region for every image: the image itself, or its middle at `start_scale`.
    Only its bias is then non-zero; its kernel gets a gradient from the first step on, the localizer from the
    second.

    Convention: theta maps normalized target (x, y, 1) to normalized source (x, y), both in [-1, 1], as in
    `affine_grid`. The theta layer's outputs are, by mode,
      "affine": the six numbers of theta row by row, (xx, xy, tx, yx, yy, ty);
      "attention": (scale, tx, ty), theta = [[scale, 0, tx], [0, scale, ty]];
      "translation": (tx, ty), with the scale fixed at `start_scale`.
    Theta is computed in float32 at least, whatever the dtype of the activations: rounded to bfloat16 it would
    miss by pixels in a large image.

    Attributes:
      localizer: a module from its input to features (b, f); the theta layer comes on top of it.
      output_hw: height and width of the region, pixels; None for the image's own.
      mode: which transformations theta can be, see above.
      start_scale: the side of the region at the start, as a fraction of the image's.
      align_corners: what -1 and 1 stand for, see `affine_grid`.
      padding_mode: what lies outside the image, "zeros", "border" or "reflection" (at what -1 and 1 stand
        for).
      kernel_init: initializer of the theta layer's kernel.
      bias_init: initializer of its bias; None for the centred region.

    Example:
      >>> import flax.linen as nn
      >>> import jax
      >>> from geoattn_jax import SpatialTransformer
      >>> localizer = nn.Sequential([nn.Conv(4, (5, 5), strides=4), nn.relu, lambda x: x.mean((1, 2))])
      >>> model = SpatialTransformer(localizer, output_hw=(5, 6), mode="attention", start_scale=0.5)
      >>> images = jax.random.normal(jax.random.key(0), (2, 20, 24, 3))
      >>> variables = model.init(jax.random.key(1), images)
      >>> regions, theta = model.apply(variables, images)
      >>> regions.shape, theta[0].tolist()
      ((2, 5, 6, 3), [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    """

    localizer: nn.Module
    output_hw: tuple[int, int] | None = None
    mode: ThetaMode = "affine"
    start_scale: float = 1.0
    align_corners: bool = False
    padding_mode: PaddingMode = "zeros"
    kernel_init: nn.initializers.Initializer = nn.initializers.zeros
    bias_init: nn.initializers.Initializer | None = None

    def setup(self) -> None:
        check_choice("SpatialTransformer", "mode", self.mode, get_args(ThetaMode))
        check_choice("SpatialTransformer", "padding_mode", self.padding_mode, get_args(PaddingMode))
        if self.output_hw is not None:
            check_pair("SpatialTransformer", "output_hw", self.output_hw, minimum=1)
        if not self.start_scale > 0:
            raise ValueError(
                f"SpatialTransformer: start_scale must be positive, got {self.start_scale!r}; "
                f"1.0 starts from the whole image, 0.5 from the middle half of each side"
            )

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        localizer_input: Float[Array, " b *s"] | None = None,
        **localizer_options: Any,
    ) -> tuple[Float[Array, "b ho wo c"], Float[Array, "b 2 3"]]:
        """Localizes, then samples.

        Args:
          image: what is sampled.
          localizer_input: what the localizer sees, for example a downscaled image; None for the image.
          **localizer_options: passed on to the localizer, for example `train=True`.

        Returns: the regions, in image's dtype, and theta.
        Raises: ValueError if an attribute is unknown or out of range, image is not a floating-point
          (b, h, w, c), or the localizer's features are not (b, f).
        """
        check_image("SpatialTransformer", image)
        theta = self.localize(image if localizer_input is None else localizer_input, **localizer_options)
        return self.sample(image, theta), theta

    @nn.compact
    def localize(
        self, localizer_input: Float[Array, " b *s"], **localizer_options: Any
    ) -> Float[Array, "b 2 3"]:
        """Where to look: theta, all that the regressive guiding of Liu et al. 2019 needs."""
        features = self.localizer(localizer_input, **localizer_options)
        batch = localizer_input.shape[0]
        if features.ndim != 2 or features.shape[0] != batch:
            raise ValueError(
                f"SpatialTransformer: localizer must return features (b, f) = ({batch}, f), "
                f"got shape {features.shape}; flatten or pool its last feature map"
            )
        scale = self.start_scale
        start = {
            "affine": (scale, 0.0, 0.0, 0.0, scale, 0.0),
            "attention": (scale, 0.0, 0.0),
            "translation": (0.0, 0.0),
        }[self.mode]
        outputs = nn.Dense(
            len(start),
            dtype=wide_dtype(features),
            precision=lax.Precision.HIGHEST,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init or (lambda key, shape, dtype: jnp.array(start, dtype)),
            name="theta",
        )(features)
        return self._matrix(outputs)

    def sample(
        self, image: Float[Array, "b h w c"], theta: Float[Array, "b 2 3"]
    ) -> Float[Array, "b ho wo c"]:
        """The region that a theta of this mode stands for, in image's dtype; uses no parameters."""
        _, height, width, _ = image.shape
        sizes = {"input_hw": (height, width), "output_hw": self.output_hw or (height, width)}
        outside: Any = {
            "padding_mode": self.padding_mode,
            "reflect_at": "centre" if self.align_corners else "edge",
        }
        if self.mode == "affine":
            coords = affine_grid(theta, **sizes, align_corners=self.align_corners)
            return sample(image, coords, **outside)
        rows, columns = axis_aligned_grid(theta, **sizes, align_corners=self.align_corners)
        return separable_sample(image, rows, columns, **outside)

    def _matrix(self, outputs: Float[Array, "b k"]) -> Float[Array, "b 2 3"]:
        if self.mode == "affine":
            return outputs.reshape(-1, 2, 3)
        shift = outputs[:, -2:, None]
        scale = outputs[:, 0] if self.mode == "attention" else jnp.full_like(outputs[:, 0], self.start_scale)
        linear = scale[:, None, None] * jnp.eye(2, dtype=outputs.dtype)
        return jnp.concatenate([linear, shift], axis=-1)
