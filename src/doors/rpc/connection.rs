//! One connection: what comes in is answered from the table, quick methods at once and in
//! order, slow ones beside each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::pool::Pool;
use super::reply::{Batch, Reply};
use super::subscriptions::Subscriptions;
use crate::api::client::guard;
use crate::api::message::{self, Id, Line, Message, Request, params_of, written};
use crate::api::wire::{CancelParams, CancelResult, SubscribeParams, UnsubscribeParams, UnsubscribeResult};
use crate::api::{ApiError, Client, schema, table};
use crate::domain::refusal::{Code, Refusal};
use crate::services::Cancel;
use crate::sys::stdio::Outlet;

/// A connection.
pub struct Connection {
    client: Arc<Client>,
    outlet: Outlet<'static>,
    pool: Arc<Pool>,
    slow: Arc<Mutex<SlowCalls>>,
    subscriptions: Subscriptions,
}

/// Slow calls in progress with their ids, for `rpc.cancel`. Two may have the same id, so
/// they are numbered.
#[derive(Default)]
struct SlowCalls {
    next: u64,
    running: HashMap<u64, (Value, Cancel)>,
}

impl Connection {
    /// A connection of a client.
    pub fn new(client: Arc<Client>, outlet: Outlet<'static>) -> Self {
        Self {
            subscriptions: Subscriptions::new(client.clone(), outlet.clone()),
            client,
            outlet,
            pool: Arc::default(),
            slow: Arc::default(),
        }
    }

    /// Takes a line.
    pub fn take(&self, line: &[u8]) {
        match message::read(line) {
            None => {}
            Some(Line::One(message)) => {
                self.take_message(message, |id| Reply::on_line(id, self.outlet.clone()));
            }
            Some(Line::Batch(messages)) => {
                let batch = Batch::new(self.outlet.clone());
                for message in messages {
                    self.take_message(message, |id| Reply::in_batch(id, batch.clone()));
                }
            }
        }
    }

    /// Answers what is no request.
    pub fn refuse(&self, (id, error): (Id, ApiError)) {
        Reply::on_line(Some(id), self.outlet.clone()).send(&Err(error));
    }

    fn take_message(&self, message: Message, place: impl FnOnce(Option<Id>) -> Reply) {
        match message {
            Ok(Request { id, method, params: Ok(params) }) => self.call(&method, params, place(id)),
            Ok(Request { id, params: Err(error), .. }) => place(id).send(&Err(error)),
            Err((id, error)) => place(Some(id)).send(&Err(error)),
        }
    }

    fn call(&self, name: &str, params: Value, reply: Reply) {
        match name {
            "rpc.discover" => reply.send(&Ok(schema::open_rpc())),
            "rpc.cancel" => reply.send(&self.cancel(&params)),
            "events.subscribe" => {
                let subscribed = params_of::<SubscribeParams>(name, &params)
                    .and_then(|params| guard(name, || self.subscriptions.open(params)));
                match subscribed {
                    Ok((result, start)) => reply.send_then(&written(result), Some(start)),
                    Err(error) => reply.send(&Err(error)),
                }
            }
            "events.unsubscribe" => {
                reply.send(&params_of::<UnsubscribeParams>(name, &params).and_then(|params| {
                    let unsubscribed = self.subscriptions.close(params.subscription);
                    written(UnsubscribeResult { unsubscribed })
                }));
            }
            _ => match table::find(name) {
                Some(method) if (method.slow)(&params) => self.call_slowly(method, params, reply),
                Some(method) => reply.send(&self.client.begin().run(method, params)),
                None => reply.send(&Err(ApiError::unknown_method(name))),
            },
        }
    }

    fn call_slowly(&self, method: &'static table::Method, params: Value, reply: Reply) {
        if self.pool.is_full() {
            let refusal = Refusal::new(
                Code::Busy,
                format!("too many calls wait already, {} was not begun", method.name),
                "wait for answers before asking more",
            );
            return reply.send(&Err(refusal.into()));
        }
        let call = self.client.begin();
        let number = {
            let mut slow = slow_calls(&self.slow);
            slow.next += 1;
            let number = slow.next;
            if let Some(id) = reply.id() {
                slow.running.insert(number, (id.value(), call.cancel().clone()));
            }
            number
        };
        let (slow, outlet) = (self.slow.clone(), self.outlet.clone());
        self.pool.run(Box::new(move || {
            reply.send(&call.run(method, params));
            slow_calls(&slow).running.remove(&number);
            drop(call);
            // Whoever waits for the last call looks again.
            outlet.wake();
        }));
    }

    fn cancel(&self, params: &Value) -> Result<Value, ApiError> {
        let params: CancelParams = params_of("rpc.cancel", params)?;
        let mut cancelled = 0;
        for (id, cancel) in slow_calls(&self.slow).running.values() {
            if *id == params.id {
                cancel.cancel();
                cancelled += 1;
            }
        }
        written(CancelResult { cancelled })
    }
}

fn slow_calls(slow: &Mutex<SlowCalls>) -> MutexGuard<'_, SlowCalls> {
    slow.lock().unwrap_or_else(PoisonError::into_inner)
}
