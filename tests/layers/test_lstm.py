"""VideoLSTM: equal to flax's cell and to torch's layer, and to a loop under vmap."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from variables import normal, random_variables

from geoattn_jax import VideoLSTM

UNITS, FEATURES = 3, 5
INPUTS = normal(0, 4, 7, FEATURES)


@pytest.mark.parametrize(("batch", "time"), [(4, 7), (4, 1), (1, 7)])
def test_equals_the_flax_cell(x64, batch, time):
    inputs = normal(0, batch, time, FEATURES, dtype="float64")
    model = VideoLSTM(UNITS, param_dtype="float64")
    variables = random_variables(model, inputs)
    from_input, recurrent = variables["params"]["input"], variables["params"]["recurrent"]
    cell_params = {}
    for n, gate in enumerate("ifgo"):
        columns = slice(n * UNITS, (n + 1) * UNITS)
        cell_params[f"i{gate}"] = {"kernel": from_input["kernel"][:, columns]}
        cell_params[f"h{gate}"] = {
            "kernel": recurrent["kernel"][:, columns],
            "bias": from_input["bias"][columns],
        }
    step = jax.jit(nn.OptimizedLSTMCell(UNITS).apply)
    state = (jnp.zeros((batch, UNITS)), jnp.zeros((batch, UNITS)))
    expected = []
    for t in range(time):
        state, hidden = step({"params": cell_params}, state, inputs[:, t])
        expected.append(hidden)
    output = jax.jit(model.apply)(variables, inputs)
    np.testing.assert_allclose(output, np.stack(expected, axis=1), rtol=1e-12)


def test_equals_torch_with_its_gradients(x64):
    torch = pytest.importorskip("torch")
    inputs = normal(0, 4, 7, FEATURES, dtype="float64")
    grad_output = np.asarray(normal(1, 4, 7, UNITS, dtype="float64"))
    model = VideoLSTM(UNITS, param_dtype="float64")
    variables = random_variables(model, inputs)
    from_input, recurrent = variables["params"]["input"], variables["params"]["recurrent"]

    layer = torch.nn.LSTM(FEATURES, UNITS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor(np.asarray(from_input["kernel"]).T))
        layer.weight_hh_l0.copy_(torch.tensor(np.asarray(recurrent["kernel"]).T))
        layer.bias_ih_l0.copy_(torch.tensor(np.asarray(from_input["bias"])))
        layer.bias_hh_l0.zero_()
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


def test_inputs_without_a_batch_axis_are_named(unchecked):
    message = r"VideoLSTM: inputs must have axes \(b, t, f\), got .* by inputs\[None\]"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(VideoLSTM(UNITS).init, jax.random.key(0), INPUTS[0])
