//! Every type of the protocol that this door uses. They move to another crate with the next version of
//! the library, so they are named in this one place.

pub use tower_lsp_server::jsonrpc::{
    Error as RpcError, ErrorCode, Id as RpcId, Request, Response, Result as RpcResult,
};
pub use tower_lsp_server::ls_types::notification::{Notification, Progress as ProgressNotification};
pub use tower_lsp_server::ls_types::*;
pub use tower_lsp_server::{Client as Editor, ExitedError, LanguageServer, LspService, Server as Transport};
