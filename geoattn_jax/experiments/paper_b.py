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


def printed(level: str, localizer: str, model: str) -> float | None:
    """The accuracy that Table 2 prints for a cell, None where it has none."""
    return TABLE_2[level, localizer][COLUMNS.index(model)] if model in COLUMNS else None
