//! Following events at the doors that are plain JSON-RPC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EventStatus;

/// Parameters of `events.subscribe`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeParams {
    /// From after this event; from the newest on unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<i64>,
    /// Of this plan only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Of these kinds only: the beginning of the kind's name, such as `claim.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Of every project, not only of this folder's.
    #[serde(default)]
    pub all_projects: bool,
}

/// Result of `events.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeResult {
    /// Names the subscription in its notifications and for `events.unsubscribe`.
    pub subscription: u64,
    /// Events after this number will come.
    pub seq: i64,
}

/// Parameters of the notification `events.event`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventParams {
    /// Which subscription.
    pub subscription: u64,
    /// What happened.
    pub event: EventStatus,
}

/// Parameters of `events.unsubscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsubscribeParams {
    /// Which subscription.
    pub subscription: u64,
}

/// Result of `events.unsubscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UnsubscribeResult {
    /// Whether there was such a subscription.
    pub unsubscribed: bool,
}

/// Parameters of `rpc.cancel`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelParams {
    /// The id of the request whose call is to end.
    pub id: Value,
}

/// Result of `rpc.cancel`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CancelResult {
    /// How many calls with that id were in progress.
    pub cancelled: u64,
}

/// Parameters of `rpc.discover`: none.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct DiscoverParams {}
