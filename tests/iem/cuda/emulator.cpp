// The kernel on a host: the same source, all of it, with threads played one after another or, with
// IEM_TEAM, by real threads that a race detector watches.
#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "run.cuh"

namespace {

#if defined(IEM_TEAM)
thread_local int me;
thread_local pthread_barrier_t* meeting;
#else
// 0: in ascending order; else in another random order in every phase.
thread_local std::minstd_rand order;
thread_local bool shuffled;
#endif

}  // namespace

namespace iem {

#if defined(IEM_TEAM)
void barrier() { pthread_barrier_wait(meeting); }
template <typename Body>
void on_each_thread(int, const Body& body) {
    body(me);
}
#else
void barrier() {}
template <typename Body>
void on_each_thread(int threads, const Body& body) {
    std::vector<int> turn(threads);
    for (int k = 0; k < threads; ++k) turn[k] = k;
    if (shuffled) std::shuffle(turn.begin(), turn.end(), order);
    for (int thread : turn) body(thread);
}
#endif

}  // namespace iem

namespace {

struct Aligned {
    void operator()(void* block) const { std::free(block); }
};

// Memory of exactly this size, filled with what no part of the program may rely on.
std::unique_ptr<unsigned char, Aligned> take(std::size_t bytes) {
    void* block = nullptr;
    if (posix_memalign(&block, 256, std::max<std::size_t>(bytes, 1))) std::abort();
    std::memset(block, 0xff, bytes);
    return std::unique_ptr<unsigned char, Aligned>(static_cast<unsigned char*>(block));
}

void run_one_block(const iem::Shape& shape, iem::Job job, long long shared_bytes, int index,
                   unsigned seed) {
    const auto shared = take(shared_bytes), workspace = take(job.workspace_bytes);
    const iem::Block block{shape, job, shared.get(), workspace.get()};
#if defined(IEM_TEAM)
    (void)index, (void)seed;
    pthread_barrier_t all;
    pthread_barrier_init(&all, nullptr, shape.threads);
    std::vector<std::thread> team;
    for (int k = 0; k < shape.threads; ++k)
        team.emplace_back([&, k] {
            me = k;
            meeting = &all;
            iem::run_block(block);
        });
    for (std::thread& member : team) member.join();
    pthread_barrier_destroy(&all);
#else
    order.seed(seed + 1000 * index);
    shuffled = seed != 0;
    iem::run_block(block);
#endif
}

}  // namespace

extern "C" int emulate(const iem::Shape* shape, const iem::Job* job, long long shared_bytes,
                       int blocks, unsigned seed) {
    std::vector<std::thread> grid;
    for (int k = 0; k < blocks; ++k)
        grid.emplace_back(run_one_block, *shape, *job, shared_bytes, k, seed);
    for (std::thread& block : grid) block.join();
    return 0;
}

extern "C" int struct_sizes(int which) {
    return which == 0 ? sizeof(iem::Shape) : which == 1 ? sizeof(iem::Job) : sizeof(iem::Control);
}
