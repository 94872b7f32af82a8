// Which activations dropout keeps. The mask is a function of a key and the position of an element, so it is not stored:
// the backward pass and a second forward pass recompute it.
#pragma once

#include <cstdint>

// The same function for CPUs and GPUs.
#ifdef __CUDACC__
#define HERE_AND_ON_GPUS __host__ __device__
#else
#define HERE_AND_ON_GPUS
#endif

namespace addon {

// Of one sample. The default drops nothing.
struct Dropout {
  uint32_t threshold = 0;  // elements with a smaller hash are dropped
  float scale = 1;         // of the others
  uint32_t first = 0, second = 0;

  HERE_AND_ON_GPUS Dropout() {}

  HERE_AND_ON_GPUS Dropout(double probability, uint64_t key, uint64_t sample) {
    threshold = static_cast<uint32_t>(probability * 4294967296.0);
    scale = static_cast<float>(1 / (1 - probability));
    // The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    uint64_t z = key + sample * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    first = static_cast<uint32_t>(z);
    second = static_cast<uint32_t>(z >> 32);
  }

  // A hash of an element's position in its sample, [pixels, channels]; for 32-bit numbers and for vectors of them. Two keys,
  // one added and one mixed in half-way: masks of other samples and layers are not rearrangements of this one.
  template <class Word>
  HERE_AND_ON_GPUS Word hash(Word position) const {
    Word h = position + first;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15) ^ second) * 0x846ca68bu;
    return h ^ (h >> 16);
  }
};

}  // namespace addon
