//! The shim: one small process for each attempt that outlives the conductor.
