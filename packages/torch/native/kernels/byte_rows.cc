// stf::relative_squared_distances and stf::weighted_row_sum: the two matrix products of the stable target, with some or all
// rows of a large matrix of bytes, on the CPU.
//
// Why they exist: stock operators gather the rows, convert them to floats, and need a float product, split into parts that
// are short enough to be exact, where an integer product takes a quarter of the time.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <algorithm>

#include "byte_rows_loops.h"
#include "instruction_set.h"
#include "parallel.h"
#include "scratch.h"

namespace addon {
namespace {

const ByteDistanceLoops& distanceLoops() {
  static const ByteDistanceLoops chosen = FOR_THIS_PROCESSOR(byteDistanceLoops);
  return chosen;
}

const ByteSumLoops& sumLoops() {
  static const ByteSumLoops chosen = FOR_THIS_PROCESSOR(byteSumLoops);
  return chosen;
}

using Index = c10::optional<at::Tensor>;

void checkRows(const at::Tensor& rows, const Index& index) {
  TORCH_CHECK(rows.dim() == 2, "rows must be a matrix, found ", rows.sizes());
  TORCH_CHECK(rows.scalar_type() == at::kByte || rows.is_floating_point(), "rows must be uint8 or floating point, found ",
              rows.scalar_type());
  if (!index) return;
  TORCH_CHECK(index->device() == rows.device(), "the index must be on the device of the rows, ", rows.device(), ", found ", index->device());
  TORCH_CHECK(index->dim() == 1 && (index->scalar_type() == at::kInt || index->scalar_type() == at::kLong),
              "the index must be a list of int32 or int64, found ", index->scalar_type(), " ", index->sizes());
}

int64_t countOf(const at::Tensor& rows, const Index& index) { return index ? index->numel() : rows.size(0); }

at::Tensor chosen(const at::Tensor& rows, const Index& index) { return index ? rows.index_select(0, *index) : rows; }

// The loops record no graph for automatic differentiation; stock operators do.
bool isConstant(const at::Tensor& tensor) { return !at::GradMode::is_enabled() || !tensor.requires_grad(); }

bool areBytesHere(const at::Tensor& rows) { return rows.device().is_cpu() && rows.scalar_type() == at::kByte && rows.is_contiguous(); }

// The rows as the loops read them; owns the index.
struct ChosenRows {
  at::Tensor index;
  ByteRows rows;

  ChosenRows(const at::Tensor& matrix, const Index& chosen) : rows{matrix.data_ptr<uint8_t>(), matrix.size(1), nullptr} {
    if (!chosen) return;
    index = chosen->to(at::kLong).contiguous();
    const int64_t* numbers = index.data_ptr<int64_t>();
    for (int64_t j = 0; j < index.numel(); ++j) {
      TORCH_CHECK_INDEX(numbers[j] >= 0 && numbers[j] < matrix.size(0), "index ", numbers[j], " is out of range for ", matrix.size(0),
                        " rows");
    }
    rows.index = numbers;
  }
};

at::Tensor workspaceOf(int64_t bytes) { return at::empty({bytes}, at::kByte); }

int64_t quotientUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }

at::Tensor fastDistances(const at::Tensor& origins, const at::Tensor& directions, const at::Tensor& steps, const ChosenRows& chosen,
                         int64_t count) {
  const ByteDistanceLoops& loops = distanceLoops();
  const int64_t queries = origins.size(0), columns = origins.size(1);
  at::Tensor result = at::empty({queries, count}, steps.options());
  const at::Tensor workspace = workspaceOf(loops.workspace(queries, columns));
  const uint8_t* o = origins.data_ptr<uint8_t>();
  const float* d = directions.data_ptr<float>();
  const double* s = steps.data_ptr<double>();
  void* prepared = workspace.data_ptr();
  double* out = result.data_ptr<double>();
  parallelFor(queries, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) loops.prepare(o + i * columns, d + i * columns, i, queries, columns, prepared);
  });
  const ScratchPerThread memory(loops.scratch(queries, columns));
  parallelFor(quotientUp(count, loops.rowsAtOnce), 1, [&](int64_t begin, int64_t end) {
    loops.distances(prepared, s, queries, chosen.rows, begin * loops.rowsAtOnce, std::min(end * loops.rowsAtOnce, count), out, count,
                    memory.ofThisThread());
  });
  return result;
}

// Products of centred bytes are at most 2^14, so float32 represents sums of this many exactly.
constexpr int64_t kExactColumns = 1024;

at::Tensor stockDistances(const at::Tensor& origins, const at::Tensor& directions, const at::Tensor& steps, const at::Tensor& rows) {
  const auto dtype = rows.is_floating_point() ? rows.scalar_type() : directions.scalar_type();
  at::Tensor distances = at::zeros({origins.size(0), rows.size(0)}, steps.options());
  at::Tensor alongDirections = at::zeros_like(distances);
  for (int64_t first = 0; first < rows.size(1); first += kExactColumns) {
    const int64_t width = std::min(kExactColumns, rows.size(1) - first);
    const auto values = [&](const at::Tensor& matrix) {
      const at::Tensor part = matrix.narrow(1, first, width).to(dtype);
      return rows.is_floating_point() ? part : part - 128;
    };
    const at::Tensor o = values(origins), r = values(rows), d = directions.narrow(1, first, width).to(dtype);
    const at::Tensor squares = o.square().sum(1, true).to(at::kDouble) + r.square().sum(1).to(at::kDouble);
    distances = distances + (squares - 2 * o.mm(r.t()).to(at::kDouble));
    const at::Tensor alongOrigins = (d.to(at::kDouble) * o.to(at::kDouble)).sum(1, true);
    alongDirections = alongDirections + (alongOrigins - d.mm(r.t()).to(at::kDouble));
  }
  return distances + 2 * steps.unsqueeze(1) * alongDirections;
}

at::Tensor relativeSquaredDistances(const at::Tensor& origins, const at::Tensor& directions, const at::Tensor& steps,
                                    const at::Tensor& rows, const Index& index) {
  checkRows(rows, index);
  TORCH_CHECK(origins.dim() == 2 && origins.size(1) == rows.size(1) && origins.scalar_type() == rows.scalar_type(),
              "origins must be rows like ", rows.scalar_type(), " ", rows.sizes(), ", found ", origins.scalar_type(), " ", origins.sizes());
  TORCH_CHECK(directions.sizes() == origins.sizes() && directions.is_floating_point(),
              "directions must be floating point with the shape of the origins, ", origins.sizes(), ", found ",
              directions.scalar_type(), " ", directions.sizes());
  TORCH_CHECK(steps.dim() == 1 && steps.size(0) == origins.size(0) && steps.scalar_type() == at::kDouble,
              "steps must be float64 [", origins.size(0), "], found ", steps.scalar_type(), " ", steps.sizes());
  const bool isFast = areBytesHere(rows) && origins.is_cpu() && directions.is_cpu() && steps.is_cpu() &&
                      directions.scalar_type() == at::kFloat && isConstant(directions) && isConstant(steps);
  if (!isFast) return stockDistances(origins, directions, steps, chosen(rows, index));
  return fastDistances(origins.contiguous(), directions.contiguous(), steps.contiguous(), ChosenRows(rows, index), countOf(rows, index));
}

at::Tensor fastSum(const at::Tensor& weights, const ChosenRows& chosen) {
  const ByteSumLoops& loops = sumLoops();
  const int64_t outputs = weights.size(0), count = weights.size(1), columns = chosen.rows.columns;
  at::Tensor result = at::zeros({outputs, columns}, weights.options());
  const at::Tensor workspace = workspaceOf(loops.workspace(outputs, count));
  const float* w = weights.data_ptr<float>();
  void* packed = workspace.data_ptr();
  float* out = result.data_ptr<float>();
  parallelFor(quotientUp(count, loops.rowsAtOnce), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) loops.pack(w, outputs, count, block, packed);
  });
  const ScratchPerThread memory(loops.scratch);
  parallelFor(quotientUp(columns, loops.columnsAtOnce), 1, [&](int64_t begin, int64_t end) {
    loops.sums(packed, outputs, chosen.rows, count, begin, end, out, memory.ofThisThread());
  });
  return result;
}

at::Tensor weightedRowSum(const at::Tensor& weights, const at::Tensor& rows, const Index& index) {
  checkRows(rows, index);
  const int64_t count = countOf(rows, index);
  TORCH_CHECK(weights.dim() == 2 && weights.size(1) == count && weights.is_floating_point(),
              "weights must be floating point with one column for each of ", count, " rows, found ", weights.scalar_type(), " ",
              weights.sizes());
  const at::Tensor converted = weights.to(rows.is_floating_point() ? rows.scalar_type() : at::kFloat);
  const bool isFast = areBytesHere(rows) && weights.is_cpu() && isConstant(weights);
  if (isFast) return fastSum(converted.contiguous(), ChosenRows(rows, index));
  return converted.mm(chosen(rows, index).to(converted.scalar_type()));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def("relative_squared_distances(Tensor origins, Tensor directions, Tensor steps, Tensor rows, Tensor? index=None) -> Tensor");
  library.def("weighted_row_sum(Tensor weights, Tensor rows, Tensor? index=None) -> Tensor");
}

// One implementation for all backends: it inspects the tensors.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) {
  library.impl("relative_squared_distances", relativeSquaredDistances);
  library.impl("weighted_row_sum", weightedRowSum);
}

}  // namespace addon
