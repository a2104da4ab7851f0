//! Answers that fit into a conversation: what would be too long loses the ends of its longest lists, and
//! says how much was left out.

use serde_json::{Map, Value};

/// The longest answer in bytes: a client shows a model more than that only in part.
pub const MOST_BYTES: usize = 16_000;
/// So many of a list stay.
const FEW: usize = 3;
/// A longer text is cut to this, in bytes, where an answer is too long.
const LONG_TEXT: usize = 1_000;
/// The field that tells what was left out: for each list how many of it.
pub const LEFT_OUT: &str = "left_out";

/// Shortens an answer that is too long.
pub fn fit(answer: &mut Value) {
    let is_long = |answer: &Value| length(answer) > MOST_BYTES;
    if !is_long(answer) {
        return;
    }
    clip_texts(answer);
    let mut left_out = Map::new();
    // Each round takes the longest list; a list that had its turn is the longest no more.
    while is_long(answer) {
        // What is told of what was left out needs room too.
        let excess = length(answer) + 200 - MOST_BYTES;
        let Some((path, bytes)) = longest(answer, &mut Vec::new()) else { break };
        let Some(items) = answer.pointer_mut(&path).and_then(Value::as_array_mut) else { break };
        let count = items.len();
        let keep = (count * bytes.saturating_sub(excess) / bytes).clamp(FEW, count - 1);
        items.truncate(keep);
        let name = path.trim_start_matches('/').replace('/', ".");
        let before = left_out.get(&name).and_then(Value::as_u64).unwrap_or_default();
        left_out.insert(name, Value::from(before + (count - keep) as u64));
    }
    if let (Value::Object(fields), false) = (answer, left_out.is_empty()) {
        fields.insert(LEFT_OUT.to_owned(), Value::Object(left_out));
    }
}

fn length(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(0, |text| text.len())
}

/// The list with the most bytes of those that can be shortened, as a JSON pointer.
fn longest(value: &Value, path: &mut Vec<String>) -> Option<(String, usize)> {
    let mut best = match value {
        Value::Array(items) if items.len() > FEW && !path.is_empty() => Some((pointer(path), length(value))),
        _ => None,
    };
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return None,
    };
    for (name, part) in parts {
        path.push(name);
        let found = longest(part, path);
        path.pop();
        if found.as_ref().is_some_and(|(_, bytes)| best.as_ref().is_none_or(|(_, most)| bytes > most)) {
            best = found;
        }
    }
    best
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Cuts what no model needs to read to its end.
fn clip_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONG_TEXT => {
            let end = text.floor_char_boundary(LONG_TEXT);
            *text = format!("{} … ({} bytes more)", &text[..end], text.len() - end);
        }
        Value::Array(items) => items.iter_mut().for_each(clip_texts),
        Value::Object(fields) => fields.values_mut().for_each(clip_texts),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let mut answer = json!({"text": "x".repeat(9000), "list": [1, 2, 3, 4, 5]});
        let before = answer.clone();
        fit(&mut answer);
        assert_eq!(answer, before);
    }

    #[test]
    fn the_longest_lists_lose_their_ends_and_it_is_told() {
        let ids: Vec<Value> = (0..3000).map(Value::from).collect();
        let problems: Vec<Value> =
            (0..400).map(|at| json!({"code": "overlap", "at": at, "message": "m".repeat(90)})).collect();
        let mut answer =
            json!({"plan_id": "p", "waves": [ids], "problems": problems, "note": "n".repeat(5000)});
        fit(&mut answer);
        assert!(length(&answer) <= MOST_BYTES, "{}", length(&answer));
        let told = &answer[LEFT_OUT];
        let kept = |list: &Value| list.as_array().unwrap().len() as u64;
        assert_eq!(kept(&answer["problems"]) + told["problems"].as_u64().unwrap(), 400);
        if let Some(left) = told["waves.0"].as_u64() {
            assert_eq!(kept(&answer["waves"][0]) + left, 3000);
        }
        assert!(answer["note"].as_str().unwrap().ends_with("(4000 bytes more)"));
        assert_eq!(answer["plan_id"], "p");
    }

    #[test]
    fn a_list_by_itself_and_a_single_long_item_end_it() {
        let mut answer = json!([["x".repeat(900)], [1, 2, 3, 4]]);
        fit(&mut answer);
        let mut answer = json!(vec!["x".repeat(900); 30]);
        fit(&mut answer);
        let mut answer = json!({"a": {"b": vec!["é".repeat(3000); 100]}});
        fit(&mut answer);
        assert!(length(&answer) <= MOST_BYTES);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i32>().prop_map(Value::from), ".{0,40}".prop_map(Value::from)];
        leaf.prop_recursive(4, 2000, 300, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..300).prop_map(Value::Array),
                prop::collection::btree_map("[a-z/~]{1,6}", inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_always_ends_and_keeps_the_beginnings(value in any_value()) {
            let answer = json!({"result": value});
            let mut short = answer.clone();
            fit(&mut short);
            prop_assert!(length(&short) <= length(&answer) + 400);
            if length(&answer) <= MOST_BYTES {
                prop_assert_eq!(short, answer);
            }
        }
    }
}
