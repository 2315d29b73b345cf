// Q8_0 matrix products for AVX-512 with VNNI. `.ci/kernels.py` includes this file in llama.cpp's ggml-cpu/repack.cpp.
//
// In: weights in Q8_0, activations that repack.cpp has quantized to Q8_0. Out: their products in single precision.
// Not here: the split of a product among threads, and quantizing (repack.cpp).
//
// llama.cpp packs Q8_0 again for ARM and RISC-V only, and its x86 kernel takes about seven instructions for 32
// products of 8-bit numbers. Here 16 rows of weights lie side by side, four numbers of each in a register. One vpdpbusd
// multiplies them with four numbers of an activation, and needs no sum across lanes.
//
// vpdpbusd multiplies unsigned by signed numbers. So weights are stored with 128 added, and 128 times the sum of the
// activation's numbers is taken off at the start of each block. Integers are exact either way.

#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
#define SAMEBOAT_Q8_0
#include <immintrin.h>

#include <vector>

// The service looks for this name, so that fingerprints tell what computes (service/engine/local/recipe.py).
extern "C" int sameboat_q8_0(void);
int sameboat_q8_0(void) { return 1; }

namespace ggml::cpu::repack {

namespace q8_0_avx512 {

constexpr int ROWS   = 16;  // of weights, in one block_q8_0x16
constexpr int GROUPS = 8;   // of four numbers, in one block of QK8_0

// What a block of one activation adds to each of its products: its scale, and the start of the integer sum.
struct terms {
    float   scale;
    int32_t start;
};

// The four sums of two lanes side by side.
inline __m128i pairs(__m256i lanes) {
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_hadd_epi32(lanes, lanes), 0x08));
}

// The terms of four activations, whose numbers lie in parts of eight.
inline void terms_of(const block_q8_0x4 & block, terms * to) {
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i       sum  = _mm512_setzero_si512();
    for (int at = 0; at < 4 * QK8_0; at += 64) {
        sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(block.qs + at));
    }
    const __m128i sums   = pairs(_mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1)));
    const __m128i starts = _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums, 7));
    const __m128i scales = _mm_castps_si128(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *) block.d)));
    _mm_storeu_si128((__m128i *) to, _mm_unpacklo_epi32(scales, starts));
    _mm_storeu_si128((__m128i *) to + 1, _mm_unpackhi_epi32(scales, starts));
}

inline terms terms_of(const block_q8_0 & block) {
    const __m256i sum  = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), _mm256_loadu_si256((const __m256i *) block.qs));
    const __m128i sums = pairs(sum), twos = _mm_hadd_epi32(sums, sums);
    return { GGML_CPU_FP16_TO_FP32(block.d), -128 * (_mm_cvtsi128_si32(twos) + _mm_extract_epi32(twos, 1)) };
}

// Four numbers of an activation in all lanes. In a block of four activations they lie in parts of eight.
inline __m512i four(const int8_t * qs, int group, int stride) {
    int32_t numbers;
    memcpy(&numbers, qs + group / 2 * stride + group % 2 * 4, sizeof(numbers));
    return _mm512_set1_epi32(numbers);
}

// 16 rows of weights times N activations. `block(l, n)` is the address of activation n's numbers in block l.
template <int N, typename Block>
inline void tile(int nb, float * out, size_t out_stride, const block_q8_0x16 * weights, const terms * parts, int stride,
                 const Block & block) {
    __m512 total[N];
    for (int n = 0; n < N; n++) {
        total[n] = _mm512_setzero_ps();
    }
    for (int l = 0; l < nb; l++) {
        const terms * here = parts + l * N;
        __m512i       sum[N];
        for (int n = 0; n < N; n++) {
            sum[n] = _mm512_set1_epi32(here[n].start);
        }
        for (int group = 0; group < GROUPS; group++) {
            const __m512i row = _mm512_loadu_si512(weights[l].qs + group * 4 * ROWS);
            for (int n = 0; n < N; n++) {
                sum[n] = _mm512_dpbusd_epi32(sum[n], row, four(block(l, n), group, stride));
            }
        }
        const __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) weights[l].d));
        for (int n = 0; n < N; n++) {
            const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(here[n].scale));
            total[n] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum[n]), total[n]);
        }
    }
    for (int n = 0; n < N; n++) {
        _mm512_storeu_ps(out + n * out_stride, total[n]);
    }
}

// N activations, a multiple of four, times all rows of weights.
template <int N>
inline void rows_of(int nb, float * out, size_t out_stride, const block_q8_0x16 * weights, const block_q8_0x4 * in,
                    int nc) {
    thread_local std::vector<terms> parts;
    parts.resize((size_t) nb * N);
    for (int l = 0; l < nb; l++) {
        for (int n = 0; n < N; n += 4) {
            terms_of(in[n / 4 * nb + l], &parts[l * N + n]);
        }
    }
    const auto block = [&](int l, int n) { return in[n / 4 * nb + l].qs + n % 4 * 8; };
    for (int x = 0; x < nc / ROWS; x++) {
        tile<N>(nb, out + x * ROWS, out_stride, weights + (size_t) x * nb, parts.data(), 32, block);
    }
}

// N activations, fewer than four, each in a row of its own, times all rows of weights.
template <int N>
inline void rest_of(int nb, float * out, size_t out_stride, const block_q8_0x16 * weights, const block_q8_0 * in, int nc) {
    thread_local std::vector<terms> parts;
    parts.resize((size_t) nb * N);
    for (int l = 0; l < nb; l++) {
        for (int n = 0; n < N; n++) {
            parts[l * N + n] = terms_of(in[n * nb + l]);
        }
    }
    const auto block = [&](int l, int n) { return in[n * nb + l].qs; };
    for (int x = 0; x < nc / ROWS; x++) {
        tile<N>(nb, out + x * ROWS, out_stride, weights + (size_t) x * nb, parts.data(), 8, block);
    }
}

}  // namespace q8_0_avx512

// One to three activations in rows of their own. repack.cpp would call `gemv` for each, which reads the weights again.
template <typename Block> void rest(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc);

template <> void rest<block_q8_0>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    const auto of = nr == 1 ? q8_0_avx512::rest_of<1> : nr == 2 ? q8_0_avx512::rest_of<2> : q8_0_avx512::rest_of<3>;
    of(n / QK8_0, s, bs, (const block_q8_0x16 *) vx, (const block_q8_0 *) vy, nc);
}

template <> int repack<block_q8_0, 8, 16>(struct ggml_tensor * t, const void * data, size_t data_size) {
    using namespace q8_0_avx512;
    const int64_t nb = t->ne[0] / QK8_0, nrow = ggml_nrows(t);
    GGML_ASSERT(data_size == nrow * nb * sizeof(block_q8_0));
    if (nrow % ROWS != 0) {
        return -1;
    }
    auto *       dst = (block_q8_0x16 *) t->data;
    const auto * src = (const block_q8_0 *) data;
    for (int64_t first = 0; first < nrow; first += ROWS, src += ROWS * nb) {
        for (int64_t l = 0; l < nb; l++, dst++) {
            for (int i = 0; i < ROWS; i++) {
                const block_q8_0 & from = src[i * nb + l];
                dst->d[i] = from.d;
                for (int group = 0; group < GROUPS; group++) {
                    uint32_t numbers;
                    memcpy(&numbers, from.qs + group * 4, 4);
                    numbers ^= 0x80808080;
                    memcpy(dst->qs + (group * ROWS + i) * 4, &numbers, 4);
                }
            }
        }
    }
    return 0;
}

template <> void gemv<block_q8_0, 8, 16, GGML_TYPE_Q8_0>(int n, float * s, size_t bs, const void * vx, const void * vy, int, int nc) {
    rest<block_q8_0>(n, s, bs, vx, vy, 1, nc);
}

template <> void gemm<block_q8_0, 8, 16, GGML_TYPE_Q8_0>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    using namespace q8_0_avx512;
    const int    nb      = n / QK8_0;
    const auto * weights = (const block_q8_0x16 *) vx;
    const auto * in      = (const block_q8_0x4 *) vy;
    int          y       = 0;
    for (; y + 8 <= nr; y += 8) {
        rows_of<8>(nb, s + y * bs, bs, weights, in + y / 4 * nb, nc);
    }
    if (y < nr) {
        rows_of<4>(nb, s + y * bs, bs, weights, in + y / 4 * nb, nc);
    }
}

}  // namespace ggml::cpu::repack
#endif
