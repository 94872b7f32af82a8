// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include <algorithm>
#include <numeric>
#include <type_traits>

#include "byte_rows_loops.h"
#include "bytes.h"
#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// The products of a tile, kTileQueries queries by kTileRows rows, stay in registers, with a few more for their factors.
constexpr int64_t kTileQueries = kWidth == 16 ? 4 : 3;
constexpr int64_t kTileRows = kWidth == 16 ? 6 : 4;
// Bytes converted to floats together: the rows of a tile, in this many columns, stay in the L1 cache, and all rows in the L2 cache,
// together with the same columns of several tiles of queries. No float32 sum is longer than these columns.
constexpr int64_t kRowsAtOnce = 4 * kTileRows;
constexpr int64_t kColumnsAtOnce = 1024;
constexpr int64_t kTilesAtOnce = 16;
// The sum of this many products of a byte and a centred byte is less than 2^31.
constexpr int64_t kIntegerColumns = 65536;
// Rows are padded with zeros to a multiple of this, which is a multiple of every vector's length.
constexpr int64_t kPadding = 64;
constexpr int kCentre = 128;

constexpr int64_t padded(int64_t columns) { return (columns + kPadding - 1) / kPadding * kPadding; }

// Panels hold the columns of the queries or rows of a tile: the first vector of each member, the second of each, and so on, so
// that a product reads memory sequentially.
template <int64_t kMembers>
float* vectorOf(float* panel, int64_t member, int64_t column) {
  return panel + column * kMembers + member * kWidth;
}

// The query data that distances need, in one buffer.
struct Queries {
  int64_t count;
  int64_t tiles;
  int64_t width;            // padded columns
  float* directions;        // a panel for each kColumnsAtOnce columns of each tile
  CentredByte* origins;     // [count, width]: o - 128
  double* squaredNorms;     // ||o - 128||²
  double* sums;             // the sum of o - 128
  double* alongDirections;  // d.(o - 128)

  Queries(void* workspace, int64_t queries, int64_t columns)
      : count(queries),
        tiles((count + kTileQueries - 1) / kTileQueries),
        width(padded(columns)),
        directions(static_cast<float*>(workspace)),
        origins(reinterpret_cast<CentredByte*>(directions + blocks() * tiles * kTileQueries * kColumnsAtOnce)),
        squaredNorms(reinterpret_cast<double*>(origins + count * width)),
        sums(squaredNorms + count),
        alongDirections(sums + count) {}

  int64_t blocks() const { return (width + kColumnsAtOnce - 1) / kColumnsAtOnce; }
  float* panel(int64_t tile, int64_t column) const {
    return directions + (column / kColumnsAtOnce * tiles + tile) * kTileQueries * kColumnsAtOnce;
  }
};

int64_t workspace(int64_t queries, int64_t columns) {
  const Queries sizes(nullptr, 0, columns);
  const int64_t members = queries + kTileQueries - 1;
  return members * (sizes.blocks() * kColumnsAtOnce * static_cast<int64_t>(sizeof(float)) +
                    sizes.width * static_cast<int64_t>(sizeof(CentredByte)) + 3 * static_cast<int64_t>(sizeof(double)));
}

// sums[i * stride + j] += the sum of the lanes of total_ij
template <class T, class Lanes, int64_t kQueries, int64_t kRows>
void addLanes(const Lanes (&total)[kQueries][kRows], double* sums, int64_t stride) {
  UNROLLED for (int64_t j = 0; j < kRows; ++j) {
    const auto at = [&](int64_t i) { return i < kQueries ? total[i][j] : Lanes{}; };
    T column[4];
    sumLanes(at(0), at(1), at(2), at(3), column);
    UNROLLED for (int64_t i = 0; i < kQueries; ++i) sums[i * stride + j] += column[i];
  }
}

// sums[i * stride + j] += left_i . right_j, of two panels
template <int64_t kQueries, int64_t kRows>
void addProducts(const float* left, const float* right, int64_t columns, double* sums, int64_t stride) {
  Vector total[kQueries][kRows] = {};
  for (int64_t k = 0; k < columns; k += kWidth) {
    Vector r[kRows];
    UNROLLED for (int64_t j = 0; j < kRows; ++j) r[j] = load(right + j * kWidth);
    UNROLLED for (int64_t i = 0; i < kQueries; ++i) {
      const Vector l = load(left + i * kWidth);
      UNROLLED for (int64_t j = 0; j < kRows; ++j) total[i][j] += l * r[j];
    }
    left += kTileQueries * kWidth;
    right += kRows * kWidth;
  }
  addLanes<float>(total, sums, stride);
}

// The same for centred bytes and bytes, in integers. Both have rows of `width`; sums [kQueries, kTileRows].
template <int64_t kQueries>
void addByteProducts(const CentredByte* left, const Byte* right, int64_t width, double* sums) {
  for (int64_t first = 0; first < width; first += kIntegerColumns) {
    Integers total[kQueries][kTileRows] = {};
    for (int64_t k = first; k < std::min(first + kIntegerColumns, width); k += kProductsAtOnce) {
      Integers r[kTileRows];
      UNROLLED for (int64_t j = 0; j < kTileRows; ++j) r[j] = loadBits(right + j * width + k);
      UNROLLED for (int64_t i = 0; i < kQueries; ++i) {
        const Integers l = loadBits(left + i * width + k);
        UNROLLED for (int64_t j = 0; j < kTileRows; ++j) total[i][j] = addProducts(total[i][j], r[j], l);
      }
    }
    addLanes<int32_t>(total, sums, kTileRows);
  }
}

// Writes bytes - 128 to a panel, and returns the sum of their squares, an integer of at most 2^24. Values after the
// last column are multiplied by zeros of the queries.
template <int64_t kMembers>
double centre(const uint8_t* bytes, int64_t columns, float* panel, int64_t member) {
  Vector squares = {};
  int64_t k = 0;
  for (; k < columns; k += kWidth) {
    const Vector value = load(bytes + k, columns - k) - static_cast<float>(kCentre);
    store(vectorOf<kMembers>(panel, member, k), value);
    squares += value * value;
  }
  float sums[4];
  sumLanes(squares, Vector{}, Vector{}, Vector{}, sums);
  return static_cast<double>(sums[0]) - static_cast<double>((k - columns) * kCentre * kCentre);
}

// Calls a function with the number of queries of a tile, which is at most kQueries, as a constant.
template <int64_t kQueries = kTileQueries, class Body>
void withTile(int64_t queries, const Body& body) {
  if constexpr (kQueries > 1) {
    if (queries < kQueries) return withTile<kQueries - 1>(queries, body);
  }
  body(std::integral_constant<int64_t, kQueries>());
}

void prepare(const uint8_t* origin, const float* direction, int64_t i, int64_t count, int64_t columns, void* workspace) {
  const Queries queries(workspace, count, columns);
  const int64_t tile = i / kTileQueries, member = i % kTileQueries;
  // Zeros beyond the last column, where rows may hold arbitrary values.
  CentredByte* centred = queries.origins + i * queries.width;
  for (int64_t k = 0; k < columns; ++k) centred[k] = static_cast<CentredByte>(origin[k] - kCentre);
  std::fill(centred + columns, centred + queries.width, CentredByte(0));
  queries.sums[i] = static_cast<double>(std::accumulate(centred, centred + columns, int64_t{0}));
  // With the same operations as for rows, so that a row equal to the origin has distance 0.
  double squaredNorm = 0, along = 0;
  float values[kColumnsAtOnce];
  for (int64_t first = 0; first < columns; first += kColumnsAtOnce) {
    const int64_t part = std::min(kColumnsAtOnce, columns - first);
    float* panel = queries.panel(tile, first);
    for (int64_t k = 0; k < padded(part); k += kWidth) {
      store(vectorOf<kTileQueries>(panel, member, k), load(direction + first + k, part - k));
    }
    squaredNorm += centre<1>(origin + first, part, values, 0);
    addProducts<1, 1>(panel + member * kWidth, values, part, &along, 1);
  }
  queries.squaredNorms[i] = squaredNorm;
  queries.alongDirections[i] = along;
}

// Of a group of rows, in scratch memory.
struct Buffers {
  double* products;  // directions by rows, [count, kRowsAtOnce]
  float* values;     // [kRowsAtOnce, kColumnsAtOnce]
  Byte* bytes;       // [kRowsAtOnce, width]
  double squaredNorms[kRowsAtOnce] = {};

  Buffers(float* scratch, const Queries& queries)
      : products(reinterpret_cast<double*>(scratch)),
        values(reinterpret_cast<float*>(products + queries.count * kRowsAtOnce)),
        bytes(reinterpret_cast<Byte*>(values + kRowsAtOnce * kColumnsAtOnce)) {
    std::fill(products, products + queries.count * kRowsAtOnce, 0.0);
  }
};

int64_t scratch(int64_t queries, int64_t columns) {
  constexpr int64_t floatsOfDouble = sizeof(double) / sizeof(float), bytesOfFloat = sizeof(float) / sizeof(Byte);
  return kRowsAtOnce * (queries * floatsOfDouble + kColumnsAtOnce + padded(columns) / bytesOfFloat);
}

// Directions by rows, and the norms of the rows. Tiles always have all rows: buffer contents beyond the last row give products that are not used.
void multiplyDirections(const Queries& queries, const ByteRows& rows, int64_t first, int64_t count, Buffers& buffers) {
  for (int64_t column = 0; column < rows.columns; column += kColumnsAtOnce) {
    const int64_t part = std::min(kColumnsAtOnce, rows.columns - column);
    const auto panelOf = [&](int64_t j) { return buffers.values + j / kTileRows * kTileRows * kColumnsAtOnce; };
    for (int64_t j = 0; j < count; ++j) {
      buffers.squaredNorms[j] += centre<kTileRows>(rows.row(first + j) + column, part, panelOf(j), j % kTileRows);
    }
    for (int64_t q = 0; q < queries.tiles; q += kTilesAtOnce) {
      for (int64_t j = 0; j < count; j += kTileRows) {
        for (int64_t tile = q; tile < std::min(q + kTilesAtOnce, queries.tiles); ++tile) {
          const int64_t i = tile * kTileQueries;
          withTile(queries.count - i, [&](auto size) {
            addProducts<size(), kTileRows>(queries.panel(tile, column), panelOf(j), part, buffers.products + i * kRowsAtOnce + j, kRowsAtOnce);
          });
        }
      }
    }
  }
}

// Rows first <= j < last, at most kRowsAtOnce; those up to `end` come next.
void distancesOfGroup(const Queries& queries, const double* steps, const ByteRows& rows, int64_t first, int64_t last, int64_t end,
                      double* result, int64_t stride, float* scratch) {
  const int64_t count = last - first;
  Buffers buffers(scratch, queries);
  for (int64_t j = 0; j < count; ++j) {
    if (last + j < end) rows.prefetch(last + j, 0, rows.columns);
    std::copy(rows.row(first + j), rows.row(first + j) + rows.columns, buffers.bytes + j * queries.width);
  }
  multiplyDirections(queries, rows, first, count, buffers);
  for (int64_t j = 0; j < count; j += kTileRows) {
    for (int64_t i = 0; i < queries.count; i += kTileQueries) {
      double sums[kTileQueries * kTileRows] = {};
      withTile(queries.count - i, [&](auto size) {
        addByteProducts<size()>(queries.origins + i * queries.width, buffers.bytes + j * queries.width, queries.width, sums);
      });
      for (int64_t q = i; q < std::min(i + kTileQueries, queries.count); ++q) {
        for (int64_t r = j; r < std::min(j + kTileRows, count); ++r) {
          // ||u - v||² of u = o - 128 and v = r - 128; the sums are those of u.r.
          const double product = sums[(q - i) * kTileRows + r - j] - kCentre * queries.sums[q];
          const double distance = queries.squaredNorms[q] + buffers.squaredNorms[r] - 2 * product;
          const double along = queries.alongDirections[q] - buffers.products[q * kRowsAtOnce + r];
          result[q * stride + first + r] = distance + 2 * steps[q] * along;
        }
      }
    }
  }
}

void distances(const void* workspace, const double* steps, int64_t count, const ByteRows& rows, int64_t begin, int64_t end,
               double* result, int64_t stride, float* scratch) {
  const Queries queries(const_cast<void*>(workspace), count, rows.columns);
  for (int64_t first = begin; first < end; first += kRowsAtOnce) {
    distancesOfGroup(queries, steps, rows, first, std::min(first + kRowsAtOnce, end), end, result, stride, scratch);
  }
}

}  // namespace

ByteDistanceLoops byteDistanceLoops() { return {kRowsAtOnce, workspace, prepare, distances, scratch}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
