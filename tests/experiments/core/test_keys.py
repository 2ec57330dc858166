"""What is said of a flag that names no key: the nearest right one, and those that there are."""

import experiments_tiny as tiny
import pytest

from geoattn_jax.experiments.core.config import Config
from geoattn_jax.experiments.core.keys import help_of_keys, unknown_key
from geoattn_jax.experiments.registry import EXPERIMENTS

CONFIG = Config({"runs": 1, "lstm": {"rounds": 3, "rate": {"detail": 0.1, "middle": 0.2}}})


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("runes=1", "no key 'runes'. Did you mean config.runs? The keys of config are lstm, runs"),
        ("lstm.round=1", "'lstm.round'. Did you mean config.lstm.rounds? The keys of config.lstm are rate, "),
        ("lstm.rate.detial=1", "config.lstm.rate.detail? The keys of config.lstm.rate are detail, middle"),
        ("lsmt.rounds=1", "'lsmt.rounds'. Did you mean config.lstm.rounds? The keys of config are lstm, "),
        ("runs.first=1", "'runs.first'. The keys of config are lstm, runs"),
        ("weather=1", "no key 'weather'. The keys of config are lstm, runs"),
    ],
)
def test_the_nearest_key_and_its_neighbours_are_named(flag, message):
    assert message in unknown_key(CONFIG, ["train.py", "--config.lstm.rounds=4", f"--config.{flag}"])


def test_known_keys_and_other_flags_are_left_alone():
    arguments = ["train.py", "--config=a.py", "--workdir=b", "--config.runs=1", "--config.lstm=x", "more"]
    assert unknown_key(CONFIG, arguments) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in tiny.CONFIGS.glob("*.py")))
def test_every_key_of_a_config_says_what_it_decides(name):
    config = tiny.load_config(name)
    rules = EXPERIMENTS[config.experiment].rules(config)
    unsaid = [key for key, rule in rules.items() if not rule.about]
    assert not unsaid
    text = help_of_keys(config, rules)
    assert f"  --config.seed={config.seed}\n      {rules['seed'].about} (a whole number" in text
    assert text.count("--config.") == len(rules)
