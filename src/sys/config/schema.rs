//! The JSON Schema of the file, for editors and for the checker.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::types::File;

/// JSON Schema 2020-12 of `kapell.toml`, self-contained (no `$ref`).
///
/// TOML has no null, so the alternatives with null that `Option` brings are taken out.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The schema, made once.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    without_null(&mut schema);
    schema
});

/// Takes out null as a type and as a default, and what defaults of emptiness say.
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
