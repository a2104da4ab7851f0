//! Faults at random, several in one run.
