// Plain float64 IEM: both sides blurred, no shortcuts but the early exit.
#include "segment.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "blur_matrix.h"

namespace iem {
namespace {

constexpr double kMeanWeight = 1e-8;
using Field = std::vector<double>;

struct Plain {
    const Settings& settings;
    int H, W;
    BlurMatrix by, bx;
    Field u[3], tmp, D[2], A[2][3], U[3], V, GU[3], GV, g;
    Plain(const Settings& s, int h, int w)
        : settings(s), H(h), W(w), by(blur_matrix(h, s.sigma, s.kernel, s.half_resolution)),
          bx(blur_matrix(w, s.sigma, s.kernel, s.half_resolution)) {
        for (Field* f : {&u[0], &u[1], &u[2], &tmp, &D[0], &D[1], &V, &GV, &g, &U[0], &U[1], &U[2],
                         &GU[0], &GU[1], &GU[2]})
            f->assign(H * W, 0);
        for (auto& side : A)
            for (Field& f : side) f.assign(H * W, 0);
    }

    void centre(const std::uint8_t* image) {
        for (int c = 0; c < 3; ++c) {
            int count[256] = {};
            for (int p = 0; p < H * W; ++p) ++count[image[3 * p + c]];
            const int mode = static_cast<int>(std::max_element(count, count + 256) - count);
            for (int p = 0; p < H * W; ++p) u[c][p] = image[3 * p + c] - mode;
        }
    }

    double blur(const Field& in, Field& out) {  // with 1e-8 times the total, which it returns
        double total = 0;
        for (double v : in) total += v;
        const int rx = bx.radius, ry = by.radius;
        std::fill(tmp.begin(), tmp.end(), 0.0);
        for (int i = 0; i < H; ++i)
            for (int d = -rx; d <= rx; ++d) {
                double* t = &tmp[i * W];
                const double* s = &in[i * W];
                const double* w = &bx.weights[d + rx];
                for (int j = std::max(0, -d); j < std::min(W, W - d); ++j)
                    t[j] += w[j * (2 * rx + 1)] * s[j + d];
            }
        std::fill(out.begin(), out.end(), kMeanWeight * total);
        for (int i = 0; i < H; ++i)
            for (int k = std::max(0, i - ry); k <= std::min(H - 1, i + ry); ++k) {
                const double w = by.weight(i, k);
                for (int j = 0; j < W; ++j) out[i * W + j] += w * tmp[k * W + j];
            }
        return total;
    }

    double s[2], S[2][3], E[2];
    void inpaint(const std::uint8_t* m) {
        Field x(H * W);
        for (int side = 0; side < 2; ++side) {
            const std::uint8_t on = 1 - side;
            for (int p = 0; p < H * W; ++p) x[p] = m[p] == on;
            s[side] = blur(x, D[side]);
            for (int c = 0; c < 3; ++c) {
                for (int p = 0; p < H * W; ++p) x[p] = m[p] == on ? u[c][p] : 0;
                S[side][c] = blur(x, A[side][c]);
            }
        }
        E[0] = E[1] = 0;
        for (int p = 0; p < H * W; ++p) {
            const int side = 1 - m[p];
            for (int c = 0; c < 3; ++c)
                E[side] += std::abs(A[1 - side][c][p] - u[c][p] * D[1 - side][p]) / D[1 - side][p];
        }
    }

    void gradient(const std::uint8_t* m) {
        inpaint(m);
        const double lambda = settings.diversity_weight / 127.5 * 3;
        for (int p = 0; p < H * W; ++p) {
            const int side = 1 - m[p], other = 1 - side;
            const double scale = (side == 0 ? -1 : 1) / s[side];
            double v = 0;
            for (int c = 0; c < 3; ++c) {
                const double n = A[other][c][p] - u[c][p] * D[other][p];
                const double sign = (n > 0) - (n < 0);
                U[c][p] = scale * sign / D[other][p];
                v += U[c][p] * A[other][c][p] / D[other][p];
            }
            V[p] = v;
        }
        for (int c = 0; c < 3; ++c) blur(U[c], GU[c]);
        blur(V, GV);
        for (int p = 0; p < H * W; ++p) {
            double value = -E[0] / s[0] / s[0] + E[1] / s[1] / s[1] - GV[p];
            for (int c = 0; c < 3; ++c) {
                value += std::abs(u[c][p] - A[1][c][p] / D[1][p]) / s[0];
                value -= std::abs(u[c][p] - A[0][c][p] / D[0][p]) / s[1];
                value += u[c][p] * GU[c][p];
                const double a = u[c][p] - S[0][c] / s[0], b = u[c][p] - S[1][c] / s[1];
                value -= lambda * (a * a - b * b);
            }
            g[p] = value;
        }
    }

    std::vector<std::uint8_t> step(const std::vector<std::uint8_t>& m) {
        gradient(m.data());
        std::vector<std::uint8_t> moved = m, out(H * W);
        for (int i = 0; i < H; ++i)
            for (int j = 0; j < W; ++j) {
                const int p = i * W + j;
                bool edge = !settings.boundary_only || i == 0 || j == 0 || i == H - 1 || j == W - 1;
                if (!edge)
                    edge = m[p] != m[p - 1] || m[p] != m[p + 1] || m[p] != m[p - W] || m[p] != m[p + W];
                if (edge && g[p] != 0) moved[p] = g[p] > 0;
            }
        if (!settings.smoothing) return moved;
        for (int i = 0; i < H; ++i)
            for (int j = 0; j < W; ++j) {
                int n = 0;
                for (int a = std::max(0, i - 1); a <= std::min(H - 1, i + 1); ++a)
                    for (int b = std::max(0, j - 1); b <= std::min(W - 1, j + 1); ++b)
                        n += moved[a * W + b];
                out[i * W + j] = n >= 4;
            }
        return out;
    }

    static Status status(const std::vector<std::uint8_t>& m) {
        const auto on = std::count(m.begin(), m.end(), 1);
        return on == 0 ? kEmpty : on == static_cast<std::ptrdiff_t>(m.size()) ? kFull : kOk;
    }

    void run(const std::uint8_t* first, const Batch& batch, std::size_t at) {
        std::vector<std::vector<std::uint8_t>> seen;
        std::vector<std::uint8_t> m(first, first + H * W);
        const int N = settings.iterations;
        int t = 0;
        for (;; ++t) {
            if (status(m) != kOk || t == N) break;
            const auto again = std::find(seen.begin(), seen.end(), m);
            if (again != seen.end()) {
                const int s0 = static_cast<int>(again - seen.begin());
                m = seen[s0 + (N - s0) % (t - s0)];
                break;
            }
            seen.push_back(m);
            m = step(m);
        }
        std::copy(m.begin(), m.end(), batch.mask + at * H * W);
        batch.iterations[at] = t;
        batch.status[at] = status(m);
        batch.error_foreground[at] = batch.error_background[at] = 0;
        if (status(m) != kOk) return;
        inpaint(m.data());
        batch.error_foreground[at] = E[0] / s[0] / 3 / 127.5;
        batch.error_background[at] = E[1] / s[1] / 3 / 127.5;
    }
};

}  // namespace

void segment(const Batch& batch, const Settings& settings, int num_threads) {
    std::atomic<int> next{0};
    auto work = [&] {
        Plain plain(settings, batch.height, batch.width);
        const std::size_t pixels = static_cast<std::size_t>(batch.height) * batch.width;
        for (int b; (b = next++) < batch.images;) {
            plain.centre(batch.image + b * pixels * 3);
            for (int k = 0; k < batch.masks; ++k)
                plain.run(batch.first + b * batch.first_stride_b + k * batch.first_stride_s, batch,
                          static_cast<std::size_t>(b) * batch.masks + k);
        }
    };
    std::vector<std::thread> pool;
    for (int k = 1; k < std::min(num_threads, batch.images); ++k) pool.emplace_back(work);
    work();
    for (std::thread& thread : pool) thread.join();
}

}  // namespace iem
