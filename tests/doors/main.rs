//! The stdio doors of the built binary, as their clients see them.

mod claims;
mod harness;
mod mcp;
mod mcp_news;
mod rpc;
