"""The recurrent layer over a video's frames."""

from typing import Literal, TypeAlias, get_args, overload

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer

from geoattn_jax.ops.checks import check_array, check_choice, check_shape
from geoattn_jax.ops.placement import divided_alike, varying_alike, zeros
from geoattn_jax.ops.sizes import Size, surely_less

Lengths: TypeAlias = Integer[Array, " b"] | Integer[np.ndarray, " b"]
State: TypeAlias = tuple[Float[Array, "b u"], Float[Array, "b u"]]
GateActivation = Literal["sigmoid", "hard_sigmoid"]
HARD_SLOPE = 0.2  # of the hard sigmoid, where it is not level

GATE_ACTIVATIONS: tuple[GateActivation, ...] = get_args(GateActivation)


class VideoLSTM(nn.Module):
    """A long short-term memory over time (Shan & Atanasov 2017, Eq. 2) that returns every hidden state.

      f_t = sigmoid(W_f [h_{t-1}, x_t] + b_f)      c_t = f_t c_{t-1} + i_t g_t
      i_t = sigmoid(W_i [h_{t-1}, x_t] + b_i)      h_t = o_t tanh(c_t)
      g_t = tanh(W_g [h_{t-1}, x_t] + b_g)         c_0 = h_0 = 0, or `initial_state`
      o_t = sigmoid(W_o [h_{t-1}, x_t] + b_o)

    W x_t does not depend on the state: it is computed for all frames at once, before the scan over time, as
    the one large matrix product. Under `jax.vmap` over parameters (many small LSTMs at a time) that is what
    makes it fast.

    Convention: parameters are `input/kernel` (f, 4u), `input/bias` (4u) and `recurrent/kernel` (u, 4u), the
    gates in the order i, f, g, o, as in Keras and torch. They start as in Keras: glorot-uniform, orthogonal,
    and zero with a forget-gate bias of 1. A state is the tuple (cell, hidden) = (c, h), as in flax; torch's
    is (h, c).

    Attributes:
      units: size u of the hidden state.
      dtype: of the computation; None to infer it from inputs and parameters.
      param_dtype: of the parameters.
      gate_activation: of f, i and o, "sigmoid" as above or "hard_sigmoid", 0.2 x + 0.5 clipped to [0, 1]: the
        default of Keras before version 2.3 (`jax.nn.hard_sigmoid` has another slope, 1/6).

    Example:
      >>> import jax
      >>> from geoattn_jax import VideoLSTM
      >>> layer = VideoLSTM(units=8)
      >>> features = jax.random.normal(jax.random.key(0), (2, 10, 64))  # two videos of ten frames
      >>> hidden, variables = layer.init_with_output(jax.random.key(1), features)
      >>> hidden.shape
      (2, 10, 8)

      Of the second video only four frames are real; where each ended, the next ten frames go on:

      >>> lengths = jax.numpy.array([10, 4])
      >>> hidden, state = layer.apply(variables, features, lengths=lengths, return_state=True)
      >>> bool((hidden[1, 4:] == 0).all())
      True
      >>> layer.apply(variables, features, initial_state=state).shape
      (2, 10, 8)
    """

    units: int
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = "float32"
    gate_activation: GateActivation = "sigmoid"

    def setup(self) -> None:
        if self.units < 1:
            raise ValueError(f"VideoLSTM: units must be a positive number, got {self.units}")
        check_choice("VideoLSTM", "gate_activation", self.gate_activation, GATE_ACTIVATIONS)
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
        self.recurrent = recurrence(self.units, self.param_dtype, self.gate_activation)

    @overload
    def __call__(
        self,
        frames: Float[Array, "b t f"],
        *,
        lengths: Lengths | None = None,
        initial_state: State | None = None,
        return_state: Literal[False] = False,
    ) -> Float[Array, "b t u"]: ...

    @overload
    def __call__(
        self,
        frames: Float[Array, "b t f"],
        *,
        lengths: Lengths | None = None,
        initial_state: State | None = None,
        return_state: Literal[True],
    ) -> tuple[Float[Array, "b t u"], State]: ...

    def __call__(
        self,
        frames: Float[Array, "b t f"],
        *,
        lengths: Lengths | None = None,
        initial_state: State | None = None,
        return_state: bool = False,
    ) -> Float[Array, "b t u"] | tuple[Float[Array, "b t u"], State]:
        """Runs over time.

        Args:
          frames: features (b, t, f) of each frame.
          lengths: whole numbers (b,) from 0 to t: how many frames of each video are real, all of them if
            None. Those after them are padding: whatever they hold, NaN too, changes no value and no gradient,
            their hidden states are zeros and their gradients are exactly zero.
          initial_state: the tuple (c, h) of cell and hidden state before the first frame, (b, u) each, such
            as `return_state` gives for the frames before; zeros if None. It is cast to the computation's
            dtype.
          return_state: whether to return the last state too.

        Returns: the hidden state after each frame, (b, t, u); with `return_state`, the tuple of these and of
          the state (c, h) after each video's last real frame, (b, u) each. A video of length 0 keeps its
          initial state.
        Raises: ValueError if units is not positive, gate_activation is unknown, frames are not floating-point
          (b, t, f), lengths are not whole numbers (b,) from 0 to t, or initial_state is not a tuple of two
          floating-point (b, u). Under `jit` lengths are not known: there one below 0 counts as 0, one above t
          as t.
        """
        frames = jnp.asarray(frames)
        _check_frames(frames)
        real = None
        if lengths is not None:
            frames, real = divided_alike((frames, _real_frames(lengths, frames)))
            # Before the projection: its gradient multiplies the frames by zero, which keeps a NaN.
            frames = jnp.where(real[..., None], frames, 0)
        hidden, state = self._run(self.project(frames), real, initial_state)
        return (hidden, state) if return_state else hidden

    def project(self, frames: Float[Array, "b t f"]) -> Float[Array, "b t gates"]:
        """The part of the gates that does not depend on the state, W x_t + b; `recur` adds the rest."""
        _check_frames(frames)
        return self.input(frames)

    def recur(self, projected: Float[Array, "b t gates"]) -> Float[Array, "b t u"]:
        """The hidden state after each frame, from what `project` gives."""
        hidden, _ = self._run(projected)
        return hidden

    def _run(
        self,
        projected: Float[Array, "b t gates"],
        real: Bool[Array, "b t"] | None = None,
        initial_state: State | None = None,
    ) -> tuple[Float[Array, "b t u"], State]:
        """The hidden state after each frame, and the last state."""
        shape = (projected.shape[0], self.units)
        if initial_state is None:
            cell = hidden = zeros(shape, projected.dtype, beside=projected)
        else:
            _check_state(initial_state, shape)
            cell, hidden = (jnp.asarray(part, projected.dtype) for part in initial_state)
        # A loop's state has one placement throughout; a learned one, for example, starts on every device.
        state, projected, real = varying_alike(divided_alike(((cell, hidden), projected, real)))
        last, hidden_states = self.recurrent(state, projected, real)
        return hidden_states, last


class _Recurrence(nn.Module):
    """One step in time, on the input already projected to the four gates."""

    units: int
    param_dtype: DTypeLike
    gate_activation: GateActivation

    @nn.compact
    def __call__(self, state, projected, real):
        cell, hidden = state
        kernel = self.param(
            "kernel", nn.initializers.orthogonal(), (self.units, 4 * self.units), self.param_dtype
        )
        gates = projected + hidden @ kernel.astype(hidden.dtype)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        activation = nn.sigmoid if self.gate_activation == "sigmoid" else hard_sigmoid
        next_cell = activation(f) * cell + activation(i) * jnp.tanh(g)
        next_hidden = activation(o) * jnp.tanh(next_cell)
        if real is None:
            return (next_cell, next_hidden), next_hidden
        real = real[:, None]
        state = jnp.where(real, next_cell, cell), jnp.where(real, next_hidden, hidden)
        return state, jnp.where(real, next_hidden, 0)


def hard_sigmoid(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """That of Keras before version 2.3."""
    return jnp.clip(HARD_SLOPE * x + 0.5, 0, 1)


def _real_frames(lengths: Lengths, frames: Float[Array, "b t f"]) -> Bool[Array, "b t"]:
    """Which frames are real, from how many of each video are."""
    batch, time, _ = frames.shape
    if not isinstance(lengths, jax.Array):
        lengths = np.asarray(lengths, None if np.size(lengths) else int)  # NumPy takes none for real numbers
    check_shape(
        "VideoLSTM", "lengths", lengths, (batch,),
        because=f"(one for each video of frames of shape {frames.shape})",
        remedy="give the number of real frames of each video",
    )  # fmt: skip
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(
            f"VideoLSTM: lengths must be whole numbers, got {lengths.dtype}; "
            "convert them first, for example lengths.astype(jnp.int32)"
        )
    if not isinstance(lengths, jax.core.Tracer):
        _check_lengths(np.asarray(lengths), time)
    return jnp.arange(time, dtype=jnp.int32) < jnp.asarray(lengths, jnp.int32)[:, None]


def _check_lengths(lengths: Integer[np.ndarray, " b"], time: Size) -> None:
    for video, length in enumerate(lengths.tolist()):
        if length < 0 or surely_less(time, length):
            raise ValueError(
                f"VideoLSTM: lengths must be from 0 to the {time} frames of each video, "
                f"got {length} for video {video}; count the frames that are there"
            )


def _check_frames(frames: Float[Array, "b t f"]) -> None:
    check_array(
        "VideoLSTM", "frames", frames, "b t f",
        "flatten the features of each frame; give a single video a batch axis by frames[None]",
    )  # fmt: skip


def _check_state(state: State, shape: tuple[Size, ...]) -> None:
    if jax.tree.map(jnp.ndim, state) != (2, 2):
        raise ValueError(
            "VideoLSTM: initial_state must be a tuple (cell, hidden) of two arrays (b, u), "
            f"got a {type(state).__name__} of shapes {jax.tree.map(jnp.shape, state)}; "
            "give what return_state=True returns as the state"
        )
    for n, part in enumerate(state):
        name = f"initial_state[{n}]"
        check_array("VideoLSTM", name, part, "b u")
        check_shape(
            "VideoLSTM", name, part, shape,
            because="(one row for each video, as wide as units)",
            remedy="repeat a state that all videos share with jnp.broadcast_to",
        )  # fmt: skip


def _forget_gate_open(key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> Float[Array, " n"]:
    """Zeros, but 1 for the forget gate: at the start a state is kept rather than lost."""
    units = shape[0] // 4
    return jnp.zeros(shape, dtype).at[units : 2 * units].set(1)
