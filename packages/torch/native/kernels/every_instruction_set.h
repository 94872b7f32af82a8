// The namespaces of the loops, one per instruction set. Apart from instruction_set.h: what is compiled for a processor must not
// hold the function that asks which one this is.
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
  }
