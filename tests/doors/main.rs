//! The stdio doors of the built binary, as their clients see them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails, in its helpers too"
)]

mod claims;
mod harness;
mod mcp;
mod mcp_news;
mod rpc;
