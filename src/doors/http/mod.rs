//! JSON-RPC over HTTP and WebSocket, at a conductor's own socket, and with [`mod@serve`] at a port for programs and
//! the board. The methods, errors and notifications are those of `kapell rpc`.
//!
//! A conductor's is a Unix socket and nothing else, and has a few short methods of the conductor itself. Nobody comes in over the network, so there is no token, and the `Host` header says nothing:
//! the socket's mode and the peer's user decide, and no worker of a conductor is let in.

mod contract;
mod methods;
mod posted;
pub mod serve;
mod serving;
mod socket;
mod speaking;
mod subscriptions;
mod talking;

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use self::socket::SocketFile;
use crate::base::ids::PlanId;
use crate::base::threads;
use crate::services::House;
use crate::services::conductor::{Socket, Vitals};

/// At most so many slow calls run at once; further ones wait their turn.
const SLOW_CALLS: usize = 32;
/// So many threads are left to the quick ones.
const QUICK_CALLS: usize = 8;

/// A conductor's socket and the thread that serves it. Dropped, it lets nobody new in, ends
/// all waits, sends what is left to be said, and is gone.
#[derive(Debug)]
pub struct Server {
    house: Arc<House>,
    plan: PlanId,
    /// Taken first when it ends; none as long as something lies in its place.
    file: Option<SocketFile>,
    path: PathBuf,
    listeners: UnboundedSender<UnixListener>,
    is_told: bool,
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the socket of the conductor, whose calls are about `folder`. Whoever holds the plan's
/// life lock may call this. From its return on everybody can connect, unless something lies in the socket's place:
/// then from when that has gone and the server is tended.
///
/// # Errors
/// The system has no thread or descriptor left.
pub fn serve(house: Arc<House>, folder: PathBuf, vitals: Arc<Vitals>) -> io::Result<Server> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(SLOW_CALLS + QUICK_CALLS)
        .thread_name("kapell-call")
        .build()?;
    let (ending, ends) = oneshot::channel();
    let (listeners, opened) = unbounded_channel();
    let (path, plan) = (socket::path(&house.root, &vitals.plan), vitals.plan.clone());
    let served = house.clone();
    let serve = move || {
        runtime.block_on(serving::run(opened, served, folder, vitals, ends));
        // A call that does not end by being told to holds nobody up.
        runtime.shutdown_background();
    };
    let thread = threads::start("kapell-http", Box::new(serve))?;
    let (ending, thread) = (Some(ending), Some(thread));
    let mut server = Server { house, plan, file: None, path, listeners, is_told: false, ending, thread };
    server.tend();
    Ok(server)
}

impl Socket for Server {
    fn path(&self) -> &Path {
        &self.path
    }

    fn tend(&mut self) {
        if self.file.as_ref().is_some_and(SocketFile::is_there) {
            return;
        }
        let bound = socket::bind(&self.house.root, &self.plan).and_then(|(listener, file)| {
            listener.set_nonblocking(true)?;
            Ok((listener, file))
        });
        match bound {
            Ok((listener, file)) => {
                self.file = Some(file);
                self.is_told = false;
                // Who serves is there until this is dropped.
                let _ = self.listeners.send(listener);
            }
            // Tried again each time, and told once.
            Err(error) if !std::mem::replace(&mut self.is_told, true) => {
                tracing::warn!("the socket of plan {}: {error}", self.plan);
            }
            Err(_) => {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.file.take());
        if let Some(ending) = self.ending.take() {
            // The thread is there, or has ended by a fault already.
            let _ = ending.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
