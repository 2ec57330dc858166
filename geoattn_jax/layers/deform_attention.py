"""Attention that learns where to look: each query reads a few points of a feature pyramid."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from geoattn_jax.ops.checks import check_array, check_shape
from geoattn_jax.ops.deform_attention import (
    GivenLevelShapes,
    LevelShapes,
    check_level_shapes,
    deform_attention,
)
from geoattn_jax.ops.precision import wide_dtype


class DeformAttention(nn.Module):
    """Multi-scale deformable attention of Zhu et al. 2021 (Deformable DETR), Eq. 3, with its projections.

    Each query is projected to offsets from its reference point and to weights, for every head, level and
    point; the weights are a softmax over a head's levels and points together. At the start the weights are
    equal, whatever the query, and each head looks in a direction of its own, its points one step further away
    each (Zhu et al. 2021, section 4.1 and appendix A.4).

    Convention: the outputs of `sampling_offsets` are (head, level, point, (dy, dx)) in row-major order, those
    of `attention_weights` (head, level, point). Offsets from a reference point are in pixels of each level;
    those from a reference box are in halves of its height and width, divided by the number of points. They
    and the weights are computed in float32 at least, whatever the dtype of the activations.

    Its parameters are those of `nn.Dense` layers, under the names that the authors' program gives them:
    `sampling_offsets`, `attention_weights`, `value_proj` and `output_proj`;
    `geoattn_jax.layers.deform_attention_params` takes them over from torch. Locations and weights are sown as
    `locations` and `weights` into the collection "intermediates".

    Attributes:
      features: width of the values and of the output.
      num_heads: heads, among which the values' channels are divided in order.
      num_levels: levels of the feature pyramid.
      num_points: points that each head reads in each level.
      dtype: of the computation; None to infer it from the arguments and parameters.
      param_dtype: of the parameters.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> from geoattn_jax import DeformAttention
      >>> layer = DeformAttention(features=16, num_heads=2, num_levels=2)
      >>> level_shapes = ((4, 6), (2, 3))
      >>> features = jax.random.normal(jax.random.key(0), (1, 4 * 6 + 2 * 3, 16))
      >>> queries, points = jnp.zeros((1, 5, 16)), jnp.full((1, 5, 2, 2), 0.5)
      >>> output, variables = layer.init_with_output(
      ...     jax.random.key(1), queries, points, features, level_shapes=level_shapes
      ... )
      >>> output.shape
      (1, 5, 16)
    """

    features: int
    num_heads: int = 8
    num_levels: int = 4
    num_points: int = 4
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "b queries f"],
        reference_points: Float[Array, "b queries levels yx_or_yxhw"],
        features: Float[Array, "b pixels f_in"],
        *,
        level_shapes: GivenLevelShapes,
        padding_mask: Bool[Array, "b pixels"] | None = None,
    ) -> Float[Array, "b queries features"]:
        """Reads `features` around the reference points.

        Args:
          queries: what is asked for, with any encoding of its place added.
          reference_points: for each query and level a point (y, x), or a box (y, x, height, width) around
            it, as fractions of the level's height and width.
          features: the levels' pixels, one level after the other, each in row-major order.
          level_shapes: height and width of each level, pixels.
          padding_mask: True for pixels of padding, whose values become zeros.

        Returns: the output for each query, in `dtype`.
        Raises: ValueError if an attribute, a rank, a dtype or a size does not fit the others.
        """
        queries, reference_points, features = map(jnp.asarray, (queries, reference_points, features))
        levels = self._check(queries, reference_points, features, level_shapes, padding_mask)
        b, num_queries = queries.shape[:2]
        points = (self.num_heads, self.num_levels, self.num_points)
        wide = wide_dtype(queries, reference_points)

        values = self._dense("value_proj", nn.initializers.xavier_uniform())(features)
        if padding_mask is not None:
            values = jnp.where(padding_mask[..., None], 0, values)
        values = values.reshape(b, -1, self.num_heads, self.features // self.num_heads)

        offsets = nn.Dense(
            math.prod(points) * 2,
            kernel_init=nn.initializers.zeros,
            bias_init=self._directions,
            dtype=wide,
            precision=lax.Precision.HIGHEST,
            param_dtype=self.param_dtype,
            name="sampling_offsets",
        )(queries).reshape(b, num_queries, *points, 2)
        weights = nn.Dense(
            math.prod(points),
            kernel_init=nn.initializers.zeros,
            dtype=wide,
            precision=lax.Precision.HIGHEST,
            param_dtype=self.param_dtype,
            name="attention_weights",
        )(queries).reshape(b, num_queries, self.num_heads, self.num_levels * self.num_points)
        weights = nn.softmax(weights).reshape(b, num_queries, *points)
        locations = self._locations(reference_points.astype(wide), offsets, levels)
        self.sow("intermediates", "locations", locations)
        self.sow("intermediates", "weights", weights)
        output = deform_attention(values, locations, weights, level_shapes=levels)
        return self._dense("output_proj", nn.initializers.xavier_uniform())(output)

    def _dense(self, name: str, kernel_init: nn.initializers.Initializer) -> nn.Dense:
        return nn.Dense(
            self.features, kernel_init=kernel_init, dtype=self.dtype, param_dtype=self.param_dtype, name=name
        )

    def _locations(
        self,
        reference: Float[Array, "b queries levels k"],
        offsets: Float[Array, "b queries heads levels points 2"],
        levels: LevelShapes,
    ) -> Float[Array, "b queries heads levels points 2"]:
        reference = reference[:, :, None, :, None]
        if reference.shape[-1] == 2:
            sizes = [jnp.stack([jnp.asarray(side, offsets.dtype) for side in pair]) for pair in levels]
            return reference + offsets / jnp.stack(sizes)[:, None]
        return reference[..., :2] + offsets / self.num_points * (reference[..., 2:] / 2)

    def _directions(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> Float[Array, " n"]:
        """The bias of the offsets: heads look to points on a square around the reference point."""
        angles = np.arange(self.num_heads) * (2 * np.pi / self.num_heads)
        directions = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        directions /= np.abs(directions).max(axis=-1, keepdims=True)
        steps = directions[:, None, None] * np.arange(1, self.num_points + 1)[:, None]
        every_level = np.broadcast_to(steps, (self.num_heads, self.num_levels, self.num_points, 2))
        return jnp.asarray(every_level.reshape(shape), dtype)

    def _check(self, queries, reference_points, features, level_shapes, padding_mask) -> LevelShapes:
        for name in ("features", "num_heads", "num_levels", "num_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"DeformAttention: {name} must be at least 1, got {getattr(self, name)}")
        if self.features % self.num_heads:
            raise ValueError(
                f"DeformAttention: num_heads must divide the {self.features} features, got {self.num_heads}"
            )
        check_array("DeformAttention", "queries", queries, "b queries f")
        check_array("DeformAttention", "features", features, "b pixels f_in")
        check_array("DeformAttention", "reference_points", reference_points, "b queries levels 2|4")
        levels = check_level_shapes("DeformAttention", level_shapes, "features", features.shape[1])
        if len(levels) != self.num_levels:
            raise ValueError(
                f"DeformAttention: level_shapes must have num_levels={self.num_levels} pairs, "
                f"got {level_shapes}"
            )
        last = 4 if reference_points.shape[-1] == 4 else 2
        check_shape(
            "DeformAttention", "reference_points", reference_points,
            (*queries.shape[:2], self.num_levels, last),
            because=f"(queries {queries.shape}, num_levels {self.num_levels})",
            remedy="give each query a (y, x), or a (y, x, height, width), in every level",
        )  # fmt: skip
        check_shape(
            "DeformAttention", "features", features, (queries.shape[0], *features.shape[1:]),
            because=f"(queries {queries.shape})", remedy="give both the same batch",
        )  # fmt: skip
        if padding_mask is not None and (
            padding_mask.shape != features.shape[:2] or padding_mask.dtype != jnp.bool_
        ):
            raise ValueError(
                f"DeformAttention: padding_mask must be bool of shape {features.shape[:2]}, one for "
                f"each pixel of features, got {padding_mask.dtype} of shape {padding_mask.shape}; "
                f"give True for pixels of padding"
            )
        return levels
