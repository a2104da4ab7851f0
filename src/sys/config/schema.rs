//! The JSON Schema of the file, for editors and for the checker.

use std::sync::LazyLock;

use serde_json::Value;

use crate::base::packed;

/// The schema as a test makes it of [`super::types::File`]; it writes the file anew when the types say
/// something else.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/config.json"));

/// JSON Schema 2020-12 of `kapell.toml`, self-contained (no `$ref`).
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The schema, read once.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(&packed::text(PACKED)).unwrap_or_else(|error| {
        tracing::error!("bug: schema.json: {error}");
        Value::Null
    })
});

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::{Map, Value};

    #[test]
    fn what_is_checked_in_is_what_the_types_say() {
        let mut settings = SchemaSettings::draft2020_12();
        settings.inline_subschemas = true;
        let schema = settings.into_generator().into_root_schema_for::<super::super::types::File>();
        let mut schema = schema.to_value();
        without_null(&mut schema);
        let text = format!("{schema}\n");
        if text != super::packed::text(super::PACKED) {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sys/config/schema.json");
            std::fs::write(file, text).unwrap();
            panic!("{file} was written anew: look at what changed for users, then commit it");
        }
    }

    /// Takes out null as a type and as a default, and what defaults of emptiness say. TOML has no
    /// null, so the alternatives with null that `Option` brings are taken out.
    fn without_null(schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                if let Some(Value::Array(types)) = map.get_mut("type") {
                    types.retain(|kind| kind != "null");
                    if let [only] = types.as_mut_slice() {
                        let only = only.take();
                        map.insert("type".to_owned(), only);
                    }
                }
                if let Some(Value::Array(alternatives)) = map.get_mut("anyOf") {
                    alternatives.retain(|alternative| alternative.get("type") != Some(&"null".into()));
                    if alternatives.len() == 1
                        && let Some(Value::Object(only)) = alternatives.pop()
                    {
                        flatten(map, only);
                    }
                }
                // An empty default says nothing; the real one is in the description.
                map.remove("default");
                map.values_mut().for_each(without_null);
            }
            Value::Array(values) => values.iter_mut().for_each(without_null),
            _ => {}
        }
    }

    /// Puts the only alternative in the place of the choice; what the field says of itself stays.
    fn flatten(map: &mut Map<String, Value>, only: Map<String, Value>) {
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}
