"""What theta alone tells of the class: a region that moves with the scene can give the class away."""

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def class_from_theta(
    train_theta: Float[np.ndarray, "n 2 3"],
    train_labels: Int[np.ndarray, " n"],
    theta: Float[np.ndarray, "m 2 3"],
    labels: Int[np.ndarray, " m"],
) -> Bool[np.ndarray, " m"]:
    """Whether a support vector machine (RBF kernel), fitted on `train_theta`, names each region's class."""
    probe = make_pipeline(StandardScaler(), SVC(C=10.0))
    probe.fit(train_theta.reshape(-1, 6).astype(np.float64), train_labels)
    return probe.predict(theta.reshape(-1, 6).astype(np.float64)) == labels
