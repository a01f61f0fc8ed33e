// The kernel, compiled at run time for one shape; see NOTES.md.
#include "run.cuh"

extern "C" __global__ void __launch_bounds__(IEM_threads, 1) iem_segment(const iem::Job job) {
    extern __shared__ __align__(16) unsigned char shared[];
    const iem::Block block = {iem::Shape(), job, shared,
                              job.workspace + blockIdx.x * job.workspace_bytes};
    iem::run_block(block);
}
