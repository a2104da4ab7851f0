//! Tools of the servers that an agent uses: which of them write files, told by their names and the
//! names of their arguments.

use serde_json::Value;

/// What a tool that writes is called, as a word of its name.
const VERBS: [&str; 14] = [
    "write",
    "edit",
    "create",
    "move",
    "delete",
    "remove",
    "rename",
    "append",
    "replace",
    "insert",
    "update",
    "patch",
    "save",
    "overwrite",
];

/// What a tool that does not is called first, whatever else is in its name.
const READS: [&str; 8] = ["read", "get", "list", "search", "find", "view", "query", "fetch"];

/// Arguments that name a file, however they spell it: compared without `_` and capitals.
const PATHS: [&str; 7] =
    ["path", "filepath", "relativepath", "absolutepath", "targetfile", "notebookpath", "paths"];

/// Arguments of a tool that moves or copies: the old name, and the new one.
const OLD: [&str; 5] = ["source", "src", "from", "oldpath", "sourcepath"];
const NEW: [&str; 6] = ["destination", "dest", "to", "newpath", "destinationpath", "target"];

/// Arguments of tools whose files lie on other machines.
const ELSEWHERE: [&str; 6] = ["owner", "repo", "repository", "branch", "projectid", "bucket"];

/// The files that a tool of a server writes.
pub(super) fn writes(tool: &str, input: &Value) -> Vec<String> {
    let words = words(tool.rsplit("__").next().unwrap_or_default());
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let copies = has(&["copy"]);
    let moves = has(&["move", "rename"]);
    // An empty folder is nothing that could be lost.
    let is_folder = has(&["create", "make"]) && has(&["directory", "dir", "folder"]);
    let only_reads = words.first().is_some_and(|first| READS.contains(&first.as_str()));
    let Some(arguments) = input.as_object().filter(|_| (has(&VERBS) || copies) && !is_folder && !only_reads)
    else {
        return Vec::new();
    };
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let is_dry = |(name, value): (&String, &Value)| plain(name) == "dryrun" && value == &Value::Bool(true);
    if arguments.iter().any(is_dry) || arguments.keys().any(|name| ELSEWHERE.contains(&&*plain(name))) {
        return Vec::new();
    }
    let mut paths = Vec::new();
    for (name, value) in arguments {
        let name = plain(name);
        let is_meant = PATHS.contains(&&*name) && !copies
            || (moves || copies) && NEW.contains(&&*name)
            || moves && OLD.contains(&&*name);
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for path in values.iter().filter(|_| is_meant).filter_map(Value::as_str) {
            let path = path.strip_prefix("file://").unwrap_or(path);
            if !path.is_empty() && !path.contains("://") {
                paths.push(path.to_owned());
            }
        }
    }
    paths
}

/// The words of `write_file`, `write-file` and `writeFile`, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
