"""Supervised spatial transformer networks (Liu, Wang, Kato 2019, section 3.2, Figure 4)."""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from geoattn_jax.layers import SpatialTransformer
from geoattn_jax.layers.spatial_transformer import ThetaMode
from geoattn_jax.ops.checks import check_choice, check_pair
from geoattn_jax.ops.crop import max_pool_crop, sample_crop
from geoattn_jax.ops.grid import affine_grid, axis_aligned_grid
from geoattn_jax.ops.placement import zeros
from geoattn_jax.ops.separable import separable_sample

ThetaStart = Literal["default", "small", "centred"]


class SSTN(nn.Module):
    """A localizer on the downscaled crop says where to look, a recognizer sees it at full resolution.

      theta = f_loc(I'_crop)        `localize`: the localization network, all that regressive guiding trains
      R_d = T(theta, I_crop)        `attend`: the sampler, which has no parameters
      class = f_rec(R_d)            `recognize`: the recognition network

    An STN is the same network; what makes it "supervised" is how it is trained: `localize` is first guided to
    the hard-coded region's theta_2, for which `attend(frames, top_left, theta_2)` is R_h.

    I_crop is a window of the frame I_rs that is never cut out: pooling and sampling read it where it lies.
    Outside of I_crop the sampler reads zeros. I'_crop is I_crop downscaled to the region's size as in
    Table 1: max-pooled if the factor is whole (4x at detail level, 2x at middle level), otherwise resized
    (general level).

    Its parameters are `localizer`, `transformer` (the layer that turns the localizer's features into theta)
    and `recognizer`.

    Convention: theta is that of `affine_grid` in the normalized coordinates of I_crop; top_left is (y, x) in
    pixels of the frame.

    Attributes:
      localizer: a module from images (b, rh, rw, c) to features (b, f), called with `train`. Dropout is its
        own matter, as it is the recognizer's (the paper's ratios: localizers 0.5, recognizers 0.85 for RGB
        frames and 0.5 for flow).
      recognizer: a module from images (b, rh, rw, c) to logits, called with `train`.
      crop_hw: height and width of I_crop, pixels.
      region_hw: height and width of I'_crop and of R_d, pixels; I_crop's shape, not larger.
      mode: which transformations theta can be, see `SpatialTransformer`.
      start: how the theta layer starts. "centred": a zero kernel, and a bias for the region of region_hw
        pixels in the middle of the crop; "default": as any other layer (the normal kernel of He
        et al. 2015, zero bias); "small": a tenth of that.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.small import SMALL
      >>> from geoattn_jax.models.sstn import SSTN
      >>> model = SSTN(SMALL(None), SMALL(14), crop_hw=(64, 64), region_hw=(32, 32))
      >>> frames, top_left = jax.numpy.ones((2, 64, 85, 3)), jax.numpy.array([[0, 3], [0, 20]])
      >>> key = jax.random.key(0)
      >>> variables = model.init(key, frames, top_left, train=False)
      >>> logits, theta = model.apply(variables, frames, top_left, train=True, rngs={"dropout": key})
      >>> logits.shape, model.apply({}, frames, top_left, theta, method="attend").shape
      ((2, 14), (2, 32, 32, 3))
    """

    localizer: nn.Module
    recognizer: nn.Module
    crop_hw: tuple[int, int]
    region_hw: tuple[int, int]
    mode: ThetaMode = "affine"
    start: ThetaStart = "centred"

    def setup(self) -> None:
        check_choice("SSTN", "start", self.start, get_args(ThetaStart))
        check_pair("SSTN", "crop_hw", self.crop_hw, minimum=1)
        check_pair("SSTN", "region_hw", self.region_hw, minimum=1)
        (height, width), (region_height, region_width) = self.crop_hw, self.region_hw
        if region_height > height or height * region_width != width * region_height:
            raise ValueError(
                f"SSTN: region_hw must have the shape of crop_hw={self.crop_hw} and not be larger, "
                f"got {self.region_hw}"
            )
        self.transformer = SpatialTransformer(
            self.localizer,
            mode=self.mode,
            start_scale=region_height / height,
            **_START[self.start],
        )

    def __call__(
        self, frames: Float[Array, "b h w c"], top_left: Int[Array, "b 2"], *, train: bool
    ) -> tuple[Float[Array, "b classes"], Float[Array, "b 2 3"]]:
        """The logits of each frame's class, and where they come from: theta."""
        theta = self.localize(frames, top_left, train=train)
        return self.recognize(self.attend(frames, top_left, theta), train=train), theta

    def localize(
        self, frames: Float[Array, "b h w c"], top_left: Int[Array, "b 2"], *, train: bool
    ) -> Float[Array, "b 2 3"]:
        """Where to look, from the downscaled crop."""
        return self.transformer.localize(self.downscale(frames, top_left), train=train)

    def downscale(
        self, frames: Float[Array, "b h w c"], top_left: Int[Array, "b 2"]
    ) -> Float[Array, "b rh rw c"]:
        """What the localizer sees, I'_crop."""
        factor, rest = divmod(self.crop_hw[0], self.region_hw[0])
        if rest == 0:
            return max_pool_crop(frames, top_left, crop_hw=self.crop_hw, window=factor)
        whole_crop = jnp.eye(2, 3, dtype=jnp.float32) + zeros(
            (frames.shape[0], 2, 3), jnp.float32, beside=frames
        )
        return self._attend_along_axes(frames, top_left, whole_crop)

    def attend(
        self, frames: Float[Array, "b h w c"], top_left: Int[Array, "b 2"], theta: Float[Array, "b 2 3"]
    ) -> Float[Array, "b rh rw c"]:
        """The region of the crop that a theta of this mode stands for; uses no parameters."""
        if self.mode != "affine":
            return self._attend_along_axes(frames, top_left, theta)
        coords = affine_grid(theta, input_hw=self.crop_hw, output_hw=self.region_hw)
        return sample_crop(frames, top_left, coords, crop_hw=self.crop_hw)

    def _attend_along_axes(
        self, frames: Float[Array, "b h w c"], top_left: Int[Array, "b 2"], theta: Float[Array, "b 2 3"]
    ) -> Float[Array, "b rh rw c"]:
        rows, columns = axis_aligned_grid(theta, input_hw=self.crop_hw, output_hw=self.region_hw)
        return separable_sample(frames, rows, columns, top_left=top_left, crop_hw=self.crop_hw)

    def recognize(self, regions: Float[Array, "b rh rw c"], *, train: bool) -> Float[Array, "b classes"]:
        """The logits of each region's class."""
        return self.recognizer(regions, train=train)

    def features(self, regions: Float[Array, "b rh rw c"]) -> Float[Array, "b f"]:
        """The recognizer's features of each region, from its method `features`."""
        return self.recognizer.features(regions)


def _he_normal(scale: float) -> nn.initializers.Initializer:
    return nn.initializers.variance_scaling(2 * scale**2, "fan_in", "truncated_normal")


_START: dict[str, dict[str, Any]] = {
    "default": {"kernel_init": _he_normal(1.0), "bias_init": nn.initializers.zeros},
    "small": {"kernel_init": _he_normal(0.1), "bias_init": nn.initializers.zeros},
    "centred": {},
}
