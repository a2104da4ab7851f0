//! `plan`.

use crate::api::ApiError;
use crate::api::wire::{PlanParams, PlanResult};
use crate::services::Session;

/// Answers `plan`.
pub fn call(_session: &Session, _params: PlanParams) -> Result<PlanResult, ApiError> {
    Err(ApiError::unknown_method("plan"))
}
