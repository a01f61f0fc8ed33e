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

// The caller has made them, of just this type, and keeps them.
template <typename T>
const T* table(const py::object& tables, const char* name) {
    return static_cast<const T*>(py::array(tables.attr(name)).data());
}

iem::Tables take_tables(const py::object& tables) {
    return {tables.attr("radius_y").cast<int>(), tables.attr("radius_x").cast<int>(),
            table<double>(tables, "weight_y"),   table<double>(tables, "grid_x"),
            table<double>(tables, "across"),     table<float>(tables, "tap_y"),
            table<float>(tables, "tap_x"),       table<float>(tables, "widest_y"),
            table<float>(tables, "widest_x"),    tables.attr("edge_tap").cast<float>()};
}

// The caller has checked shapes and types; see native_backend.py.
py::tuple segment(const py::array_t<std::uint8_t, py::array::c_style>& image, const Bytes& first,
                  const py::object& tables, double diversity_weight, int iterations,
                  bool smoothing, bool boundary_only, int num_threads,
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
    const iem::Settings settings{take_tables(tables), diversity_weight, iterations, smoothing,
                                 boundary_only};
    {
        const py::gil_scoped_release release;
        iem::segment(batch, settings, kernels, num_threads);
    }
    return py::make_tuple(mask, error_foreground, error_background, done, status);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    using py::literals::operator""_a;
    module.def("segment", &segment, "image"_a, "first"_a, py::kw_only(), "tables"_a,
               "diversity_weight"_a, "iterations"_a, "smoothing"_a, "boundary_only"_a,
               "num_threads"_a, "instruction_set"_a = "");
    module.def("instruction_sets", &iem::instruction_sets);
}
