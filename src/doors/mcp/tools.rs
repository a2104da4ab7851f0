//! Tools: the table of methods as MCP shows it, and their results.

use std::borrow::Cow;
use std::sync::LazyLock;

use rmcp::model::{CallToolResult, ContentBlock, Tool, ToolAnnotations};
use serde_json::Value;

use super::text;
use crate::api::{ApiError, schema, table};

/// The tools as [`made`] makes them, which takes 2 ms and every session would wait for. A test
/// writes the file anew when the table says something else.
const LIST: &str = include_str!("tools.json");

/// Every method of the table as a tool.
pub fn tools() -> &'static [Tool] {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
        serde_json::from_str(LIST).unwrap_or_else(|error| {
            tracing::error!("bug: tools.json: {error}");
            made()
        })
    });
    &TOOLS
}

/// The tools, made of the table.
fn made() -> Vec<Tool> {
    table::methods().iter().map(tool).collect()
}

fn tool(method: &'static table::Method) -> Tool {
    let annotations = ToolAnnotations::from_raw(
        None,
        Some(method.read_only),
        (!method.read_only).then_some(false),
        None,
        Some(false),
    );
    Tool::new_with_raw(
        method.name,
        Some(Cow::Borrowed(method.description)),
        schema::brief_params(&method.params_schema()),
    )
    .with_title(method.title)
    .with_raw_output_schema(schema::brief_result(&method.result_schema()).into())
    .with_annotations(annotations)
}

/// What a call came to. A refusal is a result too, so that a model can mend its call.
pub fn result(outcome: Result<Value, ApiError>) -> CallToolResult {
    let (content, structured, is_error) = match outcome {
        Ok(result) => (text::of_result(&result), result, false),
        Err(error) => (text::of_error(&error), error.to_json(), true),
    };
    let mut result = if is_error {
        CallToolResult::structured_error(structured)
    } else {
        CallToolResult::structured(structured)
    };
    // The SDK puts the whole JSON there once more.
    result.content = vec![ContentBlock::text(content)];
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_what_the_table_says() {
        let mut text = serde_json::to_string_pretty(&made()).unwrap();
        text.push('\n');
        if text != LIST {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/doors/mcp/tools.json");
            std::fs::write(file, text).unwrap();
            panic!("{file} was written anew: look at what changed for clients, then commit it");
        }
        assert_eq!(serde_json::to_value(tools()).unwrap(), serde_json::to_value(made()).unwrap());
    }

    #[test]
    fn the_list_of_tools_stays_small() {
        let list = serde_json::to_string(tools()).unwrap();
        assert!(list.len() <= 16 * 1024 - 256, "tools/list is {} bytes", list.len());
        for tool in tools() {
            assert!(tool.description.as_ref().is_some_and(|text| text.len() <= 2048), "{}", tool.name);
            for schema in [&tool.input_schema, tool.output_schema.as_ref().unwrap()] {
                assert_eq!(schema.get("type").and_then(Value::as_str), Some("object"), "{}", tool.name);
            }
        }
    }

    #[test]
    fn an_error_fits_every_output_schema() {
        // Some clients check it against the tool's output schema, in which nothing may be required.
        for tool in tools() {
            let schema = serde_json::to_string(tool.output_schema.as_ref().unwrap()).unwrap();
            assert!(!schema.contains("\"required\"") && !schema.contains("additionalProperties\":false"));
        }
    }
}
