// Compares `.ci/q8_0_avx512.h` with sums in double precision, for all numbers of activations that repack.cpp asks for.
#include "repack_types.h"
#include "q8_0_avx512.h"

constexpr int BLOCKS = 5, ROWS = 48, MOST = 20, K = BLOCKS * QK8_0;
static block_q8_0 weights[ROWS][BLOCKS], inputs[MOST][BLOCKS];

static void fill(block_q8_0 * block) {
    block->d = _cvtss_sh(0.001f + rand() % 1000 / 1000.0f, 0);
    for (int8_t & number : block->qs) {
        number = rand() % 255 - 127;
    }
}

static bool right(const float * out, int row, int input) {
    double sum = 0, size = 0;
    for (int l = 0; l < BLOCKS; l++) {
        int whole = 0;
        for (int k = 0; k < QK8_0; k++) {
            whole += weights[row][l].qs[k] * inputs[input][l].qs[k];
        }
        const double part = (double) _cvtsh_ss(weights[row][l].d) * _cvtsh_ss(inputs[input][l].d) * whole;
        sum += part;
        size += std::fabs(part);
    }
    return std::fabs(out[input * ROWS + row] - sum) <= 1e-6 * size;
}

int main() {
    using namespace ggml::cpu::repack;
    for (auto & row : weights) for (auto & block : row) fill(&block);
    for (auto & row : inputs) for (auto & block : row) fill(&block);
    static block_q8_0x16 packed[ROWS / 16 * BLOCKS];
    ggml_tensor tensor = { packed, { K, ROWS, 1, 1 } };
    GGML_ASSERT((repack<block_q8_0, 8, 16>(&tensor, weights, sizeof(weights)) == 0));
    static block_q8_0x4 four[MOST / 4][BLOCKS];
    for (int input = 0; input < MOST; input++) for (int l = 0; l < BLOCKS; l++) {
        four[input / 4][l].d[input % 4] = inputs[input][l].d;
        for (int k = 0; k < QK8_0; k++) {
            four[input / 4][l].qs[k / 8 * 32 + input % 4 * 8 + k % 8] = inputs[input][l].qs[k];
        }
    }
    static float out[MOST * ROWS];
    for (int count = 4; count <= MOST; count += 4) {
        memset(out, 0, sizeof(out));
        gemm<block_q8_0, 8, 16, GGML_TYPE_Q8_0>(K, out, ROWS, packed, four, count, ROWS);
        for (int i = 0; i < count * ROWS; i++) {
            if (!right(out, i % ROWS, i / ROWS)) { printf("%d activations, row %d\n", count, i % ROWS); return 1; }
        }
    }
    for (int count = 1; count <= 3; count++) for (int input = 0; input + count <= MOST; input++) {
        memset(out, 0, sizeof(out));
        rest<block_q8_0>(K, out + input * ROWS, ROWS, packed, inputs[input], count, ROWS);
        for (int i = 0; i < count * ROWS; i++) {
            if (!right(out, i % ROWS, input + i / ROWS)) { printf("%d activations, row %d\n", count, i % ROWS); return 1; }
        }
    }
    memset(out, 0, sizeof(out));
    gemv<block_q8_0, 8, 16, GGML_TYPE_Q8_0>(K, out, ROWS, packed, inputs[0], 1, ROWS);
    for (int row = 0; row < ROWS; row++) {
        if (!right(out, row, 0)) { printf("one activation, row %d\n", row); return 1; }
    }
    return 0;
}
