// Logic on masks, one word of 32 pixels per thread.
#pragma once

#include "state.cuh"

namespace iem {

IEM_INLINE unsigned inside_word(const Block& b, int word) {
    const int left = b.shape.width - word * 32;
    return left >= 32 ? ~0u : (1u << left) - 1;
}

IEM_INLINE bool in_plane(const Block& b, int row, int word) {
    return row >= 0 && row < b.shape.height && word >= 0 && word < words(b);
}

IEM_INLINE unsigned word_of(const Block& b, const unsigned* plane, int row, int word) {
    return in_plane(b, row, word) ? plane[row * words(b) + word] : 0;
}

IEM_INLINE bool bit_of(const Block& b, const unsigned* plane, int row, int column) {
    return plane[row * words(b) + column / 32] >> (column % 32) & 1;
}

// body(row, word) for the words that are this thread's.
template <typename Body>
IEM_INLINE void on_words(const Block& b, int thread, const Body& body) {
    for (int n = thread; n < b.shape.height * words(b); n += b.shape.threads)
        body(n / words(b), n % words(b));
}

// body(row, column, pixel) for the pixels that are this thread's.
template <typename Body>
IEM_INLINE void on_pixels(const Block& b, int thread, const Body& body) {
    for (int p = thread; p < pixels(b); p += b.shape.threads)
        body(p / b.shape.width, p % b.shape.width, p);
}

template <typename Word>
IEM_INLINE Neighbours<unsigned> neighbours_at(int row, int word, const Word& word_at) {
    return neighbours<unsigned>(word_at(row, word - 1), word_at(row, word), word_at(row, word + 1));
}

// Pixels with a 4-neighbour on the other side; outside the image is the other side of both.
IEM_INLINE unsigned boundary_word(const Block& b, const unsigned* m, int row, int word) {
    const unsigned inside = inside_word(b, word);
    if (row == 0 || row == b.shape.height - 1) return inside;
    const auto at = [&](int i, int w) { return word_of(b, m, i, w); };
    unsigned edge = edge_of(neighbours_at(row, word, at), at(row - 1, word), at(row + 1, word));
    if (word == 0) edge |= 1u;
    if (word == words(b) - 1) edge |= 1u << ((b.shape.width - 1) % 32);
    return edge & inside;
}

// Foreground where at least 4 of the 9 pixels around are, outside counting as background.
template <typename Word>
IEM_INLINE unsigned smooth_word(int row, int word, const Word& word_at) {
    unsigned one[3], two[3];
    for (int k = 0; k < 3; ++k) count_row(neighbours_at(row + k - 1, word, word_at), one[k], two[k]);
    return at_least_four(one, two);
}

// Bits within `reach` columns of a set bit of the row.
template <typename Word>
IEM_INLINE unsigned dilated_word(int word, int reach, const Word& word_at) {
    unsigned near = 0, here = word_at(word);
    // Doubling: `done` columns either way so far.
    for (int done = 0; done < reach && done < 31;) {
        const int by = done + 1 < reach - done ? done + 1 : reach - done;
        if (by < 32) here |= here << by | here >> by;
        done += by;
    }
    near = here;
    for (int k = 1; (k - 1) * 32 < reach; ++k) {
        if (const unsigned before = word_at(word - k)) {
            const int last = highest_bit(before) - 32 * k + reach;  // the last column reached
            if (last >= 0) near |= last >= 31 ? ~0u : (2u << last) - 1;
        }
        if (const unsigned after = word_at(word + k)) {
            const int first = lowest_bit(after) + 32 * k - reach;
            if (first <= 31) near |= first <= 0 ? ~0u : ~0u << first;
        }
    }
    return near;
}

// The union of the words above, here and below within `reach` rows.
IEM_INLINE unsigned down_word(const Block& b, const unsigned* plane, int row, int word, int reach) {
    const int first = row > reach ? row - reach : 0;
    const int last = row + reach < b.shape.height ? row + reach : b.shape.height - 1;
    unsigned near = 0;
    for (int i = first; i <= last; ++i) near |= plane[i * words(b) + word];
    return near;
}

// Pixels near either side, in their rows.
IEM_INLINE void near_sides(const Block& b, int row, int word) {
    const unsigned* m = plane(b, kMask);
    const int at = row * words(b) + word, radius = b.shape.radius_x;
    plane(b, kNearFore)[at] =
        dilated_word(word, radius, [&](int w) { return word_of(b, m, row, w); });
    plane(b, kNearBack)[at] = dilated_word(word, radius, [&](int w) {
        return in_plane(b, row, w) ? ~m[row * words(b) + w] & inside_word(b, w) : 0;
    });
}

// Pixels whose blur window holds the other side: elsewhere its blur is exactly 0.
IEM_INLINE void present_word(const Block& b, int row, int word) {
    const int at = row * words(b) + word;
    const unsigned m = plane(b, kMask)[at], inside = inside_word(b, word);
    plane(b, kPresent)[at] =
        ((m & down_word(b, plane(b, kNearBack), row, word, b.shape.radius_y)) |
         (~m & down_word(b, plane(b, kNearFore), row, word, b.shape.radius_y))) & inside;
}

IEM_CODE void find_present(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) { near_sides(b, row, word); });
    });
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) { present_word(b, row, word); });
    });
}

// Where the vote may still go either way: it is monotone, so where it comes out the same with all of
// the boundary foreground as with none of it, nothing decided there matters.
IEM_INLINE unsigned open_word(const Block& b, int row, int word) {
    const unsigned *m = plane(b, kMask), *edge = plane(b, kEdge);
    const unsigned most = smooth_word(row, word, [&](int i, int w) {
        return word_of(b, m, i, w) | word_of(b, edge, i, w);
    });
    const unsigned least = smooth_word(row, word, [&](int i, int w) {
        return word_of(b, m, i, w) & ~word_of(b, edge, i, w);
    });
    return (most ^ least) & inside_word(b, word);
}

// Boundary pixels next to an open one.
IEM_INLINE unsigned undecided_word(const Block& b, int row, int word) {
    const unsigned* open = plane(b, kOpen);
    unsigned near = 0;
    for (int i = row - 1; i <= row + 1; ++i) {
        const auto n =
            neighbours_at(i, word, [&](int r, int w) { return word_of(b, open, r, w); });
        near |= n.left | n.here | n.right;
    }
    return plane(b, kEdge)[row * words(b) + word] & near;
}

// List the boundary pixels of a word in their band.
IEM_INLINE void list_edges(const Block& b, int row, int word, unsigned edge) {
    const int band = row / b.shape.band_rows;
    if (!edge) return;
    int* to = edges(b) + band * b.shape.band_rows * b.shape.width +
              add_to(edge_counts(b) + band, count_bits(edge));
    for (; edge; edge &= edge - 1) *to++ = row * b.shape.width + word * 32 + lowest_bit(edge);
}

// kEdge: the pixels to decide, and their lists; kNext: the mask; kPresent.
IEM_CODE void find_edges(const Block& b) {
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            plane(b, kEdge)[row * words(b) + word] =
                b.shape.boundary_only ? boundary_word(b, plane(b, kMask), row, word)
                                      : inside_word(b, word);
            plane(b, kNext)[row * words(b) + word] = plane(b, kMask)[row * words(b) + word];
            near_sides(b, row, word);
        });
        for (int k = thread; k < bands(b); k += b.shape.threads) edge_counts(b)[k] = 0;
    });
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            present_word(b, row, word);
            plane(b, kOpen)[row * words(b) + word] =
                b.shape.smoothing ? open_word(b, row, word) : inside_word(b, word);
        });
    });
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            const unsigned edge = undecided_word(b, row, word);
            plane(b, kNearFore)[row * words(b) + word] = edge;  // kEdge is still read
            list_edges(b, row, word, edge);
        });
    });
    phase(b.shape.threads, [=](int thread) {
        on_words(b, thread, [&](int row, int word) {
            plane(b, kEdge)[row * words(b) + word] = plane(b, kNearFore)[row * words(b) + word];
        });
        // The columns that the boundary pixels of a strip reach.
        for (int n = thread; n < strips(b) * words(b); n += b.shape.threads) {
            const int top = n / words(b) * kStripRows;
            const auto any = [&](int w) {
                unsigned near = 0;
                for (int i = top; i < top + kStripRows; ++i)
                    near |= word_of(b, plane(b, kNearFore), i, w);
                return near;
            };
            reach(b)[n] = dilated_word(n % words(b), b.shape.radius_x, any);
        }
    });
}

}  // namespace iem
