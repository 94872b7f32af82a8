// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include <algorithm>
#include <type_traits>

#include "byte_rows_loops.h"
#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// The sums of a tile, kTileOutputs outputs by several vectors of columns, stay in registers, with a few more for their factors.
constexpr int64_t kTileOutputs = kWidth == 16 ? 8 : 4;
constexpr int64_t kTileVectors = 3;
constexpr int64_t kTileColumns = kTileVectors * kWidth;
// The floats of a tile's columns in this many rows stay in the L1 cache. No float32 sum in registers is longer.
constexpr int64_t kRowsAtOnce = 128;
// Tiles whose columns are converted to floats together: memory is read by the cache line.
constexpr int64_t kTilesAtOnce = 4;

// The weights of kTileOutputs outputs in a block of rows, without the rows that none of them uses.
struct PackedWeights {
  int64_t count;
  int32_t positions[kRowsAtOnce];  // of their rows among those that the block uses
  float weights[kRowsAtOnce][kTileOutputs];
};

// The rows of a block that any output uses, by their positions in it.
struct UsedRows {
  int64_t count;
  int32_t positions[kRowsAtOnce];
};

constexpr int64_t tilesOf(int64_t outputs) { return (outputs + kTileOutputs - 1) / kTileOutputs; }

int64_t bytesOfBlock(int64_t outputs) {
  return static_cast<int64_t>(sizeof(UsedRows)) + tilesOf(outputs) * static_cast<int64_t>(sizeof(PackedWeights));
}

struct Block {
  UsedRows* used;
  PackedWeights* tiles;  // [tilesOf(outputs)]

  Block(void* workspace, int64_t outputs, int64_t block)
      : used(reinterpret_cast<UsedRows*>(static_cast<char*>(workspace) + block * bytesOfBlock(outputs))),
        tiles(reinterpret_cast<PackedWeights*>(used + 1)) {}
};

int64_t workspace(int64_t outputs, int64_t rows) { return (rows + kRowsAtOnce - 1) / kRowsAtOnce * bytesOfBlock(outputs); }

void pack(const float* weights, int64_t outputs, int64_t rows, int64_t number, void* workspace) {
  const int64_t first = number * kRowsAtOnce, size = std::min(kRowsAtOnce, rows - first);
  const Block block(workspace, outputs, number);
  // Which rows each tile uses, and in the last element which rows any tile uses.
  bool isUsed[kRowsAtOnce] = {};
  for (int64_t tile = 0; tile < tilesOf(outputs); ++tile) {
    PackedWeights& packed = block.tiles[tile];
    const int64_t output = tile * kTileOutputs, count = std::min(kTileOutputs, outputs - output);
    packed.count = 0;
    for (int64_t j = 0; j < size; ++j) {
      float* target = packed.weights[packed.count];
      bool isNonzero = false;
      for (int64_t i = 0; i < kTileOutputs; ++i) {
        target[i] = i < count ? weights[(output + i) * rows + first + j] : 0;
        isNonzero |= target[i] != 0;
      }
      if (!isNonzero) continue;
      packed.positions[packed.count++] = static_cast<int32_t>(j);
      isUsed[j] = true;
    }
  }
  // From positions in the block to positions among the used rows.
  int32_t order[kRowsAtOnce];
  block.used->count = 0;
  for (int64_t j = 0; j < size; ++j) {
    if (!isUsed[j]) continue;
    order[j] = static_cast<int32_t>(block.used->count);
    block.used->positions[block.used->count++] = static_cast<int32_t>(j);
  }
  for (int64_t tile = 0; tile < tilesOf(outputs); ++tile) {
    PackedWeights& packed = block.tiles[tile];
    for (int64_t k = 0; k < packed.count; ++k) packed.positions[k] = order[packed.positions[k]];
  }
}

// Adds the block's contribution to a tile of outputs and columns, of which `columns` exist.
template <int64_t kOutputs>
void addTile(const PackedWeights& packed, const float* values, int64_t columns, float* result, int64_t stride) {
  Vector total[kOutputs][kTileVectors] = {};
  for (int64_t k = 0; k < packed.count; ++k) {
    const float* row = values + packed.positions[k] * kTileColumns;
    Vector v[kTileVectors];
    UNROLLED for (int64_t c = 0; c < kTileVectors; ++c) v[c] = load(row + c * kWidth);
    UNROLLED for (int64_t i = 0; i < kOutputs; ++i) {
      UNROLLED for (int64_t c = 0; c < kTileVectors; ++c) total[i][c] += packed.weights[k][i] * v[c];
    }
  }
  UNROLLED for (int64_t i = 0; i < kOutputs; ++i) {
    UNROLLED for (int64_t c = 0; c < kTileVectors; ++c) {
      float* target = result + i * stride + c * kWidth;
      const int64_t count = columns - c * kWidth;
      store(target, load(target, count) + total[i][c], count);
    }
  }
}

// Calls a function with the number of outputs of a tile, which is at most kOutputs, as a constant.
template <int64_t kOutputs = kTileOutputs, class Body>
void withTile(int64_t outputs, const Body& body) {
  if constexpr (kOutputs > 1) {
    if (outputs < kOutputs) return withTile<kOutputs - 1>(outputs, body);
  }
  body(std::integral_constant<int64_t, kOutputs>());
}

// As floats: the rows that a block uses, in the columns of several tiles.
constexpr int64_t kScratch = kTilesAtOnce * kRowsAtOnce * kTileColumns;

void sums(const void* workspace, int64_t outputs, const ByteRows& rows, int64_t count, int64_t begin, int64_t end, float* result,
          float* values) {
  for (int64_t first = 0; first < count; first += kRowsAtOnce) {
    const int64_t number = first / kRowsAtOnce, next = first + kRowsAtOnce;
    const Block block(const_cast<void*>(workspace), outputs, number);
    const UsedRows* ahead = next < count ? Block(const_cast<void*>(workspace), outputs, number + 1).used : nullptr;
    for (int64_t tile = begin; tile < end; tile += kTilesAtOnce) {
      const int64_t tiles = std::min(kTilesAtOnce, end - tile);
      const int64_t last = std::min((tile + tiles) * kTileColumns, rows.columns);
      for (int64_t k = 0; k < block.used->count; ++k) {
        if (ahead && k < ahead->count) rows.prefetch(next + ahead->positions[k], tile * kTileColumns, last);
        const uint8_t* row = rows.row(first + block.used->positions[k]);
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t column = (tile + t) * kTileColumns;
          float* target = values + (t * kRowsAtOnce + k) * kTileColumns;
          UNROLLED for (int64_t c = 0; c < kTileColumns; c += kWidth) store(target + c, load(row + column + c, rows.columns - column - c));
        }
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t column = (tile + t) * kTileColumns;
        for (int64_t i = 0; i < outputs; i += kTileOutputs) {
          withTile(outputs - i, [&](auto size) {
            addTile<size()>(block.tiles[i / kTileOutputs], values + t * kRowsAtOnce * kTileColumns, rows.columns - column,
                            result + i * rows.columns + column, rows.columns);
          });
        }
      }
    }
  }
}

}  // namespace

ByteSumLoops byteSumLoops() { return {kRowsAtOnce, kTileColumns, workspace, pack, sums, kScratch}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
