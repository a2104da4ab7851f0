//! Subscriptions to the event log over a WebSocket, a thread each.
//!
//! They are jsonrpsee's as far as the connection goes. Answer and notifications are the
//! contract's own, the same as at `kapell rpc`: numbers that count from 1, `seq` in the answer,
//! `{subscription, event}` in each notification.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{MethodCallback, MethodResponse, MethodSink, ResponsePayload, RpcModule};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::runtime::Handle;

use super::methods::{Asker, Context, asker, carry_out, read};
use crate::api::ApiError;
use crate::api::client::{Call, guard};
use crate::api::message::params_of;
use crate::api::methods::events;
use crate::api::wire::{EventParams, SubscribeParams, SubscribeResult, UnsubscribeParams, UnsubscribeResult};
use crate::base::tasks;
use crate::base::threads;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Cancel;
use crate::services::following::{Follower, Interest};

const SUBSCRIBE: &str = "events.subscribe";
const UNSUBSCRIBE: &str = "events.unsubscribe";
/// The methods that need a WebSocket.
pub const NAMES: [&str; 2] = [SUBSCRIBE, UNSUBSCRIBE];

/// At most so many at once on one connection.
const MOST: usize = 64;

/// The subscriptions of one WebSocket.
#[derive(Debug, Default)]
pub struct Session {
    open: Mutex<Open>,
    /// Held while an event is handed to the connection, which may wait for the client to read.
    handing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Open {
    newest: u64,
    followed: HashMap<u64, Cancel>,
    /// The end of the connection is waited for.
    is_watched: bool,
}

/// Counted among the followers until dropped.
pub struct Following(Arc<Context>);

/// Registers the two methods.
pub fn register(module: &mut RpcModule<Context>, context: &Arc<Context>) -> Result<(), RegisterMethodError> {
    let context = context.clone();
    module.verify_and_insert(
        SUBSCRIBE,
        MethodCallback::Subscription(Arc::new(move |id, params, sink, _, extensions| {
            let context = context.clone();
            let id = id.into_owned();
            let params = read(&params, SUBSCRIBE).and_then(|params| params_of(SUBSCRIBE, &params));
            Box::pin(async move {
                let most = sink.max_response_size() as usize;
                let opened = match (asker(&extensions), params) {
                    (Ok(asker), Ok(params)) => open(asker, context, params, sink).await,
                    (Err(error), _) | (_, Err(error)) => Err(error.into()),
                };
                match opened {
                    Ok(payload) => MethodResponse::response(id, payload, most),
                    Err(error) => MethodResponse::error(id, error),
                }
            })
        })),
    )?;
    module.register_async_method(UNSUBSCRIBE, |params, _, extensions| async move {
        let params: UnsubscribeParams = params_of(UNSUBSCRIBE, &read(&params, UNSUBSCRIBE)?)?;
        let session = session(asker(&extensions)?)?;
        let unsubscribed = session.close(params.subscription).await;
        Ok::<_, ErrorObjectOwned>(UnsubscribeResult { unsubscribed })
    })?;
    Ok(())
}

fn session(asker: &Asker) -> Result<&Arc<Session>, ApiError> {
    asker.session.as_ref().ok_or_else(|| ApiError::bug("no WebSocket"))
}

/// Opens a subscription. Its events follow once its answer is on its way.
async fn open(
    asker: &Asker,
    context: Arc<Context>,
    params: SubscribeParams,
    sink: MethodSink,
) -> Result<ResponsePayload<'static, SubscribeResult>, ErrorObjectOwned> {
    let session = session(asker)?.clone();
    let call = asker.client.begin();
    let number = session.enter(call.cancel().clone())?;
    session.watch(&sink);
    let interest = Interest {
        all_projects: params.all_projects,
        plan: params.plan_id,
        kind: params.kind,
        ..Interest::default()
    };
    let asked = call.session();
    let follower = carry_out(&asker.client, None, move |_| {
        guard(SUBSCRIBE, || Ok(Follower::subscribed(&asked, interest, params.since_seq)?))
    });
    let follower = follower.await.inspect_err(|_| session.forget(number)).map_err(ErrorObjectOwned::from)?;
    let answer = SubscribeResult { subscription: number, seq: follower.seq() };
    let (payload, answered) = ResponsePayload::success(answer).notify_on_completion();
    let following = Following::new(context);
    let runtime = Handle::current();
    tasks::start(async move {
        if answered.await.is_err() {
            return session.forget(number);
        }
        let follow = {
            let session = session.clone();
            move || {
                follow(follower, &call, number, &session, &sink, &runtime);
                session.forget(number);
                drop((call, following));
            }
        };
        if let Err(error) = threads::start("kapell-events", Box::new(follow)) {
            tracing::error!("no thread for subscription {number}: {error}");
            session.forget(number);
        }
    });
    Ok(payload)
}

/// Hands on events until the subscription ends. When the conductor ends, those that are there
/// already are handed on first.
fn follow(
    mut follower: Follower,
    call: &Call,
    number: u64,
    session: &Session,
    sink: &MethodSink,
    runtime: &Handle,
) {
    loop {
        let rows = match follower.next(None) {
            Ok(rows) => rows,
            Err(error) => return tracing::warn!("subscription {number} ends: {error}"),
        };
        if rows.is_empty() && call.cancel().is_cancelled() {
            return;
        }
        for row in rows {
            let event = EventParams { subscription: number, event: events::event(&row) };
            if !runtime.block_on(session.hand(number, sink, &event)) {
                return;
            }
        }
    }
}

impl Session {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a subscription, and gives its number.
    fn enter(&self, cancel: Cancel) -> Result<u64, ApiError> {
        let mut open = self.open();
        if open.followed.len() >= MOST {
            return Err(Refusal::new(
                Code::Busy,
                format!("{MOST} subscriptions are open already"),
                "end some with events.unsubscribe; one without plan_id hears of all plans",
            )
            .into());
        }
        open.newest += 1;
        let number = open.newest;
        open.followed.insert(number, cancel);
        Ok(number)
    }

    fn forget(&self, number: u64) {
        self.open().followed.remove(&number);
    }

    /// Ends all subscriptions when the connection ends.
    fn watch(self: &Arc<Self>, sink: &MethodSink) {
        if std::mem::replace(&mut self.open().is_watched, true) {
            return;
        }
        let (session, sink) = (Arc::downgrade(self), sink.clone());
        tasks::start(async move {
            sink.closed().await;
            if let Some(session) = session.upgrade() {
                session.open().followed.drain().for_each(|(_, cancel)| cancel.cancel());
            }
        });
    }

    /// Hands an event to the connection, waiting until there is room. `false` if the subscription,
    /// or the connection, has ended.
    async fn hand(&self, number: u64, sink: &MethodSink, event: &EventParams) -> bool {
        let message = json!({"jsonrpc": "2.0", "method": "events.event", "params": event});
        let Ok(message) = to_raw_value(&message) else { return false };
        let _handing = self.handing.lock().await;
        let is_open = self.open().followed.contains_key(&number);
        is_open && sink.send(message).await.is_ok()
    }

    /// Ends a subscription; `false` if there is none of that number. No event of it is handed to
    /// the connection after this returned.
    async fn close(&self, number: u64) -> bool {
        let Some(cancel) = self.open().followed.remove(&number) else { return false };
        cancel.cancel();
        drop(self.handing.lock().await);
        true
    }
}

impl Following {
    /// One more follows.
    pub fn new(context: Arc<Context>) -> Self {
        context.followers.send_modify(|followers| *followers += 1);
        Self(context)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.followers.send_modify(|followers| *followers -= 1);
    }
}
