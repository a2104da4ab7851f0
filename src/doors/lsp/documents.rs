//! The texts that are open in the editor, as they are there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::text::{self, Encoding, Lines};
use super::types::{Range, TextDocumentContentChangeEvent, Uri};
use crate::domain::plan::document::Format;
use crate::domain::plan::outline::{self, Item};

/// What a document is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plan.
    Plan(Format),
    /// `kapell.toml`, or the person's own configuration.
    Config,
    /// Something that can be owned.
    Other,
}

/// A document at one moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its name in the editor.
    pub uri: Uri,
    /// The editor's number for this text.
    pub version: i32,
    /// Where it lies; a document of another scheme lies nowhere.
    pub path: Option<PathBuf>,
    /// What it is to us.
    pub kind: Kind,
    /// What its columns count.
    pub encoding: Encoding,
    /// The text.
    pub text: Arc<String>,
    /// Its lines.
    pub lines: Arc<Lines>,
    outline: Arc<OnceLock<Option<Item>>>,
}

impl Document {
    /// The outline of a plan, made when it is asked for the first time.
    pub fn outline(&self) -> Option<&Item> {
        let Kind::Plan(format) = self.kind else { return None };
        self.outline.get_or_init(|| outline::read(&self.text, format)).as_ref()
    }

    /// The range of a span in it.
    pub fn range(&self, span: &std::ops::Range<usize>) -> Range {
        self.lines.range(&self.text, span, self.encoding)
    }

    /// What its lines end with, as far as the first one tells: what is written into it ends so too.
    pub fn line_end(&self) -> &'static str {
        text::line_end(&self.text)
    }

    /// The offset of a position in it.
    pub fn offset(&self, position: super::types::Position) -> usize {
        self.lines.offset(&self.text, position, self.encoding)
    }
}

/// All open documents.
#[derive(Debug, Default)]
pub struct Documents(Mutex<HashMap<Uri, Document>>);

impl Documents {
    /// Opens a document.
    pub fn open(&self, uri: Uri, version: i32, text: String, encoding: Encoding) {
        let path = path_of(&uri);
        let lines = Arc::new(Lines::of(&text));
        let document = Document {
            kind: path.as_deref().map_or(Kind::Other, kind_of),
            path,
            version,
            encoding,
            text: Arc::new(text),
            lines,
            outline: Arc::default(),
            uri: uri.clone(),
        };
        self.all().insert(uri, document);
    }

    /// Applies changes in their order. Changes of a document that is not open are none.
    pub fn change(&self, uri: &Uri, version: i32, changes: Vec<TextDocumentContentChangeEvent>) -> bool {
        let mut all = self.all();
        let Some(document) = all.get_mut(uri) else { return false };
        // Nobody else holds the text for longer than a check, and that one has the old text.
        let (text, lines) = (Arc::make_mut(&mut document.text), Arc::make_mut(&mut document.lines));
        for change in changes {
            text::apply(text, lines, change, document.encoding);
        }
        document.version = version;
        document.outline = Arc::default();
        true
    }

    /// Closes a document.
    pub fn close(&self, uri: &Uri) -> bool {
        self.all().remove(uri).is_some()
    }

    /// A document as it is now.
    pub fn get(&self, uri: &Uri) -> Option<Document> {
        self.all().get(uri).cloned()
    }

    /// Says what a document is, which its name does not tell.
    pub fn set_kind(&self, uri: &Uri, kind: Kind) {
        if let Some(document) = self.all().get_mut(uri) {
            document.kind = kind;
        }
    }

    /// All of them.
    pub fn list(&self) -> Vec<Document> {
        self.all().values().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Uri, Document>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that a URI names.
pub fn path_of(uri: &Uri) -> Option<PathBuf> {
    let is_file = uri.scheme().as_str().eq_ignore_ascii_case("file");
    is_file
        .then(|| uri.to_file_path())
        .flatten()
        .map(|path| path.into_owned())
        .filter(|path| path.is_absolute())
}

/// What a file is to us by its name alone.
pub fn kind_of(path: &Path) -> Kind {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Kind::Other };
    let is_ours =
        |ending: &str| name == format!("plan.{ending}") || name.ends_with(&format!(".plan.{ending}"));
    if name == "kapell.toml" {
        Kind::Config
    } else if is_ours("json") {
        Kind::Plan(Format::Json)
    } else if is_ours("yaml") || is_ours("yml") {
        Kind::Plan(Format::Yaml)
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_file_is() {
        let table = [
            ("/p/plan.json", Kind::Plan(Format::Json)),
            ("/p/a.plan.json", Kind::Plan(Format::Json)),
            ("/p/a.plan.yaml", Kind::Plan(Format::Yaml)),
            ("/p/plan.yml", Kind::Plan(Format::Yaml)),
            ("/p/kapell.toml", Kind::Config),
            ("/p/myplan.json", Kind::Other),
            ("/p/Cargo.toml", Kind::Other),
            ("/", Kind::Other),
        ];
        for (path, kind) in table {
            assert_eq!(kind_of(Path::new(path)), kind, "{path}");
        }
    }

    #[test]
    fn only_files_lie_somewhere() {
        let table = [
            ("file:///p/a%20b.rs", Some("/p/a b.rs")),
            ("file:///p/%C3%A9", Some("/p/é")),
            ("untitled:Untitled-1", None),
            ("git:/p/a.rs?x", None),
        ];
        for (uri, path) in table {
            assert_eq!(path_of(&uri.parse().unwrap()).as_deref(), path.map(Path::new), "{uri}");
        }
    }
}
