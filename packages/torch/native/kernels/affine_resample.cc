// stf::affine_resample: resamples planes along affine maps, between filters that scale up and down by two; for float32 on the CPU.
//
// Why it exists: stock operators read the grid and weights again for every plane, and write planes of four
// times the size between steps. For the hundreds of images of a training step this took as long as the network.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "affine_resample_loops.h"
#include "instruction_set.h"
#include "parallel.h"

namespace addon {
namespace {

constexpr int64_t kLongestSide = 1024;

const ResampleLoops& loops() {
  static const ResampleLoops chosen = FOR_THIS_PROCESSOR(resampleLoops);
  return chosen;
}

at::Tensor affineResample(const at::Tensor& planes, const at::Tensor& maps, const at::Tensor& taps) {
  TORCH_CHECK(planes.device().is_cpu() && planes.scalar_type() == at::kFloat && planes.dim() == 4,
              "planes must be float32 [groups, planes, height, width] on the CPU");
  TORCH_CHECK(maps.device().is_cpu() && maps.scalar_type() == at::kDouble && maps.sizes() == at::IntArrayRef({planes.size(0), 6}),
              "maps must be float64 [", planes.size(0), ", 6] on the CPU: one for each group");
  TORCH_CHECK(taps.device().is_cpu() && taps.scalar_type() == at::kFloat && taps.sizes() == at::IntArrayRef({kFilterTaps}),
              "taps must be float32 [", kFilterTaps, "] on the CPU");
  // Positions are 32-bit integers: images have at most a few thousand pixels a side, and a few hundred megabytes.
  TORCH_CHECK(planes.size(2) <= kLongestSide && planes.size(3) <= kLongestSide, "planes must have at most ", kLongestSide,
              " pixels a side, found ", planes.size(2), " x ", planes.size(3));
  TORCH_CHECK(maps.isfinite().all().item<bool>(), "maps must be finite");
  TORCH_CHECK(!(at::GradMode::is_enabled() && planes.requires_grad()), "planes must not require a gradient");
  const ResampleShape shape{planes.size(1), planes.size(2), planes.size(3)};
  const at::Tensor in = planes.contiguous(), map = maps.contiguous(), filter = taps.contiguous();
  at::Tensor result = at::empty(in.sizes(), in.options());
  if (result.numel() == 0) return result;
  const int64_t size = loops().blockSize(shape.planes);
  const int64_t blocks = planes.size(0) * ((shape.planes + size - 1) / size);
  int64_t floats = 0;
  for (int64_t i = 0; i < planes.size(0); ++i) floats = std::max(floats, loops().scratch(shape, map.data_ptr<double>() + 6 * i));
  // Not kept, unlike other kernels' scratch memory: large images need hundreds of megabytes.
  const at::Tensor memory = at::empty({at::get_num_threads(), floats}, in.options());
  parallelFor(blocks, 1, [&](int64_t first, int64_t last) {
    loops().resample(shape, in.data_ptr<float>(), map.data_ptr<double>(), filter.data_ptr<float>(), first, last,
                     result.data_ptr<float>(), memory.data_ptr<float>() + at::get_thread_num() * floats);
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("affine_resample(Tensor planes, Tensor maps, Tensor taps) -> Tensor"); }

TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("affine_resample", affineResample); }

}  // namespace addon
