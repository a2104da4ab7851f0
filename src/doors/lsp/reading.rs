//! The requests of our own: `kapell/read` and `kapell/owner`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::desk::Desk;
use super::documents::path_of;
use super::keeper;
use super::owned::Ownership;
use super::types::Uri;
use crate::api::ApiError;
use crate::api::client::{Call, guard};
use crate::api::resources::Named;
use crate::base::tasks;
use crate::domain::refusal::{Code, Refusal};
use crate::services::editing::person;
use crate::services::{Error, reading};

/// As much of a diff is handed over; an editor shows it to a person, not to a model.
const DIFF: usize = 4 << 20;

/// A log is waited for no longer with one question, like everything else of the contract.
const LONGEST_WAIT_MS: u64 = 45_000;

/// Parameters of `kapell/read`.
#[derive(Debug, Deserialize)]
pub struct ReadParams {
    /// `kapell://attempts/ID/diff` and the like.
    uri: String,
    /// Of a log: from where on; below 0 so many bytes before its end.
    #[serde(default)]
    offset: Option<i64>,
    /// Of a log, with `offset`: waits so long for more where nothing new is there yet.
    #[serde(default)]
    wait_ms: Option<u64>,
    /// A file or folder of the project that is meant; an attempt's own, or that of the workspace's first
    /// folder, unless told.
    #[serde(default)]
    root: Option<Uri>,
}

impl ReadParams {
    /// Whether more is waited for.
    pub fn waits(&self) -> bool {
        self.offset.is_some() && self.wait_ms.is_some_and(|wait| wait > 0)
    }
}

/// Result of `kapell/read`.
#[derive(Debug, Serialize)]
pub struct ReadResult {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<bool>,
    /// Of a log: how many bytes it has by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

/// Parameters of `kapell/owner`.
#[derive(Debug, Deserialize)]
pub struct OwnerParams {
    /// The file.
    uri: Uri,
}

/// Answers `kapell/read`: whoever waits in the call is woken when it ends.
pub fn read(desk: &Desk, call: Call, params: &ReadParams) -> Result<ReadResult, ApiError> {
    let named = Named::parse(&params.uri).ok_or_else(|| {
        Refusal::new(
            Code::NotFound,
            format!("there is no document {:?}", params.uri),
            "there are kapell://attempts/ID/diff, …/log, …/verdict, …/evidence/GATE, …/files/PATH and …/base/PATH",
        )
    })?;
    // An attempt lies in a project of its own, whichever folder comes first here.
    let own = match &params.root {
        Some(_) => None,
        None => named.attempt().map(|id| reading::home_of(desk.client.house(), id)).transpose()?.flatten(),
    };
    let call = call.in_folder(own.unwrap_or_else(|| folder_of(desk, params.root.as_ref())));
    let whole = |text: String, mime_type: &'static str| ReadResult {
        text,
        mime_type: Some(mime_type),
        next_offset: None,
        ended: None,
        size: None,
    };
    match (&named, params.offset) {
        (Named::Log(id), Some(offset)) => {
            let wait = Duration::from_millis(params.wait_ms.unwrap_or(0).min(LONGEST_WAIT_MS));
            let deadline = Instant::now() + wait;
            let part = guard("kapell/read", || {
                Ok(reading::attempt_log_after(&call.session(), id, offset, deadline)?)
            })?;
            Ok(ReadResult {
                text: part.text,
                mime_type: Some("text/plain"),
                next_offset: Some(part.next),
                ended: Some(part.ended),
                size: Some(part.size),
            })
        }
        (Named::Diff(id), _) => {
            let diff = || Ok(reading::attempt_diff_up_to(&call.session(), id, DIFF)?);
            Ok(whole(guard("kapell/read", diff)?, "text/x-diff"))
        }
        _ => {
            let content = named.read(&call)?;
            Ok(whole(content.text, content.mime_type))
        }
    }
}

/// Answers `kapell/owner`.
pub fn owner(desk: &Desk, params: &OwnerParams) -> Result<Value, ApiError> {
    let found = path_of(&params.uri).map(|path| ownership(desk, &path)).transpose()?.flatten();
    let Ownership { path, pattern, others, own, asked } = found.unwrap_or_default();
    let is_own = others.is_empty() && !own.is_empty();
    let claims: Vec<_> = others.into_iter().chain(own).collect();
    let mut owner = json!({"path": path, "pattern": pattern, "claims": claims, "own": is_own});
    if asked {
        owner["asked"] = json!(true);
    }
    Ok(owner)
}

/// Who holds a file now; nothing outside of every repository.
pub fn ownership(desk: &Desk, path: &Path) -> Result<Option<Ownership>, Error> {
    let Some(spot) = person::spot(path) else { return Ok(None) };
    let session = desk.session(&spot.top);
    let standing = person::standing(desk.client.house(), &session.caller.holder, &spot)?;
    Ok(Some(keeper::ownership(&session, &spot, &standing)))
}

/// The folder of a file or folder that was named, else of the workspace.
pub fn folder_of(desk: &Desk, named: Option<&Uri>) -> std::path::PathBuf {
    let named = named.and_then(path_of);
    let folder = named.as_deref().and_then(|path| path.ancestors().find(|folder| folder.is_dir()));
    folder.map_or_else(|| desk.first_root(), Path::to_owned)
}

/// Runs something that may wait for the store on another thread.
pub async fn aside<T: Send + 'static>(
    desk: &Arc<Desk>,
    work: impl FnOnce(&Desk) -> T + Send + 'static,
) -> Result<T, ApiError> {
    let desk = desk.clone();
    tasks::block(move || work(&desk)).await.map_err(|error| ApiError::bug(error.to_string()))
}
