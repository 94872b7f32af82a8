// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "attention_loops.h"

#include <algorithm>
#include <cmath>

#include "products.h"
#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Queries whose weights are in memory at one time.
constexpr int64_t kQueries = 128;

// Rooms for matrices, handed out one after the other.
class Rooms {
 public:
  explicit Rooms(float* scratch) : next_(scratch) {}

  float* take(int64_t size) {
    float* room = next_;
    next_ += size;
    return room;
  }

 private:
  float* next_;
};

// Every `step`-th number of each of `places` rows, `channels` of them, as [channel block, place, 32].
template <class T>
void gather(const T* from, int64_t rowLength, int64_t step, int64_t places, int64_t channels, float factor, float* to) {
  for (int64_t block = 0; block < channels; block += kBlock) {
    for (int64_t p = 0; p < places; ++p) {
      const T* row = from + p * rowLength + block * step;
      for (int64_t c = 0; c < kBlock; ++c) *to++ = static_cast<float>(row[c * step]) * factor;
    }
  }
}

// The same transposed: [place block, channel, 32].
template <class T>
void gatherTransposed(const T* from, int64_t rowLength, int64_t step, int64_t places, int64_t channels, float* to) {
  for (int64_t block = 0; block < places; block += kBlock) {
    for (int64_t p = 0; p < kBlock; ++p) {
      const T* row = from + (block + p) * rowLength;
      for (int64_t c = 0; c < channels; ++c) to[c * kBlock + p] = static_cast<float>(row[c * step]);
    }
    to += channels * kBlock;
  }
}

template <class T>
void scatter(const float* from, int64_t rowLength, int64_t step, int64_t places, int64_t channels, float factor, T* to) {
  for (int64_t block = 0; block < channels; block += kBlock) {
    for (int64_t p = 0; p < places; ++p) {
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

// u = left^T right for all blocks, plus what u holds unless it is fresh memory: left [block, leftStride, 32], right [block, rightStride, 32], u [right block, left columns, 32].
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
        float* place = weights + block * rows + row * kBlock;
        for (int64_t i = 0; i < kBlock; i += kWidth) body(place + i);
      }
    };
    Vector largest = splat(-INFINITY), sum = {};
    overRow([&](float* place) {
      const Vector value = load(place);
      largest = value > largest ? value : largest;
    });
    const Vector maximum = splat(fold(largest, [](float a, float b) { return std::max(a, b); }));
    overRow([&](float* place) {
      const Vector value = exponential(load(place) - maximum);
      store(place, value);
      sum += value;
    });
    const Vector factor = splat(1 / fold(sum, [](float a, float b) { return a + b; }));
    overRow([&](float* place) { store(place, load(place) * factor); });
  }
}

// The softmax's own gradient, in place: gradient = weights (gradient - sum over the columns of weights gradient).
void softmaxGradient(const float* weights, float* gradient, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row) {
    const auto overRow = [&](auto&& body) {
      for (int64_t block = 0; block < columns; block += kBlock) {
        const int64_t at = block * rows + row * kBlock;
        for (int64_t i = 0; i < kBlock; i += kWidth) body(weights + at + i, gradient + at + i);
      }
    };
    Vector sum = {};
    overRow([&](const float* weight, float* place) { sum += load(weight) * load(place); });
    const Vector mean = splat(fold(sum, [](float a, float b) { return a + b; }));
    overRow([&](const float* weight, float* place) { store(place, load(weight) * (load(place) - mean)); });
  }
}

int64_t forwardScratch(const AttentionTask& task) {
  const int64_t queries = std::min(task.places, kQueries);
  return 3 * task.places * task.channels + queries * (task.places + task.channels);
}

int64_t backwardScratch(const AttentionTask& task) {
  const int64_t queries = std::min(task.places, kQueries);
  return 7 * task.places * task.channels + queries * (2 * task.places + task.channels);
}

template <class T>
void forward(const AttentionTask& task, const T* qkv, T* mixed, float* scratch) {
  const auto [places, channels, heads, head] = task;
  const int64_t size = places * channels, rowLength = 3 * heads * channels, queries = std::min(places, kQueries);
  const T* own = qkv + 3 * head * channels;
  Rooms rooms(scratch);
  float *query = rooms.take(size), *key = rooms.take(size), *value = rooms.take(size);
  float *weights = rooms.take(queries * places), *result = rooms.take(queries * channels);
  gather(own, rowLength, 3, places, channels, 1 / std::sqrt(static_cast<float>(channels)), query);
  gatherTransposed(own + 1, rowLength, 3, places, channels, key);
  gather(own + 2, rowLength, 3, places, channels, 1, value);
  for (int64_t first = 0; first < places; first += queries) {
    const int64_t count = std::min(queries, places - first);
    multiplyAll(query + first * kBlock, places, count, key, channels, places, weights);
    softmax(weights, count, places);
    multiplyAll(weights, count, count, value, places, channels, result);
    scatter(result, heads * channels, 1, count, channels, 1, mixed + first * heads * channels + head * channels);
  }
}

template <class T>
void backward(const AttentionTask& task, const T* qkv, const T* dMixed, T* dQkv, float* scratch) {
  const auto [places, channels, heads, head] = task;
  const int64_t size = places * channels, rowLength = 3 * heads * channels, queries = std::min(places, kQueries);
  const float scale = 1 / std::sqrt(static_cast<float>(channels));
  const T* own = qkv + 3 * head * channels;
  T* ownGradient = dQkv + 3 * head * channels;
  Rooms rooms(scratch);
  float *query = rooms.take(size), *key = rooms.take(size), *keyTransposed = rooms.take(size), *valueTransposed = rooms.take(size);
  float *given = rooms.take(size), *dKey = rooms.take(size), *dValue = rooms.take(size);
  float *weights = rooms.take(queries * places), *gradient = rooms.take(queries * places), *dQuery = rooms.take(queries * channels);
  gather(own, rowLength, 3, places, channels, scale, query);
  gather(own + 1, rowLength, 3, places, channels, 1, key);
  gatherTransposed(own + 1, rowLength, 3, places, channels, keyTransposed);
  gatherTransposed(own + 2, rowLength, 3, places, channels, valueTransposed);
  gather(dMixed + head * channels, heads * channels, 1, places, channels, 1, given);
  for (int64_t first = 0; first < places; first += queries) {
    const int64_t count = std::min(queries, places - first);
    const float *queryRows = query + first * kBlock, *givenRows = given + first * kBlock;
    multiplyAll(queryRows, places, count, keyTransposed, channels, places, weights);
    softmax(weights, count, places);
    accumulateAll(weights, count, places, givenRows, places, channels, count, first == 0, dValue);
    multiplyAll(givenRows, places, count, valueTransposed, channels, places, gradient);
    softmaxGradient(weights, gradient, count, places);
    multiplyAll(gradient, count, count, key, places, channels, dQuery);
    // The queries carry the scale already.
    accumulateAll(gradient, count, places, queryRows, places, channels, count, first == 0, dKey);
    scatter(dQuery, rowLength, 3, count, channels, scale, ownGradient + first * rowLength);
  }
  scatter(dKey, rowLength, 3, places, channels, 1, ownGradient + 1);
  scatter(dValue, rowLength, 3, places, channels, 1, ownGradient + 2);
}

template <class T>
constexpr AttentionLoops<T> loops() {
  return {forwardScratch, backwardScratch, forward<T>, backward<T>};
}

}  // namespace

AttentionKernels attentionKernels() { return {loops<float>(), loops<c10::BFloat16>()}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
