// Compares `.ci/attention_avx512.h` with sums in double precision, over shapes, masks with gaps, and strides.
// The tensor is that of llama.cpp, with the fields that the header needs. With an argument it measures time instead.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

enum ggml_type { GGML_TYPE_F32, GGML_TYPE_F16 };
struct ggml_tensor { ggml_type type; int64_t ne[4]; size_t nb[4]; int32_t op_params[4]; ggml_tensor * src[5]; void * data; };

#include "attention_avx512.h"

static float number() { return (rand() % 2001 - 1000) / 500.0f; }
static double half_at(const char * at) { uint16_t bits; memcpy(&bits, at, sizeof(bits)); return _cvtsh_ss(bits); }

// `shared`: keys that all queries read. Behind them each query reads every so-manieth, as sequences in one cache do.
struct shape { int width, heads, kv_heads, queries, streams, keys; bool masked; int shared = -1; };

struct problem {
    shape s;
    std::vector<float> q, out;
    std::vector<uint16_t> k, v, mask;
    ggml_tensor tq{}, tk{}, tv{}, tm{}, dst{};

    explicit problem(const shape & s) : s(s) {
        const size_t room = s.keys + 32;  // of a stream, more than its keys
        q.resize((size_t) s.width * s.heads * s.queries * s.streams);
        out.resize(q.size(), NAN);
        k.resize((size_t) s.width * s.kv_heads * room * s.streams);
        v.resize(k.size());
        mask.resize((size_t) s.keys * s.queries * s.streams);
        for (float & x : q) x = 4 * number();
        for (uint16_t & x : k) x = _cvtss_sh(number(), 0);
        for (uint16_t & x : v) x = _cvtss_sh(number(), 0);
        // A row of the first query of each stream sees nothing. Others see up to a place, without gaps of several lengths.
        for (size_t row = 0; row < (size_t) s.queries * s.streams; row++) {
            const int last = s.queries > 1 && row % s.queries == 0 ? 0 : 1 + rand() % s.keys;
            for (int key = 0; key < s.keys; key++) {
                const bool gaps = key < last && key / 40 % 3 != 1 && rand() % 5;
                const bool open = s.shared < 0 ? gaps : key < s.shared || key % s.queries == (int) row % s.queries;
                mask[row * s.keys + key] = open ? _cvtss_sh(key % 7 ? 0.0f : -0.5f, 0) : 0xFC00;
            }
        }
        const size_t f = sizeof(float), h = sizeof(uint16_t), row = s.width * s.kv_heads * h;
        // Queries lie head by head in each token, as llama.cpp permutes them.
        tq = { GGML_TYPE_F32, { s.width, s.queries, s.heads, s.streams }, { f, s.width * s.heads * f, s.width * f, s.width * s.heads * s.queries * f }, {}, {}, q.data() };
        tk = { GGML_TYPE_F16, { s.width, s.keys, s.kv_heads, s.streams }, { h, row, s.width * h, row * room }, {}, {}, k.data() };
        tv = tk;
        tv.data = v.data();
        tm = { GGML_TYPE_F16, { s.keys, s.queries, 1, s.streams }, { h, s.keys * h, s.keys * s.queries * h, s.keys * s.queries * h }, {}, {}, mask.data() };
        dst = { GGML_TYPE_F32, { s.width, s.heads, s.queries, s.streams }, { f, s.width * f, s.width * s.heads * f, s.width * s.heads * s.queries * f }, {}, { &tq, &tk, &tv, s.masked ? &tm : nullptr, nullptr }, out.data() };
        const float scale = 0.125f;
        memcpy(dst.op_params, &scale, sizeof(scale));
    }

    void compute(int threads) {
        const auto split = sameboat_attention_split_of(&dst, threads);
        for (int piece = 0; piece < split.pieces; piece++) sameboat_attention_compute(split, &dst, piece);
    }

    // The largest difference from sums in double precision.
    double difference() const {
        double worst = 0;
        std::vector<double> score(s.keys);
        for (int stream = 0; stream < s.streams; stream++) for (int query = 0; query < s.queries; query++) for (int head = 0; head < s.heads; head++) {
            const float * row = q.data() + (((size_t) stream * s.queries + query) * s.heads + head) * s.width;
            const char * keys = (const char *) k.data() + head / (s.heads / s.kv_heads) * tk.nb[2] + stream * tk.nb[3];
            const char * values = (const char *) v.data() + head / (s.heads / s.kv_heads) * tk.nb[2] + stream * tk.nb[3];
            double most = -INFINITY, total = 0;
            for (int key = 0; key < s.keys; key++) {
                double sum = 0;
                for (int d = 0; d < s.width; d++) sum += row[d] * half_at(keys + key * tk.nb[1] + d * 2);
                score[key] = 0.125 * sum + (s.masked ? _cvtsh_ss(mask[((size_t) stream * s.queries + query) * s.keys + key]) : 0.0);
                most = std::max(most, score[key]);
            }
            for (double & x : score) total += x = most == -INFINITY ? 0 : std::exp(x - most);
            for (int d = 0; d < s.width; d++) {
                double sum = 0;
                for (int key = 0; key < s.keys; key++) sum += score[key] * half_at(values + key * tk.nb[1] + d * 2);
                const double is = out[(((size_t) stream * s.queries + query) * s.heads + head) * s.width + d];
                const double off = std::fabs(is - (total ? sum / total : 0));
                worst = off <= worst ? worst : off;  // a NaN is the worst
                if (std::isnan(is)) return is;
            }
        }
        return worst;
    }
};

int main(int argc, char **) {
    const shape shapes[] = {
        { 64, 9, 3, 1, 1, 256, true },  { 64, 9, 3, 1, 8, 250, true },  { 64, 9, 3, 4, 2, 512, true }, { 64, 9, 3, 64, 1, 320, true },
        { 64, 2, 2, 1, 2, 70, true },   { 64, 4, 2, 1, 2, 96, true },   { 128, 12, 2, 1, 2, 256, true }, { 128, 12, 2, 7, 1, 200, true },
        { 64, 9, 3, 5, 1, 17, false },  { 64, 3, 1, 1, 1, 1, false },   { 64, 8, 8, 21, 1, 128, true },
        { 64, 9, 3, 8, 1, 640, true, 400 }, { 64, 9, 3, 16, 1, 2176, true, 400 }, { 128, 12, 2, 3, 1, 300, true, 64 },
        { 256, 4, 1, 3, 1, 200, true },   { 64, 50, 1, 5, 1, 300, true, 100 }, { 64, 9, 3, 2, 1, 513, true, 0 },
    };
    for (const shape & s : shapes) for (int threads : { 1, 4 }) {
        problem p(s);
        p.compute(threads);
        const double off = p.difference();
        if (!(off < 2e-5)) {
            printf("%d wide, %d heads over %d, %d queries, %d streams, %d keys: off by %g\n", s.width, s.heads, s.kv_heads, s.queries, s.streams, s.keys, off);
            return 1;
        }
    }
    // What is left to llama.cpp.
    const float some = 30;
    struct refusal { const char * name; void (*change)(problem &, const float &); };
    const refusal refusals[] = {
        { "a soft cap", [](problem & p, const float & x) { memcpy(p.dst.op_params + 2, &x, sizeof(x)); } },
        { "ALiBi", [](problem & p, const float & x) { memcpy(p.dst.op_params + 1, &x, sizeof(x)); } },
        { "sinks", [](problem & p, const float &) { p.dst.src[4] = &p.tq; } },
        { "a head of 80", [](problem & p, const float &) { p.tk.ne[0] = p.tv.ne[0] = 80; } },
        { "values of another width", [](problem & p, const float &) { p.tv.ne[0] = 128; } },
        { "a mask for each head", [](problem & p, const float &) { p.tm.ne[2] = 9; } },
        { "keys in single precision", [](problem & p, const float &) { p.tk.type = GGML_TYPE_F32; } },
        { "heads that no head of keys divides", [](problem & p, const float &) { p.tq.ne[2] = 10; } },
    };
    for (const refusal & each : refusals) {
        problem other(shapes[0]);
        each.change(other, some);
        if (sameboat_attention_split_of(&other.dst, 2).pieces) { printf("%s is taken\n", each.name); return 1; }
    }
    return 0;
}
