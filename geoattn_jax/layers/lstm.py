"""The recurrent layer over a video's frames."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.ops.checks import check_array
from geoattn_jax.ops.placement import zeros


class VideoLSTM(nn.Module):
    """A long short-term memory over time (Shan & Atanasov 2017, Eq. 2) that returns every hidden state.

      f_t = sigmoid(W_f [h_{t-1}, x_t] + b_f)      c_t = f_t c_{t-1} + i_t g_t
      i_t = sigmoid(W_i [h_{t-1}, x_t] + b_i)      h_t = o_t tanh(c_t)
      g_t = tanh(W_g [h_{t-1}, x_t] + b_g)         c_0 = h_0 = 0
      o_t = sigmoid(W_o [h_{t-1}, x_t] + b_o)

    W x_t does not depend on the state: it is computed for all frames at once, before the scan over time, as
    the one large matrix product. Under `jax.vmap` over parameters (many small LSTMs at a time) that is what
    makes it fast.

    Convention: parameters are `input/kernel` (f, 4u), `input/bias` (4u) and `recurrent/kernel` (u, 4u), the
    gates in the order i, f, g, o, as in Keras and torch. They start as in Keras: glorot-uniform, orthogonal,
    and zero with a forget-gate bias of 1.

    Attributes:
      units: size u of the hidden state.
      dtype: of the computation; None to infer it from inputs and parameters.
      param_dtype: of the parameters.

    Example:
      >>> import jax
      >>> from geoattn_jax import VideoLSTM
      >>> features = jax.random.normal(jax.random.key(0), (2, 10, 64))  # two videos of ten frames
      >>> hidden, variables = VideoLSTM(units=8).init_with_output(jax.random.key(1), features)
      >>> hidden.shape
      (2, 10, 8)
    """

    units: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"

    def setup(self) -> None:
        if self.units < 1:
            raise ValueError(f"VideoLSTM: units must be a positive number, got {self.units}")
        self.input = nn.Dense(
            4 * self.units,
            kernel_init=nn.initializers.glorot_uniform(),
            bias_init=_forget_gate_open,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        recurrence = nn.scan(
            _Recurrence,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        self.recurrent = recurrence(self.units, self.param_dtype)

    def __call__(self, inputs: Float[Array, "b t f"]) -> Float[Array, "b t u"]:
        """Runs over time.

        Args:
          inputs: features of each frame.

        Returns: the hidden state after each frame.
        Raises: ValueError if units is not positive or inputs are not floating-point (b, t, f).
        """
        return self.recur(self.project(inputs))

    def project(self, inputs: Float[Array, "b t f"]) -> Float[Array, "b t gates"]:
        """The part of the gates that does not depend on the state, W x_t + b; `recur` adds the rest."""
        check_array(
            "VideoLSTM", "inputs", inputs, "b t f",
            "flatten the features of each frame; give a single video a batch axis by inputs[None]",
        )  # fmt: skip
        return self.input(inputs)

    def recur(self, projected: Float[Array, "b t gates"]) -> Float[Array, "b t u"]:
        """The hidden state after each frame, from what `project` gives."""
        start = zeros((projected.shape[0], self.units), projected.dtype, beside=projected)
        _, hidden = self.recurrent((start, start), projected)
        return hidden


class _Recurrence(nn.Module):
    """One step in time, on the input already projected to the four gates."""

    units: int
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, state, projected):
        cell, hidden = state
        kernel = self.param(
            "kernel", nn.initializers.orthogonal(), (self.units, 4 * self.units), self.param_dtype
        )
        gates = projected + hidden @ kernel.astype(hidden.dtype)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
        hidden = nn.sigmoid(o) * jnp.tanh(cell)
        return (cell, hidden), hidden


def _forget_gate_open(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> Float[Array, " n"]:
    """Zeros, but 1 for the forget gate: at the start a state is kept rather than lost."""
    units = shape[0] // 4
    return jnp.zeros(shape, dtype).at[units : 2 * units].set(1)
