//! A bench for whole runs: a home, a state folder and a project of its own, the built `kapell`
//! behind `kapell rpc`, and the scripted agent. Nothing of the machine's own settings is seen.

pub mod mcp;
pub mod meeting;
pub mod plan;
pub mod processes;
pub mod rpc;

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kapell::sys::process::spawn;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use meeting::{Guest, Meeting};
pub use plan::{Plan, task};
pub use processes::Process;
pub use rpc::Rpc;

/// The program under test.
pub const KAPELL: &str = env!("CARGO_BIN_EXE_kapell");
/// The scripted agent.
pub const AGENT: &str = env!("CARGO_BIN_EXE_fake-agent");

/// Far beyond what anything here takes, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Runs a test of this program again as a user whom permissions stop, where this one is root. Whether this one is:
/// then there is no more to do.
pub fn again_without_privileges(test: &str) -> bool {
    if !rustix::process::getuid().is_root() {
        return false;
    }
    let run = |command: &mut Command| {
        spawn::run(command.uid(65534).gid(65534), b"", &spawn::Limits::default()).unwrap()
    };
    let found = run(spawn::program("/usr/bin/test", Path::new("/")).args(["-x", KAPELL]));
    if !found.end.is_success() {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: user 65534 may not run {KAPELL}, so {test} was tried as root only"
        );
        return true;
    }
    let mut command = spawn::program(std::env::current_exe().unwrap(), Path::new("/"));
    command.args(["--exact", test, "--nocapture"]).env("PATH", "/usr/bin:/bin");
    let output = run(&mut command);
    let said = format!("{}\n{}", output.stdout.to_text(), output.stderr.to_text());
    assert!(output.end.is_success() && said.contains("1 passed"), "{said}");
    true
}

/// One machine with one person and one project. Dropping it ends every process that it caused.
pub struct Bench {
    /// Everything lies below this, by its real name.
    pub root: PathBuf,
    /// The project.
    pub project: PathBuf,
    meeting: Meeting,
    _folder: TempDir,
}

impl Bench {
    /// A project with one commit on `main` and one provider, `fake`.
    pub fn new() -> Self {
        let bench = Self::bare_machine();
        bench.init();
        bench
    }

    /// The same without a project: its folder is there and empty.
    pub fn bare_machine() -> Self {
        // Sockets have short names, so the folder has one too.
        let folder = tempfile::Builder::new().prefix("k").tempdir_in("/tmp").unwrap();
        let root = folder.path().canonicalize().unwrap();
        // A name that nothing may trip over.
        let project = root.join("my \"project\" é");
        for folder in [root.join("home"), root.join("bin"), project.clone()] {
            fs::create_dir(folder).unwrap();
        }
        let meeting = Meeting::at(&root.join("meet"));
        let bench = Self { root, project, meeting, _folder: folder };
        bench.configure("");
        bench
    }

    /// Makes the project: `main` with one commit of `README` and `src/lib.txt`.
    pub fn init(&self) {
        self.git(["init", "-q", "-b", "main"]);
        self.write("README", "a project\n");
        self.write("src/lib.txt", "one\n");
        self.commit("first");
    }

    /// The person's configuration: the provider `fake`, and what else is given.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "[providers.fake]\nkind = \"command\"\ncommand = [\"{AGENT}\"]\n\n[rules]\nstuck_after_s = 60\ntimeout_s = 60\n\n{more}"
        );
        fs::write(self.root.join("config.toml"), text).unwrap();
    }

    /// The socket for lines such as `meet SOCKET NAME`.
    pub fn socket(&self) -> String {
        self.root.join("meet").to_str().unwrap().to_owned()
    }

    /// The line with which an agent meets the test.
    pub fn meet_line(&self, name: &str) -> String {
        format!("meet {} {name}", self.socket())
    }

    /// The line with which an agent opens a door of its own for the test to speak at.
    pub fn door_line(&self, name: &str, words: &str) -> String {
        format!("door {} {name} {words}", self.socket())
    }

    /// A command for a gate that does these lines.
    pub fn gate(&self, lines: &[&str]) -> Value {
        let mut words = vec![AGENT, "do"];
        words.extend(lines);
        json!(words)
    }

    /// Waits for whoever comes under that name.
    pub fn meet(&self, name: &str) -> Guest {
        self.meeting.with(name)
    }

    /// Puts a program before git that meets the test once, as `name`, before or after the first
    /// call whose words match the shell pattern.
    pub fn watch_git(&self, when: When, pattern: &str, name: &str) {
        let armed = self.root.join(format!("armed-{name}"));
        fs::write(&armed, "").unwrap();
        let (armed, meet) = (armed.display(), self.meet_line(name));
        let stop = format!(
            "case \"$*\" in {pattern}) mv {armed} {armed}.used 2>/dev/null && {AGENT} do '{meet}' ;; esac"
        );
        let script = match when {
            When::Before => format!("#!/bin/sh\n{stop}\nexec /usr/bin/git \"$@\"\n"),
            When::After => format!("#!/bin/sh\n/usr/bin/git \"$@\"\nstatus=$?\n{stop}\nexit $status\n"),
        };
        let path = self.root.join("bin/git");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command with nothing but this bench's surroundings.
    #[expect(clippy::disallowed_methods, reason = "the bench starts programs from outside")]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let bin = self.root.join("bin");
        command
            .current_dir(&self.project)
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()))
            .env("HOME", self.root.join("home"))
            .env("KAPELL_HOME", self.state())
            .env("KAPELL_CONFIG", self.root.join("config.toml"))
            // Nobody's tmux but the bench's own.
            .env("TMUX_TMPDIR", &self.root)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            // No model of this machine takes part.
            .env("OLLAMA_HOST", "127.0.0.1:1")
            .stdin(Stdio::null());
        command
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// Runs git in the project and gives what it prints, trimmed.
    #[track_caller]
    pub fn git<const N: usize>(&self, args: [&str; N]) -> String {
        let output = self
            .command("/usr/bin/git")
            .args(["-c", "user.name=Person", "-c", "user.email=person@example.com"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Commits everything in the project.
    pub fn commit(&self, message: &str) {
        self.git(["add", "-A"]);
        self.git(["commit", "-q", "-m", message]);
    }

    /// A door of its own.
    pub fn rpc(&self) -> Rpc {
        Rpc::open(self)
    }

    /// Stores a plan and gives its id.
    #[track_caller]
    pub fn plan(&self, plan: &Plan) -> String {
        let planned = self.rpc().ok("plan", plan.params());
        let id = planned["plan_id"].as_str();
        id.unwrap_or_else(|| panic!("not stored: {:#}", planned["problems"])).to_owned()
    }

    /// Starts a plan that is stored.
    #[track_caller]
    pub fn dispatch(&self, plan: &str) -> Value {
        self.rpc().ok("dispatch", json!({"plan_id": plan}))
    }

    /// Stores a plan, starts it, and gives its id.
    #[track_caller]
    pub fn start(&self, plan: &Plan) -> String {
        let id = self.plan(plan);
        self.dispatch(&id);
        id
    }

    /// Waits until nothing was recorded for half a second. A conductor that is suspended while it writes
    /// keeps everybody from writing.
    pub fn settled(&self) {
        let mut rpc = self.rpc();
        let mut seq = rpc.ok("status", json!({}))["seq"].clone();
        loop {
            let next = rpc.ok("status", json!({"since_seq": seq, "wait_ms": 500}))["seq"].clone();
            if next == seq {
                break;
            }
            seq = next;
        }
    }

    /// Steers, and gives the answer.
    #[track_caller]
    pub fn control(&self, action: &str, target: &str) -> Value {
        self.rpc().ok("control", json!({"action": action, "target": target}))
    }

    /// Waits until a plan comes to rest and its conductor is gone, and gives the plan.
    #[track_caller]
    pub fn at_rest(&self, plan: &str) -> Value {
        let status = self.until(json!({"scope": "plan", "id": plan}), |status| {
            matches!(status["state"].as_str(), Some("done" | "failed" | "stopped"))
        });
        self.quiet();
        status
    }

    /// Waits until a task is in a state, and gives it with its attempts.
    #[track_caller]
    pub fn task_is(&self, plan: &str, task: &str, state: &str) -> Value {
        self.until(json!({"scope": "task", "id": format!("{plan}/{task}")}), |status| {
            status["state"] == state
        })
    }

    /// Asks for status again and again, each time something happened, until it is as wanted.
    #[track_caller]
    pub fn until(&self, params: Value, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut rpc = self.rpc();
        let deadline = Instant::now() + DEADLINE;
        let mut params = params;
        loop {
            let status = rpc.ok("status", params.clone());
            if is_so(&status) {
                return status;
            }
            if Instant::now() >= deadline {
                panic!("not so in time: {status:#}\n{}", self.story());
            }
            params["since_seq"] = status["seq"].clone();
            params["wait_ms"] = json!(2000);
        }
    }

    /// A task with its attempts, as it is now.
    #[track_caller]
    pub fn task(&self, plan: &str, task: &str) -> Value {
        self.rpc().ok("status", json!({"scope": "task", "id": format!("{plan}/{task}")}))
    }

    /// All events of a plan, or of all plans: kind and text.
    #[track_caller]
    pub fn events(&self, plan: Option<&str>) -> Vec<(String, String)> {
        let mut rpc = self.rpc();
        let mut cursor = "0".to_owned();
        let mut events = Vec::new();
        loop {
            let page =
                rpc.ok("status", json!({"scope": "events", "id": plan, "cursor": cursor, "limit": 500}));
            for event in page["events"].as_array().unwrap() {
                let text = |key: &str| event[key].as_str().unwrap().to_owned();
                events.push((text("kind"), text("text")));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return events,
            }
        }
    }

    /// All that is known, for a failing test.
    pub fn story(&self) -> String {
        let mut story = String::from("events:\n");
        for (kind, text) in self.events(None) {
            story.push_str(&format!("  {kind}: {text}\n"));
        }
        for process in self.processes() {
            story.push_str(&format!("  lives: {process}\n"));
        }
        let logs = fs::read_dir(self.state().join("log")).into_iter().flatten().flatten();
        for log in logs.map(|entry| entry.path()) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            story.push_str(&format!("{}:\n{text}", log.display()));
        }
        story
    }

    /// The tasks whose work is on a branch and not on `main`'s first commit, oldest first.
    pub fn landed_on(&self, branch: &str) -> Vec<String> {
        let log = self.git([
            "log",
            "--reverse",
            "--format=%(trailers:key=Kapell-Task,valueonly,separator=%x2C)",
            branch,
        ]);
        log.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The tasks that landed for a plan, oldest first.
    pub fn landed(&self, plan: &str) -> Vec<String> {
        self.landed_on(&format!("kapell/{plan}"))
    }

    /// What a file holds on the branch that collects a plan's work.
    pub fn on_branch(&self, plan: &str, path: &str) -> String {
        self.git(["show", &format!("kapell/{plan}:{path}")])
    }

    /// The names of the refs below a prefix.
    pub fn refs(&self, prefix: &str) -> Vec<String> {
        self.git(["for-each-ref", "--format=%(refname)", prefix]).lines().map(str::to_owned).collect()
    }

    /// The folders of attempts that are still there.
    pub fn worktrees(&self) -> Vec<PathBuf> {
        let projects = fs::read_dir(self.state().join("worktrees")).into_iter().flatten().flatten();
        let folders =
            projects.flat_map(|project| fs::read_dir(project.path()).into_iter().flatten().flatten());
        let mut found: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
        found.retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"a-")));
        found
    }

    /// The folder of an attempt's shim.
    pub fn run_dir(&self, attempt: &str) -> PathBuf {
        self.state().join("run").join(attempt)
    }

    /// The pid of the shim of an attempt that runs.
    #[track_caller]
    pub fn shim(&self, attempt: &str) -> Process {
        let run_dir = self.run_dir(attempt);
        let shims = self.processes().into_iter().filter(|process| {
            process.is_leader()
                && process.words.get(1).is_some_and(|word| word == "shim")
                && process.words.get(2).is_some_and(|word| Path::new(word) == run_dir)
        });
        let mut shims: Vec<Process> = shims.collect();
        assert_eq!(shims.len(), 1, "shims of {attempt}: {shims:?}");
        shims.remove(0)
    }

    /// The conductor of a plan.
    #[track_caller]
    pub fn conductor(&self, plan: &str) -> Process {
        let conducts = |process: &Process| {
            process.is_leader() && process.words.get(1..3).is_some_and(|words| words == ["conduct", plan])
        };
        let mut found: Vec<Process> = self.processes().into_iter().filter(conducts).collect();
        assert_eq!(found.len(), 1, "conductors of {plan}: {found:?}\n{}", self.story());
        found.remove(0)
    }
}

/// When git's call is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before git does anything.
    Before,
    /// After it did everything.
    After,
}
