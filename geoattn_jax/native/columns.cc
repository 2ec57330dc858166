// Compiled once for each set of instructions, which GEOATTN_KERNELS and GEOATTN_INSTRUCTIONS name.
#include "columns.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace geoattn {
namespace {

// So many positions have their cells found at once, by vectors.
constexpr int kBlock = 64;
constexpr int kCorners = 4;  // of a cell: (0, 0), (0, 1), (1, 0), (1, 1) from its first pixel on, (y, x)

// Along an axis: the pixels between which a coordinate lies.
struct Neighbours {
  std::int32_t first;     // the index of the first of them
  bool reads0, reads1;    // whether they are read
  float blend0, blend1;   // their weights, NaN if the coordinate is
  float slope0, slope1;   // the weights' derivatives
};

// `neighbours_of` of ops/interpolation.py, line by line.
template <bool kBorder>
inline __attribute__((always_inline)) Neighbours NeighboursOf(float coordinate, float last, float last_but_one) {
  bool moves = true;
  if (kBorder) {
    moves = (coordinate >= 0.f) & (coordinate < last);
    coordinate = coordinate < 0.f ? 0.f : coordinate;
    coordinate = coordinate >= last ? last : coordinate;
  }
  float first = std::floor(coordinate);
  first = first < last_but_one ? first : last_but_one;
  first = coordinate > 0.f ? first : 0.f;  // a NaN compares false
  const float distance0 = coordinate - first, distance1 = distance0 - 1.f;
  const float hat0 = 1.f - std::fabs(distance0), hat1 = 1.f - std::fabs(distance1);
  Neighbours found;
  found.first = static_cast<std::int32_t>(first);
  found.reads0 = (distance0 >= -1.f) & (distance0 < 1.f);
  found.reads1 = (distance1 >= -1.f) & (distance1 < 1.f) & (last > 0.f);
  found.blend0 = hat0 < 0.f ? 0.f : hat0;
  found.blend1 = hat1 < 0.f ? 0.f : hat1;
  found.slope0 = moves ? (distance0 < 0.f ? 1.f : -1.f) : 0.f;
  found.slope1 = moves ? (distance1 < 0.f ? 1.f : -1.f) : 0.f;
  return found;
}

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
  const float last_y = sizes.height - 1, last_but_one_y = std::max(last_y - 1.f, 0.f);
  const float last_x = sizes.width - 1, last_but_one_x = std::max(last_x - 1.f, 0.f);
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
    const float blend[] = {y.blend0 * x.blend0, y.blend0 * x.blend1, y.blend1 * x.blend0, y.blend1 * x.blend1};
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

// Calls `visit(first, count)` for the positions of an image, a block of them at a time.
template <bool kGradient, typename Visit>
void ForBlocks(const Sizes& sizes, const float* positions, Cells& cells, const Visit& visit) {
  const std::int64_t all = sizes.outputs * sizes.groups * sizes.taps;
  for (std::int64_t first = 0; first < all; first += kBlock) {
    const int count = static_cast<int>(std::min<std::int64_t>(kBlock, all - first));
    const auto find = sizes.border ? Find<true, kGradient> : Find<false, kGradient>;
    find(sizes, positions + 2 * first, count, cells);
    visit(first, count);
  }
}

// Where the channels of a position's group lie in a pixel of the image, and in the columns.
class Places {
 public:
  Places(const Sizes& sizes, std::int64_t position)
      : sizes_(sizes),
        per_group_(sizes.channels / sizes.groups),
        tap_(position % sizes.taps),
        group_(position / sizes.taps % sizes.groups),
        output_(position / sizes.taps / sizes.groups) {}

  std::int64_t in_pixel() const { return group_ * per_group_; }

  std::int64_t in_columns() const { return (output_ * sizes_.taps + tap_) * sizes_.channels + in_pixel(); }

  void operator++() {
    if (++tap_ < sizes_.taps) return;
    tap_ = 0;
    if (++group_ < sizes_.groups) return;
    group_ = 0;
    ++output_;
  }

 private:
  const Sizes& sizes_;
  const std::int64_t per_group_;
  std::int64_t tap_, group_, output_;
};

// Neighbouring numbers in one register, as many as the processor's hold.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

template <int kWidth>
struct Vectors {
  typedef float Type __attribute__((vector_size(kWidth * sizeof(float)), aligned(alignof(float)), may_alias));

  static Type Load(const float* from) { return *reinterpret_cast<const Type*>(from); }
  static void Store(Type values, float* to) { *reinterpret_cast<Type*>(to) = values; }

  static float Sum(const Type& values) {
    typename Vectors<kWidth / 2>::Type halves[2];
    std::memcpy(halves, &values, sizeof(values));
    return Vectors<kWidth / 2>::Sum(halves[0] + halves[1]);
  }
};

template <>
struct Vectors<1> {
  using Type = float;

  static Type Load(const float* from) { return *from; }
  static void Store(Type value, float* to) { *to = value; }
  static float Sum(Type value) { return value; }
};

// Calls `step` for channels in vectors, for the rest in shorter ones, and one by one.
template <typename Step>
inline __attribute__((always_inline)) void ForChannels(std::int64_t channels, const Step& step) {
  std::int64_t c = step(Vectors<kLanes>(), 0, channels);
  if (kLanes > 4) c = step(Vectors<4>(), c, channels);
  step(Vectors<1>(), c, channels);
}

// What a cell's pixels have to do with one position.
struct Corners {
  const float* pixels[kCorners];
  float blend[kCorners];
};

template <typename Vector>
inline __attribute__((always_inline)) auto Blended(const Corners& corners, std::int64_t c) {
  return corners.blend[0] * Vector::Load(corners.pixels[0] + c) + corners.blend[1] * Vector::Load(corners.pixels[1] + c) +
         corners.blend[2] * Vector::Load(corners.pixels[2] + c) + corners.blend[3] * Vector::Load(corners.pixels[3] + c);
}

inline Corners CornersOf(const Cells& cells, int i, const float* image, const float* unread) {
  Corners corners;
  for (int corner = 0; corner < kCorners; ++corner) {
    const std::int32_t place = cells.place[corner][i];
    corners.pixels[corner] = place < 0 ? unread : image + place;
    corners.blend[corner] = cells.blend[corner][i];
  }
  return corners;
}

// kChannels of a group, or any number of them if it is 0.
template <int kChannels>
void Read(const Sizes& sizes, const Arguments& arguments, float* columns) {
  const std::int64_t channels = kChannels ? kChannels : sizes.channels / sizes.groups;
  const std::vector<float> unread(channels);
  Cells cells;
  ForBlocks<false>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    Places places(sizes, first);
    for (int i = 0; i < count; ++i, ++places) {
      const Corners corners = CornersOf(cells, i, arguments.image + places.in_pixel(), unread.data());
      const float weight = arguments.mask ? arguments.mask[first + i] : 1.f;
      float* const column = columns + places.in_columns();
      ForChannels(channels, [&](auto vector, std::int64_t c, std::int64_t end) {
        using Vector = decltype(vector);
        constexpr int kWidth = sizeof(typename Vector::Type) / sizeof(float);
        for (; c + kWidth <= end; c += kWidth) {
          Vector::Store(weight * Blended<Vector>(corners, c), column + c);
        }
        return c;
      });
    }
  });
}

template <int kChannels, bool kColumns>
void Transpose(const Sizes& sizes, const Arguments& arguments, const float* cotangent,
               const Gradients& gradients) {
  const std::int64_t channels = kChannels ? kChannels : sizes.channels / sizes.groups;
  const std::vector<float> unread(channels);
  std::vector<float> unwritten(channels);
  Cells cells;
  ForBlocks<true>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    Places places(sizes, first);
    for (int i = 0; i < count; ++i, ++places) {
      const Corners corners = CornersOf(cells, i, arguments.image + places.in_pixel(), unread.data());
      float* adds[kCorners];
      float weights[kCorners], along_y[kCorners], along_x[kCorners];
      for (int corner = 0; corner < kCorners; ++corner) {
        const std::int32_t place = cells.place[corner][i];
        adds[corner] = place < 0 ? unwritten.data() : gradients.to_image + places.in_pixel() + place;
        weights[corner] = cells.weight[corner][i];
        along_y[corner] = cells.along_y[corner][i];
        along_x[corner] = cells.along_x[corner][i];
      }
      const float weight = arguments.mask ? arguments.mask[first + i] : 1.f;
      const float* const along = cotangent + places.in_columns();
      float* const column = kColumns ? gradients.columns + places.in_columns() : nullptr;
      float to_y = 0.f, to_x = 0.f, to_mask = 0.f;
      ForChannels(channels, [&](auto vector, std::int64_t c, std::int64_t end) {
        using Vector = decltype(vector);
        constexpr int kWidth = sizeof(typename Vector::Type) / sizeof(float);
        if (c + kWidth > end) return c;
        typename Vector::Type dots[kCorners] = {};
        for (; c + kWidth <= end; c += kWidth) {
          const auto values = Vector::Load(along + c), weighed = weight * values;
          if constexpr (kColumns) Vector::Store(weight * Blended<Vector>(corners, c), column + c);
          // The corners lie apart from each other, but for those that are not read.
          for (int corner = 0; corner < kCorners; ++corner) {
            dots[corner] += values * Vector::Load(corners.pixels[corner] + c);
            float* const sum = adds[corner] + c;
            Vector::Store(Vector::Load(sum) + weights[corner] * weighed, sum);
          }
        }
        typename Vector::Type sum_y = {}, sum_x = {}, sum_mask = {};
        for (int corner = 0; corner < kCorners; ++corner) {
          sum_y += along_y[corner] * dots[corner];
          sum_x += along_x[corner] * dots[corner];
          sum_mask += corners.blend[corner] * dots[corner];
        }
        to_y += Vector::Sum(sum_y);
        to_x += Vector::Sum(sum_x);
        if (gradients.to_mask) to_mask += Vector::Sum(sum_mask);
        return c;
      });
      gradients.to_positions[2 * (first + i)] = weight * to_y;
      gradients.to_positions[2 * (first + i) + 1] = weight * to_x;
      if (gradients.to_mask) gradients.to_mask[first + i] = to_mask;
    }
  });
}

// A single channel at every position, as of a grey image, or where each channel has positions of its own: what
// follows the cells is computed by vectors of positions, too.

template <typename Visit>
inline __attribute__((always_inline)) void ForPixels(const Cells& cells, std::int64_t channels, std::int64_t first,
                                                     int count, const Visit& visit) {
  std::int32_t channel = static_cast<std::int32_t>(first % channels);
  for (int i = 0; i < count; ++i) {
    for (int corner = 0; corner < kCorners; ++corner) {
      const std::int32_t place = cells.place[corner][i];
      visit(corner, i, place < 0 ? -1 : place + channel);
    }
    if (++channel == channels) channel = 0;
  }
}

void ReadSingle(const Sizes& sizes, const Arguments& arguments, float* columns) {
  Cells cells;
  float pixels[kCorners][kBlock];
  ForBlocks<false>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    ForPixels(cells, sizes.channels, first, count, [&](int corner, int i, std::int32_t place) {
      pixels[corner][i] = place < 0 ? 0.f : arguments.image[place];
    });
    const float* const mask = arguments.mask ? arguments.mask + first : nullptr;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const float sum = cells.blend[0][i] * pixels[0][i] + cells.blend[1][i] * pixels[1][i] +
                        cells.blend[2][i] * pixels[2][i] + cells.blend[3][i] * pixels[3][i];
      columns[first + i] = mask ? mask[i] * sum : sum;
    }
  });
}

void TransposeSingle(const Sizes& sizes, const Arguments& arguments, const float* cotangent,
                     const Gradients& gradients) {
  Cells cells;
  float pixels[kCorners][kBlock], adds[kCorners][kBlock];
  ForBlocks<true>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    const float* const mask = arguments.mask ? arguments.mask + first : nullptr;
    for (int corner = 0; corner < kCorners; ++corner) {
#pragma omp simd
      for (int i = 0; i < count; ++i) {
        const float value = cells.weight[corner][i] * cotangent[first + i];
        adds[corner][i] = mask ? mask[i] * value : value;
      }
    }
    ForPixels(cells, sizes.channels, first, count, [&](int corner, int i, std::int32_t place) {
      pixels[corner][i] = place < 0 ? 0.f : arguments.image[place];
      if (place >= 0) gradients.to_image[place] += adds[corner][i];
    });
    float* const to_positions = gradients.to_positions + 2 * first;
    const auto weighed = [&](const float (&weights)[kCorners][kBlock], int i) {
      return weights[0][i] * pixels[0][i] + weights[1][i] * pixels[1][i] + weights[2][i] * pixels[2][i] +
             weights[3][i] * pixels[3][i];
    };
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      const float value = mask ? mask[i] * cotangent[first + i] : cotangent[first + i];
      to_positions[2 * i] = value * weighed(cells.along_y, i);
      to_positions[2 * i + 1] = value * weighed(cells.along_x, i);
    }
    for (int i = 0; i < count; ++i) {
      const float sum = weighed(cells.blend, i);
      if (gradients.to_mask) gradients.to_mask[first + i] = cotangent[first + i] * sum;
      if (gradients.columns) gradients.columns[first + i] = mask ? mask[i] * sum : sum;
    }
  });
}

// Few channels do not fill a vector: then their number had better be known to the compiler.
void ReadAny(const Sizes& sizes, const Arguments& arguments, float* columns) {
  const std::int64_t channels = sizes.channels / sizes.groups;
  const auto read = channels == 1 && sizes.taps == 1 ? ReadSingle
                    : channels <= 4                  ? (ReadFunction[]){Read<1>, Read<2>, Read<3>, Read<4>}[channels - 1]
                                                     : Read<0>;
  read(sizes, arguments, columns);
}

template <bool kColumns>
TransposeFunction TransposeOf(std::int64_t channels) {
  switch (channels) {
    case 1: return Transpose<1, kColumns>;
    case 2: return Transpose<2, kColumns>;
    case 3: return Transpose<3, kColumns>;
    case 4: return Transpose<4, kColumns>;
    default: return Transpose<0, kColumns>;
  }
}

void TransposeAny(const Sizes& sizes, const Arguments& arguments, const float* cotangent,
                  const Gradients& gradients) {
  const std::int64_t channels = sizes.channels / sizes.groups;
  const auto transpose = channels == 1 && sizes.taps == 1 ? TransposeSingle
                         : gradients.columns              ? TransposeOf<true>(channels)
                                                          : TransposeOf<false>(channels);
  transpose(sizes, arguments, cotangent, gradients);
}

}  // namespace

extern const Kernels GEOATTN_KERNELS;
const Kernels GEOATTN_KERNELS{ReadAny, TransposeAny, GEOATTN_INSTRUCTIONS};

}  // namespace geoattn
