// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "row_posterior_loops.h"

#include <algorithm>
#include <type_traits>

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// A row of which the logarithm of the weight, relative to the origin's, cannot exceed minus this is left out: 2^-30.
constexpr double kNegligible = 21;
// A standard normal number is below minus this with a probability of 2^-30.
constexpr float kExtreme = 6;

// Bytes of this many rows stay in the L1 cache.
constexpr int64_t kRowsAtOnce = 32;
constexpr int64_t kGroup = SketchedRows::kGroup;
// Points whose products with the coordinates of rows are computed together, and vectors that hold a group.
constexpr int64_t kPointsAtOnce = 4;
constexpr int64_t kGroupVectors = kGroup / kWidth;
// Rows whose products with a point are computed together.
constexpr int64_t kTileRows = 4;
// Vectors of the weighted sum that stay in registers.
constexpr int64_t kSumVectors = 8;

// A point in fixed point is high * 2^15 + low. The sum of this many products of a pair of digits with a pair of bytes is
// less than 2^31.
constexpr int64_t kDigit = 1 << 15;
constexpr double kLargestPoint = 1 << 29;
// Coordinates are 16-bit integers.
constexpr double kLargestCoordinate = 32767;
constexpr int64_t kLanes = 2 * kWidth;
constexpr int64_t kIntegerColumns = 128 * kLanes;

typedef double Doubles __attribute__((vector_size(8 * kWidth)));

struct Point {
  int16_t* high;  // [padded columns]
  int16_t* low;
  int16_t* coordinates;  // [dimensions]
  double unit;           // of the fixed point
  double originProduct;  // of the point and its origin, in those units
  double originNorm;
  double factor;  // from squared distances to log-weights
  // A row may matter where squaredLength - 2 product <= reach + growth * d (2 extreme - d), d being within the tails' difference
  // and sum as near to `extreme` as possible.
  bool isPruned;
  float tail, extreme, reach, growth;
};

constexpr int64_t padded(int64_t columns) { return (columns + 63) / 64 * 64; }

int64_t bytesOfPoint(const SketchedRows& rows) {
  const int64_t integers = 2 * padded(rows.columns) + padded(rows.dimensions);
  return static_cast<int64_t>(sizeof(Point)) / 64 * 64 + 64 + integers * static_cast<int64_t>(sizeof(int16_t));
}

int64_t workspace(int64_t points, const SketchedRows& rows) { return points * bytesOfPoint(rows); }

Point& pointAt(void* workspace, int64_t i, const SketchedRows& rows) {
  return *reinterpret_cast<Point*>(static_cast<char*>(workspace) + i * bytesOfPoint(rows));
}

const Point& pointAt(const void* workspace, int64_t i, const SketchedRows& rows) {
  return pointAt(const_cast<void*>(workspace), i, rows);
}

// Bytes as wide as the digits.
inline Integers loadWide(const uint8_t* source) {
#if defined(__AVX512BW__)
  return (Integers)_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
#elif defined(__AVX2__)
  return (Integers)_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
#else
  int16_t wide[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) wide[i] = source[i];
  Integers result;
  std::memcpy(&result, wide, sizeof result);
  return result;
#endif
}

inline Integers loadIntegers(const int16_t* source) {
  Integers result;
  std::memcpy(&result, source, sizeof result);
  return result;
}

// The same pair in every lane.
inline Integers splatPair(const int16_t* pair) {
  int32_t both;
  std::memcpy(&both, pair, sizeof both);
  return both - Integers{};
}

// Adds the products of adjacent 16-bit integers, two to each sum.
inline Integers addPairs(Integers sums, Integers a, Integers b) {
#if defined(__AVX512BW__)
  return sums + (Integers)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return sums + (Integers)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return sums + (Integers)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  return sums + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

inline double sumOf(Doubles lanes) {
  double values[kWidth];
  std::memcpy(values, &lanes, sizeof values);
  double sum = 0;
  UNROLLED for (int64_t i = 0; i < kWidth; ++i) sum += values[i];
  return sum;
}

// Memory that will be read later, requested in small steps during a computation: asked for many cache lines at once, a processor
// waits. Without steps the same line is requested again, which costs nothing.
struct Ahead {
  const uint8_t* next;
  int64_t step;

  void advance() {
    __builtin_prefetch(next);
    next += step;
  }
};

// products[j] = the exact product of a point, in its units, and row j. Rows end anywhere; memory after them is not read.
template <int64_t kRows>
void multiplyRows(const Point& point, const uint8_t* const* rows, int64_t columns, Ahead& ahead, double* products) {
  Doubles sums[kRows] = {};
  for (int64_t first = 0; first < columns; first += kIntegerColumns) {
    const int64_t last = std::min(first + kIntegerColumns, columns);
    Integers high[kRows] = {}, low[kRows] = {};
    int64_t k = first;
    for (; k + kLanes <= last; k += kLanes) {
      ahead.advance();
      const Integers h = loadIntegers(point.high + k), l = loadIntegers(point.low + k);
      UNROLLED for (int64_t j = 0; j < kRows; ++j) {
        const Integers row = loadWide(rows[j] + k);
        high[j] = addPairs(high[j], row, h);
        low[j] = addPairs(low[j], row, l);
      }
    }
    if (k < last) {
      const Integers h = loadIntegers(point.high + k), l = loadIntegers(point.low + k);
      UNROLLED for (int64_t j = 0; j < kRows; ++j) {
        uint8_t rest[kLanes] = {};
        for (int64_t c = k; c < last; ++c) rest[c - k] = rows[j][c];
        const Integers row = loadWide(rest);
        high[j] = addPairs(high[j], row, h);
        low[j] = addPairs(low[j], row, l);
      }
    }
    UNROLLED for (int64_t j = 0; j < kRows; ++j) {
      sums[j] += __builtin_convertvector(high[j], Doubles) * static_cast<double>(kDigit) + __builtin_convertvector(low[j], Doubles);
    }
  }
  UNROLLED for (int64_t j = 0; j < kRows; ++j) products[j] = sumOf(sums[j]);
}

// The point in fixed point, with as many digits as its largest value allows, and its products with the origin.
void prepareDigits(const uint8_t* origin, const float* direction, double step, int64_t columns, Point& point) {
  double largest = 255;
  for (int64_t k = 0; k < columns; ++k) largest = std::max(largest, __builtin_fabs(origin[k] + step * direction[k]));
  double scale = 1;
  while (2 * scale * largest < kLargestPoint) scale *= 2;
  while (scale * largest >= kLargestPoint) scale /= 2;
  std::fill(point.high, point.high + padded(columns), int16_t(0));
  std::fill(point.low, point.low + padded(columns), int16_t(0));
  int64_t squares = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const double value = scale * (origin[k] + step * direction[k]);
    const int32_t fixed = static_cast<int32_t>(value + (value < 0 ? -0.5 : 0.5));
    const int32_t low = fixed & (kDigit - 1);
    point.low[k] = static_cast<int16_t>(low);
    point.high[k] = static_cast<int16_t>((fixed - low) / kDigit);
    squares += int64_t{origin[k]} * origin[k];
  }
  point.unit = 1 / scale;
  point.originNorm = static_cast<double>(squares);
  const uint8_t* rows[] = {origin};
  Ahead nothing{origin, 0};
  multiplyRows<1>(point, rows, columns, nothing, &point.originProduct);
  point.factor = -0.5 / (step * step);
}

inline float sumOf(Vector lanes) {
  float sums[4];
  sumLanes(lanes, Vector{}, Vector{}, Vector{}, sums);
  return sums[0];
}

// Products with a basis vector of origin - mean and of the direction.
void project(const float* vector, const uint8_t* origin, const float* direction, const float* mean, int64_t columns, float* ofOrigin,
             float* ofDirection) {
  Vector fromOrigin = {}, fromDirection = {};
  for (int64_t k = 0; k < columns; k += kWidth) {
    const int64_t rest = columns - k;
    const Vector along = load(vector + k, rest);
    fromOrigin += along * (load(origin + k, rest) - load(mean + k, rest));
    fromDirection += along * load(direction + k, rest);
  }
  *ofOrigin = sumOf(fromOrigin);
  *ofDirection = sumOf(fromDirection);
}

// Half a unit in each coordinate of a point and of a row, and what float32 rounds away in their products.
double coordinateRounding(int64_t dimensions) { return __builtin_sqrt(static_cast<double>(dimensions)) + 2; }

// The same of the norms of what the coordinates leave out.
constexpr float kTailRounding = 8;

// How large the squared distance of a row's coordinates to the point's may be before the row is negligible.
//
// The log-weight is -(|a - b|² - |s e|² + t² + 2 s z t) / (2 s²): a and b are the coordinates of the point and the row, e those of the
// direction, s the step, t the distance of row and origin in the other dimensions, and z the part of the direction along it,
// standard normal and independent of a. For z > -kExtreme it is below -kNegligible unless
// |a - b|² <= A = |s e|² + 2 s² kNegligible + t (2 s kExtreme - t). Rounding changes |a - b| by less than r; and
// (sqrt(A) + r)² <= A (1 + r / c) + r c + r² for every c > 0.
void prepareReach(const uint8_t* origin, const float* direction, double step, const SketchedRows& rows, Point& point) {
  const double scale = rows.scale, scaled = scale * step;
  double square = 0, ofOrigin = 0, ofDirection = 0, length = 0;
  point.isPruned = true;
  for (int64_t i = 0; i < rows.dimensions; ++i) {
    float y, e;
    project(rows.basis + i * rows.columns, origin, direction, rows.mean, rows.columns, &y, &e);
    ofOrigin += double(y) * y;
    ofDirection += double(e) * e;
    const double a = scale * y + scaled * e;
    if (!(__builtin_fabs(a) < kLargestCoordinate)) {
      point.isPruned = false;
      return;
    }
    point.coordinates[i] = static_cast<int16_t>(a + (a < 0 ? -0.5 : 0.5));
    length += double(point.coordinates[i]) * point.coordinates[i];
  }
  for (int64_t k = 0; k < rows.columns; ++k) {
    const double difference = double(origin[k]) - rows.mean[k];
    square += difference * difference;
  }
  const double rounding = coordinateRounding(rows.dimensions), extreme = kExtreme * scaled;
  const double base = scaled * scaled * (ofDirection * 1.0001 + 2 * kNegligible), c = __builtin_sqrt(base + extreme * extreme);
  const double growth = 1 + rounding / c;
  const double largest = growth * (base + extreme * extreme);
  point.tail = static_cast<float>(scale * __builtin_sqrt(std::max(square - ofOrigin, 0.0)));
  point.extreme = static_cast<float>(extreme);
  point.growth = static_cast<float>(growth);
  // With more than float32 may round away in the comparison.
  point.reach = static_cast<float>(growth * base + rounding * (c + rounding) - length + 2e-6 * (length + largest));
}

void prepare(const uint8_t* origin, const float* direction, double step, int64_t i, int64_t, const SketchedRows& rows, void* workspace) {
  Point& point = pointAt(workspace, i, rows);
  point.high = reinterpret_cast<int16_t*>(reinterpret_cast<char*>(&point) + (sizeof(Point) + 63) / 64 * 64);
  point.low = point.high + padded(rows.columns);
  point.coordinates = point.low + padded(rows.columns);
  prepareDigits(origin, direction, step, rows.columns, point);
  prepareReach(origin, direction, step, rows, point);
}

// Which lanes are not 0, as bits.
inline uint64_t bitsOf(Integers lanes) {
#if defined(__AVX512BW__)
  return _mm512_movepi32_mask((__m512i)lanes);
#elif defined(__AVX2__)
  return static_cast<uint64_t>(_mm256_movemask_ps((__m256)lanes));
#elif defined(__SSE2__)
  return static_cast<uint64_t>(_mm_movemask_ps((__m128)lanes));
#else
  uint64_t bits = 0;
  for (int64_t i = 0; i < kWidth; ++i) bits |= static_cast<uint64_t>(lanes[i] != 0) << i;
  return bits;
#endif
}

// Bits of the rows first <= j < first + kRowsAtOnce that matter to some points, found from their coordinates.
template <int64_t kPoints>
void compare(const Point* const* points, const SketchedRows& rows, int64_t first, uint64_t* found) {
  UNROLLED for (int64_t i = 0; i < kPoints; ++i) found[i] = 0;
  for (int64_t group = 0; group < kRowsAtOnce; group += kGroup) {
    const int16_t* coordinates = rows.coordinates + (first + group) * rows.dimensions;
    Integers products[kPoints][kGroupVectors] = {};
    for (int64_t k = 0; k < rows.dimensions; k += 2) {
      __builtin_prefetch(coordinates + kRowsAtOnce * rows.dimensions + k * kGroup);  // of the next block
      Integers r[kGroupVectors];
      UNROLLED for (int64_t v = 0; v < kGroupVectors; ++v) r[v] = loadIntegers(coordinates + k * kGroup + v * kLanes);
      UNROLLED for (int64_t i = 0; i < kPoints; ++i) {
        const Integers pair = splatPair(points[i]->coordinates + k);
        UNROLLED for (int64_t v = 0; v < kGroupVectors; ++v) products[i][v] = addPairs(products[i][v], r[v], pair);
      }
    }
    UNROLLED for (int64_t v = 0; v < kGroupVectors; ++v) {
      const int64_t row = first + group + v * kWidth;
      const Vector tails = load(rows.tails + row), lengths = load(rows.squaredLengths + row);
      UNROLLED for (int64_t i = 0; i < kPoints; ++i) {
        const Point& point = *points[i];
        const Vector difference = tails - point.tail;
        const Vector least = (difference < 0 ? -difference : difference) - kTailRounding, most = tails + (point.tail + kTailRounding);
        Vector d = splat(point.extreme);
        d = d > most ? most : d;
        d = d < least ? least : d;
        const Vector limit = point.reach + point.growth * d * (2 * point.extreme - d);
        const Vector value = lengths - 2 * __builtin_convertvector(products[i][v], Vector);
        found[i] |= bitsOf((Integers)(value <= limit)) << (group + v * kWidth);
      }
    }
  }
}

// Calls a function with a number of points or rows, which is at most kMost, as a constant.
template <int64_t kMost, class Body>
void withCount(int64_t count, const Body& body) {
  if constexpr (kMost > 1) {
    if (count < kMost) return withCount<kMost - 1>(count, body);
  }
  body(std::integral_constant<int64_t, kMost>());
}

// sums[c] += sum_j weights[j] rows[j][c]
void addRows(const uint8_t* const* rows, const float* weights, int64_t count, int64_t columns, Ahead& ahead, float* sums) {
  int64_t first = 0;
  for (; first + kSumVectors * kWidth <= columns; first += kSumVectors * kWidth) {
    Vector total[kSumVectors] = {};
    for (int64_t j = 0; j < count; ++j) {
      const Vector weight = splat(weights[j]);
      ahead.advance();
      UNROLLED for (int64_t v = 0; v < kSumVectors; ++v) total[v] += weight * load(rows[j] + first + v * kWidth);
    }
    UNROLLED for (int64_t v = 0; v < kSumVectors; ++v) {
      float* target = sums + first + v * kWidth;
      store(target, load(target) + total[v]);
    }
  }
  for (; first < columns; first += kWidth) {
    Vector total = {};
    for (int64_t j = 0; j < count; ++j) total += weights[j] * load(rows[j] + first, columns - first);
    store(sums + first, load(sums + first, columns - first) + total, columns - first);
  }
}

// The sums of a point over some rows of a part.
struct Sums {
  double* largest;
  double* weights;
  float* rows;
};

// Adds the rows of a block that have bits. In the meantime memory from `ahead` on is fetched.
void addBlock(const Point& point, const SketchedRows& rows, int64_t first, uint64_t bits, const Sums& sums, const uint8_t* ahead,
              int64_t bytes) {
  const uint8_t* found[kRowsAtOnce + kTileRows];
  double logits[kRowsAtOnce + kTileRows];
  float weights[kRowsAtOnce];
  int64_t count = 0;
  for (; bits != 0; bits &= bits - 1) {
    const int64_t row = first + __builtin_ctzll(bits);
    found[count] = rows.data + row * rows.columns;
    logits[count++] = rows.squaredNorms[row];
  }
  // Half of it with the products, half with the sums.
  Ahead early{ahead, bytes / 2 / std::max<int64_t>((count + kTileRows - 1) / kTileRows * (rows.columns / kLanes), 1)};
  double largest = *sums.largest;
  for (int64_t j = 0; j < count; j += kTileRows) {
    double products[kTileRows];
    const int64_t tile = std::min(kTileRows, count - j);
    withCount<kTileRows>(tile, [&](auto size) { multiplyRows<size()>(point, found + j, rows.columns, early, products); });
    for (int64_t t = 0; t < tile; ++t) {
      const double along = products[t] - point.originProduct;
      logits[j + t] = point.factor * (logits[j + t] - point.originNorm - 2 * point.unit * along);
      largest = std::max(largest, logits[j + t]);
    }
  }
  if (largest > *sums.largest) {
    const float factor = exponential(splat(static_cast<float>(*sums.largest - largest)))[0];
    *sums.weights *= factor;
    for (int64_t c = 0; c < rows.columns; ++c) sums.rows[c] *= factor;
    *sums.largest = largest;
  }
  int64_t used = 0;
  for (int64_t j = 0; j < count; ++j) {
    const double relative = logits[j] - largest;
    if (relative < -kNegligible) continue;
    found[used] = found[j];
    weights[used++] = static_cast<float>(relative);
  }
  for (int64_t j = 0; j < used; j += kWidth) {
    const Vector w = exponential(load(weights + j, used - j));
    store(weights + j, w, used - j);
  }
  double total = 0;
  for (int64_t j = 0; j < used; ++j) total += weights[j];
  *sums.weights += total;
  if (used == 0) return;
  Ahead late{ahead + bytes / 2, bytes / 2 / std::max<int64_t>(rows.columns / (kSumVectors * kWidth) * used, 1)};
  addRows(found, weights, used, rows.columns, late, sums.rows);
}

// Requests all rows that have bits.
void fetchRows(const uint8_t* data, int64_t columns, uint64_t bits) {
  for (; bits != 0; bits &= bits - 1) {
    const uint8_t* row = data + __builtin_ctzll(bits) * columns;
    for (int64_t k = 0; k < columns + 63; k += 64) __builtin_prefetch(row + k);
  }
}

// The bits of a block's rows for every point, and those of any point.
uint64_t compareBlock(const void* workspace, int64_t points, const SketchedRows& rows, int64_t block, uint64_t* found) {
  const int64_t first = block * kRowsAtOnce, count = std::min(kRowsAtOnce, rows.count - first);
  const Point* together[kPointsAtOnce];
  int64_t numbers[kPointsAtOnce], length = 0;
  uint64_t any = 0;
  const auto compareTogether = [&] {
    uint64_t bits[kPointsAtOnce];
    withCount<kPointsAtOnce>(length, [&](auto size) { compare<size()>(together, rows, first, bits); });
    for (int64_t i = 0; i < length; ++i) any |= found[numbers[i]] = bits[i];
    length = 0;
  };
  for (int64_t i = 0; i < points; ++i) {
    const Point& point = pointAt(workspace, i, rows);
    if (point.isPruned) {
      together[length] = &point;
      numbers[length++] = i;
      if (length == kPointsAtOnce) compareTogether();
    } else {
      any |= found[i] = (uint64_t{1} << count) - 1;
    }
  }
  if (length > 0) compareTogether();
  return any;
}

// Points that use more rows of a block than this fetch the next one while they do.
constexpr int64_t kMany = kRowsAtOnce / 4;

void sums(const void* workspace, int64_t points, const SketchedRows& rows, int64_t begin, int64_t end, uint64_t* found, double* largest,
          double* weights, float* sums) {
  if (begin < end) compareBlock(workspace, points, rows, begin, found);
  for (int64_t block = begin; block < end; ++block) {
    uint64_t* current = found + (block - begin) % 2 * points;
    uint64_t* next = found + (block - begin + 1) % 2 * points;
    const int64_t first = block * kRowsAtOnce, last = first + kRowsAtOnce;
    const uint64_t wanted = block + 1 < end ? compareBlock(workspace, points, rows, block + 1, next) : 0;
    const uint8_t* ahead = rows.data + last * rows.columns;
    int64_t helpers = 0;
    for (int64_t i = 0; i < points; ++i) helpers += __builtin_popcountll(current[i]) > kMany;
    const bool isShared = helpers > 0 && __builtin_popcountll(wanted) > kMany;
    const int64_t share = isShared ? std::min(kRowsAtOnce, rows.count - last) * rows.columns / helpers : 0;
    if (!isShared) fetchRows(ahead, rows.columns, wanted);
    for (int64_t i = 0; i < points; ++i) {
      if (current[i] == 0) continue;
      const bool isHelper = isShared && __builtin_popcountll(current[i]) > kMany;
      const Sums own{largest + i, weights + i, sums + i * rows.columns};
      addBlock(pointAt(workspace, i, rows), rows, first, current[i], own, ahead, isHelper ? share : 0);
      if (isHelper) ahead += share;
    }
  }
}

}  // namespace

RowPosteriorLoops rowPosteriorLoops() { return {kRowsAtOnce, workspace, prepare, sums}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
