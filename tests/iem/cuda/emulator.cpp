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

#if defined(IEM_PROGRAM)
// emulator FOLDER SHARED_BYTES: the arrays of a job lie in files of their names, which are written
// back; for the sanitizers, which want a program of their own.
#include <string>

static std::vector<unsigned char> read_file(const std::string& path) {
    std::vector<unsigned char> bytes;
    std::FILE* file = std::fopen(path.c_str(), "rb");
    if (!file) std::abort();
    for (int c; (c = std::fgetc(file)) != EOF;) bytes.push_back(static_cast<unsigned char>(c));
    std::fclose(file);
    return bytes;
}

int main(int, char** arguments) {
    const std::string folder = std::string(arguments[1]) + "/";
    iem::Shape shape;
    iem::Job job;
    const auto shape_bytes = read_file(folder + "shape"), job_bytes = read_file(folder + "job");
    if (shape_bytes.size() != sizeof shape || job_bytes.size() != sizeof job) return 2;
    std::memcpy(&shape, shape_bytes.data(), sizeof shape);
    std::memcpy(&job, job_bytes.data(), sizeof job);
    std::vector<std::vector<unsigned char>> arrays;
    const auto take_array = [&](auto& field, const char* name) {
        arrays.push_back(read_file(folder + name));
        field = reinterpret_cast<std::remove_reference_t<decltype(field)>>(arrays.back().data());
    };
    arrays.reserve(16);
    take_array(job.mask, "mask");
    take_array(job.error_foreground, "error_foreground");
    take_array(job.error_background, "error_background");
    take_array(job.iterations, "iterations");
    take_array(job.status, "status");
    take_array(job.image, "image");
    take_array(job.first, "first");
    take_array(job.queue, "queue");
    take_array(job.weight_y, "weight_y");
    take_array(job.weight_x, "weight_x");
    take_array(job.tap_y, "tap_y");
    take_array(job.tap_x, "tap_x");
    take_array(job.widest_y, "widest_y");
    take_array(job.widest_x, "widest_x");
    emulate(&shape, &job, std::atoll(arguments[2]), 2, 1);
    const char* names[] = {"mask", "error_foreground", "error_background", "iterations", "status"};
    for (int k = 0; k < 5; ++k) {
        std::FILE* file = std::fopen((folder + names[k]).c_str(), "wb");
        std::fwrite(arrays[k].data(), 1, arrays[k].size(), file);
        std::fclose(file);
    }
    return 0;
}
#endif
