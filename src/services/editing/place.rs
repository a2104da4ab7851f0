//! Where the paths that a tool names really lie.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::naming::{Extent, files};
use super::{Asked, Project, discover, linked};
use crate::domain::writes::Reach;

/// What [`digest`] says of a folder.
pub(super) const FOLDER: &str = "folder";

/// Files above this are told apart by their size and time: a hook has to answer in milliseconds.
const LARGEST_DIGESTED: u64 = 8 << 20;

/// A file of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Relative to the top of its checkout; empty for the top itself.
    pub path: String,
    /// Absolute and without links, but for the last segment.
    pub file: PathBuf,
    /// How much of it is written.
    pub extent: Extent,
    top: PathBuf,
}

impl Place {
    /// The top of the checkout that it lies in.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// Another file of the same checkout, written in the same way.
    pub fn beside(&self, path: &str) -> Self {
        Self { path: path.to_owned(), file: self.top.join(path), ..self.clone() }
    }

    /// Whether it lies in this checkout, not in another one of the same repository.
    pub fn is_in(&self, project: &Project) -> bool {
        project.top.as_deref() == Some(&self.top)
    }
}

/// The files of the project among those that are written, in any of its checkouts.
pub(super) fn places(project: &Project, asked: &Asked<'_>) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for write in asked.writes {
        for (file, extent) in files(asked, write) {
            for file in meant(&file, &write.reach) {
                let place = place(project, file, extent.clone());
                if let Some(place) = place.filter(|place| !places.contains(place)) {
                    places.push(place);
                }
            }
        }
    }
    places
}

/// Both a link and what it leads to: which of them is written is the tool's to know, but where the name goes. With a
/// slash at its end a link is what it leads to.
pub(super) fn meant(file: &Path, reach: &Reach) -> impl Iterator<Item = PathBuf> + use<> {
    let is_name =
        matches!(reach, Reach::Name | Reach::Tree) && !file.as_os_str().as_encoded_bytes().ends_with(b"/");
    let file = real_parent(file);
    let goal = if is_name { None } else { linked::goal(&file).filter(|goal| *goal != file) };
    std::iter::once(file).chain(goal)
}

/// The place of a file in its checkout; none outside of the project.
fn place(project: &Project, mut file: PathBuf, extent: Extent) -> Option<Place> {
    let is_repository = project.repository.is_some();
    let top = match project.top.as_deref().filter(|top| file.starts_with(top)) {
        // A repository within this one is another project.
        Some(top) if !is_repository || !has_repository_between(&file, top, is_around(&extent)) => {
            top.to_owned()
        }
        _ if !is_repository => return None,
        _ => {
            let folder = file.ancestors().find(|folder| folder.is_dir())?;
            let found = discover(folder).ok().filter(|found| found.common_dir == project.place)?;
            found.top.filter(|top| file.starts_with(top))?
        }
    };
    if matches!(extent, Extent::Checkout(_)) {
        file.clone_from(&top);
    }
    let path = text_of(file.strip_prefix(&top).ok()?);
    Some(Place { path, file, extent, top })
}

/// The tops of the checkouts of other projects in which files lie that are written; each once.
pub(super) fn elsewhere(project: &Project, asked: &Asked<'_>) -> Vec<PathBuf> {
    let is_own = |file: &Path, is_around: bool| {
        let top = project.top.as_deref().filter(|top| file.starts_with(top));
        top.is_some_and(|top| !has_repository_between(file, top, is_around))
    };
    let mut tops = Vec::new();
    for write in asked.writes {
        let named = match &write.reach {
            // What these bring lies in the checkout around their place; git is asked for it once.
            Reach::Commits(_) => vec![(asked.cwd.join(&write.path), true)],
            _ => files(asked, write)
                .into_iter()
                .map(|(file, extent)| {
                    let is_around = is_around(&extent);
                    (file, is_around)
                })
                .collect(),
        };
        for (file, is_around) in named {
            for file in meant(&file, &write.reach).filter(|file| !is_own(file, is_around)) {
                let folder = file.ancestors().find(|folder| folder.is_dir());
                let found = folder.and_then(|folder| discover(folder).ok());
                let top = found.filter(|found| found.common_dir != project.place).and_then(|found| found.top);
                if let Some(top) = top.filter(|top| !tops.contains(top)) {
                    tops.push(top);
                }
            }
        }
    }
    tops
}

/// Whether this is about the checkout around a folder: at the top of a repository, about that one.
fn is_around(extent: &Extent) -> bool {
    matches!(extent, Extent::Checkout(_))
}

/// Whether another repository lies between a file and the top of a checkout; its own folder lies in the one around
/// it, unless `with_itself`.
fn has_repository_between(file: &Path, top: &Path, with_itself: bool) -> bool {
    file.ancestors()
        .skip(usize::from(!with_itself))
        .take_while(|folder| *folder != top)
        .any(|folder| folder.join(".git").exists())
}

/// A path without links, `.` and `..`, but for its last segment, which may be a link; what does not
/// exist yet is taken as it is written.
fn real_parent(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(real.pop()),
            other => {
                real.push(other);
                if components.peek().is_some()
                    && real.is_symlink()
                    && let Some(goal) = linked::goal(&real)
                {
                    real = goal;
                }
            }
        }
    }
    real
}

/// A path as text: a byte that is none becomes a character that no pattern can say, for which any one byte stands.
fn text_of(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{1}'));
    }
    text
}

/// What a file is, as a text that is another one as soon as the file is.
pub(in crate::services) fn digest(file: &Path) -> String {
    let Ok(metadata) = file.symlink_metadata() else { return "nothing".to_owned() };
    if metadata.is_dir() {
        return FOLDER.to_owned();
    }
    if metadata.is_symlink() {
        return format!("link {:?}", std::fs::read_link(file).unwrap_or_default());
    }
    let stamp = || format!("{} {:?}", metadata.len(), metadata.modified().ok());
    if !metadata.is_file() || metadata.len() > LARGEST_DIGESTED {
        return stamp();
    }
    match std::fs::read(file) {
        Ok(bytes) => {
            let mut text: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            // Whether it can be run is a change too, and git keeps it.
            if metadata.permissions().mode() & 0o100 != 0 {
                text.push('x');
            }
            text
        }
        Err(_) => stamp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::writes::Write;

    #[test]
    fn paths_are_found_where_they_really_lie() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let top = root.join("p");
        for name in
            ["p/.git/objects", "p/.git/refs", "p/src/deep", "p/sub/.git/objects", "p/sub/.git/refs", "other"]
        {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for head in [".git/HEAD", "sub/.git/HEAD"] {
            std::fs::write(top.join(head), "ref: refs/heads/main\n").unwrap();
        }
        std::fs::write(top.join("src/a.rs"), "").unwrap();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, root.join(at)).unwrap();
        link("src", "p/ln");
        link("src/a.rs", "p/file-link");
        link("/nowhere", "p/dangling");
        link("src/to-be", "p/first");
        link("first", "p/second");
        link("round", "p/round");
        link("p", "way");
        link("../other", "p/out");
        let project = Project::of(&top).unwrap();
        let table: [(&str, Option<&str>, &[&str]); 21] = [
            ("src/a.rs", None, &["src/a.rs"]),
            ("./src/../src//a.rs", None, &["src/a.rs"]),
            ("new/er/file", None, &["new/er/file"]),
            ("ln/a.rs", None, &["src/a.rs"]),
            ("ln/new", None, &["src/new"]),
            ("ln/../x", None, &["x"]),
            ("file-link", None, &["file-link", "src/a.rs"]),
            ("dangling", None, &["dangling"]),
            ("first", None, &["first", "src/to-be"]),
            ("second", None, &["second", "src/to-be"]),
            ("second/x", None, &["src/to-be/x"]),
            ("round", None, &["round"]),
            ("out/x", None, &[]),
            ("../other/x", None, &[]),
            ("../way/src/x", None, &["src/x"]),
            ("../p/src/x", None, &["src/x"]),
            ("sub/x", None, &[]),
            ("src", Some("b.rs"), &["src/b.rs"]),
            ("src/c.rs", Some("b.rs"), &["src/c.rs"]),
            (".", None, &[""]),
            ("/", None, &[]),
        ];
        for (path, inside, expected) in table {
            let writes =
                [Write { path: path.to_owned(), inside: inside.map(str::to_owned), reach: Reach::Path }];
            let asked = Asked { house: None, folder: &top, cwd: &top, writes: &writes };
            let found: Vec<String> = places(&project, &asked).into_iter().map(|place| place.path).collect();
            assert_eq!(found, expected, "{path}");
        }
        let writes = [Write::at("a.rs"), Write::at(root.join("p/src/a.rs").to_str().unwrap())];
        let asked = Asked { house: None, folder: &top, cwd: &top.join("src"), writes: &writes };
        assert_eq!(places(&project, &asked).len(), 1);
        let reach = Reach::Checkout("git stash".to_owned());
        let writes = [Write { path: "deep".to_owned(), inside: None, reach }];
        let asked = Asked { house: None, folder: &top, cwd: &top.join("src"), writes: &writes };
        let found = places(&project, &asked);
        assert_eq!((found.len(), found[0].path.as_str(), &found[0].file), (1, "", &top));
    }

    #[test]
    fn a_digest_tells_what_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let mut seen = vec![digest(&file), digest(folder.path())];
        for content in ["", "a", "b"] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(digest(&file), digest(&file));
            seen.push(digest(&file));
        }
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        seen.push(digest(&file));
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("x", &file).unwrap();
        seen.push(digest(&file));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "{seen:?}");
    }
}
