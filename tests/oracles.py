"""The package's operations as nested loops over plain numbers, in float64: their specification.

Arrays and conventions are those of the public functions; nothing here is fast or shared with the package.
"""

import itertools
import math

import numpy as np
import scipy.linalg


def read(plane: np.ndarray, y: float, x: float, padding_mode: str = "zeros") -> float:
    """One channel (h, w) of an image, read at one position (Jaderberg et al. 2015, Eq. 5)."""
    height, width = plane.shape
    if math.isnan(y) or math.isnan(x):
        return math.nan
    if padding_mode == "border":
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    elif not (-1 <= y < height and -1 <= x < width):
        return 0.0  # a pixel or more away from every pixel's centre; no pixel is touched
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(y - row)) * (1 - abs(x - column)) * float(plane[row, column])
    return total


def bilinear_sample(image: np.ndarray, coords: np.ndarray, *, padding_mode: str = "zeros") -> np.ndarray:
    samples = np.empty((*coords.shape[:-1], image.shape[-1]))
    for index in np.ndindex(coords.shape[:-1]):
        y, x = (float(value) for value in coords[index])
        for channel in range(image.shape[-1]):
            samples[(*index, channel)] = read(image[index[0], :, :, channel], y, x, padding_mode)
    return samples


def offset_resample(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    samples = np.empty(image.shape)
    for b, y, x, channel in np.ndindex(image.shape):
        dy, dx = (float(value) for value in offsets[b, y, x, channel])
        samples[b, y, x, channel] = read(image[b, :, :, channel], y + dy, x + dx, "border")
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


def explicit_padding(
    input_hw: tuple[int, int],
    kernel_hw: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME",
    kernel_dilation: tuple[int, int] = (1, 1),
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The pixels added ((top, bottom), (left, right)) by "SAME", "VALID" or as given."""
    if padding == "VALID":
        return (0, 0), (0, 0)
    if padding != "SAME":
        return padding
    pairs = []
    for size, taps, stride, dilation in zip(input_hw, kernel_hw, strides, kernel_dilation, strict=True):
        outputs = math.ceil(size / stride)
        total = max((outputs - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def output_size(
    input_hw: tuple[int, int],
    kernel_hw: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME",
    kernel_dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width of a convolution's output: one for each place where the dilated kernel fits."""
    pads = explicit_padding(
        input_hw, kernel_hw, strides=strides, padding=padding, kernel_dilation=kernel_dilation
    )
    return tuple(
        len(range(0, size + sum(pad) - (taps - 1) * dilation, stride))
        for size, pad, taps, stride, dilation in zip(
            input_hw, pads, kernel_hw, strides, kernel_dilation, strict=True
        )
    )


def deform_conv2d(
    image: np.ndarray,
    offsets: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    strides: tuple[int, int] = (1, 1),
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME",
    kernel_dilation: tuple[int, int] = (1, 1),
    feature_group_count: int = 1,
) -> np.ndarray:
    batch, height, width, channels = image.shape
    kernel_height, kernel_width, group_channels, features = kernel.shape
    geometry = {"strides": strides, "padding": padding, "kernel_dilation": kernel_dilation}
    (pad_top, _), (pad_left, _) = explicit_padding((height, width), kernel.shape[:2], **geometry)
    rows, columns = output_size((height, width), kernel.shape[:2], **geometry)
    channels_per_offset_group = channels // offsets.shape[3]
    features_per_group = features // feature_group_count

    output = np.zeros((batch, rows, columns, features))
    for b, row, column, feature in np.ndindex(output.shape):
        total = 0.0 if bias is None else float(bias[feature])
        for i, j, k in np.ndindex(kernel_height, kernel_width, group_channels):
            channel = feature // features_per_group * group_channels + k
            offset_group = channel // channels_per_offset_group
            tap = i * kernel_width + j
            dy, dx = (float(value) for value in offsets[b, row, column, offset_group, tap])
            y = row * strides[0] - pad_top + i * kernel_dilation[0] + dy
            x = column * strides[1] - pad_left + j * kernel_dilation[1] + dx
            sample = read(image[b, :, :, channel], y, x)
            weight = 1.0 if mask is None else float(mask[b, row, column, offset_group, tap])
            total += float(kernel[i, j, k, feature]) * weight * sample
        output[b, row, column, feature] = total
    return output


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
                sample = read(plane, y * height - 0.5, x * width - 0.5)
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
