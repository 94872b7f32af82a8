// XXH64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md): several gigabytes per second on any processor; Node's
// checksums are a quarter as fast, or missing in its older versions.
#include <cstdint>
#include <cstring>

#include "addon.h"
#include "convert.h"

namespace addon {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;

inline uint64_t rotated(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

// Numbers in a file are little-endian, as on all processors that libtorch runs on.
template <class Integer>
inline uint64_t readFrom(const uint8_t* at) {
  Integer value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

inline uint64_t round(uint64_t lane, uint64_t input) { return rotated(lane + input * kPrime2, 31) * kPrime1; }

inline uint64_t merged(uint64_t hash, uint64_t lane) { return (hash ^ round(0, lane)) * kPrime1 + kPrime4; }

uint64_t xxh64(const uint8_t* at, size_t length, uint64_t seed) {
  const uint8_t* const end = at + length;
  uint64_t hash = seed + kPrime5;
  if (length >= 32) {
    uint64_t lanes[4] = {seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1};
    for (; end - at >= 32; at += 32) {
      for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], readFrom<uint64_t>(at + 8 * i));
    }
    hash = rotated(lanes[0], 1) + rotated(lanes[1], 7) + rotated(lanes[2], 12) + rotated(lanes[3], 18);
    for (const uint64_t lane : lanes) hash = merged(hash, lane);
  }
  hash += length;
  for (; end - at >= 8; at += 8) hash = rotated(hash ^ round(0, readFrom<uint64_t>(at)), 27) * kPrime1 + kPrime4;
  if (end - at >= 4) {
    hash = rotated(hash ^ readFrom<uint32_t>(at) * kPrime1, 23) * kPrime2 + kPrime3;
    at += 4;
  }
  for (; at < end; ++at) hash = rotated(hash ^ *at * kPrime5, 11) * kPrime1;
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace

// checksum(bytes: Uint8Array, seed: bigint) -> bigint
napi_value checksum(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [bytes, seed] = arguments<2>(env, info);
    size_t length = 0;
    void* data = nullptr;
    napi_typedarray_type type;
    check(env, napi_get_typedarray_info(env, bytes, &type, &length, &data, nullptr, nullptr), "expected a Uint8Array");
    if (type != napi_uint8_array) throw UsageError("expected a Uint8Array");
    uint64_t begin = 0;
    bool isExact = false;
    check(env, napi_get_value_bigint_uint64(env, seed, &begin, &isExact), "expected a bigint");
    napi_value result;
    check(env, napi_create_bigint_uint64(env, xxh64(static_cast<const uint8_t*>(data), length, begin), &result), "a bigint");
    return result;
  });
}

}  // namespace addon
