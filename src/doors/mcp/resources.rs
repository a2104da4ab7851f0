//! Resources: what can be read and watched, by its URI.

use rmcp::model::{ErrorCode, ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::api::ApiError;
use crate::api::resources::Content;

/// The resources that are always there.
pub fn list() -> Vec<Resource> {
    let resource = |name: &str, title: &str, description: &str| {
        Resource::new(format!("kapell://{name}"), name)
            .with_title(title)
            .with_description(description)
            .with_mime_type("application/json")
    };
    vec![
        resource("overview", "Overview", "Plans, workers, claims, money and warnings in a few lines."),
        resource("claims", "Claims", "Who may change which files, until when and why."),
        resource("events", "Events", "The newest things that happened, oldest first."),
    ]
}

/// The resources that are named by what they tell about.
pub fn templates() -> Vec<ResourceTemplate> {
    let template = |uri: &str, name: &str, description: &str, mime: &str| {
        ResourceTemplate::new(format!("kapell://{uri}"), name)
            .with_description(description)
            .with_mime_type(mime)
    };
    vec![
        template("plans/{id}", "plan", "A plan with its tasks.", "application/json"),
        template(
            "tasks/{plan}/{task}",
            "task",
            "A task with its attempts and their gates.",
            "application/json",
        ),
        template(
            "attempts/{id}/log",
            "attempt-log",
            "The end of what an attempt's agent wrote.",
            "text/plain",
        ),
        template("attempts/{id}/diff", "attempt-diff", "What an attempt changed.", "text/x-diff"),
        template(
            "attempts/{id}/evidence/{gate}",
            "attempt-evidence",
            "What a gate saw: the end of its command's output.",
            "text/plain",
        ),
    ]
}

/// What was read, as MCP tells it.
pub fn told(content: Content, uri: &str) -> ReadResourceResult {
    ReadResourceResult::new(vec![ResourceContents::text(content.text, uri).with_mime_type(content.mime_type)])
}

/// Why a URI cannot be read or watched.
pub fn unknown(uri: &str) -> ErrorData {
    ErrorData::resource_not_found(
        format!("there is no resource {uri:?}; resources/list and resources/templates/list name them"),
        Some(json!({"uri": uri})),
    )
}

/// An error of the contract as one of MCP's, which keeps the codes around -32020 to itself.
pub fn protocol_error(error: &ApiError) -> ErrorData {
    let message = format!("{}; {}", error.message, error.hint);
    match error.kind {
        "not-found" => ErrorData::resource_not_found(message, Some(error.data())),
        "invalid-params" => ErrorData::invalid_params(message, Some(error.data())),
        _ => ErrorData::new(ErrorCode::INTERNAL_ERROR, message, Some(error.data())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resources::Named;

    #[test]
    fn what_is_listed_can_be_named() {
        for resource in list() {
            assert!(Named::parse(&resource.uri).is_some(), "{}", resource.uri);
        }
        for template in templates() {
            let uri = template.uri_template.replace(['{', '}'], "");
            assert!(Named::parse(&uri).is_some(), "{uri}");
        }
    }
}
