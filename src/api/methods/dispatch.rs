//! `dispatch`.

use crate::api::ApiError;
use crate::api::wire::{DispatchParams, DispatchResult};
use crate::services::Session;

/// Answers `dispatch`.
pub fn call(_session: &Session, _params: DispatchParams) -> Result<DispatchResult, ApiError> {
    Err(ApiError::unknown_method("dispatch"))
}
