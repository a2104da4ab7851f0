//! Tasks of the runtime. Each is passed by a box, since all that the runtime does to carry one would be in the program
//! once for each kind of work otherwise.

use std::pin::Pin;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts one in the runtime around it.
pub fn start(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let work: Boxed = Box::pin(work);
    tokio::spawn(work)
}

/// Starts one in a runtime.
pub fn start_in(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) {
    let work: Boxed = Box::pin(work);
    runtime.spawn(work);
}

/// Starts what may wait for a disk, on a thread of its own.
pub fn block<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let work: Box<dyn FnOnce() -> T + Send> = Box::new(work);
    spawn_blocking(work)
}
