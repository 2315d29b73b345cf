// Attention for AVX-512 over keys and values in half precision. `.ci/kernels.py` includes this file in llama.cpp's
// ggml-cpu/ops.cpp.
//
// In: queries in single precision, keys and values in half precision, a mask. Out: softmax(scale * Q * K + mask) * V in
// single precision. Not here: sinks, soft caps and ALiBi (llama.cpp's own code), and the split of the work among threads.
//
// llama.cpp computes one query head at a time, one key at a time below 64 queries, and sums values in half precision.
// Here all queries that share a head of keys and values share each load of it. Sums are in single precision.
//
// Sequences with a common beginning share its keys and values in one cache (cascade inference: Ye et al. 2024, "Cascade
// Inference", flashinfer.ai). A tile of keys that many queries read is read once for all of them. Of other tiles each query
// gathers the keys that it reads.

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define SAMEBOAT_ATTENTION
#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <vector>

// The service looks for this name, so that fingerprints tell what computes (service/engine/local/recipe.py).
extern "C" int sameboat_attention(void);
int sameboat_attention(void) { return 1; }

namespace sameboat_attention_avx512 {

constexpr int   LANES = 16;
constexpr int   KEYS  = 64;      // in one tile
constexpr int   ROWS  = 48;      // at most, in one piece of work
constexpr int   LEAST = 12;      // rows, in a piece that others share the work of
constexpr int   FEW   = 3;       // rows up to which a tile is not transposed
constexpr int   BLOCK = 6;       // rows of one product
constexpr float LOW   = -1e30f;  // below all scores, and finite so that differences are

// One head of keys and values, and the rows of queries that read it. A row is one head of one query.
struct work {
    int          width;   // of a head, a multiple of KEYS
    int          keys;
    int          rows;
    float        scale;
    const char * k;
    const char * v;
    size_t       k_stride, v_stride;  // bytes from one key to the next
    const float *    q[ROWS];
    const uint16_t * mask[ROWS];  // half precision, or null
    float *          out[ROWS];
};

inline __m512 half(const void * from) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) from)); }

// e to the power of x. Zero below -87, where single precision has no normal numbers.
inline __m512 exponential(__m512 x) {
    const __mmask16 there = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GT_OQ);
    const __m512    bits  = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    const __m512    whole = _mm512_roundscale_ps(bits, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512          rest  = _mm512_fmadd_ps(whole, _mm512_set1_ps(-0.693359375f), x);
    rest                  = _mm512_fmadd_ps(whole, _mm512_set1_ps(2.12194440e-4f), rest);
    __m512 sum            = _mm512_set1_ps(1.0f / 720);
    for (const float term : { 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f }) {
        sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(term));
    }
    return _mm512_maskz_scalef_ps(there, sum, whole);
}

inline float exponential(float x) { return _mm512_cvtss_f32(exponential(_mm512_set1_ps(x))); }

// Sums of four vectors, one in each of the four places of every 128 bits.
inline __m512 fold(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512d ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
}

// The 16 sums of four vectors that `fold` made.
inline __m512 fold_lanes(const __m512 * from) {
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(from[0], from[1], 0x88), _mm512_shuffle_f32x4(from[0], from[1], 0xDD));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(from[2], from[3], 0x88), _mm512_shuffle_f32x4(from[2], from[3], 0xDD));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

// Begins to load one row of a head. Rows of one head lie apart, so the CPU does not foresee them.
inline void prefetch(const char * row, int width) {
    for (size_t at = 0; at < width * sizeof(uint16_t); at += 64) {
        _mm_prefetch(row + at, _MM_HINT_T0);
    }
}

// Some keys of one query, with their values and its mask.
struct tile {
    int          keys = 0;
    const char * k[KEYS];
    const char * v[KEYS];
    uint16_t     mask[KEYS];  // half precision
};

// Scores of 16 keys for R rows from the one of this number on, from the keys as they lie in memory.
template <int R> inline void scores_of(const work & w, int row, const char * const * k, float * scores) {
    __m512 quarters[R][4];
    for (int quarter = 0; quarter < 4; quarter++, k += 4) {
        __m512 sums[R][4];
        for (int r = 0; r < R; r++) {
            for (int key = 0; key < 4; key++) {
                sums[r][key] = _mm512_setzero_ps();
            }
        }
        for (int d = 0; d < w.width; d += LANES) {
            __m512 query[R];
            for (int r = 0; r < R; r++) {
                query[r] = _mm512_loadu_ps(w.q[row + r] + d);
            }
            for (int key = 0; key < 4; key++) {
                const __m512 numbers = half(k[key] + d * sizeof(uint16_t));
                for (int r = 0; r < R; r++) {
                    sums[r][key] = _mm512_fmadd_ps(numbers, query[r], sums[r][key]);
                }
            }
        }
        for (int r = 0; r < R; r++) {
            quarters[r][quarter] = fold(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
        }
    }
    for (int r = 0; r < R; r++) {
        _mm512_storeu_ps(scores + r * KEYS, fold_lanes(quarters[r]));
    }
}

// Adds R rows of probabilities times the values of a tile, which are read as they lie in memory.
template <int R> inline void add_values(const work & w, const tile & t, const float * scores, float * sums) {
    // The next keys are probably as far behind these as these lie apart. The CPU does not foresee them.
    const bool is_regular = t.keys == KEYS && t.k[KEYS - 1] - t.k[0] == (ptrdiff_t) ((KEYS - 1) * w.k_stride);
    for (int d = 0; d < w.width; d += KEYS) {
        __m512 total[R][4];
        for (int r = 0; r < R; r++) {
            for (int part = 0; part < 4; part++) {
                total[r][part] = _mm512_loadu_ps(sums + r * w.width + d + part * LANES);
            }
        }
        for (int key = 0; key < t.keys; key++) {
            if (d == 0 && is_regular) {
                prefetch(t.k[key] + KEYS * w.k_stride, w.width);
            }
            __m512 numbers[4];
            for (int part = 0; part < 4; part++) {
                numbers[part] = half(t.v[key] + (d + part * LANES) * sizeof(uint16_t));
            }
            for (int r = 0; r < R; r++) {
                const __m512 probability = _mm512_set1_ps(scores[r * KEYS + key]);
                for (int part = 0; part < 4; part++) {
                    total[r][part] = _mm512_fmadd_ps(numbers[part], probability, total[r][part]);
                }
            }
        }
        for (int r = 0; r < R; r++) {
            for (int part = 0; part < 4; part++) {
                _mm512_storeu_ps(sums + r * w.width + d + part * LANES, total[r][part]);
            }
        }
    }
}

// R rows of `out` (64 columns) are, or grow by, R rows of `a` times `depth` rows of `b`.
template <int R, bool ADD>
inline void product(float * out, int out_stride, const float * a, int a_stride, const float * b, int b_stride, int depth) {
    __m512 total[R][4];
    for (int r = 0; r < R; r++) {
        for (int part = 0; part < 4; part++) {
            total[r][part] = ADD ? _mm512_loadu_ps(out + r * out_stride + part * LANES) : _mm512_setzero_ps();
        }
    }
    for (int d = 0; d < depth; d++) {
        __m512 column[4];
        for (int part = 0; part < 4; part++) {
            column[part] = _mm512_loadu_ps(b + d * b_stride + part * LANES);
        }
        for (int r = 0; r < R; r++) {
            const __m512 number = _mm512_set1_ps(a[r * a_stride + d]);
            for (int part = 0; part < 4; part++) {
                total[r][part] = _mm512_fmadd_ps(column[part], number, total[r][part]);
            }
        }
    }
    for (int r = 0; r < R; r++) {
        for (int part = 0; part < 4; part++) {
            _mm512_storeu_ps(out + r * out_stride + part * LANES, total[r][part]);
        }
    }
}

template <bool ADD>
inline void products(int rows, float * out, int out_stride, const float * a, int a_stride, const float * b, int b_stride, int depth) {
    for (; rows >= BLOCK; rows -= BLOCK, out += BLOCK * out_stride, a += BLOCK * a_stride) {
        product<BLOCK, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
    }
    switch (rows) {
        case 5: return product<5, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
        case 4: return product<4, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
        case 3: return product<3, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
        case 2: return product<2, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
        case 1: return product<1, ADD>(out, out_stride, a, a_stride, b, b_stride, depth);
    }
}

// 16 rows of 16 numbers become 16 columns.
inline void transpose(__m512 * rows) {
    __m512 pairs[16], fours[16];
    for (int i = 0; i < 16; i += 2) {
        pairs[i]     = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int k = 0; k < 2; k++) {
            const __m512d a = _mm512_castps_pd(pairs[i + k]), b = _mm512_castps_pd(pairs[i + k + 2]);
            fours[i + 2 * k]     = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            fours[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for (int k = 0; k < 4; k++) {
        const __m512 a = _mm512_shuffle_f32x4(fours[k], fours[4 + k], 0x88), b = _mm512_shuffle_f32x4(fours[8 + k], fours[12 + k], 0x88);
        const __m512 c = _mm512_shuffle_f32x4(fours[k], fours[4 + k], 0xDD), d = _mm512_shuffle_f32x4(fours[8 + k], fours[12 + k], 0xDD);
        rows[k]      = _mm512_shuffle_f32x4(a, b, 0x88);
        rows[8 + k]  = _mm512_shuffle_f32x4(a, b, 0xDD);
        rows[4 + k]  = _mm512_shuffle_f32x4(c, d, 0x88);
        rows[12 + k] = _mm512_shuffle_f32x4(c, d, 0xDD);
    }
}

// `keys` keys as columns of single precision, zero behind them, and their values as rows.
inline void unpack(const work & w, const char * k, const char * v, int keys, float * columns, float * values) {
    for (int key = 0; key < KEYS; key += LANES) {
        for (int d = 0; d < w.width; d += LANES) {
            __m512 rows[LANES];
            for (int i = 0; i < LANES; i++) {
                rows[i] = key + i < keys ? half(k + (key + i) * w.k_stride + d * sizeof(uint16_t)) : _mm512_setzero_ps();
            }
            transpose(rows);
            for (int i = 0; i < LANES; i++) {
                _mm512_storeu_ps(columns + (d + i) * KEYS + key, rows[i]);
            }
        }
    }
    for (int key = 0; key < keys; key++) {
        for (int d = 0; d < w.width; d += LANES) {
            _mm512_storeu_ps(values + key * w.width + d, half(v + key * w.v_stride + d * sizeof(uint16_t)));
        }
    }
}

// Which of the tile's keys a row of a mask, from this place on, leaves open.
inline uint64_t open_keys(const uint16_t * mask, int keys) {
    uint64_t open = 0;
    for (int key = 0; key < keys; key += LANES) {
        const __mmask16 there = (__mmask16) ((1u << std::min(keys - key, LANES)) - 1);
        const __m256i   halfs = _mm256_maskz_loadu_epi16(there, mask + key);
        open |= (uint64_t) _mm256_mask_cmpneq_epi16_mask(there, halfs, _mm256_set1_epi16((short) 0xFC00)) << key;  // -infinity
    }
    return open;
}

// Scores become probabilities, zero behind `keys`. `most` and `total` are the row's maximum and sum so far. `mask` can be
// null.
inline void soften(const work & w, const uint16_t * mask, int keys, float * scores, float * sums, float & most, float & total) {
    __m512 values[KEYS / LANES];
    __m512 largest = _mm512_set1_ps(most);
    for (int part = 0; part < KEYS / LANES; part++) {
        const int       left  = std::min(std::max(keys - part * LANES, 0), LANES);
        const __mmask16 there = (__mmask16) ((1u << left) - 1);
        values[part]          = _mm512_mul_ps(_mm512_loadu_ps(scores + part * LANES), _mm512_set1_ps(w.scale));
        if (mask) {
            values[part] = _mm512_add_ps(values[part], _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, mask + part * LANES)));
        }
        values[part] = _mm512_mask_blend_ps(there, _mm512_set1_ps(-INFINITY), values[part]);
        largest      = _mm512_max_ps(largest, values[part]);
    }
    const float now = _mm512_reduce_max_ps(largest);
    if (now > most) {
        const float factor = exponential(most - now);
        for (int d = 0; d < w.width; d += LANES) {
            _mm512_storeu_ps(sums + d, _mm512_mul_ps(_mm512_loadu_ps(sums + d), _mm512_set1_ps(factor)));
        }
        total *= factor;
        most = now;
    }
    __m512 sum = _mm512_setzero_ps();
    for (int part = 0; part < KEYS / LANES; part++) {
        const __m512 probability = exponential(_mm512_sub_ps(values[part], _mm512_set1_ps(most)));
        _mm512_storeu_ps(scores + part * LANES, probability);
        sum = _mm512_add_ps(sum, probability);
    }
    total += _mm512_reduce_add_ps(sum);
}

// The scores and values of one tile for R rows of its query.
template <int R> inline void few(const work & w, int row, const tile & t, float * scores, float * sums, float * most, float * total) {
    for (int key = 0; key < t.keys; key += LANES) {
        for (int i = key; i < std::min(key + LANES, t.keys); i++) {
            prefetch(t.v[i], w.width);
        }
        scores_of<R>(w, row, t.k + key, scores + key);
    }
    for (int r = 0; r < R; r++) {
        soften(w, t.mask, t.keys, scores + r * KEYS, sums + r * w.width, most[r], total[r]);
    }
    add_values<R>(w, t, scores, sums);
}

// The rows of one query, and the keys that it has gathered.
struct query {
    int      row, rows;
    uint64_t open;  // of the tile that is read
    tile     gathered;
};

struct span {
    query *first, *last;
    query * begin() const { return first; }
    query * end() const { return last; }
};

// A tile of one query's gathered keys.
inline void flush(const work & w, query & q, float * scores, float * sums, float * most, float * total) {
    tile & t = q.gathered;
    if (t.keys == 0) {
        return;
    }
    for (int key = t.keys; key % LANES; key++) {  // scores are made of 16 keys, and those behind the last one not used
        t.k[key] = t.k[t.keys - 1];
    }
    for (int row = q.row; row < q.row + q.rows; row += FEW) {
        float *s = sums + row * w.width, *m = most + row, *n = total + row;
        switch (std::min(q.row + q.rows - row, FEW)) {
            case 1: few<1>(w, row, t, scores, s, m, n); break;
            case 2: few<2>(w, row, t, scores, s, m, n); break;
            case 3: few<3>(w, row, t, scores, s, m, n); break;
        }
    }
    t.keys = 0;
}

// All of one piece of work.
inline void attend(const work & w) {
    thread_local std::vector<float> memory;
    memory.resize((size_t) 2 * KEYS * w.width + (size_t) ROWS * (KEYS + 2 * w.width) + FEW * KEYS);
    float * columns = memory.data();
    float * values  = columns + KEYS * w.width;
    float * scores  = values + KEYS * w.width;
    float * queries = scores + ROWS * KEYS;
    float * sums    = queries + ROWS * w.width;
    float * gathered = sums + ROWS * w.width;  // scores of one query's keys
    float   most[ROWS], total[ROWS];
    std::fill_n(sums, w.rows * w.width, 0.0f);
    std::fill_n(scores, w.rows * KEYS, 0.0f);
    std::fill_n(most, w.rows, LOW);
    std::fill_n(total, w.rows, 0.0f);
    thread_local query room[ROWS];
    query *            end = room;
    for (int r = 0; r < w.rows; r++) {
        if (r && w.mask[r] == w.mask[r - 1]) {
            end[-1].rows++;
        } else {
            end->row           = r;
            end->rows          = 1;
            end->gathered.keys = 0;
            end++;
        }
        std::copy_n(w.q[r], w.width, queries + r * w.width);
    }
    const auto all = span{ room, end };
    for (int first = 0; first < w.keys; first += KEYS) {
        const int      keys  = std::min(KEYS, w.keys - first);
        const uint64_t whole = ~0ull >> (64 - keys);
        // Queries that read at least half of the tile share it, if they have more than a few rows together.
        const auto shares = [&](const query & q) { return 2 * __builtin_popcountll(q.open) >= keys; };
        int        low = w.rows, high = 0, rows = 0;
        uint64_t   seen = 0;
        for (query & q : all) {
            q.open = w.mask[q.row] ? open_keys(w.mask[q.row] + first, keys) : whole;
            if (shares(q)) {
                rows += q.rows;
                low  = std::min(low, q.row);
                high = q.row + q.rows;
                seen |= q.open;
            }
        }
        if (rows > FEW) {
            const int last = 64 - __builtin_clzll(seen);
            unpack(w, w.k + first * w.k_stride, w.v + first * w.v_stride, last, columns, values);
            products<false>(high - low, scores + low * KEYS, KEYS, queries + low * w.width, w.width, columns, KEYS, w.width);
            for (query & q : all) {
                for (int r = q.row; r < q.row + q.rows && low <= r && r < high; r++) {
                    if (shares(q)) {
                        const uint16_t * mask = w.mask[r] ? w.mask[r] + first : nullptr;
                        soften(w, mask, last, scores + r * KEYS, sums + r * w.width, most[r], total[r]);
                    } else {
                        std::fill_n(scores + r * KEYS, KEYS, 0.0f);
                    }
                }
                q.open = shares(q) ? 0 : q.open;
            }
            for (int d = 0; d < w.width; d += KEYS) {
                products<true>(high - low, sums + low * w.width + d, w.width, scores + low * KEYS, KEYS, values + d, w.width, last);
            }
        }
        for (query & q : all) {
            for (; q.open; q.open &= q.open - 1) {
                const int key = __builtin_ctzll(q.open);
                tile &    t   = q.gathered;
                t.k[t.keys]    = w.k + (first + key) * w.k_stride;
                t.v[t.keys]    = w.v + (first + key) * w.v_stride;
                t.mask[t.keys] = w.mask[q.row] ? w.mask[q.row][first + key] : 0;
                if (++t.keys == KEYS) {
                    flush(w, q, gathered, sums, most, total);
                }
            }
        }
    }
    for (query & q : all) {
        flush(w, q, gathered, sums, most, total);
    }
    for (int r = 0; r < w.rows; r++) {
        const float share = total[r] == 0.0f ? 0.0f : 1.0f / total[r];
        for (int d = 0; d < w.width; d += LANES) {
            _mm512_storeu_ps(w.out[r] + d, _mm512_mul_ps(_mm512_loadu_ps(sums + r * w.width + d), _mm512_set1_ps(share)));
        }
    }
}

}  // namespace sameboat_attention_avx512

// How the work of this node is split. No pieces: it is not of the kind that is computed here.
struct sameboat_attention_split {
    int group, units, rows, blocks, pieces;  // a unit is what one piece has whole: a query, or one row of a large group
};

static sameboat_attention_split sameboat_attention_split_of(const ggml_tensor * dst, int threads) {
    using namespace sameboat_attention_avx512;
    const ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2], *mask = dst->src[3];
    float bias = 0, cap = 0;
    memcpy(&bias, (const float *) dst->op_params + 1, sizeof(float));
    memcpy(&cap, (const float *) dst->op_params + 2, sizeof(float));
    const bool is_ours = q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
                         (!mask || (mask->type == GGML_TYPE_F16 && mask->ne[2] == 1)) && !dst->src[4] && bias == 0 &&
                         cap == 0 && k->ne[0] == v->ne[0] && k->ne[0] % KEYS == 0 && k->ne[2] == v->ne[2] &&
                         k->ne[3] == v->ne[3] && q->ne[2] % k->ne[2] == 0 && q->ne[3] == k->ne[3];
    if (!is_ours) {
        return { 0, 0, 0, 0, 0 };
    }
    const int group = (int) (q->ne[2] / k->ne[2]), heads = (int) (k->ne[2] * k->ne[3]);
    const int rows  = group > ROWS ? 1 : group, units = (int) q->ne[1] * group / rows;
    const int most  = ROWS / rows, least = (LEAST + rows - 1) / rows;  // units in a piece
    const int wanted = (4 * threads + heads - 1) / heads;              // so that threads end at about the same time
    const int blocks = std::max((units + most - 1) / most, std::min(wanted, (units + least - 1) / least));
    return { group, units, rows, blocks, blocks * heads };
}

static void sameboat_attention_compute(const sameboat_attention_split & split, ggml_tensor * dst, int piece) {
    using namespace sameboat_attention_avx512;
    const ggml_tensor *q = dst->src[0], *k = dst->src[1], *v = dst->src[2], *mask = dst->src[3];
    const int block = piece % split.blocks, head = piece / split.blocks % (int) k->ne[2];
    const int stream = piece / split.blocks / (int) k->ne[2];
    const int first  = split.units * block / split.blocks * split.rows;
    work      w;
    w.width = (int) k->ne[0];
    w.keys  = (int) k->ne[1];
    w.rows  = split.units * (block + 1) / split.blocks * split.rows - first;
    memcpy(&w.scale, dst->op_params, sizeof(float));
    w.k        = (const char *) k->data + head * k->nb[2] + stream * k->nb[3];
    w.v        = (const char *) v->data + head * v->nb[2] + stream * v->nb[3];
    w.k_stride = k->nb[1];
    w.v_stride = v->nb[1];
    for (int r = 0; r < w.rows; r++) {
        const int    query = (first + r) / split.group, query_head = head * split.group + (first + r) % split.group;
        const char * row   = (const char *) q->data + query * q->nb[1] + query_head * q->nb[2] + stream * q->nb[3];
        w.q[r]             = (const float *) row;
        w.out[r]  = (float *) ((char *) dst->data + ((stream * q->ne[1] + query) * q->ne[2] + query_head) * dst->nb[1]);
        w.mask[r] = nullptr;
        if (mask) {
            w.mask[r] = (const uint16_t *) ((const char *) mask->data + query * mask->nb[1] + stream % mask->ne[3] * mask->nb[3]);
        }
    }
    attend(w);
}
#endif
