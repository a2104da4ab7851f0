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
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use self::socket::SocketFile;
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
    /// Taken first when it ends.
    file: Option<SocketFile>,
    path: PathBuf,
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the socket of the conductor, whose calls are about `folder`. Whoever holds the plan's
/// life lock may call this. From its return on everybody can connect.
///
/// # Errors
/// The socket cannot be bound, or the system has no thread or descriptor left.
pub fn serve(house: Arc<House>, folder: PathBuf, vitals: Arc<Vitals>) -> io::Result<Server> {
    let (listener, file) = socket::bind(&house.root, &vitals.plan)?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(SLOW_CALLS + QUICK_CALLS)
        .thread_name("kapell-call")
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::UnixListener::from_std(listener)?
    };
    let (ending, ends) = oneshot::channel();
    let thread = std::thread::Builder::new().name("kapell-http".to_owned()).spawn(move || {
        runtime.block_on(serving::run(&listener, house, folder, vitals, ends));
        // A call that does not end by being told to holds nobody up.
        runtime.shutdown_background();
    })?;
    Ok(Server { path: file.path().to_owned(), file: Some(file), ending: Some(ending), thread: Some(thread) })
}

impl Socket for Server {
    fn path(&self) -> &Path {
        &self.path
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
