//! An agent that works with the model server of this machine: it gets a provider of our making, and
//! nothing of the person's accounts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The name under which an agent knows the server. The agents know `ollama` by themselves, and would look for it
/// where they think it is.
pub(super) const NAME: &str = "kapell-local";

/// The model server of this machine, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// Where its OpenAI-like API begins.
    pub base_url: String,
    /// Its host, which no proxy is asked for.
    pub host: String,
    /// The model, in the server's naming.
    pub model: String,
}

impl Local {
    /// The settings for codex, in TOML.
    pub(super) fn for_codex(&self) -> [String; 2] {
        let url = toml::Value::String(self.base_url.clone());
        [
            format!(r#"model_provider="{NAME}""#),
            format!(
                r#"model_providers.{NAME}={{name="Ollama",base_url={url},wire_api="responses",supports_websockets=false}}"#
            ),
        ]
    }

    /// What is laid over opencode's configuration.
    pub(super) fn for_opencode(&self) -> [(&'static str, Value); 4] {
        let model = format!("{NAME}/{}", self.model);
        let provider = json!({NAME: {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Ollama",
            // No key is needed, and without any it asks for one.
            "options": {"baseURL": self.base_url, "apiKey": "none"},
            "models": {&self.model: {"name": self.model, "tool_call": true, "cost": {"input": 0, "output": 0}}},
        }});
        [
            ("provider", provider),
            ("enabled_providers", json!([NAME])),
            ("model", json!(model)),
            ("small_model", json!(model)),
        ]
    }

    /// Keeps its requests from a proxy, which could not reach it.
    pub(super) fn past_the_proxy(&self, env: &mut BTreeMap<String, String>) {
        for name in ["NO_PROXY", "no_proxy"] {
            let others = env.get(name).filter(|others| !others.is_empty());
            let all = others.map_or_else(|| self.host.clone(), |others| format!("{others},{}", self.host));
            env.insert(name.to_owned(), all);
        }
    }
}
