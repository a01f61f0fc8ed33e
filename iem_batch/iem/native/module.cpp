// The Python module iem_batch.iem._native.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "instruction_set.h"
#include "segment.h"

namespace py = pybind11;

namespace {

using Bytes = py::array_t<std::uint8_t>;

// The caller has checked shapes and types; see native_backend.py.
py::tuple segment(const py::array_t<std::uint8_t, py::array::c_style>& image, const Bytes& first,
                  double sigma, int kernel, double diversity_weight, int iterations, bool smoothing,
                  bool boundary_only, int num_threads,
                  const std::string& instruction_set) {
    const iem::Kernels& kernels = iem::kernels_for(instruction_set);
    const py::ssize_t images = first.shape(0), masks = first.shape(1);
    const py::ssize_t height = first.shape(2), width = first.shape(3);
    py::array_t<std::uint8_t> mask({images, masks, height, width});
    py::array_t<double> error_foreground({images, masks});
    py::array_t<double> error_background({images, masks});
    py::array_t<std::int32_t> done({images, masks});
    py::array_t<std::uint8_t> status({images, masks});
    const iem::Batch batch{static_cast<int>(images), static_cast<int>(masks),
                           static_cast<int>(height), static_cast<int>(width),
                           image.data(),            first.data(),
                           first.strides(0),        first.strides(1),
                           mask.mutable_data(),     error_foreground.mutable_data(),
                           error_background.mutable_data(), done.mutable_data(),
                           status.mutable_data()};
    const iem::Settings settings{sigma,      kernel,    diversity_weight,
                                 iterations, smoothing, boundary_only};
    {
        const py::gil_scoped_release release;
        iem::segment(batch, settings, kernels, num_threads);
    }
    return py::make_tuple(mask, error_foreground, error_background, done, status);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    using py::literals::operator""_a;
    module.def("segment", &segment, "image"_a, "first"_a, py::kw_only(), "sigma"_a, "kernel"_a,
               "diversity_weight"_a, "iterations"_a, "smoothing"_a, "boundary_only"_a,
               "num_threads"_a, "instruction_set"_a = "");
    module.def("instruction_sets", &iem::instruction_sets);
}
