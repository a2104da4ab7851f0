//! What is carried about: the program, and the list of tools that every conversation pays for.

use anyhow::Result;

use super::Around;
use crate::figure::{Amount, Figure};
use crate::place::{KAPELL, Place};
use crate::server::Server;

const CASE: &str = "size";

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    let place = Place::new(&around.folder, 3)?;
    let mut server = Server::kapell(&place, "mcp")?;
    server.begin_mcp("bench")?;
    let answer = server.ask(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)?;
    server.end()?;
    let program = std::fs::metadata(KAPELL)?.len();
    Ok(vec![
        Figure::told(CASE, "the program", Amount::Bytes(program)).limited(Amount::Bytes(15_000_000)),
        Figure::told(CASE, "the answer to tools/list", Amount::Bytes(answer.len() as u64))
            .limited(Amount::Bytes(16 << 10))
            .noting(format!("about {} tokens, at four bytes each", answer.len() / 4)),
    ])
}
