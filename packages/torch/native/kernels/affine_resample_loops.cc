// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
//
// A plane is padded with one reflection beyond its borders and zeros farther out, upsampled by two, read bilinearly along the
// map at 2 W + 10 by 2 H + 10 positions, and filtered down by two. Values of several planes are adjacent, as the lanes of a
// pixel, so that every step is a weighted sum of pixels at positions that are the same for all of them.
#include "affine_resample_loops.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Enough for the channels of one image; wider vectors serve planes that share a map.
constexpr int64_t kFewLanes = 4;

template <int64_t P>
struct Pixel {
  typedef float Lanes __attribute__((vector_size(4 * P)));
};

template <class V>
V read(const float* source) {
  V result;
  std::memcpy(&result, source, sizeof result);
  return result;
}

template <class V>
void write(float* target, V value) {
  std::memcpy(target, &value, sizeof value);
}

// The two upsampled values of pixel 0, from pixels -3 to 3.
template <class V>
struct Upsampled {
  V even = {}, odd = {};
  Upsampled(const V (&x)[7], const float* taps) {
    for (int s = 0; s < 6; ++s) {
      even += x[s] * taps[11 - 2 * s];
      odd += x[s + 1] * taps[10 - 2 * s];
    }
  }
};

int64_t mirroredLength(int64_t size) { return 3 * size - 2; }

// The pixel of an axis that a position of its mirrored padding maps to, or -1 beyond that.
int64_t mirrored(int64_t position, int64_t size) {
  if (position < 0 || position >= mirroredLength(size)) return -1;
  const int64_t distance = std::abs(position - (size - 1));
  return distance < size ? distance : 2 * (size - 1) - distance;
}

int64_t placesRead(int64_t size) { return 2 * size + 10; }

// One coordinate of a map: from reading (i, j) to a position on an upsampled axis.
struct Form {
  double ofColumn, ofRow, constant;
  double at(double i, double j) const { return constant + ofRow * j + ofColumn * i; }
};

// Rounding must not move a read outside the memory prepared for it.
constexpr double kSlack = 0.01;

// Which upsampled positions of an axis exist in memory: whole pixels of two positions each, plus one zero pixel on each side.
struct Window {
  int64_t first, last;  // pixels of the mirrored axis

  Window(const Form& form, int64_t length, double columns, double rows) {
    const double corners[] = {form.at(0, 0), form.at(columns, 0), form.at(0, rows), form.at(columns, rows)};
    first = pixelOf(*std::min_element(corners, corners + 4) - kSlack, length);
    last = pixelOf(*std::max_element(corners, corners + 4) + kSlack + 1, length) + 1;
  }

  static int64_t pixelOf(double position, int64_t length) {
    return static_cast<int64_t>(std::floor(std::min(std::max(position / 2, -1.0), static_cast<double>(length))));
  }
  int64_t positions() const { return 2 * (last - first); }
};

// The reads of a rotated map fill a parallelogram; this is the strip between two opposite sides of it.
struct Strip {
  double slope, lower, upper;

  // Of lines in direction (x, y) through two points.
  Strip(double x, double y, double x0, double y0, double x1, double y1) {
    if (std::abs(y) <= 1e-6 * std::abs(x)) {  // parallel to the rows, so it bounds none of them
      slope = 0, lower = -INFINITY, upper = INFINITY;
      return;
    }
    slope = x / y;
    const double a = x0 - slope * y0, b = x1 - slope * y1;
    lower = std::min(a, b), upper = std::max(a, b);
  }
  double left(double top, double bottom) const { return lower + std::min(slope * top, slope * bottom); }
  double right(double top, double bottom) const { return upper + std::max(slope * top, slope * bottom); }
};

// A map of one shape's readings, and the upsampled positions that it needs.
struct Reading {
  Form x, y;
  double columns, rows;  // of the last reading
  Window across, down;

  Reading(const ResampleShape& shape, const double* map)
      : x{map[0], map[1], map[2]},
        y{map[3], map[4], map[5]},
        columns(placesRead(shape.width) - 1),
        rows(placesRead(shape.height) - 1),
        across(x, mirroredLength(shape.width), columns, rows),
        down(y, mirroredLength(shape.height), columns, rows) {}
};

// Floats that a block of P planes needs for intermediate results. Vectors extend past the end of most of them.
template <int64_t P>
struct Sizes {
  int64_t stride;  // of a row of upsampled positions
  int64_t zeros;   // before the first one: two pixels and those below them, the extent of one read
  int64_t packed, wide, upsampled, halfLine, line, filtered, reads;

  Sizes(const ResampleShape& shape, const Window& across, const Window& down)
      : stride(across.positions() * P + kWidth),
        zeros(stride + 2 * P),
        packed(shape.height * shape.width * P),
        wide((shape.height + 1) * stride),
        upsampled(zeros + down.positions() * stride + kWidth),
        halfLine(placesRead(shape.width) / 2 * P + kWidth),
        line(std::max((across.last - across.first + 6) * P + kWidth, 2 * halfLine)),
        filtered(kFilterTaps * (shape.width * P + kWidth)),
        reads(placesRead(shape.width)) {}

  int64_t sum() const { return packed + wide + upsampled + line + filtered + 3 * reads; }
};

template <int64_t P>
class Resampler {
 public:
  using Lanes = typename Pixel<P>::Lanes;
  static constexpr int64_t kPixels = kWidth / P;  // in a vector

  Resampler(const ResampleShape& shape, const float* taps, float* scratch) : shape_(shape), taps_(taps), scratch_(scratch) {}

  // `count` planes, at most P.
  void run(const float* planes, int64_t count, const double* map, float* result) {
    const auto [all, height, width] = shape_;
    const auto [x, y, columns, rows, across, down] = Reading(shape_, map);
    const Sizes<P> sizes(shape_, across, down);
    const int64_t stride = sizes.stride, zeros = sizes.zeros;
    float* next = scratch_;
    const auto take = [&next](int64_t floats) { return std::exchange(next, next + floats); };
    float *packed = take(sizes.packed), *wide = take(sizes.wide), *upsampled = take(sizes.upsampled);
    float *line = take(sizes.line), *filtered = take(sizes.filtered);
    across_ = take(sizes.reads), down_ = take(sizes.reads), at_ = reinterpret_cast<int32_t*>(take(sizes.reads));

    pack(planes, count, packed);
    for (int64_t row = 0; row < height; ++row) upsampleAcross(packed + row * width * P, across, line, wide + row * stride);
    std::fill_n(wide + height * stride, stride, 0.0f);
    std::fill_n(upsampled, zeros, 0.0f);
    const Strip strips[] = {Strip(x.ofRow, y.ofRow, x.constant, y.constant, x.at(columns, 0), y.at(columns, 0)),
                            Strip(x.ofColumn, y.ofColumn, x.constant, y.constant, x.at(0, rows), y.at(0, rows))};
    upsampleDown(wide, stride, across, down, strips, upsampled + zeros);

    for (int64_t j = 0; j < placesRead(height); ++j) {
      locate(x, y, j, across, down, stride, zeros);
      readLine(upsampled, stride, line, sizes.halfLine);
      downsampleAcross(line, sizes.halfLine, filtered + j % kFilterTaps * (width * P + kWidth));
      if (j >= kFilterTaps - 1 && j % 2 == 1) downsampleDown(filtered, (j - kFilterTaps + 1) / 2, packed);
    }
    unpack(packed, count, result);
  }

 private:
  void pack(const float* planes, int64_t count, float* packed) const {
    const int64_t pixels = shape_.height * shape_.width;
    if (count < P) std::fill_n(packed, pixels * P, 0.0f);
    constexpr int64_t kTogether = 16;
    for (int64_t first = 0; first < pixels; first += kTogether) {
      const int64_t last = std::min(first + kTogether, pixels);
      for (int64_t lane = 0; lane < count; ++lane) {
        for (int64_t p = first; p < last; ++p) packed[p * P + lane] = planes[lane * pixels + p];
      }
    }
  }

  void unpack(const float* packed, int64_t count, float* planes) const {
    const int64_t pixels = shape_.height * shape_.width;
    constexpr int64_t kTogether = 16;
    for (int64_t first = 0; first < pixels; first += kTogether) {
      const int64_t last = std::min(first + kTogether, pixels);
      for (int64_t lane = 0; lane < count; ++lane) {
        for (int64_t p = first; p < last; ++p) planes[lane * pixels + p] = packed[p * P + lane];
      }
    }
  }

  void upsampleAcross(const float* row, const Window& across, float* line, float* wide) const {
    const int64_t length = mirroredLength(shape_.width), count = across.last - across.first;
    for (int64_t k = 0; k < count + 6; ++k) {
      const int64_t pixel = mirrored(across.first - 3 + k, shape_.width);
      write(line + k * P, pixel < 0 ? Lanes{} : read<Lanes>(row + pixel * P));
    }
    for (int64_t k = 0; k < count; k += kPixels) {
      Vector x[7];
      for (int s = 0; s < 7; ++s) x[s] = read<Vector>(line + (k + s) * P);
      const Upsampled<Vector> pair(x, taps_);
      float even[kWidth], odd[kWidth];
      write(even, pair.even);
      write(odd, pair.odd);
      for (int64_t p = 0; p < std::min(kPixels, count - k); ++p) {
        write(wide + 2 * (k + p) * P, read<Lanes>(even + p * P));
        write(wide + (2 * (k + p) + 1) * P, read<Lanes>(odd + p * P));
      }
    }
    if (across.first < 0) std::fill_n(wide, 2 * P, 0.0f);
    if (across.last > length) std::fill_n(wide + 2 * (count - 1) * P, 2 * P, 0.0f);
  }

  // `wide` has a row of zeros after the last one.
  void upsampleDown(const float* wide, int64_t stride, const Window& across, const Window& down, const Strip (&strips)[2],
                    float* upsampled) const {
    const int64_t length = mirroredLength(shape_.height);
    for (int64_t pixel = down.first; pixel < down.last; ++pixel) {
      // The two positions of this pixel are read from less than one position above the first to less than one below the second.
      const double top = 2.0 * pixel - 1, bottom = 2.0 * pixel + 2;
      const double left = std::max(strips[0].left(top, bottom), strips[1].left(top, bottom)) - kSlack;
      const double right = std::min(strips[0].right(top, bottom), strips[1].right(top, bottom)) + kSlack + 1;
      const int64_t width = mirroredLength(shape_.width);
      const int64_t begin = std::max(Window::pixelOf(left, width), across.first);
      const int64_t end = std::min(Window::pixelOf(right, width) + 1, across.last);
      float* even = upsampled + 2 * (pixel - down.first) * stride;
      float* odd = even + stride;
      if (pixel < 0 || pixel >= length) {
        std::fill_n(even, 2 * stride, 0.0f);
        continue;
      }
      const float* rows[7];
      for (int s = 0; s < 7; ++s) {
        const int64_t row = mirrored(pixel - 3 + s, shape_.height);
        rows[s] = wide + (row < 0 ? shape_.height : row) * stride;
      }
      for (int64_t k = 2 * (begin - across.first) * P; k < 2 * (end - across.first) * P; k += kWidth) {
        Vector x[7];
        for (int s = 0; s < 7; ++s) x[s] = read<Vector>(rows[s] + k);
        const Upsampled<Vector> pair(x, taps_);
        write(even + k, pair.even);
        write(odd + k, pair.odd);
      }
    }
  }

  // The offsets that row j of the readings reads from, counted in values, and the fractional positions. At 0 there are zeros.
  void locate(const Form& x, const Form& y, int64_t j, const Window& across, const Window& down, int64_t stride, int64_t zeros) {
    const double left = 2.0 * across.first, top = 2.0 * down.first;
    const double columns = std::min(2.0 * mirroredLength(shape_.width) - left, across.positions() - 1.0);
    const double rows = std::min(2.0 * mirroredLength(shape_.height) - top, down.positions() - 1.0);
    const double firstColumn = std::max(-1 - left, 0.0), firstRow = std::max(-1 - top, 0.0);
    const double startX = x.at(0, j) - left, startY = y.at(0, j) - top;
    for (int64_t i = 0; i < placesRead(shape_.width); ++i) {
      const double u = startX + x.ofColumn * i, v = startY + y.ofColumn * i;
      const bool inside = (u > firstColumn) & (u < columns) & (v > firstRow) & (v < rows);
      const double column = inside ? u : 0, row = inside ? v : 0;
      const int32_t wholeColumn = static_cast<int32_t>(column), wholeRow = static_cast<int32_t>(row);
      across_[i] = static_cast<float>(column - wholeColumn);
      down_[i] = static_cast<float>(row - wholeRow);
      const int32_t position = static_cast<int32_t>(zeros) + wholeRow * static_cast<int32_t>(stride) + wholeColumn * static_cast<int32_t>(P);
      at_[i] = inside ? position : 0;
    }
  }

  // Even and odd positions separately, so that the values that a filter tap needs for the whole line are contiguous.
  void readLine(const float* upsampled, int64_t stride, float* line, int64_t half) const {
    for (int64_t i = 0; i < placesRead(shape_.width); ++i) {
      const float* corner = upsampled + at_[i];
      const Lanes a = read<Lanes>(corner), b = read<Lanes>(corner + P);
      const Lanes c = read<Lanes>(corner + stride), d = read<Lanes>(corner + stride + P);
      const Lanes above = a + across_[i] * (b - a), below = c + across_[i] * (d - c);
      write(line + i % 2 * half + i / 2 * P, above + down_[i] * (below - above));
    }
  }

  void downsampleAcross(const float* line, int64_t half, float* filtered) const {
    for (int64_t k = 0; k < shape_.width * P; k += kWidth) {
      Vector sum = {};
      for (int64_t t = 0; t < kFilterTaps; ++t) sum += taps_[t] * read<Vector>(line + t % 2 * half + t / 2 * P + k);
      write(filtered + k, sum);
    }
  }

  // Row y of the result, from the last rows read, a ring buffer in `filtered`.
  void downsampleDown(const float* filtered, int64_t y, float* packed) const {
    const int64_t count = shape_.width * P;
    const float* rows[kFilterTaps];
    for (int64_t t = 0; t < kFilterTaps; ++t) rows[t] = filtered + (2 * y + t) % kFilterTaps * (count + kWidth);
    for (int64_t k = 0; k < count; k += kWidth) {
      Vector sum = {};
      for (int64_t t = 0; t < kFilterTaps; ++t) sum += taps_[t] * read<Vector>(rows[t] + k);
      store(packed + y * count + k, sum, count - k);
    }
  }

  const ResampleShape shape_;
  const float* const taps_;
  float* const scratch_;
  // For the row of readings being computed: the offsets into the upsampled values, and the fractional positions.
  int32_t* at_ = nullptr;
  float *across_ = nullptr, *down_ = nullptr;
};

template <int64_t P>
void resampleBlocks(const ResampleShape& shape, const float* planes, const double* maps, const float* taps, int64_t first, int64_t last,
                    float* result, float* scratch) {
  const int64_t size = shape.height * shape.width, blocks = (shape.planes + P - 1) / P;
  Resampler<P> resampler(shape, taps, scratch);
  for (int64_t block = first; block < last; ++block) {
    const int64_t group = block / blocks, plane = block % blocks * P;
    const int64_t offset = (group * shape.planes + plane) * size;
    resampler.run(planes + offset, std::min(P, shape.planes - plane), maps + 6 * group, result + offset);
  }
}

int64_t blockSize(int64_t planes) { return planes <= kFewLanes ? kFewLanes : kWidth; }

int64_t scratch(const ResampleShape& shape, const double* map) {
  const Reading reading(shape, map);
  return blockSize(shape.planes) == kFewLanes ? Sizes<kFewLanes>(shape, reading.across, reading.down).sum()
                                              : Sizes<kWidth>(shape, reading.across, reading.down).sum();
}

void resample(const ResampleShape& shape, const float* planes, const double* maps, const float* taps, int64_t first, int64_t last,
              float* result, float* scratch) {
  const auto run = blockSize(shape.planes) == kFewLanes ? resampleBlocks<kFewLanes> : resampleBlocks<kWidth>;
  run(shape, planes, maps, taps, first, last, result, scratch);
}

}  // namespace

ResampleLoops resampleLoops() { return {blockSize, scratch, resample}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
