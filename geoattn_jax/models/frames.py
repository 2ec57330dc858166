"""Videos as batches of frames, and back: what is divided among devices by videos stays so."""

from jaxtyping import Array, Float

from geoattn_jax.ops.placement import reshape


def frames_of(video: Float[Array, "b t h w c"]) -> Float[Array, "bt h w c"]:
    """All frames of all videos, one after the other."""
    batch, time, *rest = video.shape
    return reshape(video, (batch * time, *rest))


def per_video(of_frames: Float[Array, "bt f"], video: Float[Array, "b t h w c"]) -> Float[Array, "b t f"]:
    """What was computed of `frames_of(video)`, by video and time."""
    return reshape(of_frames, (*video.shape[:2], of_frames.shape[-1]))
