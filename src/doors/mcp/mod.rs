//! `kapell mcp`: the Model Context Protocol on standard input and output, in its legacy
//! and its modern era, over the table of methods.

mod asking;
mod fitting;
mod handles;
mod news;
mod prompts;
mod resources;
mod server;
mod text;
mod tools;
mod transport;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;

use crate::api::Client;
use crate::services::House;
use crate::sys::stdio;

/// At most so many slow calls run at once; further ones wait their turn.
const SLOW_CALLS: usize = 32;

/// Serves until standard input ends or a signal comes, then exits with 0.
pub fn serve(house: House, folder: PathBuf) -> u8 {
    match run(Arc::new(house), folder) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("kapell mcp: {error:#}");
            4
        }
    }
}

fn run(house: Arc<House>, folder: PathBuf) -> anyhow::Result<()> {
    let (lines, outlet) = stdio::open()?;
    let client = Client::new(house, folder);
    let finished = Arc::new(AtomicBool::new(false));
    let (transport, closing, reader) =
        transport::start(lines, outlet.clone(), client.clone(), finished.clone())?;
    // One thread: quick calls are answered on it without a hand-over, and it costs no memory.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(SLOW_CALLS)
        .thread_name("kapell-call")
        .build()?;
    let served = runtime.block_on(async {
        match server::Server::new(client.clone(), closing).serve(transport).await {
            Ok(running) => running.waiting().await.map(drop).map_err(anyhow::Error::from),
            // A client that only asks what this is goes away without a handshake.
            Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    });
    client.close();
    runtime.shutdown_background();
    finished.store(true, Ordering::SeqCst);
    outlet.wake();
    let _ = reader.join();
    served
}
