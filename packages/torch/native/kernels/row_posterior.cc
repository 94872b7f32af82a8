// stf::row_posterior_mean: the means of the posteriors over all rows of a matrix of bytes, on the CPU.
//
// Why it exists: at most noise levels few rows have a weight worth mentioning. They are found by comparing a few coordinates of
// all rows, and only they are read; each once, for its product with the point and for the weighted sum.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>

#include "instruction_set.h"
#include "parallel.h"
#include "row_posterior_loops.h"
#include "scratch.h"

namespace addon {
namespace {

const RowPosteriorLoops& rowLoops() {
  static const RowPosteriorLoops chosen = FOR_THIS_PROCESSOR(rowPosteriorLoops);
  return chosen;
}

// The rows are summed up in this many parts, which threads divide among themselves, with less memory for the sums than this.
constexpr int64_t kMostParts = 16;
constexpr int64_t kMostBytes = 64 << 20;

int64_t quotientUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

void checkSketch(const at::Tensor& rows, const at::Tensor& norms, const at::Tensor& coordinates, const at::Tensor& lengths,
                 const at::Tensor& tails, const at::Tensor& basis, const at::Tensor& mean) {
  const int64_t padded = quotientUp(rows.size(0), SketchedRows::kPadding) * SketchedRows::kPadding, dimensions = basis.size(0);
  const auto check = [](const at::Tensor& tensor, at::ScalarType type, int64_t numel, const char* name) {
    TORCH_CHECK(tensor.device().is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == type && tensor.numel() == numel, name,
                " must be ", numel, " contiguous values of ", type, " on the CPU, found ", tensor.scalar_type(), " ", tensor.sizes());
  };
  TORCH_CHECK(dimensions % 2 == 0, "the dimensions of a sketch must be even, found ", dimensions);
  check(norms, at::kInt, rows.size(0), "the squared norms");
  check(coordinates, at::kShort, padded * dimensions, "the coordinates");
  check(lengths, at::kFloat, padded, "the squared lengths");
  check(tails, at::kFloat, padded, "the tails");
  check(basis, at::kFloat, dimensions * rows.size(1), "the basis");
  check(mean, at::kFloat, rows.size(1), "the mean");
}

at::Tensor rowPosteriorMean(const at::Tensor& origins, const at::Tensor& directions, const at::Tensor& steps, const at::Tensor& rows,
                            const at::Tensor& norms, const at::Tensor& coordinates, const at::Tensor& lengths, const at::Tensor& tails,
                            const at::Tensor& basis, const at::Tensor& mean, double scale) {
  TORCH_CHECK(rows.dim() == 2 && rows.size(0) > 0 && rows.scalar_type() == at::kByte && rows.device().is_cpu(),
              "rows must be a uint8 matrix on the CPU, found ", rows.scalar_type(), " ", rows.sizes());
  const RowPosteriorLoops& loops = rowLoops();
  checkSketch(rows, norms, coordinates, lengths, tails, basis, mean);
  const int64_t points = origins.size(0), columns = rows.size(1);
  TORCH_CHECK(origins.dim() == 2 && origins.size(1) == columns && origins.scalar_type() == at::kByte, "origins must be rows like uint8 ",
              rows.sizes(), ", found ", origins.scalar_type(), " ", origins.sizes());
  TORCH_CHECK(directions.sizes() == origins.sizes() && directions.scalar_type() == at::kFloat,
              "directions must be float32 with the shape of the origins, ", origins.sizes(), ", found ", directions.scalar_type(), " ",
              directions.sizes());
  TORCH_CHECK(steps.dim() == 1 && steps.size(0) == points && steps.scalar_type() == at::kDouble, "steps must be float64 [", points,
              "], found ", steps.scalar_type(), " ", steps.sizes());
  const at::Tensor r = rows.contiguous(), o = origins.contiguous(), d = directions.contiguous(), s = steps.contiguous();
  const SketchedRows sketched{r.data_ptr<uint8_t>(),    norms.data_ptr<int32_t>(), rows.size(0),
                              columns,                     coordinates.data_ptr<int16_t>(), lengths.data_ptr<float>(),
                              tails.data_ptr<float>(),     basis.data_ptr<float>(),   mean.data_ptr<float>(),
                              basis.size(0),               static_cast<float>(scale)};
  const at::Tensor workspace = at::empty({loops.workspace(points, sketched)}, at::kByte);
  void* prepared = workspace.data_ptr();
  const uint8_t* originRows = o.data_ptr<uint8_t>();
  const float* directionRows = d.data_ptr<float>();
  const double* step = s.data_ptr<double>();
  parallelFor(points, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      loops.prepare(originRows + i * columns, directionRows + i * columns, step[i], i, points, sketched, prepared);
    }
  });

  const int64_t blocks = quotientUp(sketched.count, loops.rowsAtOnce);
  const int64_t affordable = kMostBytes / std::max<int64_t>(points * columns * static_cast<int64_t>(sizeof(float)), 1);
  const int64_t parts = std::max<int64_t>(std::min({kMostParts, blocks, affordable}), 1);
  const at::Tensor largest = at::zeros({parts, points}, steps.options()), weights = at::zeros_like(largest);
  const at::Tensor found = at::empty({parts, 2, points}, steps.options().dtype(at::kLong));
  float* sums = scratch(Scratch::sums, parts * points * columns);
  uint64_t* f = reinterpret_cast<uint64_t*>(found.data_ptr<int64_t>());
  double* l = largest.data_ptr<double>();
  double* w = weights.data_ptr<double>();
  parallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float* own = sums + part * points * columns;
      std::fill(own, own + points * columns, 0.0f);
      loops.sums(prepared, points, sketched, part * blocks / parts, (part + 1) * blocks / parts, f + 2 * part * points,
                 l + part * points, w + part * points, own);
    }
  });
  // Relative to the largest of all parts.
  const at::Tensor shares = (largest - largest.amax(0)).exp_();
  const at::Tensor factors = (shares / (shares * weights).sum(0)).to(at::kFloat);
  const float* factor = factors.data_ptr<float>();
  at::Tensor result = at::zeros({points, columns}, directions.options());
  float* means = result.data_ptr<float>();
  parallelFor(points, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t part = 0; part < parts; ++part) {
        const float* own = sums + (part * points + i) * columns;
        const float share = factor[part * points + i];
        for (int64_t c = 0; c < columns; ++c) means[i * columns + c] += share * own[c];
      }
    }
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def(
      "row_posterior_mean(Tensor origins, Tensor directions, Tensor steps, Tensor rows, Tensor norms, Tensor coordinates, "
      "Tensor lengths, Tensor tails, Tensor basis, Tensor mean, float scale) -> Tensor");
}

TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("row_posterior_mean", rowPosteriorMean); }

}  // namespace addon
