"""The CUDA kernel: its source, its tables, how it is compiled and launched. See NOTES.md."""
