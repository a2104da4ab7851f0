//! Kapell from outside: the built program, real git, real processes, a scripted agent.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

mod bench;

mod batches;
mod hook;
mod inside;
mod integrating;
mod judging;
mod killed;
mod landing;
mod odd;
mod shared;
mod steering;
mod trying;
mod twice;
mod violations;
mod wall;
