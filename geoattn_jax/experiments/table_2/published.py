"""The numbers that Liu, Wang & Kato 2019 print in Table 2."""

# Table 2: one-vs-all accuracy of one random frame per video, by level and localization network: plain STN,
# and SSTN.
TABLE_2 = {
    ("detail", "vgg_f"): (0.1067, 0.2991),
    ("detail", "vgg_m"): (0.0797, 0.3109),
    ("detail", "vgg_16"): (0.0639, 0.3232),
    ("middle", "vgg_f"): (0.2553, 0.2868),
    ("middle", "vgg_m"): (0.2868, 0.2991),
    ("middle", "vgg_16"): (0.2838, 0.3064),
    ("general", "vgg_f"): (0.2902, 0.2941),
    ("general", "vgg_m"): (0.2395, 0.2946),
    ("general", "vgg_16"): (0.2910, 0.3010),
}
STANDS_FOR = {"small": "vgg_f", "medium": "vgg_m", "large": "vgg_16"}  # at KitchenMini's sizes
COLUMNS = ("stn_default", "sstn")  # the paper does not say how its STN's last layer starts


def printed(level: str, localizer: str, model: str) -> float | None:
    """The accuracy that Table 2 prints for a cell, None where it has none."""
    numbers = TABLE_2.get((level, STANDS_FOR.get(localizer, localizer)))
    return numbers[COLUMNS.index(model)] if numbers and model in COLUMNS else None
