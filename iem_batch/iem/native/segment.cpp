#include "segment.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "trajectory.h"
#include "workspace.h"

namespace iem {
namespace {

// One channel of u from its bytes, which are kColours apart.
void centre_channel(State& s, const std::uint8_t* image, int c, int mode) {
    for (int i = 0; i < s.shape.height; ++i) {
        const std::uint8_t* from = image + static_cast<std::ptrdiff_t>(i) * s.shape.width * kColours;
        float* to = s.u + static_cast<std::ptrdiff_t>(i) * s.row_u;
        for (int left = s.shape.width; left > 0; left -= kLanes) {
            const int lanes = std::min(left, kLanes);
            for (int k = 0; k < lanes; ++k)
                to[c * kLanes + k] = static_cast<float>(from[k * kColours + c] - mode);
            from += kLanes * kColours;
            to += kLanes * kColours;
        }
    }
}

// u: the image less each channel's most common value, the smallest of several.
void centre(State& s, const std::uint8_t* image) {
    int count[kColours][256] = {};
    const std::ptrdiff_t pixels = static_cast<std::ptrdiff_t>(s.shape.height) * s.shape.width;
    for (std::ptrdiff_t p = 0; p < pixels; ++p)
        for (int c = 0; c < kColours; ++c) ++count[c][image[kColours * p + c]];
    for (int c = 0; c < kColours; ++c) {
        const int mode = static_cast<int>(std::max_element(count[c], count[c] + 256) - count[c]);
        int least = 0, most = 255;
        while (!count[c][least]) ++least;
        while (!count[c][most]) --most;
        s.largest_u[c] = static_cast<float>(std::max(mode - least, most - mode));
        centre_channel(s, image, c, mode);
    }
}

void toggle(const State& s, std::uint32_t pixel) {
    const int row = static_cast<int>(pixel) / s.shape.width;
    const int column = static_cast<int>(pixel) % s.shape.width;
    *bit_word(s, s.mask, column / 64, row) ^= std::uint64_t{1} << column % 64;
}

// Calls visit(word, bytes, count) with 64 pixels of a row, or as many as are left of it.
template <typename Byte, typename Visit>
void visit_words(const State& s, Byte* mask, Visit visit) {
    for (int i = 0; i < s.shape.height; ++i) {
        for (int w = 0; w < s.shape.words; ++w) {
            const int count = std::min(64, s.shape.width - w * 64);
            visit(*bit_word(s, s.mask, w, i), mask, count);
            mask += count;
        }
    }
}

void read_mask(const State& s, const std::uint8_t* mask) {
    visit_words(s, mask, [](std::uint64_t& word, const std::uint8_t* bytes, int count) {
        std::uint64_t bits = 0;
        for (int k = 0; k < count; ++k) bits |= static_cast<std::uint64_t>(bytes[k] != 0) << k;
        word = bits;
    });
}

void write_mask(const State& s, std::uint8_t* mask) {
    visit_words(s, mask, [](std::uint64_t word, std::uint8_t* bytes, int count) {
        for (int k = 0; k < count; ++k) bytes[k] = word >> k & 1;
    });
}

// Make state.next the mask and list what that changed, by rows.
void take_next(const State& s, std::vector<std::uint32_t>& changed) {
    changed.clear();
    for (int i = 0; i < s.shape.height; ++i) {
        for (int w = 0; w < s.shape.words; ++w) {
            std::uint64_t* mask = bit_word(s, s.mask, w, i);
            const std::uint64_t next = *bit_word(s, s.next, w, i);
            for (std::uint64_t left = *mask ^ next; left; left &= left - 1) {
                const int column = w * 64 + __builtin_ctzll(left);
                changed.push_back(static_cast<std::uint32_t>(i * s.shape.width + column));
            }
            *mask = next;
        }
    }
}

Status status(const State& s) {
    const int pixels = s.shape.height * s.shape.width;
    int count = 0;
    for (int w = 0; w < s.shape.words; ++w)
        for (int i = 0; i < s.shape.height; ++i)
            count += __builtin_popcountll(*bit_word(s, s.mask, w, i));
    return count == 0 ? kEmpty : count == pixels ? kFull : kOk;
}

// One thread's engine.
class Engine {
  public:
    Engine(const Batch& batch, const Settings& settings, const Kernels& kernels)
        : batch_(batch), settings_(settings), kernels_(kernels),
          workspace_(batch.height, batch.width, settings) {
        kernels_.blur_ones(workspace_.state);
    }

    void run_image(int image) {
        State& s = workspace_.state;
        const std::size_t pixels = static_cast<std::size_t>(batch_.height) * batch_.width;
        centre(s, batch_.image + image * pixels * kColours);
        kernels_.blur_image(s);
        for (int k = 0; k < batch_.masks; ++k) {
            const std::uint8_t* first =
                batch_.first + image * batch_.first_stride_b + k * batch_.first_stride_s;
            const std::size_t at = static_cast<std::size_t>(image) * batch_.masks + k;
            read_mask(s, first);
            trajectory_.start();
            batch_.iterations[at] = run_mask();
            write_mask(s, batch_.mask + at * pixels);
            double error[2] = {0, 0};
            batch_.status[at] = status(s);
            if (batch_.status[at] == kOk) kernels_.errors(s, error);
            batch_.error_background[at] = std::min(2.0, error[0] / (kColours * 127.5));
            batch_.error_foreground[at] = std::min(2.0, error[1] / (kColours * 127.5));
        }
    }

  private:
    // Iterate from state.mask; returns the iterations computed, and state has the final mask.
    int run_mask() {
        State& s = workspace_.state;
        if (status(s) != kOk) return 0;
        kernels_.begin(s);
        for (int t = 1; t <= settings_.iterations; ++t) {
            kernels_.ascend(s);
            take_next(s, changed_);
            trajectory_.append(changed_);
            kernels_.follow(s, changed_.data(), static_cast<int>(changed_.size()));
            if (s.sides.count[0] == 0 || s.sides.count[1] == 0) return t;
            const int before = trajectory_.recurrence();
            if (before < 0) continue;
            const int period = t - before;
            go_back(before + (settings_.iterations - before) % period);
            return t;
        }
        return settings_.iterations;
    }

    void go_back(int iterate) {
        const std::vector<std::uint32_t> pixels =
            trajectory_.difference(iterate, trajectory_.last());
        for (const std::uint32_t pixel : pixels) toggle(workspace_.state, pixel);
        kernels_.follow(workspace_.state, pixels.data(), static_cast<int>(pixels.size()));
    }

    const Batch& batch_;
    const Settings& settings_;
    const Kernels& kernels_;
    Workspace workspace_;
    Trajectory trajectory_;
    std::vector<std::uint32_t> changed_;
};

}  // namespace

void segment(const Batch& batch, const Settings& settings, const Kernels& kernels,
             int num_threads) {
    std::atomic<int> next{0};
    std::exception_ptr failure;
    std::mutex failing;
    const auto work = [&] {
        try {
            Engine engine(batch, settings, kernels);
            for (int image; (image = next++) < batch.images;) engine.run_image(image);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(failing);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> pool;
    try {
        for (int k = 1; k < std::min(num_threads, batch.images); ++k) pool.emplace_back(work);
    } catch (const std::system_error&) {
        // The system gives no more threads; those there are do the work.
    }
    work();
    for (std::thread& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace iem
