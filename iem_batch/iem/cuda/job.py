"""The argument of the kernel: `Job` of state.cuh."""

import ctypes


class Job(ctypes.Structure):
    """B images of H x W pixels, S first masks each, and the blur's weights.

    Pointers are addresses in the memory of the device; strides are in bytes.
    """

    _fields_ = (
        ("image", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("first_stride_b", ctypes.c_longlong),
        ("first_stride_s", ctypes.c_longlong),
        ("mask", ctypes.c_void_p),
        ("error_foreground", ctypes.c_void_p),
        ("error_background", ctypes.c_void_p),
        ("iterations", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
        ("queue", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_longlong),
        ("weight_y", ctypes.c_void_p),
        ("weight_x", ctypes.c_void_p),
        ("tap_y", ctypes.c_void_p),
        ("tap_x", ctypes.c_void_p),
        ("widest_y", ctypes.c_void_p),
        ("widest_x", ctypes.c_void_p),
        ("diversity", ctypes.c_double),
        ("edge_tap", ctypes.c_float),
        ("images", ctypes.c_int),
        ("masks", ctypes.c_int),
        ("max_iterations", ctypes.c_int),
    )
