// Pixels of an image read at real-valued positions, and the transposes of that.
//
// An image has `height` x `width` pixels of `channels`, which `groups` divide evenly. It is read at `positions`,
// outputs x groups x taps x (y, x), bilinearly. That gives columns, outputs x taps x channels: the rows of the
// matrix whose product with a kernel is a convolution.
#ifndef GEOATTN_JAX_NATIVE_COLUMNS_H_
#define GEOATTN_JAX_NATIVE_COLUMNS_H_

#include <cstdint>

namespace geoattn {

struct Sizes {
  std::int64_t height, width, channels, outputs, groups, taps;
  bool border;  // whether the nearest pixel is read outside of the image, not zeros
};

// What an image is read at; `mask` weighs the taps, outputs x groups x taps, and may be null.
struct Arguments {
  const float* image;
  const float* positions;
  const float* mask;
};

// Where gradients go. `to_image` is added to. `to_mask` and `columns`, the forward pass's result, may be null.
struct Gradients {
  float* to_image;
  float* to_positions;
  float* to_mask;
  float* columns;
};

using ReadFunction = void (*)(const Sizes&, const Arguments&, float* columns);
using TransposeFunction = void (*)(const Sizes&, const Arguments&, const float* cotangent, const Gradients&);

struct Kernels {
  ReadFunction read;
  TransposeFunction transpose;
  const char* instructions;  // that they are compiled for
};

#ifdef __x86_64__
extern const Kernels x86_64_kernels, x86_64_v3_kernels, x86_64_v4_kernels;
#else
extern const Kernels baseline_kernels;
#endif

}  // namespace geoattn

#endif  // GEOATTN_JAX_NATIVE_COLUMNS_H_
