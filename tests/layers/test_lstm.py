"""VideoLSTM: equal to flax's cell and to torch's layer, to loops over parameters and over videos."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exported import array, check_exported
from jax import export
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from placements import BATCH, PLACEMENTS, WHOLE, Subject, check_divided, run_divided
from variables import normal, random_variables

from geoattn_jax import VideoLSTM

UNITS, FEATURES = 3, 5
INPUTS = normal(0, 4, 7, FEATURES)
LENGTHS = np.array([4, 7, 1, 5])
EIGHT = np.array([4, 7, 1, 0, 5, 2, 7, 3])  # videos, for four devices


def keras_hard_sigmoid(x):
    return jnp.maximum(0, jnp.minimum(1, x / 5 + 0.5))


@pytest.mark.parametrize(
    ("batch", "time", "activation", "gate_fn"),
    [
        (4, 7, "sigmoid", nn.sigmoid),
        (4, 1, "sigmoid", nn.sigmoid),
        (1, 7, "sigmoid", nn.sigmoid),
        (4, 7, "hard_sigmoid", keras_hard_sigmoid),
    ],
)
def test_equals_the_flax_cell(x64, batch, time, activation, gate_fn):
    inputs = normal(0, batch, time, FEATURES, dtype="float64")
    model = VideoLSTM(UNITS, param_dtype="float64", gate_activation=activation)
    variables = random_variables(model, inputs, scale=1.0)  # some gates are closed, some wide open
    from_input, recurrent = variables["params"]["input"], variables["params"]["recurrent"]
    cell_params = {}
    for n, gate in enumerate("ifgo"):
        columns = slice(n * UNITS, (n + 1) * UNITS)
        cell_params[f"i{gate}"] = {"kernel": from_input["kernel"][:, columns]}
        cell_params[f"h{gate}"] = {
            "kernel": recurrent["kernel"][:, columns],
            "bias": from_input["bias"][columns],
        }
    cell = nn.OptimizedLSTMCell(UNITS, gate_fn=gate_fn)

    @jax.jit
    def flax_cell(inputs):
        state, hidden = (jnp.zeros((batch, UNITS)), jnp.zeros((batch, UNITS))), []
        for t in range(time):
            state, after = cell.apply({"params": cell_params}, state, inputs[:, t])
            hidden.append(after)
        return jnp.stack(hidden, axis=1)

    expected, expected_vjp = jax.vjp(flax_cell, inputs)
    output, vjp = jax.vjp(jax.jit(partial(model.apply, variables)), inputs)
    np.testing.assert_allclose(output, expected, rtol=1e-12, atol=1e-15)
    grad_output = normal(1, batch, time, UNITS, dtype="float64")
    np.testing.assert_allclose(*vjp(grad_output), *expected_vjp(grad_output), rtol=1e-10, atol=1e-14)


def in_torch(variables):
    """The same layer in torch, whose second bias is zero here."""
    torch = pytest.importorskip("torch")
    from_input, recurrent = variables["params"]["input"], variables["params"]["recurrent"]
    layer = torch.nn.LSTM(FEATURES, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(np.asarray(from_input["kernel"]).T))
        layer.weight_hh_l0.copy_(torch.tensor(np.asarray(recurrent["kernel"]).T))
        layer.bias_ih_l0.copy_(torch.tensor(np.asarray(from_input["bias"])))
        layer.bias_hh_l0.zero_()
    return layer


def test_equals_torch_with_its_gradients(x64):
    torch = pytest.importorskip("torch")
    inputs = normal(0, 4, 7, FEATURES, dtype="float64")
    grad_output = np.asarray(normal(1, 4, 7, UNITS, dtype="float64"))
    model = VideoLSTM(UNITS, param_dtype="float64")
    variables = random_variables(model, inputs)
    layer = in_torch(variables)
    torch_inputs = torch.tensor(np.asarray(inputs), requires_grad=True)
    expected, _ = layer(torch_inputs)
    expected.backward(torch.tensor(grad_output))

    output, vjp = jax.vjp(jax.jit(model.apply), variables, inputs)
    grads, grad_inputs = vjp(jnp.asarray(grad_output))
    grad_input, grad_recurrent = grads["params"]["input"], grads["params"]["recurrent"]
    for ours, theirs in [
        (output, expected.detach()),
        (grad_inputs, torch_inputs.grad),
        (grad_input["kernel"].T, layer.weight_ih_l0.grad),
        (grad_input["bias"], layer.bias_ih_l0.grad),
        (grad_recurrent["kernel"].T, layer.weight_hh_l0.grad),
    ]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


def test_starts_as_in_keras():
    units, features = 8, 500
    params = jax.jit(VideoLSTM(units).init)(jax.random.key(1), jnp.zeros((1, 1, features)))["params"]
    kernel, recurrent = params["input"]["kernel"], params["recurrent"]["kernel"]
    assert kernel.shape == (features, 4 * units)
    limit = np.sqrt(6 / (features + 4 * units))
    assert 0.99 * limit < float(jnp.abs(kernel).max()) <= limit
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(units), atol=1e-5)
    gates = params["input"]["bias"].reshape(4, units)
    np.testing.assert_array_equal(gates, np.array([[0], [1], [0], [0]]) * np.ones(units))


def test_later_frames_do_not_change_earlier_states():
    model = VideoLSTM(UNITS)
    variables = random_variables(model, INPUTS)
    changed = INPUTS.at[:, 3:].add(1.0)
    apply = jax.jit(model.apply)
    before, after = apply(variables, INPUTS), apply(variables, changed)
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert np.all(np.abs(before[:, 3:] - after[:, 3:]) > 0)


def test_vmap_over_parameters_equals_a_loop():
    model = VideoLSTM(UNITS)
    rounds = [random_variables(model, INPUTS, seed=10 * n) for n in range(6)]

    def step(variables, inputs):
        return jax.value_and_grad(lambda variables: jnp.sum(model.apply(variables, inputs) ** 2))(variables)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rounds)
    many = jax.jit(jax.vmap(step, in_axes=(0, None)))(stacked, INPUTS)
    one_step = jax.jit(step)
    for n, variables in enumerate(rounds):
        jax.tree.map(
            lambda a, b, n=n: np.testing.assert_allclose(a[n], b, rtol=1e-4, atol=1e-5),
            many,
            one_step(variables, INPUTS),
        )


def test_the_input_product_is_outside_the_scan():
    model = VideoLSTM(UNITS)
    jaxpr = jax.make_jaxpr(model.apply)(random_variables(model, INPUTS), INPUTS)
    (scan,) = (equation for equation in jaxpr.eqns if equation.primitive.name == "scan")
    body = scan.params["jaxpr"].jaxpr
    assert [one.primitive.name for one in body.eqns].count("dot_general") == 1
    assert all(FEATURES not in variable.aval.shape for variable in body.invars)


def test_sharded_equals_one_device():
    inputs = normal(0, 8, 7, FEATURES)
    model = VideoLSTM(UNITS)
    variables = random_variables(model, inputs)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    sharded = jax.device_put(inputs, NamedSharding(mesh, PartitionSpec("batch")))
    apply = jax.jit(model.apply)
    np.testing.assert_allclose(apply(variables, sharded), apply(variables, inputs), rtol=1e-5, atol=1e-6)


def test_bfloat16():
    variables = random_variables(VideoLSTM(UNITS), INPUTS)
    output = jax.jit(VideoLSTM(UNITS, dtype="bfloat16").apply)(variables, INPUTS)
    assert output.dtype == jnp.bfloat16
    expected = jax.jit(VideoLSTM(UNITS).apply)(variables, INPUTS)
    np.testing.assert_allclose(output.astype(jnp.float32), expected, atol=0.03)


def test_bad_units_are_named(unchecked):
    with pytest.raises(ValueError, match="units must be a positive number, got 0"):
        jax.eval_shape(VideoLSTM(0).init, jax.random.key(0), INPUTS)


def test_an_unknown_gate_activation_is_named(unchecked):
    with pytest.raises(
        ValueError, match="gate_activation must be one of 'sigmoid', 'hard_sigmoid', got 'relu'"
    ):
        jax.eval_shape(VideoLSTM(UNITS, gate_activation="relu").init, jax.random.key(0), INPUTS)


def test_frames_without_a_batch_axis_are_named(unchecked):
    message = r"VideoLSTM: frames must have axes \(b, t, f\), got .* by frames\[None\]"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(VideoLSTM(UNITS).init, jax.random.key(0), INPUTS[0])


def initial_state(batch: int, dtype: str = "float64") -> tuple[jax.Array, jax.Array]:
    return normal(3, batch, UNITS, dtype=dtype), normal(4, batch, UNITS, dtype=dtype)


def padded(variables, frames, state, lengths):
    """The hidden states and the last one of videos of different lengths."""
    model = VideoLSTM(UNITS, param_dtype="float64")
    return model.apply(variables, frames, lengths=lengths, initial_state=state, return_state=True)


def one_by_one(variables, frames, state, lengths):
    """The same from each video alone, without its padding."""
    hidden, last = [], []
    for n, length in enumerate(lengths):
        alone = [part[n : n + 1] for part in (frames[:, :length], *state)]
        of_one, end = padded(variables, alone[0], tuple(alone[1:]), None)
        hidden.append(jnp.pad(of_one, ((0, 0), (0, frames.shape[1] - length), (0, 0))))
        last.append(end)
    return jnp.concatenate(hidden), jax.tree.map(lambda *parts: jnp.concatenate(parts), *last)


@partial(jax.jit, static_argnums=0)
def with_gradients(function, variables, frames, state, lengths):
    """What a function gives, and the gradients of the sum of its sines in all but the lengths."""
    outputs, vjp = jax.vjp(lambda *arrays: function(*arrays, lengths), variables, frames, state)
    return outputs, vjp(jax.tree.map(jnp.cos, outputs))


def arguments(lengths=LENGTHS):
    frames = normal(0, len(lengths), 7, FEATURES, dtype="float64")
    variables = random_variables(VideoLSTM(UNITS, param_dtype="float64"), frames)
    return variables, frames, initial_state(len(lengths)), lengths


def assert_close(ours, theirs, tolerance):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_padded_videos_equal_each_alone(x64, compiled_quickly):
    lengths = np.array([4, 7, 1, 0])
    variables, frames, state, _ = arguments()
    alone = with_gradients(lambda *arrays: one_by_one(*arrays[:3], lengths), variables, frames, state, None)
    assert_close(with_gradients(padded, variables, frames, state, lengths), alone, 1e-12)
    for part, initial in zip(alone[0][1], state, strict=True):
        np.testing.assert_array_equal(part[3], initial[3])


def test_padded_videos_equal_packed_ones_in_torch(x64, compiled_quickly):
    torch = pytest.importorskip("torch")
    variables, *rest = arguments()
    outputs, (grads, grad_frames, grad_state) = with_gradients(padded, variables, *rest)

    layer = in_torch(variables)
    frames, (cell, hidden) = jax.tree.map(
        lambda array: torch.tensor(np.asarray(array), requires_grad=True), tuple(rest[:2])
    )
    pack = partial(torch.nn.utils.rnn.pack_padded_sequence, batch_first=True, enforce_sorted=False)
    packed, (last_hidden, last_cell) = layer(pack(frames, torch.tensor(LENGTHS)), (hidden[None], cell[None]))
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    sum(part.sin().sum() for part in (expected, last_cell, last_hidden)).backward()

    grad_input, grad_recurrent = grads["params"]["input"], grads["params"]["recurrent"]
    theirs = (expected, (last_cell[0], last_hidden[0]))
    assert_close(outputs, jax.tree.map(lambda tensor: tensor.detach().numpy(), theirs), 1e-9)
    for ours, parameter in [
        (grad_input["kernel"].T, layer.weight_ih_l0),
        (grad_input["bias"], layer.bias_ih_l0),
        (grad_recurrent["kernel"].T, layer.weight_hh_l0),
        (grad_frames, frames),
        (grad_state[0], cell),
        (grad_state[1], hidden),
    ]:
        np.testing.assert_allclose(ours, parameter.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("padding", [np.nan, np.inf])
def test_padding_leaks_nowhere(x64, compiled_quickly, padding):
    variables, frames, state, lengths = arguments()
    behind = np.arange(7) >= lengths[:, None]
    filled = jnp.where(behind[..., None], padding, frames)
    expected = with_gradients(padded, variables, frames, state, lengths)
    results = with_gradients(padded, variables, filled, state, lengths)
    jax.tree.map(np.testing.assert_array_equal, results, expected)
    (hidden, _), (_, grad_frames, _) = results
    assert not np.any(hidden[behind])
    assert not np.any(grad_frames[behind])


def test_a_video_in_two_parts_equals_one(x64, compiled_quickly):
    def in_two(variables, frames, state, lengths):
        first, state = padded(variables, frames[:, :3], state, jnp.clip(lengths, 0, 3))
        second, state = padded(variables, frames[:, 3:], state, jnp.clip(lengths - 3, 0, 4))
        return jnp.concatenate([first, second], axis=1), state

    assert_close(with_gradients(in_two, *arguments()), with_gradients(padded, *arguments()), 1e-12)


def test_lengths_that_are_not_known_end_at_none_and_all(x64, compiled_quickly):
    *rest, _ = arguments()
    outside, inside = (
        with_gradients(padded, *rest, np.array(lengths)) for lengths in ([-2, 9, 1, 5], [0, 7, 1, 5])
    )
    jax.tree.map(np.testing.assert_array_equal, outside, inside)


def test_the_state_is_of_the_dtype_of_the_computation():
    model = VideoLSTM(UNITS, dtype="bfloat16")
    variables = random_variables(model, INPUTS)
    apply = partial(
        model.apply, lengths=LENGTHS, initial_state=initial_state(4, "float32"), return_state=True
    )
    hidden, state = jax.eval_shape(apply, variables, INPUTS)
    assert {hidden.dtype, *(part.dtype for part in state)} == {jnp.dtype(jnp.bfloat16)}


def divided(variables, frames, state, lengths) -> Subject:
    """Of the padded videos and the state; the parameters are on every device."""
    return Subject(
        lambda one, whole, lengths: padded(whole, *one, lengths), (frames, state), variables, lengths
    )


@pytest.mark.parametrize("placement", ["explicit", "auto", "shard_map"])
def test_padded_videos_on_several_devices_equal_one(x64, compiled_quickly, placement):
    check_divided(divided(*arguments(EIGHT)), PLACEMENTS[placement], jit=True)


@pytest.mark.parametrize("placement", ["explicit", "shard_map"])
def test_several_devices_share_a_state(x64, compiled_quickly, placement):
    """One that is a parameter, the same for all videos."""
    variables, frames, (cell, hidden), lengths = arguments(EIGHT)

    def shared(frames, whole, lengths):
        variables, state = whole
        state = jax.tree.map(lambda part: jnp.broadcast_to(part, (len(frames), UNITS)), state)
        return padded(variables, frames, state, lengths)

    subject = Subject(shared, frames, (variables, (cell[0], hidden[0])), lengths)
    results, _ = run_divided(
        subject.outputs_and_gradients,
        PLACEMENTS[placement],
        (subject.divided, subject.whole, subject.constants),
        (BATCH, WHOLE),
        jit=True,
    )
    assert_close(results, subject.on_one_device, 1e-12)


def test_exported_for_any_batch_and_time(compiled_quickly):
    model = VideoLSTM(UNITS)
    variables = random_variables(model, INPUTS)

    def apply(frames, cell, hidden, lengths):
        state = (cell, hidden)
        return model.apply(variables, frames, lengths=lengths, initial_state=state, return_state=True)

    def inputs(b, t):
        symbolic = export.is_symbolic_dim(b)
        lengths = jax.ShapeDtypeStruct((b,), jnp.int32) if symbolic else jnp.arange(b, dtype=jnp.int32)
        return array(0, b, t, FEATURES), array(1, b, UNITS), array(2, b, UNITS), lengths

    check_exported(apply, inputs, [(3, 4), (1, 2)], "b, t")


def test_lengths_may_be_a_list(unchecked):
    model = VideoLSTM(UNITS)
    variables = random_variables(model, INPUTS)
    listed, expected = (
        model.apply(variables, INPUTS, lengths=lengths) for lengths in ([4, 7, 1, 0], np.array([4, 7, 1, 0]))
    )
    np.testing.assert_array_equal(listed, expected)
    assert model.apply(variables, INPUTS[:0], lengths=[]).shape == (0, *INPUTS.shape[1:-1], UNITS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": np.array([4, 7, 1])}, r"lengths must have shape \(4,\) .*, got \(3,\); give the number"),
        ({"lengths": np.ones((4, 1), int)}, r"lengths must have shape \(4,\) .*, got \(4, 1\)"),
        ({"lengths": np.ones(4)}, r"lengths must be whole numbers, got float64; .*astype\(jnp.int32\)"),
        ({"lengths": np.array([4, 8, 1, 0])}, "lengths must be from 0 to the 7 frames .*, got 8 for video 1"),
        ({"lengths": np.array([4, 7, -1, 0])}, "lengths must be from 0 to .*, got -1 for video 2; count"),
        (
            {"initial_state": np.ones((4, UNITS))},
            r"initial_state must be a tuple \(cell, hidden\) .*, got a ndarray of shapes \(4, 3\); give",
        ),
        ({"initial_state": [np.ones((4, UNITS))] * 2}, r"initial_state must be a tuple .*, got a list of"),
        ({"initial_state": (np.ones((4, UNITS)),) * 3}, "initial_state must be a tuple .*, got a tuple of"),
        (
            {"initial_state": (np.ones((4, UNITS)), np.ones((4, UNITS + 1)))},
            r"initial_state\[1\] must have shape \(4, 3\) .*, got \(4, 4\); repeat",
        ),
        (
            {"initial_state": (np.ones(UNITS),) * 2},
            r"initial_state must be .*, got a tuple of shapes \(\(3,\), \(3,\)\)",
        ),
        (
            {"initial_state": (np.ones((4, UNITS), int),) * 2},
            r"initial_state\[0\] must be floating point, got int64; convert",
        ),
    ],
)
def test_bad_lengths_and_states_are_named(unchecked, options, message):
    with pytest.raises(ValueError, match=f"VideoLSTM: {message}"):
        jax.eval_shape(partial(VideoLSTM(UNITS).init, **options), jax.random.key(0), INPUTS)
