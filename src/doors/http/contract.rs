//! What the contract says and jsonrpsee does otherwise: a notification is carried out though it
//! is not answered, a method has two spellings, and every error has its kind and hint.

use std::borrow::Cow;
use std::future::Future;

use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse, Methods};
use jsonrpsee::types::{ErrorObjectOwned, Id, TwoPointZero};

use super::methods::asker;
use super::subscriptions;
use crate::api::{ApiError, table};
use crate::domain::refusal::{Code, Refusal};

/// The service of jsonrpsee, put right.
#[derive(Debug, Clone)]
pub struct Contract<S> {
    service: S,
    methods: Methods,
    longest: usize,
}

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// By itself.
    Alone,
    /// With others.
    InBatch,
    /// As a notification, which is not answered.
    Unanswered,
}

impl<S> Contract<S> {
    /// Over `service`, which has `methods`. A batch is answered with at most `longest` bytes.
    pub fn new(service: S, methods: Methods, longest: usize) -> Self {
        Self { service, methods, longest }
    }

    fn accept<'a>(&self, request: Request<'a>, came: Came) -> Result<Request<'a>, MethodResponse> {
        accept(&self.methods, request, came)
    }
}

/// A request as the service that has `methods` knows it, or why it cannot be had.
pub fn accept<'a>(
    methods: &Methods,
    mut request: Request<'a>,
    came: Came,
) -> Result<Request<'a>, MethodResponse> {
    if let Some(method) = table::find(&request.method) {
        request.method = Cow::Borrowed(method.name);
    }
    let name = &*request.method;
    let refused = if methods.method(name).is_none() {
        Some(ApiError::unknown_method(name))
    } else if subscriptions::NAMES.contains(&name) {
        subscription_refused(&request, came)
    } else {
        None
    };
    match refused {
        None => Ok(request),
        Some(error) => Err(MethodResponse::error(request.id, ErrorObjectOwned::from(error))),
    }
}

/// A subscription needs a connection that lasts, and an answer that nothing overtakes.
fn subscription_refused(request: &Request<'_>, came: Came) -> Option<ApiError> {
    let is_session = asker(&request.extensions).is_ok_and(|asker| asker.session.is_some());
    let (why, hint) = match came {
        _ if !is_session => (
            "a request over HTTP is answered once",
            "open a WebSocket on the same socket, or ask status with scope events, since_seq and wait_ms",
        ),
        Came::Alone => return None,
        Came::InBatch => ("a batch is answered as a whole", "send it by itself"),
        Came::Unanswered => ("a notification has no answer", "send it with an id"),
    };
    let why = format!("{} cannot be had like this: {why}", request.method);
    Some(Refusal::new(Code::Unsupported, why, hint).into())
}

/// A notification as the request that it would be.
fn as_request(notification: Notification<'_>) -> Request<'_> {
    let Notification { method, params, extensions, .. } = notification;
    Request { jsonrpc: TwoPointZero, id: Id::Null, method, params, extensions }
}

impl<S> RpcServiceT for Contract<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            match this.accept(request, Came::Alone) {
                Ok(request) => this.service.call(request).await,
                Err(refused) => refused,
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            let mut answers = BatchResponseBuilder::new_with_limit(this.longest);
            let mut is_any_unanswered = false;
            for entry in batch {
                let answer = match entry {
                    Ok(BatchEntry::Call(request)) => match this.accept(request, Came::InBatch) {
                        Ok(request) => this.service.call(request).await,
                        Err(refused) => refused,
                    },
                    Ok(BatchEntry::Notification(notification)) => {
                        is_any_unanswered = true;
                        this.notification(notification).await;
                        continue;
                    }
                    Err(error) => {
                        let (error, id) = error.into_parts();
                        MethodResponse::error(id, error)
                    }
                };
                if let Err(too_long) = answers.append(answer) {
                    return too_long;
                }
            }
            if answers.is_empty() && is_any_unanswered {
                return MethodResponse::notification();
            }
            MethodResponse::from_batch(answers.finish())
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            if let Ok(request) = this.accept(as_request(notification), Came::Unanswered) {
                this.service.call(request).await;
            }
            MethodResponse::notification()
        }
    }
}
