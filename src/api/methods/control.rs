//! `control`.

use crate::api::ApiError;
use crate::api::wire::{ControlParams, ControlResult};
use crate::services::Session;

/// Answers `control`.
pub fn call(_session: &Session, _params: ControlParams) -> Result<ControlResult, ApiError> {
    Err(ApiError::unknown_method("control"))
}
