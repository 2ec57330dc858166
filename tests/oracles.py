"""The package's operations as nested loops over plain numbers, in float64: their specification.

Arrays and conventions are those of the public functions; nothing here is fast or shared with the package.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy.linalg


def read(
    plane: np.ndarray,
    position: Sequence[float],
    method: str = "bilinear",
    padding_mode: str = "zeros",
    reflect_at: str = "edge",
) -> float:
    """One channel of an image (h, w) or a volume (d, h, w), read at one position.

    Jaderberg et al. 2015, Eq. 3; with a kernel that is 1 at the nearest pixel, Eq. 5, or Keys 1981, Eq. 4.
    """
    if any(math.isnan(x) or (math.isinf(x) and padding_mode == "reflection") for x in position):
        return math.nan
    axes = [
        taps(x, size, method, padding_mode, reflect_at) for x, size in zip(position, plane.shape, strict=True)
    ]
    total = 0.0
    for pixel in itertools.product(*axes):
        place = tuple(index for index, _ in pixel)
        if all(0 <= index < size for index, size in zip(place, plane.shape, strict=True)):
            total += math.prod(weight for _, weight in pixel) * float(plane[place])
    return total


def taps(x: float, size: int, method: str, padding_mode: str, reflect_at: str) -> list[tuple[int, float]]:
    """The pixels, and their weights, that a coordinate is read from along an axis of `size` pixels."""
    if padding_mode != "reflection":
        x = min(max(x, -3.0), size + 2.0)  # beyond, nothing changes any more
    if method == "bicubic":  # here the place of each pixel is padded
        around = range(math.floor(x) - 1, math.floor(x) + 3)
        return [
            (round(padded(index, size, padding_mode, reflect_at)), keys_kernel(x - index)) for index in around
        ]
    x = padded(x, size, padding_mode, reflect_at)
    if method == "nearest":
        return [(round(x), 1.0)]  # halfway it rounds to the even one
    return [(index, 1 - abs(x - index)) for index in (math.floor(x), math.floor(x) + 1)]


def padded(x: float, size: int, padding_mode: str, reflect_at: str) -> float:
    """Where a coordinate is read along an axis of `size` pixels."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        first, last = (-0.5, size - 0.5) if reflect_at == "edge" else (0, size - 1)
        # The mirrors' images repeat, each time once as the image is and once turned around.
        x = (x - first) % (2 * (last - first)) + first if last > first else first
        x = x if x <= last else 2 * last - x
    return min(max(x, 0), size - 1)


def keys_kernel(distance: float) -> float:
    """Keys 1981, Eq. 4, with a = -3/4."""
    a, s = -0.75, abs(distance)
    if s <= 1:
        return (a + 2) * s**3 - (a + 3) * s**2 + 1
    return a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a


def sample(image: np.ndarray, coords: np.ndarray, **options: str) -> np.ndarray:
    samples = np.empty((*coords.shape[:-1], image.shape[-1]))
    for index in np.ndindex(coords.shape[:-1]):
        position = [float(x) for x in coords[index]]
        for channel in range(image.shape[-1]):
            samples[(*index, channel)] = read(image[index[0], ..., channel], position, **options)
    return samples


def bilinear_sample(image: np.ndarray, coords: np.ndarray, *, padding_mode: str = "zeros") -> np.ndarray:
    return sample(image, coords, padding_mode=padding_mode)


def offset_resample(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    samples = np.empty(image.shape)
    for b, y, x, channel in np.ndindex(image.shape):
        dy, dx = (float(value) for value in offsets[b, y, x, channel])
        samples[b, y, x, channel] = read(image[b, :, :, channel], (y + dy, x + dx), padding_mode="border")
    return samples


def affine_grid(
    theta: np.ndarray, *, input_hw: tuple[int, int], output_hw: tuple[int, int], align_corners: bool = False
) -> np.ndarray:
    def to_normalized(pixel: int, size: int) -> float:
        if align_corners:
            return 0.0 if size == 1 else -1 + 2 * pixel / (size - 1)
        return -1 + (2 * pixel + 1) / size

    def to_pixel(normalized: float, size: int) -> float:
        if align_corners:
            return (normalized + 1) / 2 * (size - 1)
        return ((normalized + 1) * size - 1) / 2

    grid = np.empty((len(theta), *output_hw, 2))
    for b, row, column in np.ndindex(grid.shape[:-1]):
        target = (to_normalized(column, output_hw[1]), to_normalized(row, output_hw[0]), 1.0)
        x, y = (
            sum(float(weight) * value for weight, value in zip(line, target, strict=True))
            for line in theta[b]
        )
        grid[b, row, column] = to_pixel(y, input_hw[0]), to_pixel(x, input_hw[1])
    return grid


Pads = str | tuple[tuple[int, int], ...]


def explicit_padding(
    sizes: tuple[int, ...],
    kernel_sizes: tuple[int, ...],
    *,
    strides: tuple[int, ...] | None = None,
    padding: Pads = "SAME",
    kernel_dilation: tuple[int, ...] | None = None,
) -> tuple[tuple[int, int], ...]:
    """The pixels added before and after along each axis by "SAME", "VALID" or as given."""
    ones = (1,) * len(sizes)
    if padding == "VALID":
        return ((0, 0),) * len(sizes)
    if padding != "SAME":
        return padding
    pairs = []
    for size, taps, stride, dilation in zip(
        sizes, kernel_sizes, strides or ones, kernel_dilation or ones, strict=True
    ):
        outputs = math.ceil(size / stride)
        total = max((outputs - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def output_size(
    sizes: tuple[int, ...],
    kernel_sizes: tuple[int, ...],
    *,
    strides: tuple[int, ...] | None = None,
    padding: Pads = "SAME",
    kernel_dilation: tuple[int, ...] | None = None,
) -> tuple[int, ...]:
    """The sizes of a convolution's output: one pixel for each place where the dilated kernel fits."""
    ones = (1,) * len(sizes)
    pads = explicit_padding(
        sizes, kernel_sizes, strides=strides, padding=padding, kernel_dilation=kernel_dilation
    )
    return tuple(
        len(range(0, size + sum(pad) - (taps - 1) * dilation, stride))
        for size, pad, taps, stride, dilation in zip(
            sizes, pads, kernel_sizes, strides or ones, kernel_dilation or ones, strict=True
        )
    )


def deform_conv2d(
    image: np.ndarray,
    offsets: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    strides: tuple[int, ...] | None = None,
    padding: Pads = "SAME",
    kernel_dilation: tuple[int, ...] | None = None,
    feature_group_count: int = 1,
) -> np.ndarray:
    """Of an image, or in the same way of a volume."""
    batch, *sizes, channels = image.shape
    *kernel_sizes, group_channels, features = kernel.shape
    ones = (1,) * len(sizes)
    strides, kernel_dilation = strides or ones, kernel_dilation or ones
    geometry = {"strides": strides, "padding": padding, "kernel_dilation": kernel_dilation}
    pads = explicit_padding(sizes, kernel_sizes, **geometry)
    channels_per_offset_group = channels // offsets.shape[-3]
    features_per_group = features // feature_group_count

    output = np.zeros((batch, *output_size(sizes, kernel_sizes, **geometry), features))
    for b, *pixel, feature in np.ndindex(output.shape):
        total = 0.0 if bias is None else float(bias[feature])
        for tap, tap_place in enumerate(np.ndindex(*kernel_sizes)):
            for k in range(group_channels):
                channel = feature // features_per_group * group_channels + k
                tap_of_group = (b, *pixel, channel // channels_per_offset_group, tap)
                position = [
                    pixel[axis] * strides[axis]
                    - pads[axis][0]
                    + tap_place[axis] * kernel_dilation[axis]
                    + float(offsets[tap_of_group][axis])
                    for axis in range(len(sizes))
                ]
                value = read(image[b, ..., channel], position)
                weight = 1.0 if mask is None else float(mask[tap_of_group])
                total += float(kernel[(*tap_place, k, feature)]) * weight * value
        output[(b, *pixel, feature)] = total
    return output


def deform_conv3d(volume: np.ndarray, *others: np.ndarray, **options) -> np.ndarray:
    return deform_conv2d(volume, *others, **options)


def deform_attention(
    values: np.ndarray,
    locations: np.ndarray,
    weights: np.ndarray,
    *,
    level_shapes: tuple[tuple[int, int], ...],
) -> np.ndarray:
    batch, _, heads, channels = values.shape
    queries, points = locations.shape[1], locations.shape[4]
    output = np.zeros((batch, queries, heads * channels))
    for b, query, head, channel in np.ndindex(batch, queries, heads, channels):
        total, first = 0.0, 0
        for level, (height, width) in enumerate(level_shapes):
            plane = values[b, first : first + height * width, head, channel].reshape(height, width)
            for point in range(points):
                y, x = (float(value) for value in locations[b, query, head, level, point])
                sample = read(plane, (y * height - 0.5, x * width - 0.5))
                total += float(weights[b, query, head, level, point]) * sample
            first += height * width
        output[b, query, head * channels + channel] = total
    return output


def trajectory_similarity(clip: np.ndarray, kind: str, sigma: float = 1.0) -> np.ndarray:
    """S of one clip (t, d) (Liu et al. 2019, Eq. 3)."""
    num_frames, features = clip.shape
    unit = clip / sigma
    matrix = np.empty((features, features))
    for i, j in np.ndindex(features, features):
        a, b = unit[:, i], unit[:, j]
        squared_distance = sum((a[t] - b[t]) ** 2 for t in range(num_frames)) / num_frames
        deviations = [trajectory - trajectory.mean() for trajectory in (a, b)]
        covariance = sum(deviations[0] * deviations[1]) / num_frames
        if kind == "rbf":
            matrix[i, j] = math.exp(-squared_distance / 2)
        elif kind == "euclidean":
            matrix[i, j] = math.sqrt(squared_distance)
        elif kind == "covariance":
            matrix[i, j] = covariance
        elif np.ptp(a) == 0 or np.ptp(b) == 0:
            matrix[i, j] = float(i == j)
        else:
            matrix[i, j] = covariance / (a.std() * b.std())
    return matrix if kind == "euclidean" else matrix + 1e-3 * np.eye(features)


def temporal_correlation(clip: np.ndarray, kind: str, sigma: float = 1.0) -> np.ndarray:
    """The descriptor of one clip (t, d)."""
    matrix = trajectory_similarity(clip, kind, sigma)
    if kind != "euclidean":
        matrix = scipy.linalg.logm(matrix)
    vector = [
        matrix[i, j] * (1 if i == j else math.sqrt(2))
        for i in range(len(matrix))
        for j in range(i, len(matrix))
    ]
    return np.array(vector) / np.linalg.norm(vector)


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """The precision at each positive's score, averaged; equal scores are let in together."""
    precisions = []
    for score in scores[positive]:
        admitted = scores >= score
        precisions.append(np.count_nonzero(admitted & positive) / np.count_nonzero(admitted))
    return float(np.mean(precisions))
