//! `judge`.

use crate::api::ApiError;
use crate::api::wire::{JudgeParams, JudgeResult};
use crate::services::Session;

/// Answers `judge`.
pub fn call(_session: &Session, _params: JudgeParams) -> Result<JudgeResult, ApiError> {
    Err(ApiError::unknown_method("judge"))
}
