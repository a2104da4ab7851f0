//! A person is asked before a gate opens that is a person's: by elicitation, where the client has it.
//! A client of the legacy era is sent the question; one of 2026-07-28 gets it as the answer to its call,
//! and calls again with what the person said.

use crate::base::sorting::Gather as _;

use rmcp::RoleServer;
use rmcp::model::{
    BooleanSchema, CallToolRequestParams, ClientCapabilities, ClientResult, ElicitRequest,
    ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
    InputRequiredResult, PrimitiveSchemaDefinition, ServerRequest, StringSchema,
};
use rmcp::service::RequestContext;
use serde_json::Value;

use crate::api::ApiError;
use crate::domain::refusal::{Code, Refusal};
use crate::services::pipelines::deciding::Gate;

/// The name of the question, where several could be asked with one answer.
const QUESTION: &str = "approval";

/// What came of asking.
#[derive(Debug)]
pub enum Said {
    /// The person decided: whether it may begin, and with which words.
    Decided {
        /// Whether it may.
        is_approved: bool,
        /// What was said with it.
        message: String,
        /// About what.
        gate: Box<Gate>,
    },
    /// The client is to ask, and to call again.
    Ask(Box<InputRequiredResult>),
}

/// Asks about a gate.
pub async fn ask(
    gate: Gate,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Said, ApiError> {
    if !can_ask(context.client_capabilities().as_ref()) {
        let what = format!(
            "stage {} of run {} is for a person to approve, and this client cannot ask one",
            gate.stage, gate.plan
        );
        let hint = format!(
            "tell the person to run: kapell pipeline approve {} {}; or to do it in an editor",
            gate.plan, gate.stage
        );
        return Err(Refusal::new(Code::NotAllowed, what, hint).into());
    }
    let question = ElicitRequest::new(form(&gate));
    let is_modern = context.protocol_version().is_some_and(|version| !version.has_initialize());
    let answer = if is_modern {
        // What was answered to another question is no answer to this one.
        let of_this = request.request_state.as_deref() == Some(state(&gate).as_str());
        let answers = request.input_responses.as_ref().filter(|_| of_this);
        let Some(answer) = answers.and_then(|answers| answers.get(QUESTION)) else {
            let questions = [(QUESTION.to_owned(), InputRequest::Elicitation(question))].into_iter().gather();
            return Ok(Said::Ask(Box::new(InputRequiredResult::new(Some(questions), Some(state(&gate))))));
        };
        serde_json::from_value(answer.clone()).map_err(|error| {
            ApiError::invalid_params(
                format!("the answer to {QUESTION}: {error}"),
                "answer as to elicitation/create",
            )
        })?
    } else {
        let sent = context.peer.send_request(ServerRequest::ElicitRequest(question));
        let answer = tokio::select! {
            answer = sent => answer.map_err(|error| unanswered(&gate, &error.to_string()))?,
            () = context.ct.cancelled() => return Err(unanswered(&gate, "the call was cancelled")),
        };
        match answer {
            ClientResult::ElicitResult(answer) => answer,
            _ => return Err(unanswered(&gate, "the client answered something else")),
        }
    };
    decided(gate, &answer)
}

fn decided(gate: Gate, answer: &ElicitResult) -> Result<Said, ApiError> {
    let field = |name: &str| answer.content.as_ref().and_then(|content| content.get(name));
    let said = field("message").and_then(Value::as_str).map(str::trim).filter(|said| !said.is_empty());
    let message = said.map_or_else(|| "asked over MCP".to_owned(), |said| format!("{said} (asked over MCP)"));
    let is_approved = match answer.action {
        // Accepted as it was shown, that is with its default; whatever else is no yes or no decides nothing.
        ElicitationAction::Accept => match field("approve") {
            None => true,
            Some(Value::Bool(approve)) => *approve,
            Some(_) => return Err(unanswered(&gate, "the answer's `approve` is neither true nor false")),
        },
        ElicitationAction::Decline => false,
        _ => return Err(unanswered(&gate, "the person put the question away")),
    };
    Ok(Said::Decided { is_approved, message, gate: Box::new(gate) })
}

/// Clients that say nothing more of elicitation have forms.
fn can_ask(capabilities: Option<&ClientCapabilities>) -> bool {
    let elicitation = capabilities.and_then(|capabilities| capabilities.elicitation.as_ref());
    elicitation.is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

/// Built of the library's types: to read it from JSON would be a twentieth of a megabyte of the program.
fn form(gate: &Gate) -> ElicitRequestParams {
    let approve = BooleanSchema::new()
        .title("Approve")
        .description("No: it is refused, and the run ends.")
        .with_default(true);
    let message = StringSchema::new().title("Message").description("What is kept with the decision.");
    let fields = [
        ("approve", PrimitiveSchemaDefinition::Boolean(approve)),
        ("message", PrimitiveSchemaDefinition::String(message)),
    ];
    let fields = fields.map(|(name, schema)| (name.to_owned(), schema)).into_iter().gather();
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: gate.question.clone(),
        requested_schema: ElicitationSchema::new(fields),
    }
}

fn state(gate: &Gate) -> String {
    format!("{}/{}", gate.plan, gate.stage)
}

fn unanswered(gate: &Gate, why: &str) -> ApiError {
    let what = format!("nobody decided on stage {} of run {}: {why}", gate.stage, gate.plan);
    let hint =
        format!("nothing was changed; ask again, or: kapell pipeline approve {} {}", gate.plan, gate.stage);
    Refusal::new(Code::Conflict, what, hint).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_decision_decides() {
        let gate = Gate { plan: "p".into(), stage: "s".to_owned(), question: "?".to_owned() };
        let answer = |action, content| {
            let answer = ElicitResult::new(action);
            decided(gate.clone(), &if content == Value::Null { answer } else { answer.with_content(content) })
        };
        use ElicitationAction::{Accept, Cancel, Decline};
        let table = [
            (Accept, Value::Null, Some((true, "asked over MCP"))),
            (Accept, json!({"approve": true, "message": " go "}), Some((true, "go (asked over MCP)"))),
            (Accept, json!({"approve": false}), Some((false, "asked over MCP"))),
            (Accept, json!({"approve": "false"}), None),
            (Accept, json!({"approve": null}), None),
            (Decline, Value::Null, Some((false, "asked over MCP"))),
            (Cancel, Value::Null, None),
        ];
        for (action, content, expected) in table {
            let found = match answer(action, content) {
                Ok(Said::Decided { is_approved, message, .. }) => Some((is_approved, message)),
                Ok(Said::Ask(_)) => panic!("asked again"),
                Err(_) => None,
            };
            assert_eq!(found, expected.map(|(is_approved, message)| (is_approved, message.to_owned())));
        }
        let form = serde_json::to_value(form(&gate)).unwrap();
        let fields = json!({
            "approve": {"type": "boolean", "title": "Approve", "default": true,
                        "description": "No: it is refused, and the run ends."},
            "message": {"type": "string", "title": "Message", "description": "What is kept with the decision."},
        });
        let schema = json!({"type": "object", "properties": fields});
        assert_eq!(form, json!({"mode": "form", "message": "?", "requestedSchema": schema}));
        assert!(!can_ask(None));
        assert!(!can_ask(Some(&ClientCapabilities::default())));
        let can = |text| can_ask(serde_json::from_value(text).ok().as_ref());
        assert!(can(json!({"elicitation": {}})) && can(json!({"elicitation": {"form": {}}})));
        assert!(!can(json!({"elicitation": {"url": {}}})));
    }
}
