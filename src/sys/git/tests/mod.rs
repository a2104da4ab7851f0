//! Real git in temporary folders, with an environment of its own.
#![expect(clippy::disallowed_methods, reason = "repositories are prepared with git as a person would")]

mod attacks;
mod checkout;
mod discover;
mod land;
mod snapshot;
mod spare;
mod unchanged;
mod worktree;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::snapshot::{LARGEST_FILE, Request, snapshot};
use super::{Git, Oid, Program, Snapshot, SnapshotError, Worktree, discover as find, worktree as trees};

/// A repository `main` with a few files, and room for trees beside it.
struct Bench {
    room: tempfile::TempDir,
    git: Git,
    base: Oid,
}

impl Bench {
    fn new() -> Self {
        Self::with(&[
            ("README", "read me\n"),
            ("src/a.rs", "fn a() {}\n"),
            ("src/b.rs", "fn b() {}\n"),
            ("docs/x.md", "x\n"),
            (".gitignore", "target/\n*.log\n"),
        ])
    }

    fn with(files: &[(&str, &str)]) -> Self {
        Self::init(files, &[])
    }

    fn init(files: &[(&str, &str)], init_args: &[&str]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let top = room.path().join("main");
        fs::create_dir(&top).unwrap();
        git_in(&top, &[&["init", "-q", "-b", "main"], init_args].concat());
        for (path, content) in files {
            write(&top.join(path), content);
        }
        git_in(&top, &["add", "-A"]);
        git_in(&top, &["commit", "-q", "--allow-empty", "-m", "base"]);
        let git = Git::new(&program(room.path()), &find(&top).unwrap()).unwrap();
        let base = git.call("rev-parse").arg("HEAD").run_for_oid().unwrap();
        Self { room, git, base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn top(&self) -> PathBuf {
        self.path("main")
    }

    /// The program as a person of this room would find it.
    fn program(&self) -> Program {
        program(self.room.path())
    }

    fn add(&self, name: &str) -> Worktree {
        let guard = self.git.turn().unwrap();
        trees::add(&self.git, guard, &self.path(name), &self.base).unwrap()
    }

    fn snap_as(
        &self,
        tree: &Worktree,
        reference: &str,
        expected: Option<&Oid>,
    ) -> Result<Snapshot, SnapshotError> {
        snapshot(
            &self.git,
            &Request {
                tree,
                base: &self.base,
                reference,
                expected,
                message: "work",
                scratch: &self.path("scratch"),
                keeps_base: true,
                largest: LARGEST_FILE,
                is_exact: false,
            },
        )
    }

    fn snap(&self, tree: &Worktree) -> Snapshot {
        self.snap_as(tree, &format!("refs/kapell/tasks/{}/1", tree.name()), None).unwrap()
    }

    /// A commit on `parent` with these files set (`None`: deleted), made without any checkout.
    fn commit(&self, parent: &Oid, files: &[(&str, Option<&str>)]) -> Oid {
        let index = self.path(&format!("index-{}", crate::base::ids::random_tail(8)));
        self.git.call("read-tree").index(&index).oid(parent).run().unwrap();
        for (path, content) in files {
            let call = self.git.call("update-index").index(&index);
            match content {
                None => {
                    call.args(["-z", "--index-info"]).stdin(format!("0 {}\t{path}\0", parent.zero()).into())
                }
                Some(content) => {
                    let blob = self.git.call("hash-object").args(["-w", "--stdin"]);
                    let blob = blob.stdin(content.as_bytes().to_vec()).run_for_oid().unwrap();
                    call.args(["--add", "--replace", "--cacheinfo", &format!("100644,{blob},{path}")])
                }
            }
            .run()
            .unwrap();
        }
        let tree = self.git.call("write-tree").index(&index).run_for_oid().unwrap();
        super::land::commit_tree(&self.git, &tree, &[parent], "files").unwrap()
    }

    fn file_at(&self, commit: &Oid, path: &str) -> Option<String> {
        let content = super::read::show_file(&self.git, commit, &path.into()).unwrap();
        content.map(|bytes| String::from_utf8(bytes).unwrap())
    }
}

fn program(home: &Path) -> Program {
    let environment = std::env::vars_os().filter(|(name, _)| name != "HOME" && name != "XDG_CONFIG_HOME");
    Program::find(environment.chain([("HOME".into(), home.as_os_str().to_owned())])).unwrap()
}

/// Runs a test of this program again as a user whom permissions stop, where this one is root. Whether it did: then
/// there is no more to do.
fn again_without_privileges(test: &str) -> bool {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    // The program may lie where only its owner may go.
    let room = tempfile::tempdir().unwrap();
    let program = room.path().join("test");
    // By another process: what another thread starts meanwhile would have this one's file open for writing, and such a
    // file is no program.
    let copied =
        Command::new("/bin/cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success(), "{copied}");
    for path in [room.path(), &program] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).env("TMPDIR", room.path()).current_dir("/");
    let output = command.uid(65534).gid(65534).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

/// Runs git as a person would, in `folder`; its stdout.
fn git_in<T: AsRef<OsStr>>(folder: &Path, args: &[T]) -> String {
    let output = person(folder).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let args: Vec<_> = args.iter().map(AsRef::as_ref).collect();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn person(folder: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "p").env(format!("GIT_{role}_EMAIL"), "p@localhost");
    }
    command
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn fifo(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The changes of a snapshot as lines `kind path`, for tables.
fn lines(snapshot: &Snapshot) -> Vec<String> {
    snapshot.changed.iter().map(|change| format!("{:?} {}", change.kind, change.path)).collect()
}
