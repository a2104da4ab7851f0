//! The server: MCP's requests answered from the table.

use crate::base::sorting::Gather as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CustomRequest, CustomResult, ErrorCode,
    GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult, Implementation,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProgressToken, ReadResourceRequestParams,
    ReadResourceResponse, ResourceUpdatedNotificationParam, ServerCapabilities, ServerConfig,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::asking::{self, Said};
use super::news::{Batch, News};
use super::resources;
use super::transport::Closing;
use super::{handles, prompts, tools};
use crate::api::methods::pipeline::asks as gate;
use crate::api::resources::Named;
use crate::api::{ApiError, Client, table};
use crate::base::ids::random_tail;
use crate::base::tasks;
use crate::services::pipelines::deciding::Gate;
use crate::store::events::EventRow;

/// A call that is answered sooner has no progress to tell of.
const PROGRESS_AFTER: Duration = Duration::from_millis(100);
/// While nothing happens it is told this often that a call goes on.
const STILL_EVERY: Duration = Duration::from_secs(5);

/// The methods of MCP that are answered; anything else is unknown.
const KNOWN: &[&str] = &[
    "completion/complete",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/update",
    "tools/call",
    "tools/list",
];

/// One connection.
#[derive(Debug)]
pub struct Server {
    client: Arc<Client>,
    news: Arc<News>,
    watched: Arc<Watched>,
    closing: Closing,
}

/// What a client of the legacy era watches.
#[derive(Debug, Default)]
struct Watched {
    uris: Mutex<BTreeMap<String, Named>>,
    /// Whether somebody tells the client already.
    is_told: AtomicBool,
}

impl Server {
    /// A server for one client.
    pub fn new(client: Arc<Client>, closing: Closing) -> Self {
        Self { news: Arc::new(News::new(client.clone())), client, watched: Arc::default(), closing }
    }

    /// Names the holder of the client's claims after what it says about itself: `claude-code-1a2b3c4d`.
    fn introduce(&self, context: &RequestContext<RoleServer>) {
        self.client.introduce(|| {
            let said = context.client_info().map(|info| info.name).unwrap_or_default();
            let session = self.client.house().environment.get("CLAUDE_CODE_SESSION_ID");
            holder_name(&said, session.map(String::as_str))
        });
    }

    /// Asks a person where the call would decide in a person's place; none where it would not.
    async fn asked_first(
        &self,
        method: &'static table::Method,
        params: &Value,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<Said>, ApiError> {
        if self.client.is_worker() || !matches!(method.name, "pipeline" | "control") {
            return Ok(None);
        }
        let (call, params) = (self.client.begin(), params.clone());
        let gate = tasks::block(move || gate(&call.session(), method.name, &params)).await;
        match gate.map_err(|error| ApiError::bug(error.to_string()))?? {
            Some(gate) => asking::ask(gate, request, context).await.map(Some),
            None => Ok(None),
        }
    }

    /// Does what the person decided.
    async fn decided(
        &self,
        gate: &Gate,
        is_approved: bool,
        message: String,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, ApiError> {
        let Some(method) = table::find("pipeline") else { return Err(ApiError::unknown_method("pipeline")) };
        let params = json!({
            "action": "approve", "run": gate.plan.as_str(), "stage": gate.stage, "refuse": !is_approved,
            "message": message,
        });
        self.answer(method, params, context).await
    }

    async fn answer(
        &self,
        method: &'static table::Method,
        params: Value,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, ApiError> {
        let call = self.client.begin();
        if !(method.slow)(&params) {
            return call.run(method, params);
        }
        let cancel = call.cancel().clone();
        let mut progress = Progress::new(context, &params);
        let work = tasks::block(move || call.run(method, params));
        tokio::pin!(work);
        loop {
            tokio::select! {
                answer = &mut work => {
                    return answer.unwrap_or_else(|error| Err(ApiError::bug(error.to_string())));
                }
                () = context.ct.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
                progress = progress.next(&self.news) => {
                    // To its end, so that no progress is told after the answer.
                    self.closing.or_sent(context.peer.notify_progress(progress)).await;
                }
            }
        }
    }
}

/// Progress of one slow call, for a client that wants to hear of it.
struct Progress {
    /// What the client knows it by; nothing where nobody asked, or where news ended.
    token: Option<ProgressToken>,
    begins: tokio::time::Instant,
    /// Values of the call's parameters that name plans, tasks, attempts and runs.
    about: Vec<String>,
    news: Option<tokio::sync::broadcast::Receiver<Batch>>,
    /// Nothing is heard of what happens.
    is_deaf: bool,
    count: u32,
    /// When something was told last.
    told: tokio::time::Instant,
}

impl Progress {
    fn new(context: &RequestContext<RoleServer>, params: &Value) -> Self {
        let about = ["plan_id", "id", "attempt"]
            .iter()
            .filter_map(|name| params.get(name)?.as_str().map(str::to_owned))
            .collect();
        let now = tokio::time::Instant::now();
        let token = context.meta.get_progress_token();
        Self { token, begins: now + PROGRESS_AFTER, about, news: None, is_deaf: false, count: 0, told: now }
    }

    /// The next piece of progress. Never returns where there is nobody to tell.
    async fn next(&mut self, news: &News) -> ProgressNotificationParam {
        loop {
            let Some(token) = self.token.clone() else { return std::future::pending().await };
            let still = self.told + STILL_EVERY;
            let Some(listener) = &mut self.news else {
                if self.is_deaf {
                    tokio::time::sleep_until(still).await;
                    return self.still(token);
                }
                tokio::time::sleep_until(self.begins).await;
                // Without news it is only told that it goes on.
                match news.listen().await {
                    Ok(listener) => self.news = Some(listener),
                    Err(_) => self.is_deaf = true,
                }
                continue;
            };
            let heard = tokio::select! {
                heard = listener.recv() => Some(heard),
                () = tokio::time::sleep_until(still) => None,
            };
            let Some(heard) = heard else { return self.still(token) };
            match heard {
                Ok(events) => {
                    let is_told = |event: &&EventRow| self.about.is_empty() || concerns(event, &self.about);
                    if let Some(event) = events.iter().rev().find(is_told) {
                        return self.tell(token, event.text.clone());
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => (self.news, self.is_deaf) = (None, true),
            }
        }
    }

    /// That the call goes on: a client that hears nothing for long gives it up.
    fn still(&mut self, token: ProgressToken) -> ProgressNotificationParam {
        let since = self.begins.elapsed() + PROGRESS_AFTER;
        self.tell(token, format!("goes on, for {} s by now", since.as_secs()))
    }

    fn tell(&mut self, token: ProgressToken, message: String) -> ProgressNotificationParam {
        self.told = tokio::time::Instant::now();
        self.count += 1;
        ProgressNotificationParam::new(token, f64::from(self.count)).with_message(message)
    }
}

/// Whether an event is about one of these plans, tasks (`PLAN_ID/TASK_ID`) or attempts.
fn concerns(event: &EventRow, about: &[String]) -> bool {
    about.iter().any(|id| {
        event.attempt.as_deref() == Some(id)
            || event.plan.as_deref().is_some_and(|plan| match id.strip_prefix(plan) {
                Some("") => true,
                Some(rest) => rest.strip_prefix('/') == event.task.as_deref() && event.task.is_some(),
                None => false,
            })
    })
}

/// `NAME-SESSION` of visible characters, at most 60 of the client's own name.
fn holder_name(said: &str, session: Option<&str>) -> String {
    let words: String =
        said.chars().map(|c| if c.is_whitespace() || c.is_control() { '-' } else { c }).take(60).collect();
    let words = words.trim_matches('-');
    let session: String =
        session.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let session = if session.is_empty() { random_tail(6) } else { session };
    format!("{}-{session}", if words.is_empty() { "mcp" } else { words })
}

impl Watched {
    fn insert(&self, uri: String, named: Named) {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).insert(uri, named);
    }

    fn remove(&self, uri: &str) {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }

    /// Which are touched by some of the events; all of them where events were missed.
    fn touched(&self, events: Option<&[EventRow]>) -> Vec<String> {
        let uris = self.uris.lock().unwrap_or_else(PoisonError::into_inner);
        touched(uris.iter().map(|(uri, named)| (uri.as_str(), named)), events)
    }
}

fn touched<'a>(
    watched: impl Iterator<Item = (&'a str, &'a Named)>,
    events: Option<&[EventRow]>,
) -> Vec<String> {
    let is_touched =
        |named: &Named| events.is_none_or(|events| events.iter().any(|event| named.is_touched_by(event)));
    watched.filter(|(_, named)| is_touched(named)).map(|(uri, _)| uri.to_owned()).collect()
}

/// The next batch of events, `None` inside where some were missed, `None` outside at the end.
async fn next_batch(news: &mut tokio::sync::broadcast::Receiver<Batch>) -> Option<Option<Batch>> {
    match news.recv().await {
        Ok(events) => Some(Some(events)),
        Err(RecvError::Lagged(_)) => Some(None),
        Err(RecvError::Closed) => None,
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_tasks()
            .build();
        let kapell = Implementation::new("kapell", env!("CARGO_PKG_VERSION"))
            .with_title("Kapell")
            .with_description(env!("CARGO_PKG_DESCRIPTION"));
        ServerConfig::new(capabilities)
            .with_server_info(kapell)
            .with_instructions(prompts::instructions(self.client.is_worker()))
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::of(self.client.is_worker()).to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::of(self.client.is_worker()).iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(method) = table::find(&request.name) else {
            return Err(ErrorData::invalid_params(
                format!("there is no tool {:?}; tools/list names them", request.name),
                None,
            ));
        };
        self.introduce(&context);
        let params = Value::Object(request.arguments.clone().unwrap_or_default());
        match self.asked_first(method, &params, &request, &context).await {
            Ok(None) => {
                let answer = self.answer(method, params, &context).await;
                let wants_handles = context.client_capabilities().is_some_and(|it| it.supports_tasks());
                match answer
                    .as_ref()
                    .ok()
                    .filter(|_| wants_handles)
                    .and_then(|it| handles::handle(method.name, it))
                {
                    Some(handle) => Ok(handle.into()),
                    None => Ok(tools::result(answer).into()),
                }
            }
            Ok(Some(Said::Ask(question))) => Ok((*question).into()),
            Ok(Some(Said::Decided { is_approved, message, gate })) => {
                Ok(tools::result(self.decided(&gate, is_approved, message, &context).await).into())
            }
            Err(error) => Ok(tools::result(Err(error)).into()),
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let client = self.client.clone();
        let state = tasks::block(move || handles::state(&client, &request.task_id)).await;
        state.unwrap_or_else(|error| Err(ErrorData::internal_error(error.to_string(), None)))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let message = format!("{} asks nothing of its client", request.task_id);
        Err(ErrorData::invalid_params(message, None))
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.introduce(&context);
        let client = self.client.clone();
        let done = tasks::block(move || handles::cancel(&client, &request.task_id)).await;
        done.unwrap_or_else(|error| Err(ErrorData::internal_error(error.to_string(), None)))
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::list()))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let named = Named::parse(&request.uri).ok_or_else(|| resources::unknown(&request.uri))?;
        self.introduce(&context);
        let call = self.client.begin();
        let read = move || named.read(&call).map(|content| resources::told(content, &request.uri));
        let read = tasks::block(read).await;
        match read {
            Ok(Ok(result)) => Ok(result.into()),
            Ok(Err(error)) => Err(resources::protocol_error(&error)),
            Err(error) => Err(resources::protocol_error(&ApiError::bug(error.to_string()))),
        }
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let named = Named::parse(&request.uri).ok_or_else(|| resources::unknown(&request.uri))?;
        let mut news = self.news.listen().await.map_err(|error| resources::protocol_error(&error))?;
        self.watched.insert(request.uri, named);
        if !self.watched.is_told.swap(true, Ordering::SeqCst) {
            let (watched, peer) = (self.watched.clone(), context.peer);
            tasks::start(async move {
                while let Some(events) = next_batch(&mut news).await {
                    for uri in watched.touched(events.as_deref().map(Vec::as_slice)) {
                        let _ =
                            peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await;
                    }
                }
            });
        }
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.watched.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let uris =
            requested.resource_subscriptions.iter().flatten().filter(|uri| Named::parse(uri).is_some());
        Some(SubscriptionFilter::builder().resource_subscriptions(uris.cloned()).build())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let watched: BTreeMap<String, Named> = (context.accepted().resource_subscriptions.iter().flatten())
            .filter_map(|uri| Some((uri.clone(), Named::parse(uri)?)))
            .gather();
        let mut news = self.news.listen().await.map_err(|error| resources::protocol_error(&error))?;
        loop {
            let events = tokio::select! {
                events = next_batch(&mut news) => events,
                () = context.cancelled() => None,
            };
            let Some(events) = events else { return Ok(()) };
            let watched = watched.iter().map(|(uri, named)| (uri.as_str(), named));
            for uri in touched(watched, events.as_deref().map(Vec::as_slice)) {
                self.closing.or_sent(context.sink().notify_resource_updated(uri)).await;
            }
        }
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        prompts::get(&request.name, &request.arguments.unwrap_or_default()).map(GetPromptResponse::from)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The SDK takes a known method with parameters that do not fit for an unknown one.
        if KNOWN.contains(&request.method.as_str()) {
            return Err(ErrorData::invalid_params(
                format!("the parameters do not fit {}", request.method),
                None,
            ));
        }
        Err(ErrorData::new(
            ErrorCode::METHOD_NOT_FOUND,
            format!("there is no method {:?}", request.method),
            None,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_named_after_their_client() {
        let table = [
            ("claude-code", Some("1a2b3c4d-5e6f-7a8b"), "claude-code-1a2b3c4d"),
            ("My Editor\n", Some("x"), "My-Editor-x"),
            ("", Some("x"), "mcp-x"),
        ];
        for (said, session, expected) in table {
            assert_eq!(holder_name(said, session), expected);
        }
        let random = holder_name(&"é".repeat(300), None);
        assert_eq!(random.chars().count(), 67);
        assert_ne!(random, holder_name(&"é".repeat(300), Some("-")));
    }

    #[test]
    fn progress_is_about_what_was_asked() {
        let event = |plan: Option<&str>, task: Option<&str>, attempt: Option<&str>| EventRow {
            seq: 1,
            at: crate::base::clock::Time::from_millis(0),
            kind: "k".to_owned(),
            plan: plan.map(str::to_owned),
            task: task.map(str::to_owned),
            attempt: attempt.map(str::to_owned),
            holder: None,
            text: String::new(),
            data: None,
        };
        let table = [
            ("p", event(Some("p"), None, None), true),
            ("p", event(Some("p"), Some("1"), None), true),
            ("p", event(Some("pq"), None, None), false),
            ("p/1", event(Some("p"), Some("1"), None), true),
            ("p/1", event(Some("p"), Some("2"), None), false),
            ("p/1", event(Some("p"), None, None), false),
            ("a", event(Some("p"), Some("2"), Some("a")), true),
            ("a", event(None, None, None), false),
        ];
        for (id, event, expected) in table {
            assert_eq!(concerns(&event, &[id.to_owned()]), expected, "{id} {event:?}");
        }
    }
}
