// Compares `.ci/k_quants_avx512.h` with sums in double precision, for all numbers of activations that repack.cpp asks for.
// The numbers of a block are taken out as ggml-quants.c does (dequantize_row_q4_K, dequantize_row_q6_K).
#include "repack_types.h"

#define QK_K 256
#define GGML_COMMON_AGGR_U both
#define GGML_COMMON_AGGR_S pair
using ggml_half = uint16_t;
struct block_q4_K { union { struct { ggml_half d, dmin; } pair; uint32_t dm; } both; uint8_t scales[12], qs[QK_K / 2]; };
struct block_q6_K { uint8_t ql[QK_K / 2], qh[QK_K / 4]; int8_t scales[QK_K / 16]; ggml_half d; };
struct block_q8_K { float d; int8_t qs[QK_K]; int16_t bsums[QK_K / 16]; };
struct block_q8_Kx4 { float d[4]; int8_t qs[QK_K * 4]; int16_t bsums[QK_K / 4]; };

#include "q8_0_avx512.h"
#include "k_quants_avx512.h"

constexpr int BLOCKS = 3, ROWS = 48, MOST = 20, K = BLOCKS * QK_K;
static block_q8_K   inputs[MOST][BLOCKS];
static block_q8_Kx4 four[MOST / 4][BLOCKS];

static uint16_t half() { return _cvtss_sh(0.001f + rand() % 1000 / 1000.0f, 0); }

template <int N> static void fill(uint8_t (&bytes)[N]) {
    for (uint8_t & byte : bytes) {
        byte = rand();
    }
}

static void fill(block_q4_K & block) {
    block.both.pair = { half(), half() };
    fill(block.scales);
    fill(block.qs);
}

static void fill(block_q6_K & block) {
    block.d = half();
    fill(block.ql);
    fill(block.qh);
    for (int8_t & scale : block.scales) {
        scale = rand() % 255 - 127;
    }
}

static void weights_of(const block_q4_K & block, double * to) {
    for (int k = 0; k < QK_K; k++) {
        const int       part = k / 32, number = block.qs[k / 64 * 32 + k % 32] >> (part % 2 * 4) & 15;
        const uint8_t * q     = block.scales;
        const int       scale = part < 4 ? q[part] & 63 : (q[part + 4] & 15) | (q[part - 4] >> 6 << 4);
        const int       least = part < 4 ? q[part + 4] & 63 : (q[part + 4] >> 4) | (q[part] >> 6 << 4);
        to[k] = (double) _cvtsh_ss(block.both.pair.d) * scale * number - (double) _cvtsh_ss(block.both.pair.dmin) * least;
    }
}

static void weights_of(const block_q6_K & block, double * to) {
    for (int k = 0; k < QK_K; k++) {
        const int in = k % 128, low = block.ql[k / 128 * 64 + in % 64] >> (in / 64 * 4) & 15;
        const int high = block.qh[k / 128 * 32 + in % 32] >> (in / 32 * 2) & 3;
        to[k]          = (double) _cvtsh_ss(block.d) * block.scales[k / 16] * ((low | high << 4) - 32);
    }
}

template <typename Block> static bool right(const Block * weights, const float * out, int row, int input) {
    double sum = 0, size = 0;
    for (int l = 0; l < BLOCKS; l++) {
        double values[QK_K];
        weights_of(weights[row * BLOCKS + l], values);
        for (int k = 0; k < QK_K; k++) {
            const double part = values[k] * inputs[input][l].d * inputs[input][l].qs[k];
            sum += part;
            size += std::fabs(part);
        }
    }
    return std::fabs(out[input * ROWS + row] - sum) <= 1e-6 * size;
}

template <typename Block> static int check(const char * name) {
    using namespace ggml::cpu::repack;
    static Block weights[ROWS * BLOCKS], packed[ROWS * BLOCKS];
    for (Block & block : weights) fill(block);
    ggml_tensor tensor = { packed, { K, ROWS, 1, 1 } };
    GGML_ASSERT((repack<Block, 8, 16>(&tensor, weights, sizeof(weights)) == 0));
    ggml_tensor odd = { packed, { K, ROWS - 8, 1, 1 } };
    GGML_ASSERT((repack<Block, 8, 16>(&odd, weights, sizeof(weights) / ROWS * (ROWS - 8)) == -1));
    static float out[MOST * ROWS];
    for (int count = 4; count <= MOST; count += 4) {
        memset(out, 0, sizeof(out));
        gemm<Block, 8, 16, GGML_TYPE_Q8_K>(K, out, ROWS, packed, four, count, ROWS);
        for (int i = 0; i < count * ROWS; i++) {
            if (!right(weights, out, i % ROWS, i / ROWS)) { printf("%s, %d activations, row %d\n", name, count, i % ROWS); return 1; }
        }
    }
    for (int count = 1; count <= 3; count++) for (int input = 0; input + count <= MOST; input++) {
        memset(out, 0, sizeof(out));
        rest<Block>(K, out + input * ROWS, ROWS, packed, inputs[input], count, ROWS);
        for (int i = 0; i < count * ROWS; i++) {
            if (!right(weights, out, i % ROWS, input + i / ROWS)) { printf("%s, %d activations, row %d\n", name, count, i % ROWS); return 1; }
        }
    }
    memset(out, 0, sizeof(out));
    gemv<Block, 8, 16, GGML_TYPE_Q8_K>(K, out, ROWS, packed, inputs[0], 1, ROWS);
    for (int row = 0; row < ROWS; row++) {
        if (!right(weights, out, row, 0)) { printf("%s, one activation, row %d\n", name, row); return 1; }
    }
    return 0;
}

int main() {
    for (int input = 0; input < MOST; input++) for (int l = 0; l < BLOCKS; l++) {
        block_q8_K & block = inputs[input][l];
        block.d = four[input / 4][l].d[input % 4] = (rand() % 2 ? -1 : 1) * _cvtsh_ss(half());
        for (int k = 0; k < QK_K; k++) {
            block.qs[k] = four[input / 4][l].qs[k / 8 * 32 + input % 4 * 8 + k % 8] = rand() % 256 - 128;
            block.bsums[k / 16] += block.qs[k];
        }
    }
    return check<block_q4_K>("Q4_K") + check<block_q6_K>("Q6_K");
}
