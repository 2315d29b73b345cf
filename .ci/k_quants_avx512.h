// Q4_K and Q6_K matrix products for AVX-512 with VNNI. `.ci/kernels.py` includes this file in llama.cpp's
// ggml-cpu/repack.cpp, behind `q8_0_avx512.h`.
//
// In: weights in Q4_K or Q6_K, activations that repack.cpp has quantized to Q8_K. Out: their products in single precision.
// Not here: the split of a product among threads, and quantizing (repack.cpp).
//
// llama.cpp's x86 kernel for Q4_K multiplies in pairs of 8-bit numbers (vpmaddubsw), and Q6_K has none for whole prompts.
// Here 16 rows of weights lie side by side, as in `q8_0_avx512.h`. Both formats hold 256 numbers in a block (ggml-common.h).
// Q4_K: eight parts of 32 numbers q from 0 to 15, which mean d * scale * q - dmin * minimum. Q6_K: sixteen parts of 16
// numbers q from 0 to 63, which mean d * scale * (q - 32).

#if defined(SAMEBOAT_Q8_0)
#define SAMEBOAT_K_QUANTS

// The service looks for this name, so that fingerprints tell what computes (service/engine/local/recipe.py).
extern "C" int sameboat_k_quants(void);
int sameboat_k_quants(void) { return 1; }

namespace ggml::cpu::repack {

struct block_q4_Kx16 {
    ggml_half d[16];
    ggml_half dmin[16];
    uint8_t   scales[8][24];  // of each part 16 scales with the two low bits of the minimums above, then the other four
    uint8_t   qs[16 * QK_K / 2];
};

static_assert(sizeof(block_q4_Kx16) == 16 * sizeof(block_q4_K), "as large as what it is packed from");

struct block_q6_Kx16 {
    ggml_half d[16];
    int8_t    scales[16][16];
    uint8_t   qs[2][8][3][64];  // of each half for each group: low bits of two groups, those of two more above, high bits of all
};

static_assert(sizeof(block_q6_Kx16) == 16 * sizeof(block_q6_K), "as large as what it is packed from");

namespace k_quants_avx512 {

using q8_0_avx512::four;
using q8_0_avx512::pairs;
using q8_0_avx512::ROWS;

inline __m512 wide(const ggml_half * halfs) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) halfs)); }

// The sums of four activations over SIZE numbers, which lie in parts of eight.
template <int SIZE> inline __m128i sums_of(const int8_t * qs) {
    __m512i sum = _mm512_setzero_si512();
    for (int at = 0; at < 4 * SIZE; at += 64) {
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_loadu_si512(qs + at));
    }
    return pairs(_mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1)));
}

// Four bytes of each of 16 rows side by side, from rows that are `stride` bytes apart.
inline void interleave(uint8_t * to, const uint8_t * from, size_t stride, int bytes) {
    for (int i = 0; i < ROWS; i++) {
        for (int at = 0; at < bytes; at += 4) {
            memcpy(to + (at / 4 * ROWS + i) * 4, from + i * stride + at, 4);
        }
    }
}

// Each format tells how its blocks of 16 rows are packed and how one of them is multiplied with N activations.
// TERMS numbers of each activation go with a block, beside its scale: `terms_of` finds them.
struct q4_k {
    using block    = block_q4_Kx16;
    using original = block_q4_K;
    using term     = float;
    static constexpr int MOST  = 8;  // activations at once, by the number of registers
    static constexpr int TERMS = 8;  // of a part: the sum of the activation's numbers times its scale

    static void terms_of(const block_q8_Kx4 & in, term * to, int step) {
        for (int part = 0; part < TERMS; part++) {
            const __m128 sums = _mm_cvtepi32_ps(sums_of<32>(in.qs + part * 128));
            _mm_storeu_ps(to + part * step, _mm_mul_ps(sums, _mm_loadu_ps(in.d)));
        }
    }

    static void terms_of(const block_q8_K & in, term * to, int step) {
        for (int part = 0; part < TERMS; part++) {
            to[part * step] = in.d * (in.bsums[2 * part] + in.bsums[2 * part + 1]);
        }
    }

    static void pack(block & to, const original * from, size_t blocks) {
        for (int i = 0; i < ROWS; i++) {
            const original & row = from[i * blocks];
            to.d[i]              = row.GGML_COMMON_AGGR_U.GGML_COMMON_AGGR_S.d;
            to.dmin[i]           = row.GGML_COMMON_AGGR_U.GGML_COMMON_AGGR_S.dmin;
            for (int part = 0; part < TERMS; part++) {
                const uint8_t * q = row.scales;
                const uint8_t scale = part < 4 ? q[part] & 63 : (q[part + 4] & 15) | (q[part - 4] >> 6 << 4);
                const uint8_t least = part < 4 ? q[part + 4] & 63 : (q[part + 4] >> 4) | (q[part] >> 6 << 4);
                uint8_t &     rest  = to.scales[part][ROWS + i % 8];
                to.scales[part][i]  = scale | (uint8_t) (least << 6);
                rest                = i < 8 ? least >> 2 : rest | (uint8_t) (least >> 2 << 4);
            }
        }
        for (int chunk = 0; chunk < 4; chunk++) {
            interleave(to.qs + chunk * 512, from->qs + chunk * 32, blocks * sizeof(original), 32);
        }
    }

    template <int N, int SHIFT, typename Numbers>
    static void add_part(const block & weights, int part, __m512 d, __m512 dmin, const term * terms, int stride,
                         const Numbers & numbers, __m512 * whole, __m512 * total) {
        __m512i sum[N];
        for (int n = 0; n < N; n++) {
            sum[n] = _mm512_setzero_si512();
        }
        for (int group = 0; group < 8; group++) {
            const __m512i bytes = _mm512_loadu_si512(weights.qs + part / 2 * 512 + group * 64);
            const __m512i row   = _mm512_and_si512(SHIFT ? _mm512_srli_epi16(bytes, SHIFT) : bytes, _mm512_set1_epi8(15));
            for (int n = 0; n < N; n++) {
                sum[n] = _mm512_dpbusd_epi32(sum[n], row, four(numbers(n) + part * 4 * stride, group, stride));
            }
        }
        const __m512i low   = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *) weights.scales[part]));
        const __m256i high  = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *) (weights.scales[part] + ROWS)));
        const __m512i highs = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_and_si256(high, _mm256_set1_epi32(15))),
                                                 _mm256_srli_epi32(high, 4), 1);
        const __m512i least = _mm512_or_si512(_mm512_srli_epi32(low, 6), _mm512_slli_epi32(highs, 2));
        const __m512  scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_and_si512(low, _mm512_set1_epi32(63))));
        const __m512  minus = _mm512_mul_ps(dmin, _mm512_cvtepi32_ps(least));
        for (int n = 0; n < N; n++) {
            whole[n] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum[n]), whole[n]);
            total[n] = _mm512_fnmadd_ps(minus, _mm512_set1_ps(terms[part * N + n]), total[n]);
        }
    }

    template <int N, typename Numbers>
    static void add(const block & weights, const term * terms, int stride, const Numbers & numbers, __m512 * whole,
                    __m512 * total) {
        const __m512 d = wide(weights.d), dmin = wide(weights.dmin);
        for (int part = 0; part < TERMS; part += 2) {
            add_part<N, 0>(weights, part, d, dmin, terms, stride, numbers, whole, total);
            add_part<N, 4>(weights, part + 1, d, dmin, terms, stride, numbers, whole, total);
        }
    }
};

struct q6_k {
    using block    = block_q6_Kx16;
    using original = block_q6_K;
    using term     = int32_t;
    static constexpr int MOST  = 4;
    static constexpr int TERMS = 16;  // of a part: the start of its sum, because the numbers mean 32 less

    static void terms_of(const block_q8_Kx4 & in, term * to, int step) {
        for (int part = 0; part < TERMS; part++) {
            const __m128i sums = sums_of<16>(in.qs + part * 64);
            _mm_storeu_si128((__m128i *) (to + part * step), _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums, 5)));
        }
    }

    static void terms_of(const block_q8_K & in, term * to, int step) {
        for (int part = 0; part < TERMS; part++) {
            to[part * step] = -32 * in.bsums[part];
        }
    }

    static void pack(block & to, const original * from, size_t blocks) {
        for (int i = 0; i < ROWS; i++) {
            const original & row = from[i * blocks];
            to.d[i]              = row.d;
            for (int part = 0; part < TERMS; part++) {
                to.scales[part][i] = row.scales[part];
            }
        }
        for (int half = 0; half < 2; half++) {
            for (int group = 0; group < 8; group++) {
                interleave(to.qs[half][group][0], from->ql + half * 64 + group * 4, blocks * sizeof(original), 4);
                interleave(to.qs[half][group][1], from->ql + half * 64 + group * 4 + 32, blocks * sizeof(original), 4);
                interleave(to.qs[half][group][2], from->qh + half * 32 + group * 4, blocks * sizeof(original), 4);
            }
        }
    }

    // The numbers of four groups, one of each quarter of 128 numbers: four low bits of a byte, and two high ones.
    static void unpack(const uint8_t (&qs)[3][64], __m512i (&rows)[4]) {
        const __m512i a = _mm512_loadu_si512(qs[0]), b = _mm512_loadu_si512(qs[1]), high = _mm512_loadu_si512(qs[2]);
        const auto    joined = [](__m512i low, __m512i above) {
            return _mm512_ternarylogic_epi32(_mm512_and_si512(low, _mm512_set1_epi8(15)), above, _mm512_set1_epi8(48), 0xF8);  // low | (above & 48)
        };
        rows[0] = joined(a, _mm512_slli_epi16(high, 4));
        rows[1] = joined(b, _mm512_slli_epi16(high, 2));
        rows[2] = joined(_mm512_srli_epi16(a, 4), high);
        rows[3] = joined(_mm512_srli_epi16(b, 4), _mm512_srli_epi16(high, 2));
    }

    template <int N, typename Numbers>
    static void add(const block & weights, const term * terms, int stride, const Numbers & numbers, __m512 * whole, __m512 *) {
        const __m512 d = wide(weights.d);
        for (int eight = 0; eight < 4; eight++) {  // of parts: half `eight / 2`, and of each quarter the part `eight % 2`
            const int first = eight / 2 * 8 + eight % 2;
            __m512i   sum[4][N];
            for (int quarter = 0; quarter < 4; quarter++) {
                for (int n = 0; n < N; n++) {
                    sum[quarter][n] = _mm512_set1_epi32(terms[(first + quarter * 2) * N + n]);
                }
            }
            for (int group = eight % 2 * 4, end = group + 4; group < end; group++) {
                __m512i rows[4];
                unpack(weights.qs[eight / 2][group], rows);
                for (int quarter = 0; quarter < 4; quarter++) {
                    for (int n = 0; n < N; n++) {
                        const int8_t * quarter_of = numbers(n) + (eight / 2 * 16 + quarter * 4) * stride;
                        sum[quarter][n] = _mm512_dpbusd_epi32(sum[quarter][n], rows[quarter], four(quarter_of, group, stride));
                    }
                }
            }
            for (int quarter = 0; quarter < 4; quarter++) {
                const __m128i scales = _mm_loadu_si128((const __m128i *) weights.scales[first + quarter * 2]);
                const __m512  scale  = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)));
                for (int n = 0; n < N; n++) {
                    whole[n] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sum[quarter][n]), whole[n]);
                }
            }
        }
    }
};

// 16 rows of weights times N activations. `numbers(l, n)` is the address of activation n's numbers in block l.
template <typename Format, int N, typename Numbers>
inline void tile(int nb, float * out, size_t out_stride, const typename Format::block * weights, const float * scales,
                 const typename Format::term * terms, int stride, const Numbers & numbers) {
    __m512 total[N];
    for (int n = 0; n < N; n++) {
        total[n] = _mm512_setzero_ps();
    }
    for (int l = 0; l < nb; l++) {
        __m512 whole[N];
        for (int n = 0; n < N; n++) {
            whole[n] = _mm512_setzero_ps();
        }
        const auto here = [&](int n) { return numbers(l, n); };
        Format::template add<N>(weights[l], terms + (size_t) l * Format::TERMS * N, stride, here, whole, total);
        for (int n = 0; n < N; n++) {
            total[n] = _mm512_fmadd_ps(whole[n], _mm512_set1_ps(scales[l * N + n]), total[n]);
        }
    }
    for (int n = 0; n < N; n++) {
        _mm512_storeu_ps(out + n * out_stride, total[n]);
    }
}

// N activations, a multiple of four, times all rows of weights.
template <typename Format, int N>
inline void rows_of(int nb, float * out, size_t out_stride, const typename Format::block * weights, const block_q8_Kx4 * in, int nc) {
    thread_local std::vector<float>                 scales;
    thread_local std::vector<typename Format::term> terms;
    scales.resize((size_t) nb * N);
    terms.resize((size_t) nb * N * Format::TERMS);
    for (int l = 0; l < nb; l++) {
        for (int n = 0; n < N; n += 4) {
            const block_q8_Kx4 & four_of = in[n / 4 * nb + l];
            _mm_storeu_ps(&scales[l * N + n], _mm_loadu_ps(four_of.d));
            Format::terms_of(four_of, &terms[(size_t) l * Format::TERMS * N + n], N);
        }
    }
    const auto numbers = [&](int l, int n) { return in[n / 4 * nb + l].qs + n % 4 * 8; };
    for (int x = 0; x < nc / ROWS; x++) {
        tile<Format, N>(nb, out + x * ROWS, out_stride, weights + (size_t) x * nb, scales.data(), terms.data(), 32, numbers);
    }
}

template <typename Format> inline void gemm(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    const int    nb      = n / QK_K;
    const auto * weights = (const typename Format::block *) vx;
    const auto * in      = (const block_q8_Kx4 *) vy;
    int          y       = 0;
    for (; y + Format::MOST <= nr; y += Format::MOST) {
        rows_of<Format, Format::MOST>(nb, s + y * bs, bs, weights, in + y / 4 * nb, nc);
    }
    if (y < nr) {
        rows_of<Format, 4>(nb, s + y * bs, bs, weights, in + y / 4 * nb, nc);
    }
}

// N activations, fewer than four, each in a row of its own, times all rows of weights.
template <typename Format, int N>
inline void rest_of(int nb, float * out, size_t out_stride, const typename Format::block * weights, const block_q8_K * in, int nc) {
    thread_local std::vector<float>                 scales;
    thread_local std::vector<typename Format::term> terms;
    scales.resize((size_t) nb * N);
    terms.resize((size_t) nb * N * Format::TERMS);
    for (int l = 0; l < nb; l++) {
        for (int n = 0; n < N; n++) {
            scales[l * N + n] = in[n * nb + l].d;
            Format::terms_of(in[n * nb + l], &terms[(size_t) l * Format::TERMS * N + n], N);
        }
    }
    const auto numbers = [&](int l, int n) { return in[n * nb + l].qs; };
    for (int x = 0; x < nc / ROWS; x++) {
        tile<Format, N>(nb, out + x * ROWS, out_stride, weights + (size_t) x * nb, scales.data(), terms.data(), 8, numbers);
    }
}

template <typename Format> inline void rest(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    const auto of = nr == 1 ? rest_of<Format, 1> : nr == 2 ? rest_of<Format, 2> : rest_of<Format, 3>;
    of(n / QK_K, s, bs, (const typename Format::block *) vx, (const block_q8_K *) vy, nc);
}

template <typename Format> int repack(struct ggml_tensor * t, const void * data, size_t data_size) {
    const int64_t nb = t->ne[0] / QK_K, nrow = ggml_nrows(t);
    GGML_ASSERT(data_size == nrow * nb * sizeof(typename Format::original));
    if (nrow % ROWS != 0) {
        return -1;
    }
    auto *       dst = (typename Format::block *) t->data;
    const auto * src = (const typename Format::original *) data;
    for (int64_t first = 0; first < nrow; first += ROWS, src += ROWS * nb) {
        for (int64_t l = 0; l < nb; l++) {
            Format::pack(*dst++, src + l, nb);
        }
    }
    return 0;
}

}  // namespace k_quants_avx512

template <> int repack<block_q4_K, 8, 16>(struct ggml_tensor * t, const void * data, size_t data_size) {
    return k_quants_avx512::repack<k_quants_avx512::q4_k>(t, data, data_size);
}

template <> void rest<block_q4_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    k_quants_avx512::rest<k_quants_avx512::q4_k>(n, s, bs, vx, vy, nr, nc);
}

template <> void gemv<block_q4_K, 8, 16, GGML_TYPE_Q8_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int, int nc) {
    rest<block_q4_K>(n, s, bs, vx, vy, 1, nc);
}

template <> void gemm<block_q4_K, 8, 16, GGML_TYPE_Q8_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    k_quants_avx512::gemm<k_quants_avx512::q4_k>(n, s, bs, vx, vy, nr, nc);
}

template <> int repack<block_q6_K, 8, 16>(struct ggml_tensor * t, const void * data, size_t data_size) {
    return k_quants_avx512::repack<k_quants_avx512::q6_k>(t, data, data_size);
}

template <> void rest<block_q6_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    k_quants_avx512::rest<k_quants_avx512::q6_k>(n, s, bs, vx, vy, nr, nc);
}

template <> void gemv<block_q6_K, 8, 16, GGML_TYPE_Q8_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int, int nc) {
    rest<block_q6_K>(n, s, bs, vx, vy, 1, nc);
}

template <> void gemm<block_q6_K, 8, 16, GGML_TYPE_Q8_K>(int n, float * s, size_t bs, const void * vx, const void * vy, int nr, int nc) {
    k_quants_avx512::gemm<k_quants_avx512::q6_k>(n, s, bs, vx, vy, nr, nc);
}

}  // namespace ggml::cpu::repack
#endif
