//! `status`.

use crate::api::ApiError;
use crate::api::wire::{StatusParams, StatusResult};
use crate::services::Session;

/// Answers `status`.
pub fn call(_session: &Session, _params: StatusParams) -> Result<StatusResult, ApiError> {
    Err(ApiError::unknown_method("status"))
}
