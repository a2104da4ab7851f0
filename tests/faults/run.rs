//! One plan under one fault, and what came of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Output;
use std::sync::Mutex;

use kapell::base::failpoint::Point;
use serde_json::{Value, json};

use crate::bench::{Bench, KAPELL, Plan, task};
use crate::sound;

/// The tasks of the plan, sorted.
const TASKS: [&str; 4] = ["a", "b", "c", "d"];

/// How often a plan that a fault brought down is dispatched again. The fault is gone by then: once is
/// enough, unless the first finds the plan failed by its own conductor a moment later.
const AGAIN: usize = 2;

/// As much as a plan of a few tasks may log, in bytes, whatever goes wrong.
const LARGEST_LOG: u64 = 64 * 1024;

/// A plan that was run under a fault.
pub struct Run {
    pub bench: Bench,
    /// Its id.
    pub plan: String,
    /// What each round was armed with.
    faults: Vec<String>,
}

/// Two tasks side by side and one after them, judged by one command; what is landed on top of
/// something else is proved by it again. The second leaves a worktree that cannot be a spare, and the
/// last finds one.
fn plan(bench: &Bench) -> Plan {
    let tasks = [
        task("a", &["a.txt", "shared/a/"], &["write a.txt half", "write shared/a/x x", "write a.txt a"]),
        task("b", &["b.txt"], &["write b.txt b", "chmod 700 src"]),
        task("c", &["c.txt", "README"], &["append README c", "write c.txt c"]).after(&["a", "b"]),
        task("d", &["d.txt"], &["write d.txt d"]).after(&["c"]),
    ];
    Plan::new(tasks).rule("build", bench.gate(&["exit 0"]))
}

impl Run {
    /// Plans, and dispatches while no file may grow beyond so many blocks of 512 bytes: what is written
    /// then fails in the system itself, in Kapell as in git and the workers.
    pub fn squeezed(blocks: u32) -> Self {
        let bench = Bench::new();
        let plan = bench.plan(&plan(&bench));
        // Without the trap the signal of the limit would kill instead.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let mut command = bench.command("/bin/sh");
        command.args(["-c", &script, "sh", KAPELL, "dispatch", "--plan-id", &plan]);
        command.output().unwrap();
        bench.quiet();
        Self { bench, plan, faults: vec![format!("ulimit -f {blocks}")] }
    }

    /// Plans and dispatches while the fault is armed, and lets everything come to its end; then
    /// dispatches again under the next, as long as there are any.
    pub fn under(faults: &[&str]) -> Self {
        let bench = Bench::new();
        let wanted = plan(&bench);
        fs::write(bench.root.join("plan.json"), wanted.params()["plan"].to_string()).unwrap();
        let faults: Vec<String> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        let mut run = Self { bench, plan: String::new(), faults };
        let file = run.bench.root.join("plan.json");
        let planned = run.armed(0, &["plan", file.to_str().unwrap(), "--json"]);
        let id = serde_json::from_slice::<Value>(&planned.stdout)
            .ok()
            .and_then(|planned| Some(planned["plan_id"].as_str()?.to_owned()));
        run.plan = id.unwrap_or_else(|| run.bench.plan(&wanted));
        for round in 0..run.faults.len() {
            run.armed(round, &["dispatch", "--plan-id", &run.plan]);
            run.bench.quiet();
        }
        run
    }

    /// A command of a person, armed.
    fn armed(&self, round: usize, words: &[&str]) -> Output {
        let mut command = self.bench.command(KAPELL);
        command.args(words).env("KAPELL_FAILPOINT", &self.faults[round]);
        command.env("KAPELL_FAILPOINT_LOG", self.bench.root.join(format!("fired-{round}")));
        command.output().unwrap()
    }

    /// Whether the point did something in the first round.
    pub fn reached(&self, point: Point) -> bool {
        let log = fs::read_to_string(self.bench.root.join("fired-0")).unwrap_or_default();
        log.lines().any(|line| line == point.name())
    }

    /// Dispatches again, without the fault, until the plan is done, and looks whether all is sound.
    #[track_caller]
    pub fn ends_well(&self) {
        for _ in 0..AGAIN {
            if self.state() == "done" {
                break;
            }
            // It may say that the plan is done, or is being run, by now.
            let _ = self.bench.rpc().call("dispatch", json!({"plan_id": self.plan}));
            self.bench.at_rest(&self.plan);
        }
        assert_eq!(self.state(), "done", "{}", self.story());
        let mut landed = self.bench.landed(&self.plan);
        landed.sort();
        assert_eq!(landed, TASKS, "{}", self.story());
        for (path, holds) in
            [("a.txt", "a"), ("shared/a/x", "x"), ("b.txt", "b"), ("c.txt", "c"), ("d.txt", "d")]
        {
            assert_eq!(self.bench.on_branch(&self.plan, path), holds, "{path}\n{}", self.story());
        }
        if !self.bench.worktrees().is_empty() {
            // What could not be put away when its task was done, the project's next conductor does.
            let next = self.bench.start(&Plan::new([task("next", &["next.txt"], &["write next.txt x"])]));
            self.bench.at_rest(&next);
        }
        let left = self.bench.worktrees();
        assert!(left.is_empty(), "{left:?} are left\n{}", self.story());
        let log = self.bench.state().join("log").join(format!("{}.log", self.plan));
        let logged = fs::metadata(log).map_or(0, |log| log.len());
        assert!(
            logged < LARGEST_LOG,
            "{logged} bytes of log: it was tried again and again\n{}",
            self.story()
        );
        let wrong = sound::faults(&self.bench, &self.plan);
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), self.story());
    }

    fn state(&self) -> String {
        let status = self.bench.rpc().ok("status", json!({"scope": "plan", "id": self.plan}));
        status["state"].as_str().unwrap().to_owned()
    }

    /// All that is known, for a failing test.
    pub fn story(&self) -> String {
        format!("armed with {:?}\n{}", self.faults, self.bench.story())
    }
}

/// Does each of the cases, some at once, and fails with all that failed.
pub fn each<T: Sync>(cases: &[T], name: impl Fn(&T) -> String + Sync, case: impl Fn(&T) + Sync) {
    let next = Mutex::new(cases.iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(at) = next.lock().unwrap().next() else { return };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(at))) {
                        let why = panic.downcast_ref::<String>().cloned();
                        failed.lock().unwrap().push(format!("{}: {}", name(at), why.unwrap_or_default()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed\n\n{}", failed.len(), failed.join("\n\n"));
}
