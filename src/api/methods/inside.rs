//! `checkpoint` and `report`: what only a worker asks.

use crate::api::ApiError;
use crate::api::wire::{
    CheckpointParams, CheckpointResult, OutsideClaim, ReportParams, ReportResult, Severity,
};
use crate::services::Session;
use crate::services::inside::{self, Finding};

/// Answers `checkpoint`.
pub fn checkpoint(session: &Session, params: CheckpointParams) -> Result<CheckpointResult, ApiError> {
    let CheckpointParams {} = params;
    inside::attempt(session)?;
    let saved = inside::checkpoint(session, &session.project()?)?;
    Ok(CheckpointResult {
        reference: saved.snapshot.reference.clone(),
        commit: saved.snapshot.commit.as_str().to_owned(),
        changed: saved.snapshot.changed.iter().map(|change| change.path.to_string()).collect(),
        outside_claim: (saved.outside.iter())
            .map(|(path, why)| OutsideClaim { path: path.to_string(), why: why.clone() })
            .collect(),
    })
}

/// Answers `report`.
pub fn report(session: &Session, params: ReportParams) -> Result<ReportResult, ApiError> {
    let finding = Finding {
        text: params.text,
        files: params.files.unwrap_or_default(),
        severity: params.severity.map(Severity::as_str).map(str::to_owned),
    };
    Ok(ReportResult { seq: inside::report(session, &finding)? })
}
