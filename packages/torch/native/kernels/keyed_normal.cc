// stf::keyed_normal: standard normal numbers that depend only on a row's key and their position in the row.
//
// Why it exists: training noise is tied to the number of a sample. A CPU generator is reseeded for every sample; on a GPU
// that is a launch per sample, and hundreds of them take longer than a step of a small network. Here all rows are one launch
// for each of a few operators.
#include <ATen/ATen.h>
#include <torch/library.h>

namespace addon {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// z ^ (z >> bits) with zeros shifted in, which libtorch has no integer operator for. In place.
void foldDown(at::Tensor z, int64_t bits) {
  const int64_t kept = static_cast<int64_t>((uint64_t{1} << (64 - bits)) - 1);
  z.bitwise_xor_(at::bitwise_right_shift(z, at::Scalar(bits)).bitwise_and_(kept));
}

// SplitMix64 (Steele, Lea and Flood 2014): number k of the stream that starts at a row's key. Products are modulo 2^64.
at::Tensor splitMix(const at::Tensor& keys, int64_t count) {
  const auto step = static_cast<int64_t>(0x9e3779b97f4a7c15u);
  at::Tensor z = (at::arange(1, count + 1, keys.options()) * step).add(keys.unsqueeze(1));
  foldDown(z, 30);
  z.mul_(static_cast<int64_t>(0xbf58476d1ce4e5b9u));
  foldDown(z, 27);
  z.mul_(static_cast<int64_t>(0x94d049bb133111ebu));
  foldDown(z, 31);
  return z;
}

// Two normal numbers per 64-bit number, by Box and Muller (1958): the upper half gives the radius, the lower half the angle.
at::Tensor keyedNormal(const at::Tensor& keys, int64_t columns) {
  TORCH_CHECK(keys.dim() == 1 && keys.scalar_type() == at::kLong, "keys must be a list of int64, found ", keys.scalar_type(), " ",
              keys.sizes());
  TORCH_CHECK(columns >= 0, "the number of columns must not be negative, found ", columns);
  constexpr int64_t lowerHalf = 0xffffffff;
  const at::Tensor bits = splitMix(keys, (columns + 1) / 2);
  const at::Tensor upper = at::bitwise_right_shift(bits, at::Scalar(32)).bitwise_and_(lowerHalf).add_(1).to(at::kFloat);
  const at::Tensor angle = at::bitwise_and(bits, at::Scalar(lowerHalf)).to(at::kFloat).mul_(kTwoPi / 4294967296.0);
  const at::Tensor radius = upper.mul(1 / 4294967296.0).log_().mul_(-2).clamp_min_(0).sqrt_();
  return at::cat({at::cos(angle).mul_(radius), at::sin(angle).mul_(radius)}, 1).narrow(1, 0, columns).contiguous();
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("keyed_normal(Tensor keys, int columns) -> Tensor"); }

// One implementation for all backends, with stock operators.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("keyed_normal", keyedNormal); }

}  // namespace addon
