//! The table as methods of jsonrpsee, on a conductor's socket with those of the conductor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::server::{Extensions, Methods, RpcModule};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::subscriptions::{self, Session};
use crate::api::client::{Call, guard};
use crate::api::methods::conducting;
use crate::api::{ApiError, Client, schema, table};
use crate::base::tasks;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Cancel;
use crate::services::conductor::Vitals;

/// At most so many slow calls wait for their turn.
const MOST_WAITING: usize = 1024;

/// What all calls share.
#[derive(Debug)]
pub struct Context {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// How many follow the event log.
    pub followers: watch::Sender<usize>,
}

/// Who asks. Told to each call by the connection it came in through.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The client.
    pub client: Arc<Client>,
    /// The WebSocket that the call came through; a request over HTTP has none.
    pub session: Option<Arc<Session>>,
    /// Its place among all connections, held as long as anything of it lasts.
    pub _place: Arc<OwnedSemaphorePermit>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(super::SLOW_CALLS)),
            waiting: AtomicUsize::new(0),
            followers: watch::Sender::new(0),
        }
    }
}

impl Context {
    /// Waits until nobody follows the event log any more.
    pub async fn followers_ended(&self) {
        // The sender is this one's own, so the wait cannot fail.
        let _ = self.followers.subscribe().wait_for(|followers| *followers == 0).await;
    }

    /// The turn of a slow call, so that many which wait leave threads to the quick ones.
    pub async fn turn(&self, method: &str) -> Result<OwnedSemaphorePermit, ApiError> {
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            return Err(Refusal::new(
                Code::Busy,
                format!("too many calls wait already, {method} was not begun"),
                "wait for answers before asking more",
            )
            .into());
        }
        let _waiting = Waiting(&self.waiting);
        self.turns.clone().acquire_owned().await.map_err(|error| ApiError::bug(error.to_string()))
    }
}

/// Counted among those who wait until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All methods; with those of the conductor that these are the vitals of.
pub fn module(
    context: &Arc<Context>,
    conductor: Option<&Arc<Vitals>>,
) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(context.clone());
    for method in table::methods() {
        module.register_async_method(method.name, move |params, context, extensions| async move {
            let params = read(&params, method.name)?;
            let turn = match (method.slow)(&params) {
                true => Some(context.turn(method.name).await?),
                false => None,
            };
            let asker = asker(&extensions)?;
            let is_session = asker.session.is_some();
            let answer = carry_out(&asker.client, turn, move |call| match is_session {
                true => call.run(method, params),
                // Nothing proves the life of a client that comes and goes.
                false => guard(method.name, || method.call(&call.session(), params)),
            });
            Ok::<_, ErrorObjectOwned>(answer.await?)
        })?;
    }
    let own = conductor.into_iter().flat_map(|vitals| conducting::methods().map(|method| (vitals, method)));
    for (vitals, method) in own {
        let (vitals, name, call) = (vitals.clone(), method.name, method.call);
        module.register_async_method(name, move |params, _, extensions| {
            let vitals = vitals.clone();
            async move {
                let params = read(&params, name)?;
                let asker = asker(&extensions)?;
                let answer = carry_out(&asker.client, None, move |asked| {
                    guard(name, || call(&asked.session(), &vitals, params))
                });
                Ok::<_, ErrorObjectOwned>(answer.await?)
            }
        })?;
    }
    let is_conductors = conductor.is_some();
    module.register_method("rpc.discover", move |_, _, _| schema::open_rpc_over_http(is_conductors))?;
    subscriptions::register(&mut module, context)?;
    Ok(module.into())
}

/// Who asks.
pub fn asker(extensions: &Extensions) -> Result<&Asker, ApiError> {
    extensions.get::<Asker>().ok_or_else(|| ApiError::bug("nobody asks"))
}

/// Ends a call when whoever waits for its answer goes away.
struct HangUp(Cancel);

impl Drop for HangUp {
    fn drop(&mut self) {
        // After the answer nothing is there that could be ended.
        self.0.cancel();
    }
}

/// Carries out a call on a thread that may wait.
pub async fn carry_out<T: Send + 'static>(
    client: &Arc<Client>,
    turn: Option<OwnedSemaphorePermit>,
    work: impl FnOnce(&Call) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let call = client.begin();
    let _hang_up = HangUp(call.cancel().clone());
    let done = tasks::block(move || {
        let answer = work(&call);
        drop((call, turn));
        answer
    });
    match done.await {
        Ok(answer) => answer,
        Err(error) => Err(ApiError::bug(error.to_string())),
    }
}

/// Parameters as an object. They are sent by name; none, null or an empty list mean none.
pub fn read(params: &Params<'_>, method: &str) -> Result<Value, ApiError> {
    let text = params.as_str().unwrap_or("null").trim();
    let unreadable = |error: serde_json::Error| {
        ApiError::invalid_params(
            format!("{method}: the parameters cannot be read: {error}"),
            "send plain values, nested no deeper than a hundred levels",
        )
    };
    match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).map_err(unreadable),
        Some(b'[') if text.trim_start_matches('[').trim() != "]" => Err(ApiError::invalid_params(
            format!("{method}: the parameters are a list"),
            "send them by name, in an object",
        )),
        Some(b'[') | None => Ok(Value::Object(Map::new())),
        _ if text == "null" => Ok(Value::Object(Map::new())),
        _ => Err(ApiError::invalid_params(
            format!("{method}: the parameters are neither an object nor a list"),
            "send them by name, in an object",
        )),
    }
}

impl From<ApiError> for ErrorObjectOwned {
    fn from(error: ApiError) -> Self {
        // The numbers are the contract's own, all within 32 bits.
        let code = i32::try_from(error.code).unwrap_or(-32603);
        ErrorObjectOwned::owned(code, error.message.clone(), Some(error.data()))
    }
}
