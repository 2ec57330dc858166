"""The numbers that Liu, Wang & Kato 2019 print."""

# Table 2: one-vs-all accuracy of one random frame per video, by level and localization network: plain STN,
# and SSTN. The localization networks are VGG-F, VGG-M and VGG-16, here by their size.
TABLE_2 = {
    ("detail", "small"): (0.1067, 0.2991),
    ("detail", "middle"): (0.0797, 0.3109),
    ("detail", "large"): (0.0639, 0.3232),
    ("middle", "small"): (0.2553, 0.2868),
    ("middle", "middle"): (0.2868, 0.2991),
    ("middle", "large"): (0.2838, 0.3064),
    ("general", "small"): (0.2902, 0.2941),
    ("general", "middle"): (0.2395, 0.2946),
    ("general", "large"): (0.2910, 0.3010),
}
COLUMNS = ("stn_default", "sstn")  # the paper does not say how its STN's last layer starts

# Table 3: mean average precision of all frames of a clip, by streams and level: R_d and R_h.
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
REGIONS = ("sstn", "hard_coded")


def printed(level: str, localizer: str, model: str) -> float | None:
    """The accuracy that Table 2 prints for a cell, None where it has none."""
    return TABLE_2[level, localizer][COLUMNS.index(model)] if model in COLUMNS else None


def printed_precision(streams: str, level: str, model: str) -> float | None:
    """The mean average precision that Table 3 prints for a cell, None where it has none."""
    return TABLE_3[streams, level][REGIONS.index(model)] if model in REGIONS else None
