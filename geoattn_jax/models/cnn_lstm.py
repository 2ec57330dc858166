"""CNN and LSTM trained end to end, the future work of Shan & Atanasov 2017."""

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from geoattn_jax.layers import VideoLSTM
from geoattn_jax.models.frame_cnn import FrameCNN
from geoattn_jax.models.frames import frames_of, per_video


class CNNLSTM(nn.Module):
    """A frame classifier with an LSTM that gives a class at every step.

    A video's scores are the last step's logits. The frames' own logits come along: their loss beside the
    video's keeps the CNN a frame classifier.

    Attributes:
      num_classes: number of outputs.
      lstm_units: size of the hidden state.
      axis_name, dtype, remat: see `FrameCNN`.
    """

    num_classes: int
    lstm_units: int = 64
    axis_name: str | None = None
    dtype: DTypeLike | None = None
    remat: bool = False

    def setup(self) -> None:
        self.cnn = FrameCNN(self.num_classes, self.axis_name, self.dtype, self.remat)
        self.lstm = VideoLSTM(self.lstm_units, dtype=self.dtype)
        self.fc = nn.Dense(self.num_classes, dtype=self.dtype)

    def __call__(
        self, video: Float[Array, "b t h w c"], *, train: bool
    ) -> tuple[Float[Array, "b t classes"], Float[Array, "b t classes"]]:
        """The logits of each step, from the frames up to it, and those of each frame alone.

        With `train`, the CNN normalizes by the batch's own statistics.
        """
        features = self.cnn.features(frames_of(video), train=train)
        frame_logits = self.cnn.classify(features)
        hidden = self.lstm(per_video(features, video))
        return self.fc(hidden), per_video(frame_logits, video)
