//! `kapell lsp` as an editor sees it: the built program over standard input and output, a real store, and
//! claims that other processes make.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "that is how a test fails, in its helpers too, and messages are written where they are sent"
)]

mod client;
mod commands;
mod config;
mod kept;
mod open;
mod owned;
mod plans;
mod unsaved;
mod world;
