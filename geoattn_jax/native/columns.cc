// Compiled once for each set of instructions, which GEOATTN_KERNELS and GEOATTN_INSTRUCTIONS name. It calls
// nothing of the standard library that is compiled here: the linker keeps one copy, for any of the
// instructions.
#include "columns.h"

#include "cells.h"
#include "vectors.h"

namespace geoattn {
namespace {

// The offsets of a block of positions, moved by where their outputs are in the grid, (y, x) in pixels.
void AddGrid(const Sizes& sizes, const float* offsets, std::int64_t first, int count, float* positions) {
  const std::int64_t of_output = sizes.groups * sizes.taps;
  std::int64_t output = first / of_output;
  for (int i = 0; i < count; ++output) {
    const std::int64_t left = (output + 1) * of_output - first;
    const int end = static_cast<int>(left < count ? left : count);
    const std::int64_t place = sizes.first_output + output;
    const float y = place / sizes.grid_width, x = place % sizes.grid_width;
    for (; i < end; ++i) {
      positions[2 * i] = y + offsets[2 * i];
      positions[2 * i + 1] = x + offsets[2 * i + 1];
    }
  }
}

// Calls `visit(first, count)` for the positions of an image, a block of them at a time.
template <bool kGradient, typename Visit>
void ForBlocks(const Sizes& sizes, const float* positions, Cells& cells, const Visit& visit) {
  const std::int64_t all = sizes.outputs * sizes.groups * sizes.taps;
  const auto find = sizes.border ? Find<true, kGradient> : Find<false, kGradient>;
  float moved[2 * kBlock];
  for (std::int64_t first = 0; first < all; first += kBlock) {
    const int count = static_cast<int>(all - first < kBlock ? all - first : kBlock);
    const float* some = positions + 2 * first;
    if (sizes.grid_width) {
      AddGrid(sizes, some, first, count, moved);
      some = moved;
    }
    find(sizes, some, count, cells);
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

// A position: its number, how it is weighed, where the channels of its group lie in the columns, and its
// cell: where they lie in the pixels of that, and how these count.
struct Position {
  std::int64_t number;
  float weight;
  std::int64_t in_columns;
  const float* pixels[kCorners];
  float blend[kCorners];
};

// Calls `visit(position, cells, i)`, whose cell is the i-th of these, for all positions of an image.
template <bool kGradient, typename Visit>
inline __attribute__((always_inline)) void ForPositions(const Sizes& sizes, const Arguments& arguments,
                                                        const Visit& visit) {
  Cells cells;
  ForBlocks<kGradient>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    Places places(sizes, first);
    for (int i = 0; i < count; ++i, ++places) {
      Position position;
      position.number = first + i;
      position.weight = arguments.mask ? arguments.mask[first + i] : 1.f;
      position.in_columns = places.in_columns();
      for (int corner = 0; corner < kCorners; ++corner) {
        const std::int32_t place = cells.place[corner][i];
        position.pixels[corner] = place < 0 ? arguments.unread : arguments.image + places.in_pixel() + place;
        position.blend[corner] = cells.blend[corner][i];
      }
      visit(position, cells, i);
    }
  });
}

// What some channels of a position read.
template <typename Vector>
inline __attribute__((always_inline)) auto Blended(const Position& position, std::int64_t c) {
  auto sum = position.blend[0] * Vector::Load(position.pixels[0] + c);
  for (int corner = 1; corner < kCorners; ++corner) {
    sum += position.blend[corner] * Vector::Load(position.pixels[corner] + c);
  }
  return position.weight * sum;
}

// kChannels of a group, or any number of them if it is 0.
template <int kChannels>
void Read(const Sizes& sizes, const Arguments& arguments, float* columns) {
  const std::int64_t channels = kChannels ? kChannels : sizes.channels / sizes.groups;
  ForPositions<false>(sizes, arguments, [&](const Position& position, const Cells&, int) {
    float* const column = columns + position.in_columns;
    ForChannels(channels, [&](auto vector, std::int64_t c, std::int64_t end) {
      using Vector = decltype(vector);
      for (; c + Vector::kCount <= end; c += Vector::kCount) {
        Vector::Store(Blended<Vector>(position, c), column + c);
      }
      return c;
    });
  });
}

// Where the cotangent of a position goes, and what it is multiplied with there.
struct Ways {
  float* pixels[kCorners];
  float weight[kCorners], along_y[kCorners], along_x[kCorners];

  Ways(const Position& position, const Arguments& arguments, const Gradients& gradients, const Cells& cells,
       int i) {
    for (int corner = 0; corner < kCorners; ++corner) {
      const bool read = cells.place[corner][i] >= 0;
      pixels[corner] =
          read ? gradients.to_image + (position.pixels[corner] - arguments.image) : gradients.unwritten;
      weight[corner] = cells.weight[corner][i];
      along_y[corner] = cells.along_y[corner][i];
      along_x[corner] = cells.along_x[corner][i];
    }
  }
};

// Sums over channels: of the gradients in y, x and the mask.
struct Sums {
  float y = 0.f, x = 0.f, mask = 0.f;
};

// Adds what comes from channels c and following, as long as they fill vectors; returns the first that do not.
template <typename Vector>
inline __attribute__((always_inline)) std::int64_t Spread(const Position& position, const Ways& ways,
                                                          const float* cotangent, float* column,
                                                          std::int64_t c, std::int64_t end, Sums& sums) {
  if (c + Vector::kCount > end) return c;
  typename Vector::Type dots[kCorners] = {};
  for (; c + Vector::kCount <= end; c += Vector::kCount) {
    const auto values = Vector::Load(cotangent + c), weighed = position.weight * values;
    if (column) Vector::Store(Blended<Vector>(position, c), column + c);
    // The corners lie apart from each other, but for those that are not read.
    for (int corner = 0; corner < kCorners; ++corner) {
      dots[corner] += values * Vector::Load(position.pixels[corner] + c);
      float* const sum = ways.pixels[corner] + c;
      Vector::Store(Vector::Load(sum) + ways.weight[corner] * weighed, sum);
    }
  }
  typename Vector::Type y = {}, x = {}, mask = {};
  for (int corner = 0; corner < kCorners; ++corner) {
    y += ways.along_y[corner] * dots[corner];
    x += ways.along_x[corner] * dots[corner];
    mask += position.blend[corner] * dots[corner];
  }
  sums.y += Vector::Sum(y);
  sums.x += Vector::Sum(x);
  sums.mask += Vector::Sum(mask);
  return c;
}

template <int kChannels>
void Transpose(const Sizes& sizes, const Arguments& arguments, const float* cotangent,
               const Gradients& gradients) {
  const std::int64_t channels = kChannels ? kChannels : sizes.channels / sizes.groups;
  ForPositions<true>(sizes, arguments, [&](const Position& position, const Cells& cells, int i) {
    const Ways ways(position, arguments, gradients, cells, i);
    float* const column = gradients.columns ? gradients.columns + position.in_columns : nullptr;
    Sums sums;
    ForChannels(channels, [&](auto vector, std::int64_t c, std::int64_t end) {
      return Spread<decltype(vector)>(position, ways, cotangent + position.in_columns, column, c, end, sums);
    });
    gradients.to_positions[2 * position.number] = position.weight * sums.y;
    gradients.to_positions[2 * position.number + 1] = position.weight * sums.x;
    if (gradients.to_mask) gradients.to_mask[position.number] = sums.mask;
  });
}

// A single channel at every position, as of a grey image, or where each channel has positions of its own:
// what follows the cells is computed by vectors of positions, too.

// Calls `visit` for the pixels of each cell with their places in the image, -1 for what is not read.
template <typename Visit>
inline __attribute__((always_inline)) void ForPixels(const Sizes& sizes, const Cells& cells,
                                                     std::int64_t first, int count, const Visit& visit) {
  const std::int32_t right = sizes.channels, down = sizes.channels * sizes.width;
  std::int32_t channel = first % sizes.channels;
  for (int i = 0; i < count; ++i) {
    const std::int32_t upper_left = cells.place[0][i], lower_right = cells.place[3][i];
    if ((upper_left | lower_right) >= 0) {  // all are read
      const std::int32_t place = upper_left + channel;
      visit(0, i, place);
      visit(1, i, place + right);
      visit(2, i, place + down);
      visit(3, i, place + down + right);
    } else {
      for (int corner = 0; corner < kCorners; ++corner) {
        const std::int32_t place = cells.place[corner][i];
        visit(corner, i, place < 0 ? -1 : place + channel);
      }
    }
    if (++channel == right) channel = 0;
  }
}

void ReadSingle(const Sizes& sizes, const Arguments& arguments, float* columns) {
  Cells cells;
  float pixels[kCorners][kBlock];
  ForBlocks<false>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    ForPixels(sizes, cells, first, count, [&](int corner, int i, std::int32_t place) {
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
  const float* const image = arguments.image;
  float* const to_image = gradients.to_image;
  ForBlocks<true>(sizes, arguments.positions, cells, [&](std::int64_t first, int count) {
    ForPixels(sizes, cells, first, count, [&, image](int corner, int i, std::int32_t place) {
      pixels[corner][i] = place < 0 ? 0.f : image[place];
    });
    float along[kBlock];
    const float* const mask = arguments.mask ? arguments.mask + first : nullptr;
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      along[i] = mask ? mask[i] * cotangent[first + i] : cotangent[first + i];
      for (int corner = 0; corner < kCorners; ++corner) {
        adds[corner][i] = cells.weight[corner][i] * along[i];
      }
    }
    ForPixels(sizes, cells, first, count, [&, to_image](int corner, int i, std::int32_t place) {
      if (place >= 0) to_image[place] += adds[corner][i];
    });
    float* const to_positions = gradients.to_positions + 2 * first;
    const auto weighed = [&](const float (&weights)[kCorners][kBlock], int i) {
      return weights[0][i] * pixels[0][i] + weights[1][i] * pixels[1][i] + weights[2][i] * pixels[2][i] +
             weights[3][i] * pixels[3][i];
    };
#pragma omp simd
    for (int i = 0; i < count; ++i) {
      to_positions[2 * i] = along[i] * weighed(cells.along_y, i);
      to_positions[2 * i + 1] = along[i] * weighed(cells.along_x, i);
    }
    if (gradients.to_mask || gradients.columns) {
      for (int i = 0; i < count; ++i) {
        const float sum = weighed(cells.blend, i);
        if (gradients.to_mask) gradients.to_mask[first + i] = cotangent[first + i] * sum;
        if (gradients.columns) gradients.columns[first + i] = mask ? mask[i] * sum : sum;
      }
    }
  });
}

bool IsSingle(const Sizes& sizes) { return sizes.channels == sizes.groups && sizes.taps == 1; }

// The three channels of a frame fill no vector: then the compiler had better know their number.
bool IsColour(const Sizes& sizes) { return sizes.channels == 3 * sizes.groups; }

void ReadAny(const Sizes& sizes, const Arguments& arguments, float* columns) {
  const auto read = IsSingle(sizes) ? ReadSingle : IsColour(sizes) ? Read<3> : Read<0>;
  read(sizes, arguments, columns);
}

void TransposeAny(const Sizes& sizes, const Arguments& arguments, const float* cotangent,
                  const Gradients& gradients) {
  const auto transpose = IsSingle(sizes) ? TransposeSingle : IsColour(sizes) ? Transpose<3> : Transpose<0>;
  transpose(sizes, arguments, cotangent, gradients);
}

}  // namespace

extern const Kernels GEOATTN_KERNELS;
const Kernels GEOATTN_KERNELS{GEOATTN_INSTRUCTIONS, ReadAny, TransposeAny};

}  // namespace geoattn
