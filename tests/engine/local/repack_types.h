// What the tests of `.ci/*_avx512.h` products need of llama.cpp's ggml-common.h, ggml-quants.h and ggml-cpu/repack.cpp.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>

#define QK8_0 32
#define GGML_ASSERT(condition) if (!(condition)) abort()
#define GGML_CPU_FP16_TO_FP32(half) _cvtsh_ss(half)
enum ggml_type { GGML_TYPE_Q8_0, GGML_TYPE_Q8_K };
struct block_q8_0 { uint16_t d; int8_t qs[QK8_0]; };
template <int N> struct blocks { uint16_t d[N]; int8_t qs[QK8_0 * N]; };
using block_q8_0x4  = blocks<4>;
using block_q8_0x16 = blocks<16>;
struct ggml_tensor { void * data; int64_t ne[4]; };
inline int64_t ggml_nrows(const ggml_tensor * t) { return t->ne[1]; }

namespace ggml::cpu::repack {
template <typename B, int64_t I, int64_t N> int repack(ggml_tensor *, const void *, size_t);
template <typename B, int64_t I, int64_t N, ggml_type T> void gemv(int, float *, size_t, const void *, const void *, int, int);
template <typename B, int64_t I, int64_t N, ggml_type T> void gemm(int, float *, size_t, const void *, const void *, int, int);
}  // namespace ggml::cpu::repack
