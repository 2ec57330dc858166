"""The numbers that Shan & Atanasov 2017 print."""

# Table 1: test cross-entropy and test accuracy, by model and condition. The authors' released program tests
# on what it trained on: a class's training and test video have one name, `extract_features.py` writes the
# features of both to the one file of that name, and `data_mnist.py` reads it for training and for testing.
TABLE_1 = {
    ("lenet", "normal"): (1.44, 0.9796),
    ("lenet", "rotation"): (1.42, 0.9843),
    ("lenet", "scaling"): (1.52, 0.9628),
    ("lenet", "rotation_scaling"): (1.51, 0.9682),
    ("lenet", "elastic"): (1.48, 0.9719),
    ("stn", "normal"): (1.98, 0.8726),
    ("stn", "rotation"): (1.97, 0.9047),
    ("stn", "scaling"): (1.99, 0.8690),
    ("stn", "rotation_scaling"): (1.99, 0.8910),
    # As printed: LeNet's numbers, to the last digit, and far from STN's others. Likely a misprint.
    ("stn", "elastic"): (1.48, 0.9719),
    ("dcn", "normal"): (1.27, 0.9962),
    ("dcn", "rotation"): (1.29, 0.9970),
    ("dcn", "scaling"): (1.28, 0.9941),
    ("dcn", "rotation_scaling"): (1.25, 0.9946),
    ("dcn", "elastic"): (1.28, 0.9930),
}


def printed(model: str, condition: str, metric: str, *, protocol: str) -> float | None:
    """What Table 1 prints for a cell, None where it has none; metric is "loss" or "accuracy".

    The numbers belong to the protocol "same_frames", see above.
    """
    if protocol != "same_frames" or (model, condition) not in TABLE_1:
        return None
    return TABLE_1[model, condition][("loss", "accuracy").index(metric)]
