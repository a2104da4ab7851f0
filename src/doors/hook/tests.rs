use super::event::{Event, Moment};

fn writes(tool: &str, input: &str) -> Vec<String> {
    let text = format!(
        r#"{{"session_id":"s","hook_event_name":"PreToolUse","cwd":"/p","tool_name":"{tool}","tool_input":{input}}}"#
    );
    Event::read(text.as_bytes()).unwrap().writes(&|_| None).into_iter().map(|write| write.path).collect()
}

#[test]
fn the_files_of_each_tool() {
    let patch = r#"{"command":"*** Begin Patch\n*** Add File: n.rs\n+x\n*** End Patch"}"#;
    let table: &[(&str, &str, &[&str])] = &[
        ("Edit", r#"{"file_path":"/p/a","old_string":"x"}"#, &["/p/a"]),
        ("Write", r#"{"file_path":"/p/a","content":"x"}"#, &["/p/a"]),
        ("MultiEdit", r#"{"file_path":"/p/a","edits":[]}"#, &["/p/a"]),
        ("NotebookEdit", r#"{"notebook_path":"/p/a.ipynb"}"#, &["/p/a.ipynb"]),
        // As JavaScript writes half a character.
        ("Write", r#"{"file_path":"/p/a","content":"\ud83d"}"#, &["/p/a"]),
        ("Bash", r#"{"command":"echo \udc00 > a"}"#, &["a"]),
        ("Read", r#"{"file_path":"/p/a"}"#, &[]),
        ("Bash", r#"{"command":"echo > a"}"#, &["a"]),
        ("shell", r#"{"command":["bash","-lc","echo > 'a b'"]}"#, &["a b"]),
        ("apply_patch", patch, &["n.rs"]),
        ("Edit", r#"{"file_path":7}"#, &[]),
        ("Edit", "null", &[]),
        ("Edit", "[]", &[]),
        ("Bash", r#"{"command":[1]}"#, &[]),
        // Tools of an agent's servers.
        ("mcp__filesystem__write_file", r#"{"path":"/p/a","content":"x"}"#, &["/p/a"]),
        ("mcp__filesystem__edit_file", r#"{"path":"/p/a","edits":[]}"#, &["/p/a"]),
        ("mcp__filesystem__edit_file", r#"{"path":"/p/a","edits":[],"dryRun":true}"#, &[]),
        ("mcp__filesystem__move_file", r#"{"source":"/p/a","destination":"/p/b"}"#, &["/p/a", "/p/b"]),
        ("mcp__filesystem__create_directory", r#"{"path":"/p/a"}"#, &[]),
        ("mcp__filesystem__read_file", r#"{"path":"/p/a"}"#, &[]),
        ("mcp__filesystem__list_directory", r#"{"path":"/p"}"#, &[]),
        ("mcp__serena__replace_symbol_body", r#"{"relative_path":"a.rs","body":"x"}"#, &["a.rs"]),
        ("mcp__x__copyFile", r#"{"from":"a","to":"b"}"#, &["b"]),
        ("mcp__x__deleteFiles", r#"{"paths":["a","b",3]}"#, &["a", "b"]),
        ("mcp__x__create-file", r#"{"filePath":"file:///p/a"}"#, &["/p/a"]),
        ("mcp__x__get_edit_history", r#"{"path":"a"}"#, &[]),
        ("mcp__github__create_or_update_file", r#"{"owner":"o","repo":"r","path":"a"}"#, &[]),
        ("mcp__mail__send", r#"{"from":"a","to":"b"}"#, &[]),
    ];
    for (tool, input, expected) in table {
        assert_eq!(writes(tool, input), *expected, "{tool} {input}");
    }
}

#[test]
fn what_is_no_event_says_why() {
    for bytes in [
        &b""[..],
        b"nonsense",
        b"{}",
        b"[]",
        b"{\"session_id\":\"s\"}",
        b"{\"session_id\":\"\",\"hook_event_name\":\"Stop\"}",
        b"{\"session_id\":\"a b\",\"hook_event_name\":\"Stop\"}",
        b"\xff\xfe",
        b"{\"session_id\":\"s\",\"hook_event_name\":\"Stop\"",
    ] {
        assert!(!Event::read(bytes).unwrap_err().is_empty(), "{bytes:?}");
    }
    let other = Event::read(br#"{"session_id":"s","hook_event_name":"Notification","new":1}"#).unwrap();
    assert_eq!((other.moment, other.writes(&|_| None).len()), (Moment::Other, 0));
}
