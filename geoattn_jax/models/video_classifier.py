"""The spatiotemporal model of Shan & Atanasov 2017 (Figure 1): a CNN for each frame, an LSTM over time."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers.lstm import GateActivation, VideoLSTM
from geoattn_jax.models import glorot
from geoattn_jax.models.frames import frames_of, per_video


class VideoClassifier(nn.Module):
    """Classifies a video from the LSTM's outputs at all frames.

    The paper trains in two stages. `classify` is the second: the CNN is frozen, its features were extracted
    once, and only `lstm` and `fc` have parameters. `__call__` is the whole model, for training end to end;
    put the parts together with `{"cnn": cnn_params, **head_params}`.

    Attributes:
      cnn: a module whose method `features` maps images (b, h, w, c) to features (b, f).
      num_classes: number of outputs.
      lstm_units: size of the hidden state.
      dtype: of the computation after the CNN; None to infer it from features and parameters.
      gate_activation: of the LSTM, see `VideoLSTM`.

    Example:
      >>> import jax
      >>> from geoattn_jax.models.lenet import LeNet
      >>> from geoattn_jax.models.video_classifier import VideoClassifier
      >>> model, features = VideoClassifier(LeNet()), jax.numpy.ones((2, 10, 500))
      >>> variables = model.init(jax.random.key(0), features, method="classify")
      >>> model.apply(variables, features, method="classify").shape
      (2, 100)
    """

    cnn: nn.Module
    num_classes: int = 100
    lstm_units: int = 8
    dtype: DTypeLike | None = None
    gate_activation: GateActivation = "sigmoid"

    def setup(self) -> None:
        _, dense = glorot.layers(self.dtype)
        self.lstm = VideoLSTM(self.lstm_units, dtype=self.dtype, gate_activation=self.gate_activation)
        self.fc = dense(self.num_classes)

    def __call__(self, video: Float[Array, "b t h w c"]) -> Float[Array, "b classes"]:
        """The logits of each video's class."""
        return self.classify(self.features(video))

    def features(self, video: Float[Array, "b t h w c"]) -> Float[Array, "b t f"]:
        """The CNN's features of every frame."""
        return per_video(self.cnn.features(frames_of(video)), video)

    def classify(self, features: Float[Array, "b t f"]) -> Float[Array, "b classes"]:
        """The logits of each video's class, from its frames' features."""
        return self.classify_projected(self.project(features))

    def project(self, features: Float[Array, "b t f"]) -> Float[Array, "b t gates"]:
        """The first half of `classify`, a product with the LSTM's input kernel (`VideoLSTM.project`)."""
        return self.lstm.project(features)

    def classify_projected(self, projected: Float[Array, "b t gates"]) -> Float[Array, "b classes"]:
        """The second half of `classify`."""
        return self.classify_hidden(self.lstm.recur(projected))

    def classify_hidden(self, hidden: Float[Array, "b t u"]) -> Float[Array, "b classes"]:
        """What is left of `classify` after the LSTM."""
        return self.fc(hidden.reshape(hidden.shape[0], -1))
