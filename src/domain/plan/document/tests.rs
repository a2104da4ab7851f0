use proptest::prelude::*;

use super::*;

/// A tree on one line, every value with its place: `1:1{tasks@1:2=1:9[…]}`.
fn show(node: &Node) -> String {
    let value = match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, node)| format!("{}@{}={}", key.text, show_place(key.place), show(node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    };
    format!("{}{value}", show_place(node.place))
}

fn show_place(place: Option<Place>) -> String {
    place.map_or_else(|| "-".to_owned(), |place| format!("{}:{}", place.line, place.column))
}

#[track_caller]
fn check(format: Format, text: &str, expected: &str) {
    match read(text, format) {
        Ok(node) => assert_eq!(show(&node), expected, "{text:?}"),
        Err(error) => panic!("{text:?}: {error:?}"),
    }
}

/// `expected` is the place and the start of the message.
#[track_caller]
fn check_error(format: Format, text: &str, place: &str, message: &str) {
    let error = read(text, format).expect_err(text);
    assert_eq!(
        (show_place(error.place).as_str(), error.message.contains(message)),
        (place, true),
        "{text:?}: {error:?}"
    );
    assert!(!error.hint.is_empty());
}

#[test]
fn json_values_know_their_places() {
    use Format::Json;
    check(Json, "{}", "1:1{}");
    check(
        Json,
        " [1, -2, 0.5, 1e3, true, false, null, \"a\"]",
        "1:2[1:31 1:6-2 1:100.5 1:151000.0 1:20true 1:26false 1:33null 1:39\"a\"]",
    );
    check(Json, "{\n  \"a\": 1,\n  \"b\": {\"c\": []}\n}", "1:1{a@2:3=2:81 b@3:3=3:8{c@3:9=3:14[]}}");
    // Columns are characters: two of more than one byte stand before the 1.
    check(Json, "[\"é🎼\", 1]", "1:1[1:2\"é🎼\" 1:81]");
    // A byte order mark is no character of the document.
    check(Json, "\u{feff}[1]", "1:1[1:21]");
    check(Json, "[\r\n1,\r2,\n3]", "1:1[2:11 3:12 4:13]");
    check(Json, "\t[\t1]", "1:2[1:41]");
    check(Json, "// why\n[1, /* two */ 2,]\n", "2:1[2:21 2:152]");
    check(Json, "{\"a\": 1,}", "1:1{a@1:2=1:71}");
    check(Json, r#"["\u00e9\n\"\\\ud83c\udfbc"]"#, "1:1[1:2\"é\\n\\\"\\\\🎼\"]");
    check(
        Json,
        "[9223372036854775807, 9223372036854775808]",
        "1:1[1:29223372036854775807 1:239.223372036854776e18]",
    );
}

#[test]
fn yaml_values_know_their_places() {
    use Format::Yaml;
    check(
        Yaml,
        "a: 1\nb:\n  - x\n  - y: 2\n    z: 3\n",
        "1:1{a@1:1=1:41 b@2:1=3:3[3:5\"x\" 4:5{y@4:5=4:82 z@5:5=5:83}]}",
    );
    check(Yaml, "{a: [1, 'x'], b: {}}", "1:1{a@1:2=1:5[1:61 1:9\"x\"] b@1:15=1:18{}}");
    check(Yaml, "é🎼: 1\nb: é 🎼\n", "1:1{é🎼@1:1=1:51 b@2:1=2:4\"é 🎼\"}");
    check(Yaml, "\u{feff}a: 1", "1:1{a@1:1=1:41}");
    check(Yaml, "a: 1\r\nb: 2\r\n", "1:1{a@1:1=1:41 b@2:1=2:42}");
    check(Yaml, "# why\n---\na: 1 # one\n...\n", "3:1{a@3:1=3:41}");
    check(Yaml, "%YAML 1.2\n---\na: 1\n", "3:1{a@3:1=3:41}");
    check(
        Yaml,
        "a: |\n  one\n  two\nb: >-\n  one\n  two\n",
        "1:1{a@1:1=2:3\"one\\ntwo\\n\" b@4:1=5:3\"one two\"}",
    );
    check(Yaml, "\"a b\": '1'\n? c\n: 2\n", "1:1{a b@1:1=1:8\"1\" c@2:3=3:32}");
    check(Yaml, "- a\n- [b]\n", "1:1[1:3\"a\" 2:3[2:4\"b\"]]");
    // JSON is YAML, tabs between its tokens included.
    check(Yaml, "{\"tasks\":\t[{\"id\": 1}]}", "1:1{tasks@1:2=1:11[1:12{id@1:13=1:191}]}");
}

#[test]
fn yaml_scalars_follow_the_core_schema() {
    let cases = [
        ("~", Value::Null),
        ("Null", Value::Null),
        ("True", Value::Bool(true)),
        ("FALSE", Value::Bool(false)),
        ("no", Value::Text("no".to_owned())),
        ("yes", Value::Text("yes".to_owned())),
        ("007", Value::Int(7)),
        ("+7", Value::Int(7)),
        ("-7", Value::Int(-7)),
        ("0x1F", Value::Int(31)),
        ("0o17", Value::Int(15)),
        ("0x+1", Value::Text("0x+1".to_owned())),
        ("0x", Value::Text("0x".to_owned())),
        ("1.10", Value::Float(1.1)),
        (".5", Value::Float(0.5)),
        ("1e3", Value::Float(1000.0)),
        ("1e", Value::Text("1e".to_owned())),
        ("1-2", Value::Text("1-2".to_owned())),
        ("inf", Value::Text("inf".to_owned())),
        ("nan", Value::Text("nan".to_owned())),
        ("-.inf", Value::Float(f64::NEG_INFINITY)),
        ("9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
        ("'1'", Value::Text("1".to_owned())),
        ("\"true\"", Value::Text("true".to_owned())),
    ];
    for (text, expected) in cases {
        let node = read(&format!("[{text}]"), Format::Yaml).unwrap();
        assert_eq!(node.value, Value::List(vec![Node::at(expected, Place::new(1, 2))]), "{text}");
    }
}

#[test]
fn a_nothing_in_yaml_is_null() {
    let node = read("a:\nb: 1\n", Format::Yaml).unwrap();
    let Value::Map(entries) = node.value else { panic!() };
    assert_eq!(entries[0].1.value, Value::Null);
}

#[test]
fn json_errors_say_where() {
    use Format::Json;
    check_error(Json, "", "1:1", "empty");
    check_error(Json, " \n", "1:1", "empty");
    check_error(Json, "// nothing", "1:1", "empty");
    check_error(Json, "{\n  \"a\": 1\n  \"b\": 2}", "2:9", "comma");
    check_error(Json, "[{} {}]", "1:4", "comma");
    check_error(Json, "[[] []]", "1:4", "comma");
    check_error(Json, "{\"a\": {} {}}", "1:10", "not JSON");
    check_error(Json, "{\"a\": [1, 2}", "1:12", "not JSON");
    check_error(Json, "[1, 2", "1:1", "not JSON");
    check_error(Json, "[1] [2]", "1:5", "not JSON");
    check_error(Json, "{a: 1}", "1:2", "not JSON");
    check_error(Json, "['a']", "1:2", "not JSON");
    check_error(Json, "[01]", "1:3", "not JSON");
    check_error(Json, "[0x1]", "1:2", "not JSON");
    check_error(Json, "[.5]", "1:2", "not JSON");
    check_error(Json, "[NaN]", "1:2", "not JSON");
    check_error(Json, "[1,,2]", "1:4", "not JSON");
    check_error(Json, "[\"\\ud800\"]", "1:3", "not JSON");
    check_error(Json, "[\"a", "1:2", "not JSON");
    check_error(
        Json,
        "{\"é\": 1,\n \"a\": 1, \"é\": 2}",
        "2:10",
        "\"é\" occurs twice in one map (first in line 1)",
    );
    check_error(Json, "{\"a\": 1, \"\\u0061\": 2}", "1:10", "twice");
}

#[test]
fn yaml_errors_say_where() {
    use Format::Yaml;
    check_error(Yaml, "", "1:1", "empty");
    check_error(Yaml, " \n# nothing\n", "1:1", "empty");
    check_error(Yaml, "---\n", "1:1", "empty");
    check_error(Yaml, "---\n...\n", "1:1", "empty");
    check_error(Yaml, "a: 1\n---\nb: 2\n", "2:1", "second document");
    check_error(Yaml, "a: 1\nb: 2\na: 3\n", "3:1", "\"a\" occurs twice in one map (first in line 1)");
    check_error(Yaml, "a: 1\n'a': 2\n", "2:1", "twice");
    check_error(Yaml, "[{a: 1, a: 2}]", "1:9", "twice");
    check_error(Yaml, "a: &x 1\nb: *x\n", "1:4", "anchors");
    check_error(Yaml, "a: &x [1]\n", "1:4", "anchors");
    check_error(Yaml, "a: *.rs\n", "1:4", "anchors");
    check_error(Yaml, "a: !!str 1\n", "1:4", "tags");
    check_error(Yaml, "a: !foo {}\n", "1:4", "tags");
    check_error(Yaml, "a:\n  <<: {b: 1}\n", "2:3", "merge keys");
    check_error(Yaml, "? [a]\n: 1\n", "1:3", "a key must be");
    check_error(Yaml, "{{a: 1}: 2}", "1:2", "a key must be");
    check_error(Yaml, "a:\n\tb: 1\n", "2:2", "tabs");
    check_error(Yaml, "a: [1, 2\nb: 3\n", "2:2", "not YAML");
    check_error(Yaml, "a: 'b\n", "1:4", "not YAML");
    check_error(Yaml, "a: b: c\n", "1:5", "not YAML");
}

#[test]
fn a_quoted_merge_key_is_a_key_like_others() {
    check(Format::Yaml, "'<<': 1", "1:1{<<@1:1=1:71}");
}

#[test]
fn a_tab_is_named_with_the_way_out() {
    let error = read("a:\n\tb: 1\n", Format::Yaml).expect_err("tab");
    assert!(error.hint.contains("spaces"), "{error:?}");
}

#[test]
fn depth_is_limited_to_the_same_level_in_both() {
    for format in [Format::Json, Format::Yaml] {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(MAX_DEPTH), format).is_ok());
        for depth in [MAX_DEPTH + 1, 400, 100_000] {
            let error = read(&nested(depth), format).expect_err("too deep");
            assert!(error.message.contains("deep") || error.message.contains("recursion"), "{error:?}");
        }
        // Without its end, as a cut or hostile document has it.
        assert!(read(&"[".repeat(1_000_000), format).is_err());
    }
    let error = read(&"- ".repeat(1_000_000), Format::Yaml).expect_err("too deep");
    assert_eq!(error.place, Some(Place::new(1, 257)), "{error:?}");
    let maps = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    check_error(Format::Yaml, &maps, "129:129", "deep");
}

#[test]
fn size_is_limited() {
    let text = format!("[\"{}\"]", "x".repeat(MAX_BYTES - 4));
    assert_eq!(text.len(), MAX_BYTES);
    assert!(read(&text, Format::Json).is_ok());
    let error = read(&format!("{text} "), Format::Json).expect_err("too long");
    assert_eq!(error.place, None);
}

#[test]
fn a_bomb_of_aliases_is_refused_at_its_first_anchor() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (this, last) in ('b'..='z').zip('a'..) {
        text.push_str(&format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(", ")));
    }
    check_error(Format::Yaml, &text, "1:4", "anchors");
}

#[test]
fn a_long_line_costs_one_pass() {
    // With a search for every place from the start of the line this takes minutes.
    let text = format!("[{}]", ["1"].repeat(300_000).join(","));
    let node = read(&text, Format::Json).unwrap();
    let Value::List(items) = node.value else { panic!() };
    assert_eq!(items[299_999].place, Some(Place::new(1, 600_000)));
}

#[test]
fn what_was_found_is_told_shortly() {
    let text = |text: &str| Node::bare(Value::Text(text.to_owned())).describe();
    assert_eq!(text(&"é".repeat(64)), format!("the text \"{}\"", "é".repeat(64)));
    assert_eq!(text("a\nb"), "the text \"a\\nb\"");
    assert_eq!(text(&"é".repeat(65)), format!("the text \"{}\"…", "é".repeat(64)));
    assert_eq!(Node::bare(Value::Int(3)).describe(), "the number 3");
    assert_eq!(Node::bare(Value::Map(Vec::new())).describe(), "a map");
}

proptest! {
    #[test]
    fn random_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = read(&text, Format::Json);
        let _ = read(&text, Format::Yaml);
    }

    #[test]
    fn random_marks_are_read_or_refused(text in "[-\\[\\]{}:,?&*!|>'\"%@`#\\\\ \t\r\na0é\u{feff}.<~]{0,60}") {
        let _ = read(&text, Format::Json);
        let _ = read(&text, Format::Yaml);
    }

    /// What one reads as JSON, the other reads as YAML with the same places.
    #[test]
    fn both_formats_agree_on_json(tree in tree()) {
        let text = write(&tree, 0);
        let json = read(&text, Format::Json).unwrap();
        prop_assert_eq!(&json, &read(&text, Format::Yaml).unwrap(), "{}", text);
        prop_assert_eq!(without_places(&json), without_places(&tree));
    }
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        "[a-z é:#\\-]{0,6}".prop_map(Value::Text),
    ];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        let node = inner.prop_map(Node::bare);
        prop_oneof![
            prop::collection::vec(node.clone(), 0..4).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{1,3}", node, 0..4).prop_map(|entries| {
                Value::Map(entries.into_iter().map(|(key, node)| (Key::bare(key), node)).collect())
            }),
        ]
    });
    value.prop_map(Node::bare)
}

fn write(node: &Node, indent: usize) -> String {
    let items = |items: Vec<String>| items.join(&format!(",\n{}", " ".repeat(indent + 1)));
    match &node.value {
        Value::Null | Value::Float(_) => unreachable!(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => format!("\"{text}\""),
        Value::List(list) => {
            format!("[{}]", items(list.iter().map(|node| write(node, indent + 1)).collect()))
        }
        Value::Map(entries) => {
            let entry = |(key, node): &(Key, Node)| format!("\"{}\": {}", key.text, write(node, indent + 1));
            format!("{{{}}}", items(entries.iter().map(entry).collect()))
        }
    }
}

fn without_places(node: &Node) -> Node {
    Node::bare(match &node.value {
        Value::List(items) => Value::List(items.iter().map(without_places).collect()),
        Value::Map(entries) => Value::Map(
            entries.iter().map(|(key, node)| (Key::bare(&key.text), without_places(node))).collect(),
        ),
        value => value.clone(),
    })
}
