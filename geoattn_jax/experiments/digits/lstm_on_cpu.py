"""The LSTM of one round, arranged for a CPU under `jax.vmap`, with its backward pass written out.

It computes `VideoLSTM` (Shan & Atanasov 2017, Eq. 2) on some of the sequences, up to rounding. All rounds
have the same sequences, but each looks at others in an update, and their matrices are small.

- The projection takes one round after another, and of the features only those that it looks at. Copies of
  them for all rounds at once would not stay in the cache, and one product for all rounds is of all sequences.
  An accelerator would wait for each of the small products: it is given the large one.
- The recurrence keeps the gates of the forward pass, and each frame's are one tanh: sigmoid(x) is
  (1 + tanh(x / 2)) / 2; hard gates need one for g alone. The gradient in its kernel is one product, after
  the loop over frames.

Reverse mode only.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float, Int

from geoattn_jax.layers.lstm import HARD_SLOPE, GateActivation, hard_sigmoid

Gates = Float[Array, "b 4 u"]


@jax.custom_vjp
def project_chosen(
    features: Float[Array, "n t f"],
    order: Int[Array, " b"],
    kernel: Float[Array, "f gates"],
    bias: Float[Array, " gates"],
) -> Float[Array, "b t gates"]:
    """`VideoLSTM.project` of some sequences; under `vmap` one round after another.

    Args:
      features: of all sequences; they get no gradient.
      order: the numbers of those that are projected.
      kernel, bias: the parameters `input` of the layer.
    """
    return _project(features, order, kernel, bias)


@sequential_vmap
def _project(features, order, kernel, bias):
    projected = _frames(features, order) @ kernel + bias
    return projected.reshape(len(order), features.shape[1], -1)


def _keep_order(features, order, kernel, bias):
    return _project(features, order, kernel, bias), (features, order)


@sequential_vmap
def _project_gradients(features, order, cotangent):
    # Matrices that are multiplied in the order in which they lie take two thirds of the time of others. The
    # barriers keep XLA from turning the product around again.
    by_gate = lax.optimization_barrier(cotangent.reshape(-1, cotangent.shape[-1]).T)
    kernel = lax.optimization_barrier(by_gate @ _frames(features, order)).T
    return None, None, kernel, by_gate.sum(axis=1)


def _frames(features: Float[Array, "n t f"], order: Int[Array, " b"]) -> Float[Array, "bt f"]:
    """Those of the chosen sequences, as a matrix; without the barrier the product looks up every number."""
    return lax.optimization_barrier(features[order]).reshape(-1, features.shape[-1])


project_chosen.defvjp(_keep_order, lambda kept, cotangent: _project_gradients(*kept, cotangent))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recur(
    gate_activation: GateActivation, projected: Float[Array, "b t gates"], kernel: Float[Array, "u gates"]
) -> Float[Array, "b t u"]:
    """`VideoLSTM.recur`: the hidden state after each frame.

    Args:
      gate_activation: of i, f and o.
      projected: what the gates i, f, g, o get from the input.
      kernel: the parameter `recurrent` of the layer.
    """
    return _recur(gate_activation, projected, kernel)[0]


def _recur(gate_activation, projected, kernel):
    batch, time, _ = projected.shape
    units = len(kernel)

    def step(state, frame):
        cell, hidden = state
        inputs = lax.dynamic_index_in_dim(projected, frame, axis=1, keepdims=False) + hidden @ kernel
        gates = _gates(gate_activation, inputs.reshape(batch, 4, units))
        next_cell = _next_cell(gates, cell)
        next_hidden = gates[:, 3] * jnp.tanh(next_cell)
        return (next_cell, next_hidden), (gates, cell, next_hidden)

    start = jnp.zeros((batch, units), projected.dtype)
    _, (gates, cells, hidden) = lax.scan(step, (start, start), jnp.arange(time))
    hidden = jnp.moveaxis(hidden, 0, 1)
    return hidden, (kernel, gates, cells, hidden)


def _recur_gradients(gate_activation, kept, cotangent):
    kernel, all_gates, all_cells, hidden = kept
    units = len(kernel)

    def step(gradients, of_frame):
        of_cell, of_hidden = gradients  # in the state after the frame
        gates, cell, of_output = of_frame
        i, f, g, o = (gates[:, gate] for gate in range(4))
        activated = jnp.tanh(_next_cell(gates, cell))
        of_hidden = of_hidden + of_output
        of_cell = of_cell + of_hidden * o * (1 - activated**2)
        slope_i, slope_f, slope_o = (_slope(gate_activation, gate) for gate in (i, f, o))
        of_gates = [
            of_cell * g * slope_i,
            of_cell * cell * slope_f,
            of_cell * i * (1 - g**2),
            of_hidden * activated * slope_o,
        ]
        of_inputs = jnp.concatenate(of_gates, axis=1)
        return (of_cell * f, of_inputs @ kernel.T), of_inputs

    nothing = jnp.zeros_like(all_cells[0])
    frames = all_gates, all_cells, jnp.moveaxis(cotangent, 1, 0)
    _, of_projected = lax.scan(step, (nothing, nothing), frames, reverse=True)
    of_projected = jnp.moveaxis(of_projected, 0, 1)
    before = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))
    of_kernel = before.reshape(-1, units).T @ of_projected.reshape(-1, 4 * units)
    return of_projected, of_kernel


def _gates(activation: GateActivation, inputs: Gates) -> Gates:
    """The activation of i, f and o, and tanh of g."""
    if activation == "hard_sigmoid":
        is_g = jnp.arange(4)[:, None] == 2
        return jnp.where(is_g, jnp.tanh(inputs), hard_sigmoid(inputs))
    scale = jnp.array([0.5, 0.5, 1, 0.5], inputs.dtype)[:, None]
    return (1 - scale) + scale * jnp.tanh(scale * inputs)


def _slope(activation: GateActivation, gate: Float[Array, "b u"]) -> Float[Array, "b u"]:
    """The derivative of the activation, where it has the value `gate`."""
    if activation == "hard_sigmoid":
        return jnp.where((gate > 0) & (gate < 1), HARD_SLOPE, 0).astype(gate.dtype)
    return gate * (1 - gate)


def _next_cell(gates: Gates, cell: Float[Array, "b u"]) -> Float[Array, "b u"]:
    return gates[:, 1] * cell + gates[:, 0] * gates[:, 2]


recur.defvjp(_recur, _recur_gradients)
