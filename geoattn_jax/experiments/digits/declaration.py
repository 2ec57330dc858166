"""Paper A's two experiments, as the registry has them."""

from geoattn_jax.experiments.core.experiment import Experiment
from geoattn_jax.experiments.digits import end_to_end, two_stage_plan
from geoattn_jax.experiments.digits.curves import combine_with_curves, draw_curves
from geoattn_jax.experiments.digits.layout import tables
from geoattn_jax.experiments.digits.pictures import draw_pictures
from geoattn_jax.experiments.digits.two_stage import TwoStage

TWO_STAGE = Experiment(
    name="two_stage",
    rules=lambda config: two_stage_plan.RULES,
    defaults=lambda config: two_stage_plan.paper_config(),
    plan=two_stage_plan.make_two_stage_plan,
    prepare=TwoStage.prepare,
    draw=draw_pictures,
    tables=tables,
)
END_TO_END = Experiment(
    name="end_to_end",
    rules=lambda config: end_to_end.RULES,
    defaults=lambda config: end_to_end.base_config(),
    plan=end_to_end.make_end_to_end_plan,
    prepare=end_to_end.EndToEnd.prepare,
    draw=draw_curves,
    combine=combine_with_curves,
)
