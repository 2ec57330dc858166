"""Paper B's second experiment, as the registry has it."""

from geoattn_jax.experiments.core.experiment import Experiment
from geoattn_jax.experiments.table_3.annotate import annotate
from geoattn_jax.experiments.table_3.combine_folds import combine_streams
from geoattn_jax.experiments.table_3.experiment import SixStreams, defaults_of, rules_of
from geoattn_jax.experiments.table_3.layout import tables
from geoattn_jax.experiments.table_3.pictures import draw_confusions
from geoattn_jax.experiments.table_3.plan import make_six_streams_plan

SIX_STREAMS = Experiment(
    name="six_streams",
    rules=rules_of,
    defaults=defaults_of,
    plan=make_six_streams_plan,
    prepare=SixStreams.prepare,
    draw=draw_confusions,
    tables=tables,
    combine=combine_streams,
    annotate=annotate,
)
