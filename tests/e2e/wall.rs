//! The wall from outside: what a worker of each level can do, and what it cannot.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use kapell::sys::process::spawn;
use rustix::fs::{CWD, RenameFlags, XattrFlags, renameat_with, setxattr};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use crate::bench::{Bench, Plan, again_without_privileges, task};

/// What a claim of every kind owns: a folder, files that are there, one that is not.
const CLAIM: [&str; 8] =
    ["own/", "c-place", "c-beside", "c-moved", "c-gone", "c-away", "c-fallback", "c-new"];
/// What the project has besides.
const FOREIGN: [&str; 13] = [
    "f-write",
    "f-cut",
    "f-over",
    "f-mode",
    "f-time",
    "f-attribute",
    "f-swap",
    "f-hard",
    "f-link",
    "f-root",
    "f-taken",
    "f-del",
    "f-folder/kept",
];
/// What a person keeps in the home that no worker is to see, of each kind.
const SECRETS: [&str; 24] = [
    ".bash_history",
    ".zsh_sessions/one",
    ".python_history",
    ".pgpass",
    ".npmrc",
    ".docker/config.json",
    ".kube/config",
    ".cargo/credentials.toml",
    ".mcp-auth/token",
    ".claude/history.jsonl",
    ".claude/file-history/one",
    ".config/gcloud/credentials.db",
    ".config/pypoetry/auth.toml",
    ".config/chromium/Default/Cookies",
    ".config/JetBrains/c.kdbx",
    ".mozilla/firefox/one/logins.json",
    ".local/share/keyrings/login.keyring",
    ".local/share/python_keyring/one",
    ".local/share/opencode/auth.json",
    ".local/state/nvim/shada/main.shada",
    ".cache/huggingface/token",
    ".cache/gh/one",
    ".cache/gcloud/one",
    ".cache/claude-cli-nodejs/one",
];

/// Where the operations happen.
struct Place {
    /// The attempt's worktree.
    tree: PathBuf,
    /// The person's checkout.
    main: PathBuf,
    home: PathBuf,
    state: PathBuf,
    tmp: PathBuf,
    /// The folder of git for the worktree.
    admin: PathBuf,
    /// A process outside.
    tester: i32,
    /// An abstract socket outside.
    socket: String,
}

/// An operation, and whether it can be done without a wall, behind that of the worktree, and behind the strict one.
type Row = (&'static str, [bool; 3], fn(&Place) -> io::Result<()>);

const ALL: [bool; 3] = [true, true, true];
const IN_TREE: [bool; 3] = [true, true, false];
const NO_WALL: [bool; 3] = [true, false, false];

const OPERATIONS: &[Row] = &[
    // What is claimed.
    ("write a claimed file in place", ALL, |at| fs::write(at.tree.join("c-place"), "mine")),
    ("write a claimed file that was not there", ALL, |at| fs::write(at.tree.join("c-new"), "mine")),
    ("save with a file beside it, then in place", ALL, |at| {
        save(&at.tree.join("c-fallback.tmp"), &at.tree.join("c-fallback"))
            .or_else(|_| fs::write(at.tree.join("c-fallback"), "mine"))
    }),
    ("create, save, make and remove in a claimed folder", ALL, |at| {
        let own = at.tree.join("own");
        fs::write(own.join("new"), "x")?;
        save(&own.join("kept.tmp"), &own.join("kept"))?;
        fs::create_dir_all(own.join("a/b"))?;
        fs::rename(own.join("new"), own.join("a/b/new"))?;
        fs::hard_link(own.join("kept"), own.join("a/kept"))?;
        fs::remove_dir_all(own.join("a"))
    }),
    ("save with a file beside it", IN_TREE, |at| {
        save(&at.tree.join("c-beside.tmp"), &at.tree.join("c-beside"))
    }),
    ("save with a file of TMPDIR", IN_TREE, |at| save(&at.tmp.join("saved"), &at.tree.join("c-moved"))),
    ("rename a claimed file away", IN_TREE, |at| {
        fs::rename(at.tree.join("c-away"), at.tree.join("own/away"))
    }),
    ("remove a claimed file", IN_TREE, |at| fs::remove_file(at.tree.join("c-gone"))),
    // What is in the tree and not claimed.
    ("write a foreign file", IN_TREE, |at| append(&at.tree.join("f-write"))),
    ("empty a foreign file", IN_TREE, |at| File::create(at.tree.join("f-cut")).map(drop)),
    ("create a foreign file", IN_TREE, |at| {
        let path = at.tree.join("f-new");
        let made = File::create_new(&path).map(drop);
        // What is refused must leave nothing behind.
        if made.is_err() && path.exists() { Err(io::Error::other("an empty file")) } else { made }
    }),
    ("make a folder beside the claim", IN_TREE, |at| fs::create_dir(at.tree.join("f-made"))),
    ("make a link beside the claim", IN_TREE, |at| symlink("README", at.tree.join("f-made-link"))),
    ("rename a foreign folder", IN_TREE, |at| {
        fs::rename(at.tree.join("f-folder"), at.tree.join("f-folder-before"))
    }),
    ("exchange a foreign file with a claimed one", IN_TREE, |at| {
        fs::write(at.tree.join("own/swap"), "mine")?;
        let (own, foreign) = (at.tree.join("own/swap"), at.tree.join("f-swap"));
        renameat_with(CWD, own, CWD, foreign, RenameFlags::EXCHANGE).map_err(Into::into)
    }),
    ("rename over a neighbour", IN_TREE, |at| save(&at.tree.join("own/over"), &at.tree.join("f-over"))),
    ("remove a foreign file", IN_TREE, |at| fs::remove_file(at.tree.join("f-del"))),
    ("chmod a foreign file", ALL, |at| {
        fs::set_permissions(at.tree.join("f-mode"), fs::Permissions::from_mode(0o755))
    }),
    ("set the times of a foreign file", ALL, |at| {
        File::open(at.tree.join("f-time"))?.set_modified(std::time::UNIX_EPOCH)
    }),
    ("set an attribute of a foreign file", ALL, |at| {
        match setxattr(at.tree.join("f-attribute"), "user.kapell", b"x", XattrFlags::empty()) {
            // Not every file system has them.
            Err(Errno::NOTSUP) => Ok(()),
            set => set.map_err(Into::into),
        }
    }),
    ("link a foreign file into the claim", IN_TREE, |at| {
        fs::hard_link(at.tree.join("f-hard"), at.tree.join("own/hard"))
    }),
    ("write through a link in the claim", IN_TREE, |at| {
        symlink(at.tree.join("f-link"), at.tree.join("own/link"))?;
        append(&at.tree.join("own/link"))
    }),
    ("write through /proc/self/root", IN_TREE, |at| append(&through_root(&at.tree.join("f-root")))),
    ("rename a foreign file into the claim", IN_TREE, |at| {
        fs::rename(at.tree.join("f-taken"), at.tree.join("own/taken"))
    }),
    ("swap .git", IN_TREE, |at| {
        fs::rename(at.tree.join(".git"), at.tree.join(".git-before"))?;
        fs::create_dir(at.tree.join(".git"))
    }),
    // What is outside of the tree.
    ("write the main checkout", NO_WALL, |at| append(&at.main.join("README"))),
    ("create in the main checkout", NO_WALL, |at| File::create_new(at.main.join("new")).map(drop)),
    ("write the main checkout by a link", NO_WALL, |at| {
        symlink(at.main.join("README"), at.tree.join("own/main"))?;
        append(&at.tree.join("own/main"))
    }),
    ("write the main checkout by /proc/self/root", NO_WALL, |at| {
        append(&through_root(&at.main.join("README")))
    }),
    ("write the main checkout by another's root", NO_WALL, |at| {
        let root = PathBuf::from(format!("/proc/{}/root", at.tester));
        append(&root.join(at.main.strip_prefix("/").unwrap()).join("README"))
    }),
    ("write the main checkout by a daemon", NO_WALL, |at| {
        shell(&format!("echo x >> '{}'", at.main.join("README").display()))
    }),
    ("link the main checkout's file", NO_WALL, |at| {
        fs::hard_link(at.main.join("README"), at.tree.join("own/readme"))
    }),
    ("write .git/config", NO_WALL, |at| append(&at.main.join(".git/config"))),
    ("make a hook", NO_WALL, |at| fs::write(at.main.join(".git/hooks/pre-commit"), "#!/bin/sh\n")),
    ("write the worktree's HEAD", NO_WALL, |at| append(&at.admin.join("HEAD"))),
    ("write another worktree", NO_WALL, |at| append(&at.state.join("worktrees/other/a-other/file"))),
    ("write the record of the own run", NO_WALL, |at| {
        fs::write(at.tmp.ancestors().nth(2).unwrap().join("record"), "{}")
    }),
    ("write the database", NO_WALL, |at| append(&at.state.join("kapell.db-new"))),
    ("write a shell's start-up file", NO_WALL, |at| append(&at.home.join(".bashrc"))),
    ("write ~/.ssh", NO_WALL, |at| append(&at.home.join(".ssh/authorized_keys"))),
    ("write in /tmp", NO_WALL, |at| {
        let path = Path::new("/tmp").join(&at.socket);
        fs::write(&path, "").and_then(|()| fs::remove_file(path))
    }),
    // What is secret.
    ("read ~/.ssh", NO_WALL, |at| read(&at.home.join(".ssh/id"))),
    ("read ~/.aws", NO_WALL, |at| read(&at.home.join(".aws/credentials"))),
    ("read ~/.config/gh", NO_WALL, |at| read(&at.home.join(".config/gh/hosts.yml"))),
    ("read ~/.netrc", NO_WALL, |at| read(&at.home.join(".netrc"))),
    ("read any other secret of the home", NO_WALL, |at| {
        let read = SECRETS.map(|name| (name, read(&at.home.join(name))));
        match read.iter().filter(|(_, read)| read.is_ok()).count() {
            0 => Err(Errno::ACCESS.into()),
            n if n == SECRETS.len() => Ok(()),
            _ => Err(io::Error::other(format!("{read:?}"))),
        }
    }),
    ("move a secret out of a cache", NO_WALL, |at| {
        let token = at.home.join(".cache/huggingface/token");
        fs::rename(&token, at.tree.join("own/token"))
            .and_then(|()| fs::rename(at.tree.join("own/token"), token))
    }),
    ("write the caches of builds", ALL, |at| {
        fs::write(at.home.join(".cache/pip/one"), "x")?;
        fs::create_dir_all(at.home.join(".cache/uv"))?;
        fs::write(at.home.join(".cache/uv/one"), "x")?;
        append(&at.home.join(".cache/huggingface/hub/model"))
    }),
    ("read ~/.gnupg, a link", NO_WALL, |at| read(&at.home.join(".gnupg/key"))),
    ("read it where the link leads", NO_WALL, |at| read(&at.home.join("vault/key"))),
    ("read another agent's sign-in", NO_WALL, |at| read(&at.home.join(".codex/auth.json"))),
    ("read a secret by /proc/self/root", NO_WALL, |at| read(&through_root(&at.home.join(".netrc")))),
    ("read a secret by a link", NO_WALL, |at| {
        symlink(at.home.join(".netrc"), at.tree.join("own/netrc"))?;
        read(&at.tree.join("own/netrc"))
    }),
    ("move a secret into the claim", NO_WALL, |at| {
        fs::rename(at.home.join(".aws/credentials"), at.tree.join("own/credentials"))
    }),
    ("read the database", NO_WALL, |at| read(&at.state.join("kapell.db"))),
    ("read the token of kapell serve", NO_WALL, |at| read(&at.state.join("serve.token"))),
    ("read another run's job", NO_WALL, |at| read(&at.state.join("run/a-other/job.json"))),
    ("read another worktree", NO_WALL, |at| read(&at.state.join("worktrees/other/a-other/file"))),
    ("read another's environment", NO_WALL, |at| read(Path::new(&format!("/proc/{}/environ", at.tester)))),
    // Who is outside.
    ("signal a process outside", NO_WALL, |at| {
        test_kill_process(Pid::from_raw(at.tester).unwrap()).map_err(Into::into)
    }),
    ("speak to an abstract socket outside", NO_WALL, |at| {
        let address = SocketAddr::from_abstract_name(&at.socket)?;
        UnixStream::connect_addr(&address).map(drop)
    }),
    // What must work behind every wall.
    ("write in TMPDIR", ALL, |at| fs::write(at.tmp.join("file"), "x")),
    ("read the main checkout", ALL, |at| read(&at.main.join("src/lib.txt"))),
    ("read git's configuration", ALL, |at| {
        read(&at.home.join(".gitconfig")).and_then(|()| read(&at.main.join(".git/config")))
    }),
    ("read the own prompt", ALL, |at| read(&at.tmp.ancestors().nth(2).unwrap().join("prompt.md"))),
    ("list the home, and the root", ALL, |at| {
        fs::read_dir(&at.home).and_then(|_| fs::read_dir("/")).map(drop)
    }),
    ("draw a random number, throw it away", ALL, |_| shell("head -c 4 /dev/urandom > /dev/null")),
    ("signal an own child", ALL, |_| {
        let mut child = spawn::program("/bin/sleep", Path::new("/")).arg("1000").spawn().unwrap();
        child.kill().and_then(|()| child.wait()).map(drop)
    }),
];

fn append(path: &Path) -> io::Result<()> {
    File::options().append(true).create(true).open(path)?.write_all(b"x")
}

fn read(path: &Path) -> io::Result<()> {
    fs::read(path).map(drop)
}

fn save(aside: &Path, path: &Path) -> io::Result<()> {
    fs::write(aside, "mine")?;
    fs::rename(aside, path)
}

fn through_root(path: &Path) -> PathBuf {
    Path::new("/proc/self/root").join(path.strip_prefix("/").unwrap())
}

/// Runs a line in a session of its own, without a parent that knows it.
fn shell(line: &str) -> io::Result<()> {
    let mut command = spawn::program("/usr/bin/setsid", Path::new("/"));
    command.args(["--fork", "--wait", "/bin/sh", "-c", line]);
    let output = command.output()?;
    match String::from_utf8_lossy(&output.stderr) {
        _ if output.status.success() => Ok(()),
        text if text.contains("Permission denied") => Err(Errno::ACCESS.into()),
        text => Err(io::Error::other(text.into_owned())),
    }
}

#[expect(clippy::disallowed_methods, reason = "how a part of a test learns what it plays")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// The worker: does it all, and prints what could be done.
#[test]
#[ignore = "a part in other tests"]
fn operator() {
    let tree = std::env::current_dir().unwrap();
    let link = fs::read_to_string(tree.join(".git")).unwrap();
    let at = Place {
        admin: link.trim().strip_prefix("gitdir: ").unwrap().into(),
        tree,
        main: variable("WALL_MAIN").into(),
        home: variable("HOME").into(),
        state: variable("WALL_STATE").into(),
        tmp: variable("TMPDIR").into(),
        tester: variable("WALL_TESTER").parse().unwrap(),
        socket: variable("WALL_SOCKET"),
    };
    let mut told = BTreeMap::new();
    for (what, _, operate) in OPERATIONS {
        let done = match operate(&at) {
            Ok(()) => json!(true),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::ACCESS | Errno::PERM | Errno::XDEV) => json!(false),
                _ => json!(error.to_string()),
            },
        };
        told.insert(*what, done);
    }
    let line = format!("\nTOLD{}\n", json!(told));
    io::stdout().write_all(line.as_bytes()).unwrap();
}

/// A project with all that is operated on, and a provider that operates.
fn bench(level: &str, socket: &str) -> Bench {
    let bench = Bench::new();
    for name in CLAIM.iter().chain(&FOREIGN).filter(|name| !matches!(**name, "own/" | "c-new")) {
        bench.write(name, "kept\n");
    }
    bench.write("own/kept", "kept\n");
    bench.commit("more");
    let (home, state) = (bench.root.join("home"), bench.state());
    for (folder, file) in [
        (&home, ".ssh/id"),
        (&home, ".aws/credentials"),
        (&home, ".config/gh/hosts.yml"),
        (&home, ".netrc"),
        (&home, ".bashrc"),
        (&home, ".gitconfig"),
        (&home, ".codex/auth.json"),
        (&home, "vault/key"),
        (&home, ".cache/pip/kept"),
        (&home, ".cache/huggingface/hub/model"),
        (&state, "serve.token"),
        (&state, "run/a-other/job.json"),
        (&state, "worktrees/other/a-other/file"),
    ]
    .into_iter()
    .chain(SECRETS.map(|secret| (&home, secret)))
    {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    symlink("vault", home.join(".gnupg")).unwrap();
    let exe = std::env::current_exe().unwrap();
    let words = json!([exe, "--exact", "wall::operator", "--ignored", "--nocapture"]);
    bench.configure(&format!(
        "[project]\nwall = \"{level}\"\ncaches = [\"~/.cache\"]\n\n[providers.operator]\nkind = \"command\"\ncommand = {words}\n\
         set_env = {{ WALL_MAIN = {main}, WALL_STATE = {state}, WALL_TESTER = \"{tester}\", WALL_SOCKET = \"{socket}\" }}\n",
        main = json!(bench.project),
        state = json!(state),
        tester = std::process::id(),
    ));
    bench
}

/// The last try at a task.
fn attempt(bench: &Bench, plan: &str, task: &str) -> Value {
    bench.task(plan, task)["attempts"].as_array().unwrap().last().unwrap().clone()
}

fn matrix() {
    for (column, level) in ["off", "worktree", "strict"].into_iter().enumerate() {
        let socket = format!("kapell-test-{}-{level}", std::process::id());
        let address = SocketAddr::from_abstract_name(&socket).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let bench = bench(level, &socket);
        let task = task("a", &CLAIM, &[]).with("agent", json!("operator"));
        let plan = bench.start(&Plan::new([task]).rule("max_attempts", json!(1)));
        bench.at_rest(&plan);
        let attempt = attempt(&bench, &plan, "a");
        let stdout = bench.run_dir(attempt["attempt"].as_str().unwrap()).join("stdout");
        let stdout = fs::read_to_string(stdout).unwrap_or_default();
        let told = stdout.lines().find_map(|line| line.strip_prefix("TOLD"));
        let told = told.unwrap_or_else(|| panic!("{level}: {stdout}\n{attempt:#}\n{}", bench.story()));
        let told: BTreeMap<String, Value> = serde_json::from_str(told).unwrap();
        let wrong: Vec<String> = OPERATIONS
            .iter()
            .filter(|(what, expected, _)| told[*what] != json!(expected[column]))
            .map(|(what, expected, _)| format!("{what}: {}, expected {}", told[*what], expected[column]))
            .collect();
        assert_eq!(wrong, Vec::<String>::new(), "behind the wall `{level}`");
        let wall = attempt["wall"].as_str().unwrap();
        let described = wall.starts_with("landlock ") && wall.ends_with(&format!(", {level}"));
        assert!(described || (level, wall) == ("off", "off"), "{wall}");
        // Whatever it did in its tree: nothing of it is in the checkout or on a branch.
        if level != "off" {
            assert_eq!(bench.git(["status", "--porcelain"]), "");
        }
        assert_eq!(bench.landed(&plan), Vec::<String>::new());
    }
}

#[test]
fn each_level_holds_what_it_promises() {
    matrix();
}

#[test]
fn each_level_holds_for_a_user_without_privileges() {
    // The test above was one already, where this is no root.
    again_without_privileges("wall::each_level_holds_what_it_promises");
}

#[test]
fn the_wall_of_a_running_attempt_is_shown() {
    let bench = Bench::new();
    bench.configure("[project]\nwall = \"strict\"\n");
    let plan = bench.start(&Plan::new([task(
        "a",
        &["src/", "kept.txt", "empty.txt", "left.txt"],
        &["write kept.txt x", &bench.meet_line("a"), "run touch empty.txt"],
    )]));
    let guest = bench.meet("a");
    let running = bench.until(json!({"scope": "task", "id": format!("{plan}/a")}), |task| {
        task["attempts"][0]["wall"].is_string()
    });
    let wall = running["attempts"][0]["wall"].as_str().unwrap();
    assert!(wall.starts_with("landlock ") && wall.ends_with(", strict"), "{wall}");
    guest.go();
    assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
    // The file that it did not touch was only there to be written.
    let attempt = attempt(&bench, &plan, "a");
    assert_eq!(attempt["changed"], json!(["empty.txt", "kept.txt"]));
    assert_eq!(attempt["wall"], wall);
}

#[test]
fn a_claim_that_no_strict_wall_fits_does_not_start() {
    let bench = Bench::new();
    bench.configure("[project]\nwall = \"strict\"\n");
    // What the pattern itself says is told by the plan, what the tree says by the attempt.
    let planned = bench.rpc().ok("plan", Plan::new([task("a", &["*.txt"], &["write a.txt x"])]).params());
    let problem = &planned["problems"][0];
    assert_eq!((&planned["plan_id"], &problem["code"]), (&Value::Null, &json!("bad-path")), "{planned:#}");
    assert!(problem["hint"].as_str().unwrap().contains("wall = \"worktree\""), "{planned:#}");
    symlink("src", bench.project.join("link")).unwrap();
    bench.git(["add", "link"]);
    bench.commit("link");
    let plan = bench.start(&Plan::new([task("a", &["link/"], &["write link/a.txt x"])]));
    assert_eq!(bench.at_rest(&plan)["state"], "failed");
    let task = bench.task(&plan, "a");
    let why = task["reason"].as_str().unwrap();
    assert!(why.contains("link/") && why.contains("claim the real path"), "{why}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_worktree_is_used_again_and_shows_nothing_of_the_worker_before() {
    let bench = Bench::new();
    bench.write(".gitignore", "target/\n");
    bench.commit("ignore");
    let seen = |name: &str, lines: &[&str]| {
        let (file, meet) = (format!("{name}.txt"), bench.meet_line(name));
        let write = format!("write {file} {name}");
        let lines = [lines, &[&write, &meet]].concat();
        let plan = bench.start(&Plan::new([task(name, &[&file], &lines)]));
        let guest = bench.meet(name);
        let tree = PathBuf::from(attempt(&bench, &plan, name)["worktree"].as_str().unwrap());
        let mut names: Vec<_> =
            fs::read_dir(&tree).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let names: Vec<String> = names.into_iter().map(|name| name.into_string().unwrap()).collect();
        guest.go();
        assert_eq!(bench.at_rest(&plan)["state"], "done", "{}", bench.story());
        assert_eq!(bench.on_branch(&plan, &file), name);
        (fs::metadata(spare(&bench)).unwrap().ino(), tree, names)
    };
    let a = seen("a", &["write target/cache secret"]);
    let b = seen("b", &[]);
    assert_eq!(a.0, b.0, "the folder is the same");
    assert_ne!(a.1, b.1, "its name is not");
    assert_eq!(a.2, [".git", ".gitignore", "README", "a.txt", "src", "target"]);
    assert_eq!(b.2, [".git", ".gitignore", "README", "b.txt", "src"]);
    assert_eq!(bench.worktrees(), Vec::<PathBuf>::new());
}

/// The one spare worktree.
fn spare(bench: &Bench) -> PathBuf {
    let projects = fs::read_dir(bench.state().join("worktrees")).unwrap().flatten();
    let trees = projects.flat_map(|project| fs::read_dir(project.path()).unwrap().flatten());
    let is_spare = |path: &PathBuf| path.file_name().unwrap().as_encoded_bytes().starts_with(b"spare-");
    let spares: Vec<PathBuf> = trees.map(|tree| tree.path()).filter(is_spare).collect();
    assert_eq!(spares.len(), 1, "{spares:?}");
    spares[0].clone()
}
