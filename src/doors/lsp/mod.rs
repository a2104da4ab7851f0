//! `kapell lsp`: the Language Server Protocol on standard input and output, for people who edit
//! beside agents.
//!
//! The way of a key press: `ordered` applies it to the text and leaves a note; the thread of
//! `keeper` claims and shows who holds what, the thread of `checker` shows what is wrong with a
//! plan. No handler waits for the store.

mod board;
mod checker;
mod commands;
mod config;
mod desk;
mod disk;
mod documents;
mod keeper;
mod keeping;
mod ordered;
mod outbox;
mod owned;
mod plans;
mod progress;
mod reading;
mod schema;
mod server;
mod settings;
mod stream;
mod text;
mod types;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::api::Client;
use crate::services::House;
use desk::{Desk, Note};
use ordered::Ordered;
use server::Server;
use types::{LspService, Transport};

/// At most so many slow calls run at once; further ones wait their turn.
const SLOW_CALLS: usize = 128;
/// So many threads are left to the quick ones, and to what reads and writes.
const QUICK_CALLS: usize = 16;
/// At most so many requests are in progress; more are not read before one is answered.
const MOST_REQUESTS: usize = 1024;
/// How long letting go of claims may keep the end from coming.
const LAST_NOTES: Duration = Duration::from_secs(1);

/// Serves until the editor says so, standard input ends, or a signal comes; then exits with 0, or with 1
/// for an `exit` that no `shutdown` came before.
pub fn serve(house: House, folder: PathBuf) -> u8 {
    match run(Arc::new(house), folder) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            tracing::error!("kapell lsp: {error}");
            4
        }
    }
}

/// Tells whether the end was a good one.
fn run(house: Arc<House>, folder: PathBuf) -> std::io::Result<bool> {
    let client = Client::new(house, folder.clone());
    let (outbox, unsent) = outbox::open();
    let desk = Desk::new(client.clone(), folder, outbox);
    // One thread answers: what takes long goes to others.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(SLOW_CALLS + QUICK_CALLS)
        .thread_name("kapell-call")
        .build()?;
    runtime.block_on(async {
        let (mut interrupted, mut terminated) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let (service, socket) = LspService::build(|editor| Server::new(desk.clone(), editor, unsent))
            .custom_method("kapell/read", Server::read)
            .custom_method("kapell/owner", Server::owner)
            .finish();
        let service = Ordered::new(service, desk.clone());
        let input = stream::Input::new(tokio::io::stdin(), client.clone());
        let serving = Transport::new(input, tokio::io::stdout(), socket)
            .concurrency_level(MOST_REQUESTS)
            .serve(service);
        tokio::select! {
            () = serving => {}
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        std::io::Result::Ok(())
    })?;
    client.close();
    let (done, is_done) = channel();
    desk.note(Note::End(done));
    // Where no keeper was ever started nobody answers, and nothing is held.
    let _ = is_done.recv_timeout(if desk.unread().is_none() { LAST_NOTES } else { Duration::ZERO });
    runtime.shutdown_background();
    Ok(desk.goodbye.load(Ordering::SeqCst) || !desk.left.load(Ordering::SeqCst))
}
