//! The ways in. A door formats, it decides nothing; no door knows another.

pub mod cli;
pub mod hook;
pub mod http;
pub mod lsp;
pub mod mcp;
pub mod rpc;
pub mod top;
pub mod window;
