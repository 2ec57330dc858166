// Neighbouring numbers in one register of the processor.
#ifndef GEOATTN_JAX_NATIVE_VECTORS_H_
#define GEOATTN_JAX_NATIVE_VECTORS_H_

#include <cstdint>
#include <cstring>

namespace geoattn {
namespace {

// How many a register holds.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

template <int kWidth>
struct Vectors {
  static constexpr int kCount = kWidth;
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
  static constexpr int kCount = 1;
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

}  // namespace
}  // namespace geoattn

#endif  // GEOATTN_JAX_NATIVE_VECTORS_H_
