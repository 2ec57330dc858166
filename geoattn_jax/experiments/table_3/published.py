"""The numbers that Liu, Wang & Kato 2019 print in Table 3."""

# Mean average precision of all frames of a clip, by streams and level: R_d and R_h.
TABLE_3 = {
    ("spatial", "general"): (0.4173, 0.3898),
    ("spatial", "middle"): (0.5092, 0.5053),
    ("spatial", "detail"): (0.5275, 0.5140),
    ("spatial", "late_fusion"): (0.5608, 0.5506),
    ("temporal", "general"): (0.5478, 0.5418),
    ("temporal", "middle"): (0.5623, 0.5287),
    ("temporal", "detail"): (0.5907, 0.4918),
    ("temporal", "late_fusion"): (0.6083, 0.5738),
    ("spatial_temporal", "general"): (0.5651, 0.5668),
    ("spatial_temporal", "middle"): (0.6102, 0.5896),
    ("spatial_temporal", "detail"): (0.6201, 0.5827),
    ("spatial_temporal", "late_fusion"): (0.6316, 0.6009),
}
REGIONS = {"sstn": "R_d", "hard_coded": "R_h"}


def printed_precision(streams: str, level: str, model: str) -> float:
    """The mean average precision that Table 3 prints for a cell."""
    return TABLE_3[streams, level][list(REGIONS).index(model)]
