// The kernels behind XLA's foreign function interface, for batches of images that its threads share.
#include "xla/ffi/api/ffi.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "columns.h"

namespace geoattn {
namespace {

namespace ffi = xla::ffi;

using Operand = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Operand>;
using Dimensions = ffi::Span<const std::int64_t>;

// The kernels that this processor can run, the best of them first.
std::vector<const Kernels*> Runnable() {
#ifdef __x86_64__
  __builtin_cpu_init();
  std::vector<const Kernels*> found{&x86_64_kernels};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) {
    found.insert(found.begin(), &x86_64_v3_kernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      found.insert(found.begin(), &x86_64_v4_kernels);
    }
  }
  return found;
#else
  return {&baseline_kernels};
#endif
}

const Kernels* chosen = nullptr;

// Items of work that threads take one after the other. The thread that asks takes part: it must not wait for
// others to start, for it may be one of theirs, and all of them may wait likewise.
template <typename Work>
struct Items {
  Items(std::int64_t count, const Work& work) : count(count), work(work) {}

  void Take() noexcept {
    for (std::int64_t item; (item = next.fetch_add(1)) < count;) {
      work(item);
      if (done.fetch_add(1) + 1 == count) {
        const std::lock_guard<std::mutex> lock(mutex);
        all_done.notify_all();
      }
    }
  }

  void Wait() {
    std::unique_lock<std::mutex> lock(mutex);
    all_done.wait(lock, [this] { return done.load() == count; });
  }

  const std::int64_t count;
  const Work work;
  std::atomic<std::int64_t> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable all_done;
};

template <typename Work>
void Share(ffi::ThreadPool& threads, std::int64_t count, const Work& work) {
  if (count == 0) return;
  const auto items = std::make_shared<Items<Work>>(count, work);
  const std::int64_t helpers = std::min(count, threads.num_threads()) - 1;
  for (std::int64_t i = 0; i < helpers; ++i) threads.Schedule([items] { items->Take(); });
  items->Take();
  items->Wait();
}

std::int64_t Product(Dimensions dimensions, std::size_t first, std::size_t last) {
  return std::accumulate(dimensions.begin() + first, dimensions.begin() + last, std::int64_t{1},
                         std::multiplies<std::int64_t>());
}

// Operands are batches (*b, ...); what is missing has no elements.
struct Batch {
  std::int64_t images;
  Sizes sizes;
};

Batch BatchOf(const Operand& image, const Operand& positions, bool border, std::int64_t grid_width) {
  const Dimensions of_image = image.dimensions(), of_positions = positions.dimensions();
  const std::size_t b = of_image.size() - 3;
  return {Product(of_image, 0, b),
          {of_image[b], of_image[b + 1], of_image[b + 2], of_positions[b], of_positions[b + 1],
           of_positions[b + 2], border, grid_width, 0}};
}

template <typename Number>
Number* OfItem(Number* data, std::size_t elements, std::int64_t items, std::int64_t item) {
  return elements ? data + elements / items * item : nullptr;
}

const float* OfItem(const Operand& array, std::int64_t items, std::int64_t item) {
  return OfItem<const float>(array.typed_data(), array.element_count(), items, item);
}

float* OfItem(Result& array, std::int64_t items, std::int64_t item) {
  return OfItem<float>(array->typed_data(), array->element_count(), items, item);
}

ffi::Error Read(ffi::ThreadPool threads, Operand image, Operand positions, Operand mask, Result columns,
                bool border, std::int64_t grid_width) {
  const Batch batch = BatchOf(image, positions, border, grid_width);
  // Every image in so many pieces that there are some for each thread.
  const std::int64_t pieces = std::max<std::int64_t>(
      1, std::min(batch.sizes.outputs / 64,
                  4 * threads.num_threads() / std::max<std::int64_t>(1, batch.images)));
  const std::vector<float> unread(batch.sizes.channels);
  Share(threads, batch.images * pieces, [&](std::int64_t item) {
    const std::int64_t at = item / pieces, piece = item % pieces;
    const std::int64_t first = batch.sizes.outputs * piece / pieces;
    Sizes sizes = batch.sizes;
    sizes.first_output = first;
    sizes.outputs = batch.sizes.outputs * (piece + 1) / pieces - first;
    const std::int64_t before = first * sizes.groups * sizes.taps;
    const float* of_mask = OfItem(mask, batch.images, at);
    const Arguments arguments{OfItem(image, batch.images, at),
                              OfItem(positions, batch.images, at) + 2 * before,
                              of_mask ? of_mask + before : nullptr, unread.data()};
    chosen->read(sizes, arguments, OfItem(columns, batch.images, at) + first * sizes.taps * sizes.channels);
  });
  return ffi::Error::Success();
}

ffi::Error Transpose(ffi::ThreadPool threads, Operand image, Operand positions, Operand mask,
                     Operand cotangent, Operand so_far, Result to_image, Result to_positions, Result to_mask,
                     Result columns, bool border, std::int64_t grid_width) {
  const Batch batch = BatchOf(image, positions, border, grid_width);
  const std::vector<float> unread(batch.sizes.channels);
  std::vector<float> unwritten(batch.images * batch.sizes.channels);
  Share(threads, batch.images, [&](std::int64_t item) {
    const Arguments arguments{OfItem(image, batch.images, item), OfItem(positions, batch.images, item),
                              OfItem(mask, batch.images, item), unread.data()};
    const Gradients gradients{OfItem(to_image, batch.images, item), OfItem(to_positions, batch.images, item),
                              OfItem(to_mask, batch.images, item), OfItem(columns, batch.images, item),
                              unwritten.data() + item * batch.sizes.channels};
    const std::size_t bytes = to_image->size_bytes() / batch.images;
    const float* const before = OfItem(so_far, batch.images, item);
    if (!before) {
      std::memset(gradients.to_image, 0, bytes);
    } else if (before != gradients.to_image) {
      std::memcpy(gradients.to_image, before, bytes);
    }
    chosen->transpose(batch.sizes, arguments, OfItem(cotangent, batch.images, item), gradients);
  });
  return ffi::Error::Success();
}

}  // namespace

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(geoattn_jax_read, Read,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Ret<Operand>()
                                  .Attr<bool>("border")
                                  .Attr<std::int64_t>("grid_width"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(geoattn_jax_transpose, Transpose,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Arg<Operand>()
                                  .Ret<Operand>()
                                  .Ret<Operand>()
                                  .Ret<Operand>()
                                  .Ret<Operand>()
                                  .Attr<bool>("border")
                                  .Attr<std::int64_t>("grid_width"));

extern "C" {

// Chooses the kernels for these instructions, or the best if they are null, and says for which they are; null
// if this processor has no such instructions.
const char* geoattn_jax_choose(const char* instructions) {
  for (const Kernels* const kernels : Runnable()) {
    if (instructions == nullptr || std::strcmp(instructions, kernels->instructions) == 0) {
      chosen = kernels;
      return chosen->instructions;
    }
  }
  return nullptr;
}

// Of the sources that this is compiled from.
const char* geoattn_jax_sources() { return GEOATTN_SOURCES; }

// Of the interface that this is compiled for.
int geoattn_jax_api_major() { return XLA_FFI_API_MAJOR; }
int geoattn_jax_api_minor() { return XLA_FFI_API_MINOR; }

}  // extern "C"

#pragma GCC visibility pop

}  // namespace geoattn
