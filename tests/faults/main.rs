//! Killed, failed, and with a clock that jumps, at every named step: everything ends as if nothing
//! had happened, and the books agree with themselves.
#![cfg(all(target_os = "linux", debug_assertions))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

#[path = "../e2e/bench/mod.rs"]
#[expect(dead_code, reason = "a bench for all whole runs; not all of it is used here")]
mod bench;
#[path = "../dice.rs"]
mod dice;

mod points;
mod replay;
mod run;
mod seeds;
mod sound;
mod storm;
