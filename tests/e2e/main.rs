//! Kapell from outside: the built program, real git, real processes, a scripted agent.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]

mod bench;
#[path = "../lsp/client.rs"]
#[expect(
    dead_code,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "another test speaks to it in more ways, and says so of itself"
)]
mod client;

mod batches;
mod belongings;
mod deserted;
mod environments;
mod errands;
mod fenced;
mod fleet;
mod handles;
mod health;
mod hook;
mod inside;
mod integrating;
mod judging;
mod killed;
mod landing;
mod local;
mod many;
mod nested;
mod odd;
mod overtaking;
mod pipelines;
mod places;
mod registry;
mod reviewed;
mod roles;
mod room;
mod seated;
mod secured;
mod serve;
mod shared;
mod spending;
mod steering;
mod taking;
mod tmux;
mod top;
mod trying;
mod twice;
mod unharmed;
mod upkeep;
mod violations;
mod wall;
