#include "scratch.h"

#include <c10/core/CPUAllocator.h>

#include <cstring>

namespace addon {
namespace {

struct Piece {
  c10::DataPtr memory;
  int64_t floats = 0;
};

thread_local Piece pieces[3];

bool isPoisoned = false;

// Whether buffers may be larger than requested. That would hide accesses past the end from a sanitizer.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool isKept = false;
#else
constexpr bool isKept = true;
#endif

}  // namespace

float* scratch(Scratch purpose, int64_t floats) {
  Piece& piece = pieces[static_cast<int>(purpose)];
  if (piece.floats < floats || !isKept) {
    piece = {};  // freed first: the contents need not be kept
    piece.memory = c10::GetCPUAllocator()->allocate(floats * sizeof(float));
    piece.floats = floats;
  }
  // A NaN in every type of floating point, and -1 in integers.
  if (isPoisoned) std::memset(piece.memory.get(), 0xff, floats * sizeof(float));
  return static_cast<float*>(piece.memory.get());
}

void releaseScratch() {
  for (Piece& piece : pieces) piece = {};
}

void poisonScratch() { isPoisoned = true; }

}  // namespace addon
