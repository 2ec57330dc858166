"""Paper B's first experiment, as the registry has it."""

from geoattn_jax.experiments.core.experiment import Experiment
from geoattn_jax.experiments.table_2.experiment import (
    RULES,
    SupervisedAttention,
    kitchen_config,
    make_supervised_attention_plan,
)
from geoattn_jax.experiments.table_2.layout import tables
from geoattn_jax.experiments.table_2.pictures import draw_regions

SUPERVISED_ATTENTION = Experiment(
    name="supervised_attention",
    rules=lambda config: RULES,
    defaults=lambda config: kitchen_config(),
    plan=make_supervised_attention_plan,
    prepare=SupervisedAttention.prepare,
    draw=draw_regions,
    tables=tables,
)
