// The namespaces of the loops, one per instruction set. Separate from instruction_set.h: code compiled for one processor must not
// contain the function that detects the processor.
#pragma once

// Declares a function in each of them; without the semicolon at its end.
#define FOR_EVERY_INSTRUCTION_SET(declaration) \
  namespace baseline {                         \
  declaration;                                 \
  }                                            \
  namespace avx2 {                             \
  declaration;                                 \
  }                                            \
  namespace avx512 {                           \
  declaration;                                 \
  }                                            \
  namespace avx512vnni {                       \
  declaration;                                 \
  }                                            \
  namespace avx512bf16 {                       \
  declaration;                                 \
  }
