//! News of the event log for one connection: one thread follows it, from the first time
//! that anybody listens until the connection ends.

use std::sync::Arc;

use tokio::sync::{Mutex, broadcast};

use crate::api::{ApiError, Client};
use crate::base::tasks;
use crate::base::threads;
use crate::services::following::{Follower, Interest};
use crate::store::events::EventRow;

/// Some events, oldest first.
pub type Batch = Arc<Vec<EventRow>>;

/// So many batches may be ahead of a listener; who lags hears only that something happened.
const AHEAD: usize = 64;

/// The news of a connection.
#[derive(Debug)]
pub struct News {
    client: Arc<Client>,
    /// One listener that never listens: others are made of it, and when the thread ends
    /// all of them hear of it.
    seed: Mutex<Option<broadcast::Receiver<Batch>>>,
}

impl News {
    /// Nothing is followed yet.
    pub fn new(client: Arc<Client>) -> Self {
        Self { client, seed: Mutex::new(None) }
    }

    /// Hears of everything in the project that is recorded after this returned.
    pub async fn listen(&self) -> Result<broadcast::Receiver<Batch>, ApiError> {
        let mut seed = self.seed.lock().await;
        if let Some(seed) = seed.as_ref() {
            return Ok(seed.resubscribe());
        }
        let call = self.client.begin();
        // Opening the database may take longer than other callers should wait.
        let opened = tasks::block(move || {
            let follower = Follower::new(&call.session(), Interest::default(), None)?;
            Ok((call, follower))
        });
        let (call, mut follower) = match opened.await {
            Ok(opened) => opened.map_err(|error: crate::services::Error| ApiError::from(error))?,
            Err(error) => return Err(ApiError::bug(error.to_string())),
        };
        let (sender, receiver) = broadcast::channel(AHEAD);
        let listener = receiver.resubscribe();
        let thread = threads::start(
            "kapell-news",
            Box::new(move || {
                while !call.cancel().is_cancelled() {
                    match follower.next(None) {
                        Ok(events) if events.is_empty() => {}
                        // The seed still receives, so there is always somebody to send to.
                        Ok(events) => drop(sender.send(Arc::new(events))),
                        Err(error) => {
                            tracing::warn!("cannot follow events any more: {error}");
                            return;
                        }
                    }
                }
            }),
        );
        thread.map_err(|error| ApiError::from(crate::services::Error::system("a thread", error)))?;
        *seed = Some(receiver);
        Ok(listener)
    }
}
