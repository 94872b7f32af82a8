// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "attention_loops.h"

#include <algorithm>
#include <cmath>

#include "products.h"
#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Queries whose weights are in memory at the same time.
constexpr int64_t kQueries = 128;

// Workspace for matrices, allocated one after the other.
class Workspace {
 public:
  explicit Workspace(float* scratch) : next_(scratch) {}

  float* take(int64_t size) {
    float* matrix = next_;
    next_ += size;
    return matrix;
  }

 private:
  float* next_;
};

// Every `step`-th number of each of `pixels` rows, `channels` numbers per row, as [channel block, pixel, 32].
template <class T>
void gather(const T* from, int64_t rowLength, int64_t step, int64_t pixels, int64_t channels, float factor, float* to) {
  for (int64_t block = 0; block < channels; block += kBlock) {
    for (int64_t p = 0; p < pixels; ++p) {
      const T* row = from + p * rowLength + block * step;
      for (int64_t c = 0; c < kBlock; ++c) *to++ = static_cast<float>(row[c * step]) * factor;
    }
  }
}

// The same transposed: [pixel block, channel, 32].
template <class T>
void gatherTransposed(const T* from, int64_t rowLength, int64_t step, int64_t pixels, int64_t channels, float* to) {
  for (int64_t block = 0; block < pixels; block += kBlock) {
    for (int64_t p = 0; p < kBlock; ++p) {
      const T* row = from + (block + p) * rowLength;
      for (int64_t c = 0; c < channels; ++c) to[c * kBlock + p] = static_cast<float>(row[c * step]);
    }
    to += channels * kBlock;
  }
}

template <class T>
void scatter(const float* from, int64_t rowLength, int64_t step, int64_t pixels, int64_t channels, float factor, T* to) {
  for (int64_t block = 0; block < channels; block += kBlock) {
    for (int64_t p = 0; p < pixels; ++p) {
      T* row = to + p * rowLength + block * step;
      for (int64_t c = 0; c < kBlock; ++c) row[c * step] = static_cast<T>(*from++ * factor);
    }
  }
}

// c = left right, every block of 32 columns; left as [channel block, leftStride, 32], right [column block, channels, 32],
// c [column block, rows, 32].
void multiplyAll(const float* left, int64_t leftStride, int64_t rows, const float* right, int64_t channels, int64_t columns, float* c) {
  for (int64_t column = 0; column < columns; column += kBlock) {
    multiply(left, leftStride, right + column * channels, channels, rows, c + column * rows);
  }
}

// u = left^T right for all blocks, added to u unless u is uninitialised: left [block, leftStride, 32], right [block, rightStride, 32], u [right block, left columns, 32].
void accumulateAll(const float* left, int64_t leftStride, int64_t leftColumns, const float* right, int64_t rightStride, int64_t rightColumns,
                   int64_t rows, bool isFresh, float* u) {
  for (int64_t r = 0; r < rightColumns; r += kBlock) {
    for (int64_t l = 0; l < leftColumns; l += kBlock) accumulate(left + l * leftStride, right + r * rightStride, rows, isFresh, u + (r * leftColumns + l * kBlock));
  }
}

// Lanes of the vectors in a row of 32, folded by `combine`.
template <class Combine>
float fold(Vector lanes, Combine&& combine) {
  float result = lanes[0];
  for (int64_t i = 1; i < kWidth; ++i) result = combine(result, lanes[i]);
  return result;
}

// softmax over the columns, in place: [column block, rows, 32].
void softmax(float* weights, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const auto overRow = [&](auto&& body) {
      for (int64_t block = 0; block < columns; block += kBlock) {
        float* entry = weights + block * rows + row * kBlock;
        for (int64_t i = 0; i < kBlock; i += kWidth) body(entry + i);
      }
    };
    Vector largest = splat(-INFINITY), sum = {};
    overRow([&](float* entry) {
      const Vector value = load(entry);
      largest = value > largest ? value : largest;
    });
    const Vector maximum = splat(fold(largest, [](float a, float b) { return std::max(a, b); }));
    overRow([&](float* entry) {
      const Vector value = exponential(load(entry) - maximum);
      store(entry, value);
      sum += value;
    });
    const Vector factor = splat(1 / fold(sum, [](float a, float b) { return a + b; }));
    overRow([&](float* entry) { store(entry, load(entry) * factor); });
  }
}

// The gradient of softmax, in place: gradient = weights (gradient - sum over the columns of weights gradient).
void softmaxGradient(const float* weights, float* gradient, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const auto overRow = [&](auto&& body) {
      for (int64_t block = 0; block < columns; block += kBlock) {
        const int64_t at = block * rows + row * kBlock;
        for (int64_t i = 0; i < kBlock; i += kWidth) body(weights + at + i, gradient + at + i);
      }
    };
    Vector sum = {};
    overRow([&](const float* weight, float* entry) { sum += load(weight) * load(entry); });
    const Vector mean = splat(fold(sum, [](float a, float b) { return a + b; }));
    overRow([&](const float* weight, float* entry) { store(entry, load(weight) * (load(entry) - mean)); });
  }
}

int64_t forwardScratch(const AttentionTask& task) {
  const int64_t queries = std::min(task.pixels, kQueries);
  return 3 * task.pixels * task.channels + queries * (task.pixels + task.channels);
}

int64_t backwardScratch(const AttentionTask& task) {
  const int64_t queries = std::min(task.pixels, kQueries);
  return 7 * task.pixels * task.channels + queries * (2 * task.pixels + task.channels);
}

template <class T>
void forward(const AttentionTask& task, const T* qkv, T* mixed, float* scratch) {
  const auto [pixels, channels, heads, head] = task;
  const int64_t size = pixels * channels, rowLength = 3 * heads * channels, queries = std::min(pixels, kQueries);
  const T* own = qkv + 3 * head * channels;
  Workspace workspace(scratch);
  float *query = workspace.take(size), *key = workspace.take(size), *value = workspace.take(size);
  float *weights = workspace.take(queries * pixels), *result = workspace.take(queries * channels);
  gather(own, rowLength, 3, pixels, channels, 1 / std::sqrt(static_cast<float>(channels)), query);
  gatherTransposed(own + 1, rowLength, 3, pixels, channels, key);
  gather(own + 2, rowLength, 3, pixels, channels, 1, value);
  for (int64_t first = 0; first < pixels; first += queries) {
    const int64_t count = std::min(queries, pixels - first);
    multiplyAll(query + first * kBlock, pixels, count, key, channels, pixels, weights);
    softmax(weights, count, pixels);
    multiplyAll(weights, count, count, value, pixels, channels, result);
    scatter(result, heads * channels, 1, count, channels, 1, mixed + first * heads * channels + head * channels);
  }
}

template <class T>
void backward(const AttentionTask& task, const T* qkv, const T* dMixed, T* dQkv, float* scratch) {
  const auto [pixels, channels, heads, head] = task;
  const int64_t size = pixels * channels, rowLength = 3 * heads * channels, queries = std::min(pixels, kQueries);
  const float scale = 1 / std::sqrt(static_cast<float>(channels));
  const T* own = qkv + 3 * head * channels;
  T* ownGradient = dQkv + 3 * head * channels;
  Workspace workspace(scratch);
  float *query = workspace.take(size), *key = workspace.take(size), *keyTransposed = workspace.take(size), *valueTransposed = workspace.take(size);
  float *given = workspace.take(size), *dKey = workspace.take(size), *dValue = workspace.take(size);
  float *weights = workspace.take(queries * pixels), *gradient = workspace.take(queries * pixels), *dQuery = workspace.take(queries * channels);
  gather(own, rowLength, 3, pixels, channels, scale, query);
  gather(own + 1, rowLength, 3, pixels, channels, 1, key);
  gatherTransposed(own + 1, rowLength, 3, pixels, channels, keyTransposed);
  gatherTransposed(own + 2, rowLength, 3, pixels, channels, valueTransposed);
  gather(dMixed + head * channels, heads * channels, 1, pixels, channels, 1, given);
  for (int64_t first = 0; first < pixels; first += queries) {
    const int64_t count = std::min(queries, pixels - first);
    const float *queryRows = query + first * kBlock, *givenRows = given + first * kBlock;
    multiplyAll(queryRows, pixels, count, keyTransposed, channels, pixels, weights);
    softmax(weights, count, pixels);
    accumulateAll(weights, count, pixels, givenRows, pixels, channels, count, first == 0, dValue);
    multiplyAll(givenRows, pixels, count, valueTransposed, channels, pixels, gradient);
    softmaxGradient(weights, gradient, count, pixels);
    multiplyAll(gradient, count, count, key, pixels, channels, dQuery);
    // The queries are already scaled.
    accumulateAll(gradient, count, pixels, queryRows, pixels, channels, count, first == 0, dKey);
    scatter(dQuery, rowLength, 3, count, channels, scale, ownGradient + first * rowLength);
  }
  scatter(dKey, rowLength, 3, pixels, channels, 1, ownGradient + 1);
  scatter(dValue, rowLength, 3, pixels, channels, 1, ownGradient + 2);
}

template <class T>
constexpr AttentionLoops<T> loops() {
  return {forwardScratch, backwardScratch, forward<T>, backward<T>};
}

}  // namespace

AttentionKernels attentionKernels() { return {loops<float>(), loops<c10::BFloat16>()}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
