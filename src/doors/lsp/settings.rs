//! What the editor wants and can do, from its `initialize`.

use std::path::PathBuf;

use serde_json::Value;

use super::documents::path_of;
use super::text::Encoding;
use super::types::{InitializeParams, PositionEncodingKind, Uri};

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What columns count.
    pub encoding: Encoding,
    /// The folders of the workspace.
    pub roots: Vec<PathBuf>,
    /// The editor shows progress that we begin.
    pub progress: bool,
    /// It asks again for code lenses when it is told to.
    pub lens_refresh: bool,
    /// The same for inlay hints.
    pub hint_refresh: bool,
    /// It can be told of formatting later, and for which files.
    pub registers_formatting: bool,
    /// It can be told later which files to watch.
    pub registers_watches: bool,
    /// A message is shown when a person edits what somebody else holds.
    pub show_meetings: bool,
    /// What is opened has no unsaved changes before a change is told, even if that changes nothing.
    pub opens_clean: bool,
    /// The name that the person goes by, if it is another than at the command line.
    pub person: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            encoding: Encoding::default(),
            roots: Vec::new(),
            progress: false,
            lens_refresh: false,
            hint_refresh: false,
            registers_formatting: false,
            registers_watches: false,
            show_meetings: true,
            opens_clean: false,
            person: None,
        }
    }
}

impl Settings {
    /// From what the editor says.
    pub fn of(params: &InitializeParams) -> Self {
        let general = params.capabilities.general.as_ref();
        let offered = general.and_then(|general| general.position_encodings.as_deref()).unwrap_or_default();
        let encoding =
            if offered.contains(&PositionEncodingKind::UTF8) { Encoding::Utf8 } else { Encoding::Utf16 };
        let workspace = params.capabilities.workspace.as_ref();
        let refreshes = |support: Option<Option<bool>>| support.flatten().unwrap_or(false);
        let options = params.initialization_options.as_ref();
        let option = |name: &str| options.and_then(|options| options.get(name));
        Self {
            encoding,
            roots: roots(params),
            progress: params
                .capabilities
                .window
                .as_ref()
                .and_then(|window| window.work_done_progress)
                .unwrap_or(false),
            lens_refresh: refreshes(
                workspace.and_then(|it| it.code_lens.as_ref()).map(|lens| lens.refresh_support),
            ),
            hint_refresh: refreshes(
                workspace.and_then(|it| it.inlay_hint.as_ref()).map(|hint| hint.refresh_support),
            ),
            registers_formatting: params
                .capabilities
                .text_document
                .as_ref()
                .and_then(|it| it.formatting)
                .and_then(|formatting| formatting.dynamic_registration)
                .unwrap_or(false),
            registers_watches: workspace
                .and_then(|it| it.did_change_watched_files)
                .and_then(|watches| watches.dynamic_registration)
                .unwrap_or(false),
            show_meetings: option("showMeetings").and_then(Value::as_bool).unwrap_or(true),
            opens_clean: option("opensClean").and_then(Value::as_bool).unwrap_or(false),
            person: option("person").and_then(Value::as_str).and_then(name),
        }
    }
}

/// A name that can hold claims.
fn name(text: &str) -> Option<String> {
    let text = text.trim();
    let is_name = !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned())
}

#[expect(deprecated, reason = "older editors have one folder, and say it in the older way")]
fn roots(params: &InitializeParams) -> Vec<PathBuf> {
    let folders = params.workspace_folders.as_deref().unwrap_or_default();
    let mut roots: Vec<PathBuf> = folders.iter().filter_map(|folder| path_of(&folder.uri)).collect();
    if roots.is_empty() {
        let of_uri = params.root_uri.as_ref().and_then(|uri: &Uri| path_of(uri));
        roots.extend(of_uri.or_else(|| params.root_path.as_ref().map(PathBuf::from)));
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(params: Value) -> Settings {
        Settings::of(&serde_json::from_value(params).unwrap())
    }

    #[test]
    fn what_an_editor_says_is_understood() {
        use serde_json::json;
        assert_eq!(settings(json!({"capabilities": {}})), Settings::default());
        let said = settings(json!({
            "capabilities": {
                "general": {"positionEncodings": ["utf-16", "utf-8"]},
                "textDocument": {"formatting": {"dynamicRegistration": true}},
                "window": {"workDoneProgress": true},
                "workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}, "codeLens": {"refreshSupport": true}, "inlayHint": {}},
            },
            "initializationOptions": {"showMeetings": false, "opensClean": true, "person": " ann ", "more": 1},
            "rootUri": "file:///old",
            "workspaceFolders": [{"uri": "file:///a%20b", "name": "a b"}, {"uri": "vscode-vfs://x/y", "name": "y"}],
        }));
        let expected = Settings {
            encoding: Encoding::Utf8,
            roots: vec![PathBuf::from("/a b")],
            progress: true,
            lens_refresh: true,
            hint_refresh: false,
            registers_formatting: true,
            registers_watches: true,
            show_meetings: false,
            opens_clean: true,
            person: Some("ann".to_owned()),
        };
        assert_eq!(said, expected);
        let old = settings(json!({"capabilities": {}, "rootUri": "file:///old", "workspaceFolders": null}));
        assert_eq!(old.roots, [PathBuf::from("/old")]);
    }
}
