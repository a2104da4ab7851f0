//! The wall around one run: what may be written, what is needed besides, what must not be seen.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use super::House;
use super::claiming::leaving::BUILDS;
use crate::base::sorting;
use crate::domain::pattern::Pattern;
use crate::domain::plan::Task;
use crate::domain::refusal::{Code, Refusal};
use crate::sys::config::Config;
use crate::sys::config::resolved::{Isolation, Wall as Wish};
use crate::sys::wall::{self, Mode, Wall, WallSupport};

mod secret;

use secret::{CACHED, SECRETS, USUAL};

/// What a run is to be kept to.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The wall that is wished for.
    pub wish: Wish,
    /// The folder it works in, by its real path.
    pub folder: &'a Path,
    /// What of it may be written.
    pub writes: Writes<'a>,
    /// The shim's folder.
    pub run_dir: &'a Path,
    /// Build caches as configured: `None` are the usual ones.
    pub caches: Option<&'a [String]>,
    /// What in its folder cannot be written in any case: the folder stays, and git's own lies in it, and others'.
    /// Empty where the folder is the run's alone.
    pub kept: &'a [PathBuf],
}

/// What of its folder a run may write.
#[derive(Debug, Clone, Copy)]
pub enum Writes<'a> {
    /// It only looks around.
    Nothing,
    /// What is claimed; all, unless the wall is to be strict.
    Claim(&'a [Pattern]),
    /// All: a gate builds.
    All,
}

impl Ground<'_> {
    /// The wall. What a strict one needs in the folder is made here: the folders of the claim, and
    /// [placeholders](drop_placeholders) of the files that are not there yet.
    ///
    /// # Errors
    /// It is to be strict, and the system or the claim does not allow that.
    pub fn wall(&self, house: &House) -> Result<Wall, Refusal> {
        if self.wish == Wish::Off {
            return Ok(Wall::off());
        }
        let mut wall = Wall {
            mode: Mode::Worktree,
            best_effort: self.wish == Wish::Auto,
            read_only: vec![self.folder.join(".git")],
            hidden: secrets(house),
            readable: [self.folder, self.run_dir, &house.program].map(Path::to_owned).to_vec(),
            ..Wall::off()
        };
        let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) =
            caches(house, self.caches).into_iter().partition(|path| path.is_relative());
        match (self.wish, self.writes) {
            (Wish::Strict, Writes::Claim(claim)) => {
                require_strict(support(self.run_dir))?;
                wall.mode = Mode::Strict;
                for pattern in claim {
                    match self.kept.is_empty() || !pattern.literal_path().is_empty() {
                        true => enclose(&mut wall, self.folder, pattern)?,
                        false => self.grant_beside(&mut wall, claim),
                    }
                }
                for cache in &inside {
                    wall.writable.extend(folder_in(self.folder, cache));
                }
            }
            (Wish::Strict, Writes::Nothing) => wall.mode = Mode::Strict,
            (_, Writes::Nothing) => {}
            (_, Writes::Claim(claim)) if !self.kept.is_empty() => self.grant_beside(&mut wall, claim),
            (_, Writes::Claim(_) | Writes::All) => wall.writable.push(self.folder.to_owned()),
        }
        if !self.kept.is_empty() {
            for kept in self.kept {
                if kept.ends_with(".git") {
                    wall.read_only.push(kept.clone());
                }
                wall.files.retain(|file| file == kept || !file.starts_with(kept));
            }
            for folder in std::mem::take(&mut wall.writable) {
                grant_around(&mut wall, folder, self.kept);
            }
        }
        wall.grant_persons(&beside_secrets(outside, &wall.hidden));
        Ok(wall)
    }

    /// Grants a checkout that stays, which is to be all that lies in it but what is kept. As to create a file is a
    /// right on its whole folder, new ones at the top are those that are claimed, and folders that git ignores,
    /// where builds put what they make.
    fn grant_beside(&self, wall: &mut Wall, claim: &[Pattern]) {
        for name in ignored_folders(self.folder) {
            // What cannot be made is not written either.
            let _ = folder_in(self.folder, Path::new(&name));
        }
        for pattern in claim.iter().filter(|pattern| !pattern.literal_path().is_empty()) {
            // Where a link or a file is on its way, the landing holds.
            let _ = enclose(wall, self.folder, pattern);
        }
        wall.writable.push(self.folder.to_owned());
    }
}

/// Grants a folder, or all that lies in it but what is kept: a grant of the whole could not leave that out.
fn grant_around(wall: &mut Wall, folder: PathBuf, kept: &[PathBuf]) {
    let mut holds_one = false;
    for kept in kept {
        if folder.starts_with(kept) {
            return;
        }
        holds_one |= kept.starts_with(&folder);
    }
    if !holds_one {
        wall.writable.push(folder);
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            grant_around(wall, path, kept);
        } else if found.is_file() && found.nlink() == 1 && !kept.contains(&path) {
            wall.files.push(path);
        }
    }
}

/// The folders at the top that the project's `.gitignore` names; those of builds are folders also where no slash says so.
fn ignored_folders(top: &Path) -> Vec<String> {
    let text = fs::read_to_string(top.join(".gitignore")).unwrap_or_default();
    let named = text.lines().map(str::trim).filter_map(|line| {
        let line = line.strip_prefix('/').unwrap_or(line);
        let name = line.strip_suffix('/').unwrap_or(line);
        let is_plain = !name.is_empty()
            && !matches!(name, "." | "..")
            && !name.contains(['/', '*', '?', '[', '\\', '!', '#']);
        (is_plain && (line.ends_with('/') || BUILDS.contains(&name))).then(|| name.to_owned())
    });
    named.collect()
}

/// The wall that is wished for around a task's worker. In a folder that is shared `auto` builds none: git's
/// own folder lies in it, which Landlock cannot keep out, and its persons see what is done there.
///
/// # Errors
/// It is to be strict, and there is nothing that it could be built around.
pub fn wish(config: &Config, task: &Task) -> Result<Wish, Refusal> {
    Ok(match (config.isolation, config.wall) {
        (Isolation::Shared, Wish::Auto) => Wish::Off,
        // Around what nobody owns yet no wall can be strict; the landing is, and there is none here.
        (Isolation::Shared, Wish::Strict) if task.files.is_empty() => {
            let message = format!(
                "task {} names no files, so that no strict wall can be built in a shared folder",
                task.id
            );
            let hint =
                "give it files, or set isolation = \"worktree\" or wall = \"worktree\" under [project]";
            return Err(Refusal::new(Code::Unsupported, message, hint));
        }
        (Isolation::Worktree, Wish::Strict) if task.files.is_empty() => Wish::Worktree,
        (_, wish) => wish,
    })
}

/// Whether workers of a project are kept behind walls.
pub fn is_walled(config: &Config) -> bool {
    match config.isolation {
        Isolation::Shared => matches!(config.wall, Wish::Strict | Wish::Worktree),
        Isolation::Worktree => config.wall != Wish::Off,
    }
}

/// What the walls of this system hold, tried once in `scratch` and known from then on.
pub fn support(scratch: &Path) -> &'static WallSupport {
    static SUPPORT: OnceLock<WallSupport> = OnceLock::new();
    SUPPORT.get_or_init(|| wall::probe(scratch))
}

fn require_strict(support: &WallSupport) -> Result<(), Refusal> {
    let why = match support {
        WallSupport::Holds { not_strict: None, .. } => return Ok(()),
        WallSupport::Holds { not_strict: Some(why), .. } | WallSupport::Absent(why) => why,
    };
    let message = format!("no strict wall can be had here: {why}");
    let hint = "set wall = \"worktree\" or \"auto\" under [project]; kapell doctor tells what holds";
    Err(Refusal::new(Code::Unsupported, message, hint))
}

/// Lets what a pattern owns be written: a folder with all in it, a file in place. To create a file is
/// a right on its whole folder, so one that is missing gets a placeholder; and of a glob it is the folder
/// that all it owns lies in. What that is too much, the landing holds.
fn enclose(wall: &mut Wall, top: &Path, pattern: &Pattern) -> Result<(), Refusal> {
    let refused = |why: &str, hint: &str| {
        let message = format!("no strict wall can be built around {}: {why}", pattern.as_str());
        Err(Refusal::new(Code::Unsupported, message, hint))
    };
    let through = "claim the real path";
    let bare = Path::new(pattern.literal_path());
    if bare.as_os_str().is_empty() {
        if !pattern.can_be_walled() {
            let hint = "name its folder or its files, or set wall = \"worktree\" under [project]";
            return refused("its first segment is a wildcard, so that it is all over the tree", hint);
        }
        wall.writable.push(top.to_owned());
    } else if pattern.is_folder() || !pattern.is_literal() || top.join(bare).is_dir() {
        match folder_in(top, bare) {
            Some(folder) => wall.writable.push(folder),
            None => return refused("a file or a link is in the place of its folder", through),
        }
    } else {
        match file_in(top, bare) {
            Some(file) => wall.files.push(file),
            None => return refused("a link, or a file in the place of a folder, is on its way", through),
        }
    }
    Ok(())
}

/// A folder in `top`, made where it is missing; `None` if something else is in its place or on its way.
/// Links are not followed: an earlier worker may have made them. Nobody works in the tree yet.
fn folder_in(top: &Path, path: &Path) -> Option<PathBuf> {
    let mut folder = top.to_owned();
    for part in path.components() {
        let Component::Normal(name) = part else { return None };
        folder.push(name);
        match folder.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return None,
            Err(_) => fs::create_dir(&folder).ok()?,
        }
    }
    Some(folder)
}

/// A plain file in `top`; one that is missing gets a placeholder.
fn file_in(top: &Path, path: &Path) -> Option<PathBuf> {
    let file = folder_in(top, path.parent()?)?.join(path.file_name()?);
    match file.symlink_metadata() {
        Ok(found) => found.is_file().then_some(file),
        Err(_) => {
            fs::File::create_new(&file).and_then(|made| made.set_modified(UNIX_EPOCH + UNTOUCHED)).ok()?;
            Some(file)
        }
    }
}

/// When a placeholder says it was changed last, a moment that no other file has: whatever is done to it makes
/// that now, even to write nothing. (Archives set the epoch itself.) Whole seconds, for every file system.
const UNTOUCHED: Duration = Duration::from_secs(1_234_567);

/// Removes the placeholders of claimed files that a worker did not touch, before its tree is saved.
pub fn drop_placeholders(top: &Path, claim: &[Pattern]) {
    for pattern in claim.iter().filter(|pattern| pattern.is_literal() && !pattern.is_folder()) {
        let file = top.join(pattern.literal_path());
        let is_untouched = file.symlink_metadata().is_ok_and(|found| {
            found.is_file()
                && found.len() == 0
                && found.modified().is_ok_and(|time| time == UNIX_EPOCH + UNTOUCHED)
        });
        // What cannot be removed is an empty file more.
        if is_untouched && fs::remove_file(&file).is_ok() {
            let folders = file.ancestors().skip(1).take_while(|folder| *folder != top);
            // The first that holds something ends it.
            let _ = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
        }
    }
}

/// What no worker reads unless its agent needs it: keys and tokens, other agents' sign-ins and sessions,
/// the person's own configuration of Kapell, which may set keys, and its state, with all that others do.
pub fn secrets(house: &House) -> Vec<PathBuf> {
    let mut secrets = vec![house.root.clone(), house.person_config.clone()];
    secrets.extend(places(house, SECRETS));
    let is_there = |path: &PathBuf| path.symlink_metadata().is_ok();
    secrets.extend(places(house, CACHED).filter(is_there));
    secrets.extend(told_secrets(house));
    sorting::sort(&mut secrets);
    secrets.dedup();
    secrets
}

/// The places that a list tells, in the home and where variables say.
fn places<'a>(
    house: &'a House,
    list: &'a [(&'a str, &'a str, &'a [&'a str])],
) -> impl Iterator<Item = PathBuf> + 'a {
    // `HISTFILE=/dev/null` names no secret, and a folder of everything is none.
    let is_some =
        |path: &PathBuf| path.is_absolute() && !path.starts_with("/dev") && !house.home.starts_with(path);
    list.iter().flat_map(move |(variable, in_home, names)| {
        let told = house.environment.get(*variable).map(PathBuf::from).filter(is_some);
        let folders = [Some(house.home.join(in_home)), told].into_iter().flatten();
        folders.flat_map(move |folder| names.iter().map(move |name| folder.join(name)))
    })
}

/// The caches that are granted in the place of these: one with a secret in it only in part, what is beside
/// that, and what builds usually make there.
fn beside_secrets(caches: Vec<PathBuf>, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut beside = Vec::new();
    for cache in caches {
        let lies_in = |secret: &PathBuf| secret.starts_with(&cache) && secret.symlink_metadata().is_ok();
        if !hidden.iter().any(lies_in) {
            beside.push(cache);
            continue;
        }
        if cache.file_name().is_some_and(|name| name == ".cache") {
            for name in USUAL {
                // What cannot be made is not written either.
                let _ = fs::create_dir(cache.join(name));
            }
        }
        beside.extend(wall::beside(&cache, hidden));
    }
    beside
}

/// Where paths lie, a line each, that somebody gave Kapell to keep secrets in.
const TOLD: &str = "secrets";

fn told_secrets(house: &House) -> Vec<PathBuf> {
    let told = fs::read(house.root.join(TOLD)).unwrap_or_default();
    let lines = told.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/"));
    lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect()
}

/// Keeps a file from the workers that begin from now on.
///
/// # Errors
/// It cannot be noted.
pub fn keep_from_workers(house: &House, path: &Path) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let line = path.as_os_str().as_bytes();
    // What a line cannot hold is not noted, and what lies in the state is kept from them anyway.
    if line.contains(&b'\n') || path.starts_with(&house.root) || told_secrets(house).contains(&path) {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(house.root.join(TOLD))?;
    file.write_all(&[line, b"\n"].concat())
}

/// Build caches that a run must be able to write: absolute, or relative to its tree. Without any
/// configured they are those that toolchains share, folders and lock files, and nothing beside them that
/// a later build of the person's would run, as `~/.gradle/init.d`.
pub fn caches(house: &House, configured: Option<&[String]>) -> Vec<PathBuf> {
    if let Some(paths) = configured {
        let real = |path: &String| match path.strip_prefix("~/") {
            Some(in_home) => house.home.join(in_home),
            None => PathBuf::from(path),
        };
        return paths.iter().map(real).collect();
    }
    let cargo = house.environment.get("CARGO_HOME").map_or_else(|| house.home.join(".cargo"), PathBuf::from);
    let in_cargo = ["registry", "git", ".package-cache", ".package-cache-mutate", ".global-cache"];
    let in_home = [
        ".npm",
        ".cache",
        "go/pkg",
        ".m2/repository",
        ".m2/wrapper",
        ".gradle/caches",
        ".gradle/daemon",
        ".gradle/native",
        ".gradle/wrapper",
        ".local/share/pnpm",
    ];
    in_cargo
        .iter()
        .map(|name| cargo.join(name))
        .chain(in_home.iter().map(|name| house.home.join(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::Check;

    fn house(top: &Path) -> House {
        let environment = BTreeMap::from([("CODEX_HOME".to_owned(), "/elsewhere/codex".to_owned())]);
        let (state, home) = (top.join("state"), top.join("home"));
        let config = home.join(".config/kapell/config.toml");
        House::new(state, environment, "/bin/kapell".into(), home, config, Check::Header)
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/db")).unwrap();
        fs::write(folder.path().join("src/a.rs"), "").unwrap();
        std::os::unix::fs::symlink("src", folder.path().join("link")).unwrap();
        folder
    }

    fn strict(top: &Path, claim: &[&str]) -> Result<[Vec<String>; 2], String> {
        let mut wall = Wall::off();
        for pattern in patterns(claim) {
            enclose(&mut wall, top, &pattern).map_err(|refusal| refusal.message)?;
        }
        let short = |path: &PathBuf| path.strip_prefix(top).unwrap().display().to_string();
        Ok([wall.writable.iter().map(short).collect(), wall.files.iter().map(short).collect()])
    }

    #[test]
    fn a_strict_wall_goes_around_the_claim_alone() {
        type Names = &'static [&'static str];
        let table: [(Names, [Names; 2]); 8] = [
            (&["src/db", "src/a.rs"], [&["src/db"], &["src/a.rs"]]),
            (&["docs/new/"], [&["docs/new"], &[]]),
            (&["src/db/"], [&["src/db"], &[]]),
            (&["src/new.rs"], [&[], &["src/new.rs"]]),
            (&["deep/er/new.rs"], [&[], &["deep/er/new.rs"]]),
            (&["src/*.rs"], [&["src"], &[]]),
            (&["new/**/*.rs"], [&["new"], &[]]),
            (&["**"], [&[""], &[]]),
        ];
        for (claim, expected) in table {
            let tree = tree();
            let expected = expected.map(|names| names.iter().map(|name| name.to_string()).collect());
            assert_eq!(strict(tree.path(), claim), Ok(expected), "{claim:?}");
            for pattern in patterns(claim) {
                assert!(tree.path().join(pattern.literal_path()).exists(), "{claim:?}");
            }
        }
    }

    #[test]
    fn a_claim_that_no_strict_wall_fits_is_refused_with_its_name() {
        let tree = tree();
        for claim in ["*.rs", "**/*.md", "src/a.rs/", "link", "link/", "link/new.rs", "src/a.rs/b.rs"] {
            let refused = strict(tree.path(), &[claim]).unwrap_err();
            assert!(refused.contains(claim), "{refused}");
        }
        assert!(!tree.path().join("src/new.rs").exists());
    }

    #[test]
    fn a_strict_wall_that_the_system_cannot_build_is_refused_with_its_reason() {
        let name = "landlock 4".to_owned();
        let holds = |not_strict| WallSupport::Holds { name: name.clone(), not_strict };
        assert_eq!(require_strict(&holds(None)), Ok(()));
        for support in
            [holds(Some("signals pass".to_owned())), WallSupport::Absent("signals pass".to_owned())]
        {
            let refusal = require_strict(&support).unwrap_err();
            assert!(refusal.message.contains("signals pass"), "{}", refusal.message);
        }
    }

    #[test]
    fn a_checkout_that_stays_keeps_gits_folder_to_itself() {
        let top = tree();
        let folder = top.path().canonicalize().unwrap();
        for name in [".git", "src", ".kapell", "deps/part/src", "deps/own", "other/tree/src"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for name in ["README", "launch.sh", "one", "deps/part/.git", "deps/part/file"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        fs::hard_link(folder.join("one"), folder.join("two")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("away")).unwrap();
        fs::write(folder.join(".gitignore"), "/target\n*.log\nlogs/\n/.git/\nsrc/generated/\n.env\n!kept/\n")
            .unwrap();
        let claim =
            patterns(&["new/", "new.txt", "*.md", "src/deep/", "deps/", "deps/new", "other/tree/claimed"]);
        for wish in [Wish::Auto, Wish::Worktree] {
            let run = folder.join("src");
            let kept = [".git", "launch.sh", "deps/part/.git", "other/tree"].map(|name| folder.join(name));
            let writes = Writes::Claim(&claim);
            let ground =
                Ground { wish, folder: &folder, writes, run_dir: &run, caches: Some(&[]), kept: &kept };
            let wall = ground.wall(&house(top.path())).unwrap();
            let names = |paths: &[PathBuf]| {
                let mut names: Vec<String> = paths
                    .iter()
                    .filter_map(|path| path.strip_prefix(&folder).ok())
                    .map(|path| path.to_string_lossy().into_owned())
                    .collect();
                sorting::sort(&mut names);
                names.dedup();
                names
            };
            let writable = names(&wall.writable);
            for name in ["src", ".kapell", "new", "target", "logs", "src/deep", "deps/own", "deps/part/src"] {
                assert!(writable.iter().any(|it| it == name), "{name}: {writable:?}");
            }
            for name in ["", ".git", "away", ".env", "kept", "deps", "deps/part", "other", "other/tree"] {
                assert!(!writable.iter().any(|it| it == name), "{name:?}: {writable:?}");
            }
            let files = names(&wall.files);
            for name in ["README", "new.txt", "deps/new", "deps/part/file"] {
                assert!(files.iter().any(|it| it == name), "{name}: {files:?}");
            }
            let not_granted = ["launch.sh", "one", "two", "deps/part/.git", "other/tree/claimed"];
            assert!(!files.iter().any(|it| not_granted.contains(&it.as_str())), "{files:?}");
        }
    }

    #[test]
    fn placeholders_go_unless_somebody_touched_them() {
        let tree = tree();
        let top = tree.path();
        let claim = ["deep/er/untouched", "deep/emptied", "src/written", "src/a.rs"];
        strict(top, &claim).unwrap();
        fs::write(top.join("deep/emptied"), "").unwrap();
        fs::write(top.join("src/written"), "x").unwrap();
        drop_placeholders(top, &patterns(&claim));
        for (path, stays) in
            [("deep/er", false), ("deep/emptied", true), ("src/written", true), ("src/a.rs", true)]
        {
            assert_eq!(top.join(path).exists(), stays, "{path}");
        }
    }

    #[test]
    fn the_state_and_every_agents_sign_in_are_secrets() {
        let mut house = house(Path::new("/top"));
        let set = [("HISTFILE", "/dev/null"), ("FLY_CONFIG_DIR", "/top/home"), ("WGETRC", "/top/wget")];
        house.environment.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let secrets = secrets(&house);
        for secret in [
            "/top/state",
            "/top/home/.ssh",
            "/top/home/.gnupg",
            "/top/home/.config/gh",
            "/top/home/.config/kapell/config.toml",
            "/top/home/.codex/auth.json",
            "/elsewhere/codex/auth.json",
            "/top/home/.fly",
            "/top/home/.railway",
            "/top/home/.oci",
            "/top/home/.config/netlify",
            "/top/home/.config/sops",
            "/top/home/.config/Code",
            "/top/home/.vscode-server/data/User",
            "/top/home/.wgetrc",
            "/top/wget",
            "/top/home/.curlrc",
            "/top/home/.mysql_history",
            "/top/home/.psql_history",
            "/top/home/.python_history",
            "/top/home/.mcp-auth",
            "/top/home/.zsh_sessions",
            "/top/home/.local/share/python_keyring",
            "/top/home/.local/share/opencode/auth.json",
            "/top/home/.local/share/jupyter/runtime",
            "/top/home/.local/state/nvim/shada",
            "/top/home/.config/pypoetry/auth.toml",
            "/top/home/.config/JetBrains",
            "/top/home/.claude/file-history",
            "/top/home/.docker/config.json",
            "/top/home/.kube",
            "/top/home/.config/gcloud",
            "/top/home/.pgpass",
            "/top/home/.npmrc",
            "/top/home/.cargo/credentials.toml",
            "/top/home/.config/chromium",
        ] {
            assert!(
                secrets.iter().any(|path| path.components().eq(Path::new(secret).components())),
                "{secret}"
            );
        }
        // A folder of tools as a whole is none: what they need lies there too.
        for needed in
            ["", ".config", ".local/share", ".cargo", ".claude", ".codex", ".docker", ".cache", "/dev/null"]
        {
            let needed = house.home.join(needed);
            assert!(secrets.iter().all(|path| !path.components().eq(needed.components())), "{needed:?}");
        }
    }

    #[test]
    fn a_cache_with_a_secret_in_it_is_granted_in_part() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (house, cache) = (house(&top), top.join("home/.cache"));
        for folder in ["huggingface/hub", "pip", "other", "mozilla/firefox"] {
            fs::create_dir_all(cache.join(folder)).unwrap();
        }
        let caches = vec![cache.clone(), top.join("home/.npm")];
        fs::remove_dir_all(cache.join("mozilla")).unwrap();
        assert!(!secrets(&house).iter().any(|secret| secret.starts_with(&cache)));
        assert_eq!(beside_secrets(caches.clone(), &secrets(&house)), caches);
        fs::create_dir(cache.join("mozilla")).unwrap();
        fs::write(cache.join("huggingface/token"), "hf_x").unwrap();
        let granted = beside_secrets(caches, &secrets(&house));
        for name in ["huggingface/hub", "pip", "other", "uv", "go-build"] {
            assert!(granted.contains(&cache.join(name)), "{name}: {granted:?}");
        }
        assert!(granted.contains(&top.join("home/.npm")));
        for name in ["", "huggingface", "huggingface/token", "mozilla"] {
            assert!(granted.iter().all(|it| !it.components().eq(cache.join(name).components())), "{name}");
        }
    }

    #[test]
    fn the_wall_is_as_wide_as_was_wished() {
        let folder = tree();
        let top = folder.path().canonicalize().unwrap();
        let (tree, run) = (top.join("tree"), top.join("run"));
        for folder in [&tree, &run, &top.join("home/cache")] {
            fs::create_dir_all(folder).unwrap();
        }
        let claim = patterns(&["src/"]);
        let caches = ["~/cache".to_owned(), "target".to_owned(), "~/missing".to_owned()];
        let claimed = Writes::Claim(&claim);
        let wall = |wish, writes| {
            let ground =
                Ground { wish, folder: &tree, writes, run_dir: &run, caches: Some(&caches), kept: &[] };
            ground.wall(&house(&top)).unwrap()
        };
        assert_eq!(wall(Wish::Off, claimed), Wall::off());
        let cache = top.join("home/cache");
        for (wish, writes, mode, best_effort, writable) in [
            (Wish::Auto, claimed, Mode::Worktree, true, vec![tree.clone(), cache.clone()]),
            (Wish::Worktree, claimed, Mode::Worktree, false, vec![tree.clone(), cache.clone()]),
            (Wish::Strict, Writes::All, Mode::Worktree, false, vec![tree.clone(), cache.clone()]),
            (Wish::Strict, Writes::Nothing, Mode::Strict, false, vec![cache.clone()]),
        ] {
            let wall = wall(wish, writes);
            assert_eq!((wall.mode, wall.best_effort, wall.writable), (mode, best_effort, writable));
        }
        #[cfg(target_os = "linux")]
        if matches!(support(&run), WallSupport::Holds { not_strict: None, .. }) {
            let wall = wall(Wish::Strict, claimed);
            assert_eq!(wall.writable, [tree.join("src"), tree.join("target"), cache]);
        }
    }
}
