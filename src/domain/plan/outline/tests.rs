use super::*;

/// An outline on one line; each scalar and key as it stands in the text.
fn shown(item: &Item, text: &str) -> String {
    match &item.shape {
        Shape::Scalar(_) => text[item.span.clone()].to_owned(),
        Shape::List(items) => {
            format!("[{}]", items.iter().map(|item| shown(item, text)).collect::<Vec<_>>().join(" "))
        }
        Shape::Map(entries) => {
            let entries = entries.iter().map(|entry| {
                let value = entry.value.as_ref().map_or_else(|| "?".to_owned(), |value| shown(value, text));
                format!("{}={value}", &text[entry.key_span.clone()])
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

fn outlined(text: &str, format: Format) -> String {
    read(text, format).map_or_else(|| "nothing".to_owned(), |item| shown(&item, text))
}

#[test]
fn half_typed_json_has_an_outline() {
    let table = [
        ("", "nothing"),
        ("  ", "nothing"),
        (r#"{"a": [1, "b", {"c": null}]}"#, r#"{"a"=[1 "b" {"c"=null}]}"#),
        (
            r#"{"a": 1 /* x */, // y
             "b": 2,}"#,
            r#"{"a"=1 "b"=2}"#,
        ),
        (r#"{"tasks": [{"id": 1, "fi"#, r#"{"tasks"=[{"id"=1 "fi=?}]}"#),
        (
            "{\"tasks\": [{\"id\": 1, \"fi\n\"x\": 2}, {\"id\": 2}]}",
            "{\"tasks\"=[{\"id\"=1 \"fi=? \"x\"=2} {\"id\"=2}]}",
        ),
        (r#"{"a": , "b": 1}"#, r#"{"a"=? "b"=1}"#),
        (r#"{"a": [1, 2}, "b": 3"#, r#"{"a"=[1 2]}"#),
        (r#"{a: tru"#, "{a=tru}"),
        ("]", "nothing"),
        (r#"{"é\"\u00e9": "ü"}"#, r#"{"é\"\u00e9"="ü"}"#),
        ("\u{feff}{\"a\": 1}", "{\"a\"=1}"),
    ];
    for (text, expected) in table {
        assert_eq!(outlined(text, Format::Json), expected, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(outlined(&deep, Format::Json).len() < 1000);
    assert_eq!(read(r#"{"é\"\u00e9\n": 1}"#, Format::Json).unwrap().entries()[0].key, "é\"é\n");
}

#[test]
fn half_typed_yaml_has_an_outline() {
    let table = [
        ("", "nothing"),
        ("a: 1\n", "{a=1}"),
        (
            "tasks:\n  - id: 1 # one\n    files: [a, 'b c']\n  - id: é\n    files:\n      - x/**\n",
            "{tasks=[{id=1 files=[a 'b c']} {id=é files=[x/**]}]}",
        ),
        ("tasks:\n  - id: 1\n    fi\n  - id: 2\n    task: x\n", "{tasks=[{id=1} {id=2 task=x}]}"),
        ("tasks:\n  - id: 1\n    files: [a, b\n  - id: 2\n", "{tasks=[{id=1} {id=2}]}"),
        ("a:\nb: 2\n", "{a=? b=2}"),
        ("a: 'c'   # two\nb: [\"d#\\\" '\" , 'it''s # e' # f\n ]\n", "{a='c' b=[\"d#\\\" '\" 'it''s # e']}"),
        ("'a' : 1\n\"b\"  : 'x\n  y'  # two lines\n", "{'a'=1 \"b\"='x\n  y'}"),
        ("a: |\n  'b' c\nd: 1\n", "{a='b' c d=1}"),
        ("a: |\n  text\n  more\nb: 1\n", "{a=text\n  more b=1}"),
        ("a: 1\r\nb: 2\r\n", "{a=1 b=2}"),
        ("a: *x\n", "nothing"),
        ("? [a]\n: b\n", "{}"),
    ];
    for (text, expected) in table {
        assert_eq!(outlined(text, Format::Yaml), expected, "{text}");
    }
    let deep = "- ".repeat(100_000);
    assert!(outlined(&deep, Format::Yaml).len() < 2000);
}

#[test]
fn what_begins_somewhere_is_found() {
    let text = r#"{"a": [1, {"b": 2}], "c": "x"}"#;
    let root = read(text, Format::Json).unwrap();
    let table = [
        (0, text),
        (1, "\"a\""),
        (6, "[1, {\"b\": 2}]"),
        (7, "1"),
        (10, "{\"b\": 2}"),
        (11, "\"b\""),
        (16, "2"),
        (26, "\"x\""),
    ];
    for (offset, expected) in table {
        assert_eq!(&text[root.starting_at(offset).unwrap()], expected, "{offset}");
    }
    for offset in [3, 5, 18, 99] {
        assert_eq!(root.starting_at(offset), None, "{offset}");
    }
    let yaml = "tasks:\n- id: 1\n  task: x\n";
    let root = read(yaml, Format::Yaml).unwrap();
    assert_eq!(&yaml[root.starting_at(9).unwrap()], "id");
    let commented = "a: [b, c] # all\nd: {e: f}  # g\n";
    let brackets = read(commented, Format::Yaml).unwrap();
    assert_eq!(&commented[brackets.starting_at(3).unwrap()], "[b, c]");
    assert_eq!(&commented[brackets.starting_at(19).unwrap()], "{e: f}");
    assert_eq!(root.way_to(13).steps, [Step::Key("tasks"), Step::Item(0), Step::Key("id")]);
    assert!(matches!(root.way_to(19).end, End::Key(_, entry) if entry.key == "task"));
}

/// Every span lies within the text, between characters, and within the span around it.
fn assert_spans(item: &Item, text: &str, around: &Range<usize>) {
    let fits = |span: &Range<usize>| {
        let is_within = around.start <= span.start && span.start <= span.end && span.end <= around.end;
        assert!(is_within && text.get(span.clone()).is_some(), "{span:?} in {around:?} of {text:?}");
    };
    fits(&item.span);
    for inner in item.items() {
        assert_spans(inner, text, &item.span);
    }
    for entry in item.entries() {
        fits(&entry.key_span);
        if let Some(value) = &entry.value {
            assert_spans(value, text, &item.span);
        }
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_typed_has_spans_that_fit(
        json in r#"([\[\]{}:, ]|"[aé]{0,2}"|"a|[0-9]|//|/\*|\n|\\|tasks){0,30}"#,
        yaml in "(tasks:|id:|- |  |\n|[a-é]|\\[|\\]|\\{|\\}|, |'|\"|#|&|\\*|\\||: |\r\n){0,30}",
        any in ".{0,40}",
    ) {
        for text in [&json, &yaml, &any] {
            for format in [Format::Json, Format::Yaml] {
                if let Some(root) = read(text, format) {
                    assert_spans(&root, text, &(0..text.len()));
                    for offset in 0..=text.len() {
                        let _ = root.way_to(offset);
                        let _ = root.starting_at(offset);
                    }
                }
            }
        }
    }
}
