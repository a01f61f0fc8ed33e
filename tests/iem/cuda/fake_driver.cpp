// A CUDA driver without a card: its memory is the host's, and it runs the one kernel it knows by the
// emulator. What it is to pretend is in the environment.
#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <string>

#include "emulator.cpp"

namespace {

long long asked(const char* name, long long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atoll(text) : otherwise;
}

std::atomic<long long> taken{0};
struct Header {
    long long bytes, pad[31];
};

enum { kSuccess = 0, kOutOfMemory = 2, kNoDevice = 100, kNotFound = 500 };

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int cuInit(unsigned) { return asked("FAKE_DEVICES", 1) ? kSuccess : kNoDevice; }
int cuDriverGetVersion(int* version) {
    *version = static_cast<int>(asked("FAKE_DRIVER_VERSION", 13000));
    return kSuccess;
}
int cuDeviceGet(int* device, int ordinal) {
    *device = ordinal;
    return kSuccess;
}
int cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, length, "Fake Hopper");
    return kSuccess;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: *value = 3; return kSuccess;  // multiprocessors
        case 75: *value = static_cast<int>(asked("FAKE_ARCHITECTURE", 90)) / 10; return kSuccess;
        case 76: *value = static_cast<int>(asked("FAKE_ARCHITECTURE", 90)) % 10; return kSuccess;
        case 13: *value = 1980000; return kSuccess;  // kHz
        case 36: *value = 3201000; return kSuccess;  // kHz of the memory
        case 37: *value = 6144; return kSuccess;     // bits of its bus
        case 97: *value = 232448; return kSuccess;  // shared memory of a block
    }
    return kNotFound;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
    static int here;
    *context = &here;
    return kSuccess;
}
int cuCtxPushCurrent_v2(void*) { return kSuccess; }
int cuCtxPopCurrent_v2(void** context) {
    *context = nullptr;
    return kSuccess;
}
int cuCtxSynchronize() { return static_cast<int>(asked("FAKE_SYNCHRONIZE", kSuccess)); }
int cuMemAlloc_v2(unsigned long long* address, std::size_t bytes) {
    if (taken + static_cast<long long>(bytes) > asked("FAKE_MEMORY", 1ll << 40)) return kOutOfMemory;
    taken += bytes;
    auto* header = static_cast<Header*>(std::malloc(sizeof(Header) + bytes));
    header->bytes = bytes;
    std::memset(header + 1, 0xff, bytes);
    *address = reinterpret_cast<unsigned long long>(header + 1);
    return kSuccess;
}
int cuMemFree_v2(unsigned long long address) {
    Header* header = reinterpret_cast<Header*>(address) - 1;
    taken -= header->bytes;
    std::free(header);
    return kSuccess;
}
int cuMemcpyHtoD_v2(unsigned long long to, const void* from, std::size_t bytes) {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return kSuccess;
}
int cuMemcpyDtoH_v2(void* to, unsigned long long from, std::size_t bytes) {
    std::memcpy(to, reinterpret_cast<void*>(from), bytes);
    return kSuccess;
}

// The machine code's bytes hold the shape in no form that could be read here: after the code the
// fake's caller puts the path of a file that has it.
int cuLibraryLoadData(void** library, const void* code, void*, void*, unsigned, void*, void*,
                      unsigned) {
    if (std::memcmp(code, "\177ELF", 4)) return 200;
    *library = new std::string(static_cast<const char*>(code) + 4);
    return kSuccess;
}
int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
    *kernel = library;
    return std::strcmp(name, "iem_segment") ? kNotFound : kSuccess;
}
int cuKernelSetAttribute(int attribute, int value, void*, int) {
    return attribute == 8 && value <= 232448 ? kSuccess : 1;
}
int cuKernelGetFunction(void** function, void* kernel) {
    *function = kernel;
    return kSuccess;
}
int cuLaunchKernel(void* shape_file, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned,
                   unsigned shared_bytes, void*, void** arguments, void**) {
    iem::Shape shape;
    std::FILE* file = std::fopen(static_cast<std::string*>(shape_file)->c_str(), "rb");
    if (!file || std::fread(&shape, sizeof shape, 1, file) != 1) return 1;
    std::fclose(file);
    if (static_cast<int>(threads) != shape.threads) return 1;
    if (const char* log = std::getenv("FAKE_LOG")) {
        std::FILE* to = std::fopen(log, "a");
        const auto* job = static_cast<const iem::Job*>(arguments[0]);
        std::fprintf(to, "%u blocks, %d images\n", blocks, job->images);
        std::fclose(to);
    }
    return emulate(&shape, static_cast<const iem::Job*>(arguments[0]), shared_bytes, blocks, 1);
}

}  // extern "C"

// The binding asks for the functions by their plain names.
extern "C" int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long long,
                                   int* found) {
    Dl_info own;
    dladdr(reinterpret_cast<void*>(&cuInit), &own);
    void* library = dlopen(own.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    *function = dlsym(library, (std::string(symbol) + "_v2").c_str());
    if (!*function) *function = dlsym(library, symbol);
    if (found) *found = *function ? 0 : 1;
    return *function ? kSuccess : kNotFound;
}
