//! The wall: what a worker may write, held by the kernel.
