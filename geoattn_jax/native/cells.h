// Where a block of positions is read: the pixels of their cells, and how much these count.
#ifndef GEOATTN_JAX_NATIVE_CELLS_H_
#define GEOATTN_JAX_NATIVE_CELLS_H_

#include <cstdint>

#include "columns.h"

namespace geoattn {
namespace {  // Each set of instructions gets its own: what is shared by name might be that of another
             // processor.

// So many positions have their cells found at once, by vectors.
constexpr int kBlock = 64;
constexpr int kCorners = 4;  // of a cell: (0, 0), (0, 1), (1, 0), (1, 1) from its first pixel on, (y, x)

// Along an axis: the pixels between which a coordinate lies.
struct Neighbours {
  std::int32_t first;    // the index of the first of them
  bool reads0, reads1;   // whether they are read
  float blend0, blend1;  // their weights, NaN if the coordinate is
  float slope0, slope1;  // the weights' derivatives
};

// The rules of `neighbours_of` of ops/interpolation.py, and of `padded` of ops/padding.py.
template <bool kBorder>
inline __attribute__((always_inline)) Neighbours NeighboursOf(float coordinate, float last,
                                                              float last_but_one) {
  bool moves = true;
  if (kBorder) {
    moves = (coordinate >= 0.f) & (coordinate < last);
    coordinate = coordinate < 0.f ? 0.f : coordinate;
    coordinate = coordinate >= last ? last : coordinate;
  }
  float first = __builtin_floorf(coordinate);
  first = first < last_but_one ? first : last_but_one;
  first = coordinate > 0.f ? first : 0.f;  // a NaN compares false
  const float distance0 = coordinate - first, distance1 = distance0 - 1.f;
  const float hat0 = 1.f - __builtin_fabsf(distance0), hat1 = 1.f - __builtin_fabsf(distance1);
  Neighbours found;
  found.first = static_cast<std::int32_t>(first);
  found.reads0 = (distance0 >= -1.f) & (distance0 < 1.f);
  found.reads1 = (distance1 >= -1.f) & (distance1 < 1.f) & (last > 0.f);
  found.blend0 = hat0 < 0.f ? 0.f : hat0;  // NaN if the coordinate is
  found.blend1 = hat1 < 0.f ? 0.f : hat1;
  found.slope0 = moves ? (distance0 < 0.f ? 1.f : -1.f) : 0.f;
  found.slope1 = moves ? (distance1 < 0.f ? 1.f : -1.f) : 0.f;
  return found;
}

inline float AtLeastZero(float value) { return value < 0.f ? 0.f : value; }

// For each position of a block: where the pixels of its cell are, and how they count.
struct Cells {
  std::int32_t place[kCorners][kBlock];  // in the image, in numbers; -1 where none is read
  float blend[kCorners][kBlock];         // NaN if the position is
  // Only for gradients, and 0 where none is read:
  float weight[kCorners][kBlock];
  float along_y[kCorners][kBlock], along_x[kCorners][kBlock];  // its derivatives
};

template <bool kBorder, bool kGradient>
void Find(const Sizes& sizes, const float* positions, int count, Cells& cells) {
  const float last_y = sizes.height - 1, last_but_one_y = AtLeastZero(last_y - 1.f);
  const float last_x = sizes.width - 1, last_but_one_x = AtLeastZero(last_x - 1.f);
  const std::int32_t right = sizes.channels, down = sizes.channels * sizes.width;
#pragma omp simd
  for (int i = 0; i < count; ++i) {
    const Neighbours y = NeighboursOf<kBorder>(positions[2 * i], last_y, last_but_one_y);
    const Neighbours x = NeighboursOf<kBorder>(positions[2 * i + 1], last_x, last_but_one_x);
    const std::int32_t place = y.first * down + x.first * right;
    const bool reads00 = y.reads0 & x.reads0, reads01 = y.reads0 & x.reads1;
    const bool reads10 = y.reads1 & x.reads0, reads11 = y.reads1 & x.reads1;
    const bool reads[] = {reads00, reads01, reads10, reads11};
    cells.place[0][i] = reads[0] ? place : -1;
    cells.place[1][i] = reads[1] ? place + right : -1;
    cells.place[2][i] = reads[2] ? place + down : -1;
    cells.place[3][i] = reads[3] ? place + down + right : -1;
    const float blend[] = {y.blend0 * x.blend0, y.blend0 * x.blend1, y.blend1 * x.blend0,
                           y.blend1 * x.blend1};
    for (int corner = 0; corner < kCorners; ++corner) cells.blend[corner][i] = blend[corner];
    if (kGradient) {
      for (int corner = 0; corner < kCorners; ++corner) {
        cells.weight[corner][i] = reads[corner] ? blend[corner] : 0.f;
      }
      cells.along_y[0][i] = reads[0] ? y.slope0 * x.blend0 : 0.f;
      cells.along_y[1][i] = reads[1] ? y.slope0 * x.blend1 : 0.f;
      cells.along_y[2][i] = reads[2] ? y.slope1 * x.blend0 : 0.f;
      cells.along_y[3][i] = reads[3] ? y.slope1 * x.blend1 : 0.f;
      cells.along_x[0][i] = reads[0] ? y.blend0 * x.slope0 : 0.f;
      cells.along_x[1][i] = reads[1] ? y.blend0 * x.slope1 : 0.f;
      cells.along_x[2][i] = reads[2] ? y.blend1 * x.slope0 : 0.f;
      cells.along_x[3][i] = reads[3] ? y.blend1 * x.slope1 : 0.f;
    }
  }
}

}  // namespace
}  // namespace geoattn

#endif  // GEOATTN_JAX_NATIVE_CELLS_H_
