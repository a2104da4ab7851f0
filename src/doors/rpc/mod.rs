//! `kapell rpc`: plain JSON-RPC 2.0 on standard input and output, one message a line,
//! over the table of methods.

mod connection;
mod pool;
mod reply;
mod subscriptions;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::Client;
use crate::services::House;
use crate::sys::stdio::{self, End, Input};

/// How long a call in progress may go on after the end of input. Waits end at once.
const LAST_CALLS: Duration = Duration::from_secs(60);
/// The same after a signal, which is followed by a harder one.
const LAST_CALLS_SIGNALLED: Duration = Duration::from_secs(2);
/// How long whoever closed our input may take to read what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Whoever signals may not be reading any more.
const LAST_WORDS_SIGNALLED: Duration = Duration::from_millis(15);

/// Serves until standard input ends or a signal comes, then exits with 0.
pub fn serve(house: House, folder: PathBuf) -> u8 {
    let (mut lines, outlet) = match stdio::open() {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!("kapell rpc: standard input and output: {error}");
            return 4;
        }
    };
    let client = Client::new(Arc::new(house), folder);
    client.introduce(|| format!("rpc-{}", std::process::id()));
    let connection = connection::Connection::new(client.clone(), outlet.clone());
    let end = loop {
        match lines.read() {
            Input::Line(line) => connection.take(&line),
            Input::TooLong => connection.refuse(crate::api::message::too_long()),
            Input::End(end) => break end,
        }
    };
    client.close();
    outlet.wake();
    let (calls, words) = match end {
        End::Closed => (LAST_CALLS, LAST_WORDS),
        End::Signalled | End::Broken => (LAST_CALLS_SIGNALLED, LAST_WORDS_SIGNALLED),
    };
    lines.write_until(Some(Instant::now() + calls), |_| client.is_idle());
    lines.write_until(Some(Instant::now() + words), |written| written);
    0
}
