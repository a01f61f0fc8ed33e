// Items of the queue, one first mask of one image each, from bytes to masks and errors.
#pragma once

#include "decide.cuh"

namespace iem {

enum Status : unsigned char { kOk = 0, kEmpty = 1, kFull = 2 };

// u: the image less each channel's most common value, the smallest of several.
IEM_INLINE void find_mode(const Block& b, int c) {
    const int* histogram = control(b).histogram[c];
    int mode = 0, least = 255, most = 0;
    for (int v = 0; v < 256; ++v) {
        if (!histogram[v]) continue;
        if (histogram[v] > histogram[mode]) mode = v;
        if (v < least) least = v;
        most = v;
    }
    control(b).mode[c] = mode;
    control(b).largest_u[c] = mode - least > most - mode ? mode - least : most - mode;
}

IEM_CODE void take_image(const Block& b, const unsigned char* image) {
    const int threads = b.shape.threads;
    phase(threads, [=](int thread) {
        for (int n = thread; n < kColours * 256; n += threads) control(b).histogram[n / 256][n % 256] = 0;
        if (thread < kColours) control(b).image_total[thread] = 0;
    });
    phase(threads, [=](int thread) {
        for (int n = thread; n < kColours * pixels(b); n += threads)
            add_to(&control(b).histogram[n % kColours][image[n]], 1);
    });
    phase(threads, [=](int thread) {
        if (thread < kColours) find_mode(b, thread);
    });
    phase(threads, [=](int thread) {
        int total[kColours] = {0, 0, 0};
        for (int p = thread; p < pixels(b); p += threads) {
            const unsigned char* from = image + kColours * p;
            int u[kColours];
            for (int c = 0; c < kColours; ++c) {
                u[c] = from[c] - control(b).mode[c];
                total[c] += u[c];
            }
            pixel(b)[p] = pack(u[0], u[1], u[2]);
        }
        for (int c = 0; c < kColours; ++c) add_to(&control(b).image_total[c], total[c]);
    });
    blur_whole(b, 0, kColours);
}

// kMask and the sums over it; kOpen too.
IEM_CODE void take_first(const Block& b, const unsigned char* first) {
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            const int left = b.shape.width - word * 32;
            const unsigned char* from = first + row * b.shape.width + word * 32;
            unsigned bits = 0;
            for (int k = 0; k < 32 && k < left; ++k) bits |= static_cast<unsigned>(from[k] != 0) << k;
            plane(b, kOpen)[row * words(b) + word] = bits;
            plane(b, kMask)[row * words(b) + word] = 0;
        });
        if (thread < kColours) control(b).fore_total[thread] = 0;
        if (thread == kColours) control(b).fore_count = 0;
    });
    take_mask(b, plane(b, kOpen));
}

// Write the mask down as iterate t, with its hash.
IEM_CODE void remember(const Block& b, int t) {
    phase(b.shape.threads, [=](int thread) {
        if (thread == 0) hashes(b)[t] = 0;
        if (thread == 1) control(b).found = t;
    });
    phase(b.shape.threads, [=](int thread) {
        unsigned long long hash = 0;
        on_words(b, thread, [&](int row, int word) {
            const int at = row * words(b) + word;
            const unsigned m = plane(b, kMask)[at];
            history(b, t)[at] = m;
            hash += pixel_hash(static_cast<unsigned long long>(at) << 32 | m);
        });
        add_to(&hashes(b)[t], hash);
    });
}

IEM_INLINE bool same_iterate(const Block& b, int s, int t) {
    if (hashes(b)[s] != hashes(b)[t]) return false;
    for (int n = 0; n < b.shape.height * words(b); ++n)
        if (history(b, s)[n] != history(b, t)[n]) return false;
    return true;
}

// The first iterate equal to iterate t: t itself if there is no earlier one.
IEM_CODE int first_equal(const Block& b, int t) {
    phase(b.shape.threads, [=](int thread) {
        for (int s = thread; s < t; s += b.shape.threads)
            if (same_iterate(b, s, t)) lower_to(&control(b).found, s);
    });
    return agreed(&control(b).found);
}

IEM_CODE Status status(const Block& b) {
    const int count = agreed(&control(b).fore_count);
    return count == 0 ? kEmpty : count == pixels(b) ? kFull : kOk;
}

// Iterate from kMask; returns the iterations computed, and kMask and `other` are the final ones.
IEM_CODE int iterate(const Block& b) {
    if (status(b) != kOk) return 0;
    blur_sides(b);
    remember(b, 0);
    for (int t = 1; t <= b.job.max_iterations; ++t) {
        ascend(b);
        take_mask(b, plane(b, kOpen));
        if (status(b) != kOk) return t;
        follow(b);
        remember(b, t);
        const int before = first_equal(b, t);
        if (before == t) continue;
        take_mask(b, history(b, before + (b.job.max_iterations - before) % (t - before)));
        follow(b);
        return t;
    }
    return b.job.max_iterations;
}

IEM_INLINE double capped(double error) {
    const double value = error / (kColours * 127.5);
    return value < 2 ? value : 2;
}

IEM_CODE void write_results(const Block& b, int item, int iterations) {
    const Status end = status(b);
    if (end == kOk) {
        phase(b.shape.threads, [=](int thread) {
            if (thread == 0) take_sides(b);
        });
        find_present(b);
        sum_exactly(b);
    }
    phase(b.shape.threads, [=](int thread) {
        unsigned char* to = b.job.mask + static_cast<long long>(item) * pixels(b);
        on_pixels(b, thread, [&](int row, int column, int p) {
            to[p] = bit_of(b, plane(b, kMask), row, column);
        });
        if (thread != 0) return;
        const Control& k = control(b);
        b.job.status[item] = end;
        b.job.iterations[item] = iterations;
        b.job.error_background[item] =
            end == kOk ? capped(sum_lanes(k.chain[0]) / k.sides.count[0]) : 0;
        b.job.error_foreground[item] =
            end == kOk ? capped(sum_lanes(k.chain[1]) / k.sides.count[1]) : 0;
    });
}

IEM_CODE int next_item(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        if (thread == 0) control(b).item = add_to(b.job.queue, 1);
    });
    return agreed(&control(b).item);
}

// What one block does: items until there are no more.
IEM_CODE void run_block(const Block& b) {
    const long long image_bytes = static_cast<long long>(kColours) * pixels(b);
    phase(b.shape.threads, [=](int thread) {
        for (int p = thread; p < pixels(b); p += b.shape.threads) pixel(b)[p] = pack(0, 0, 0);
    });
    blur_whole(b, kColours, kChannels);
    int image = -1;
    for (int item; (item = next_item(b)) < b.job.images * b.job.masks;) {
        if (image != item / b.job.masks) {
            image = item / b.job.masks;
            take_image(b, b.job.image + image * image_bytes);
        }
        take_first(b, b.job.first + image * b.job.first_stride_b +
                          item % b.job.masks * b.job.first_stride_s);
        write_results(b, item, iterate(b));
    }
}

}  // namespace iem
