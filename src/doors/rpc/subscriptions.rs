//! Subscriptions to the event log, a thread each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::api::client::Call;
use crate::api::methods::events;
use crate::api::wire::{EventParams, SubscribeParams, SubscribeResult};
use crate::api::{ApiError, Client};
use crate::base::threads;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Cancel;
use crate::services::following::{Follower, Interest};
use crate::sys::stdio::Outlet;

/// Lets a subscription begin to send.
type Begin = Box<dyn FnOnce() + Send>;

/// At most so many at once.
const MOST: usize = 64;

/// The subscriptions of one connection.
pub struct Subscriptions {
    client: Arc<Client>,
    outlet: Outlet<'static>,
    next: AtomicU64,
    open: Arc<Mutex<HashMap<u64, Cancel>>>,
}

impl Subscriptions {
    /// None yet.
    pub fn new(client: Arc<Client>, outlet: Outlet<'static>) -> Self {
        Self { client, outlet, next: AtomicU64::new(1), open: Arc::default() }
    }

    /// Opens a subscription. Its events are sent once the second value is called, so that
    /// none overtakes the answer.
    pub fn open(&self, params: SubscribeParams) -> Result<(SubscribeResult, Begin), ApiError> {
        if opened(&self.open).len() >= MOST {
            return Err(Refusal::new(
                Code::Busy,
                format!("{MOST} subscriptions are open already"),
                "end some with events.unsubscribe; one without plan_id hears of all plans",
            )
            .into());
        }
        let interest = Interest {
            all_projects: params.all_projects,
            plan: params.plan_id,
            kind: params.kind,
            ..Interest::default()
        };
        let call = self.client.begin();
        let follower = Follower::subscribed(&call.session(), interest, params.since_seq)?;
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        opened(&self.open).insert(number, call.cancel().clone());
        let result = SubscribeResult { subscription: number, seq: follower.seq() };
        let (open, outlet) = (self.open.clone(), self.outlet.clone());
        let start = move || {
            let follow = move || follow(follower, call, number, &open, &outlet);
            if let Err(error) = threads::start("kapell-events", Box::new(follow)) {
                tracing::error!("no thread for subscription {number}: {error}");
            }
        };
        Ok((result, Box::new(start)))
    }

    /// Ends a subscription; `false` if there is none of that number. Nothing of it is sent
    /// after this returned.
    pub fn close(&self, number: u64) -> bool {
        let Some(cancel) = opened(&self.open).remove(&number) else { return false };
        cancel.cancel();
        self.outlet.wake();
        true
    }
}

fn opened(open: &Mutex<HashMap<u64, Cancel>>) -> MutexGuard<'_, HashMap<u64, Cancel>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(
    mut follower: Follower,
    call: Call,
    number: u64,
    open: &Mutex<HashMap<u64, Cancel>>,
    outlet: &Outlet<'static>,
) {
    let is_over = || call.cancel().is_cancelled();
    loop {
        // What is there at the end is told still.
        let is_last = is_over();
        let rows = match follower.next(None) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!("subscription {number} ends: {error}");
                break;
            }
        };
        for row in rows {
            // A client that does not read is not written ahead to without end.
            if !outlet.wait_for_room(is_over) {
                break;
            }
            let params = EventParams { subscription: number, event: events::event(&row) };
            let line = json!({"jsonrpc": "2.0", "method": "events.event", "params": params}).to_string();
            let open = opened(open);
            if open.contains_key(&number) {
                outlet.send(line.into_bytes());
            }
        }
        if is_last {
            break;
        }
    }
    opened(open).remove(&number);
    drop(call);
    // Whoever waits for the last call looks again.
    outlet.wake();
}
