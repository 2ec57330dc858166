// Pixels of an image read at real-valued positions, and the transpose of that.
//
// An image has `height` x `width` pixels of `channels`, which `groups` divide evenly. It is read at
// `positions`, outputs x groups x taps x (y, x), bilinearly. That gives columns, outputs x taps x channels:
// for every output a row of the matrix whose product with a kernel is a convolution.
#ifndef GEOATTN_JAX_NATIVE_COLUMNS_H_
#define GEOATTN_JAX_NATIVE_COLUMNS_H_

#include <cstdint>

namespace geoattn {

struct Sizes {
  std::int64_t height, width, channels, outputs, groups, taps;
  bool border;  // whether the nearest pixel is read outside of the image, not zeros
  // If positions are offsets from the outputs' places in a grid, row by row, its width; else 0.
  std::int64_t grid_width;
  std::int64_t first_output;  // its number in the grid
};

struct Arguments {
  const float* image;
  const float* positions;
  const float* mask;    // weighs the taps, outputs x groups x taps; may be null
  const float* unread;  // zeros for all channels, in the place of a pixel that is not read
};

struct Gradients {
  float* to_image;  // is added to
  float* to_positions;
  float* to_mask;    // may be null
  float* columns;    // where to write once more what is read; may be null
  float* unwritten;  // for all channels, in the place of the gradient of a pixel that is not read
};

struct Kernels {
  const char* instructions;  // that they are compiled for
  void (*read)(const Sizes&, const Arguments&, float* columns);
  void (*transpose)(const Sizes&, const Arguments&, const float* cotangent, const Gradients&);
};

#ifdef __x86_64__
extern const Kernels x86_64_kernels, x86_64_v3_kernels, x86_64_v4_kernels;
#else
extern const Kernels baseline_kernels;
#endif

}  // namespace geoattn

#endif  // GEOATTN_JAX_NATIVE_COLUMNS_H_
