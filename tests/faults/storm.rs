//! Ten conductors on three repositories, with as many workers as a machine may have at once, while conductors
//! and doors are killed at random: at every moment the registry says what the process table says, and at the end
//! nothing is lost. `KAPELL_STORM_S` says how long, `KAPELL_SEED` which chances.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use kapell::base::clock::Time;
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL, Plan, Process, task};
use crate::dice::Dice;
use crate::seeds::number;
use crate::sound;

/// How long it storms in an ordinary run of the tests.
const SECONDS: u64 = 25;
/// Conductors at once, and over how many repositories they are spread.
const CONDUCTORS: usize = 10;
const REPOSITORIES: usize = 3;
/// Workers at once.
const WORKERS: usize = 26;
/// Tasks of each plan. One of them wants a folder that a task of every other plan of its repository wants too.
const TASKS: usize = 6;
/// A conductor that has run for this long is in the registry, on any machine.
const REGISTERS_WITHIN: Duration = Duration::from_secs(15);
/// Those who hold the registry against the process table.
const WATCHERS: usize = 2;
/// How many look on.
const LOOKERS: usize = 3;
/// Between two kills at least, and how much more at most.
const CALM: (Duration, usize) = (Duration::from_millis(150), 500);

/// A plan that was stored: its repository, its id and its tasks.
struct Stored {
    repository: usize,
    id: String,
    tasks: Vec<String>,
}

struct Storm {
    bench: Bench,
    repositories: Vec<PathBuf>,
    until: Instant,
    /// Doors of those who only look on.
    lookers: AtomicUsize,
    /// Nobody is killed any more.
    is_over: AtomicBool,
    plans: Mutex<Vec<Stored>>,
    /// Where the registry did not say what is so.
    lies: Mutex<Vec<String>>,
    looks: AtomicUsize,
    most_conductors: AtomicUsize,
    most_workers: AtomicUsize,
    killed: [AtomicUsize; 2],
}

/// A conductor in the process table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Running {
    pid: i32,
    /// In ticks since the machine began.
    start: u64,
    plan: String,
}

impl Storm {
    fn new(seconds: u64) -> Self {
        let mut bench = Bench::new();
        bench.configure(&format!("[machine]\nmax_workers = {WORKERS}\n"));
        let first = bench.project.clone();
        let mut repositories = vec![first.clone()];
        for number in 1..REPOSITORIES {
            bench.project = bench.root.join(format!("repository {number}"));
            fs::create_dir(&bench.project).unwrap();
            bench.init();
            repositories.push(bench.project.clone());
        }
        for repository in &repositories {
            bench.project.clone_from(repository);
            bench.write("kapell.toml", "[project]\nmax_workers = 26\nmax_conductors = 10\n");
            bench.commit("configure");
        }
        bench.project = first;
        Self {
            bench,
            repositories,
            until: Instant::now() + Duration::from_secs(seconds),
            lookers: AtomicUsize::new(LOOKERS),
            is_over: AtomicBool::new(false),
            plans: Mutex::default(),
            lies: Mutex::default(),
            looks: AtomicUsize::new(0),
            most_conductors: AtomicUsize::new(0),
            most_workers: AtomicUsize::new(0),
            killed: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    fn is_storming(&self) -> bool {
        Instant::now() < self.until
    }

    /// A command of a person in one of the repositories: what it answered, or nothing if it was killed or refused.
    fn kapell(&self, repository: usize, words: &[&str]) -> Option<Value> {
        let output = self.door(repository, words).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then(|| serde_json::from_str(&lines).ok())?
    }

    fn door(&self, repository: usize, words: &[&str]) -> Command {
        let mut command = self.bench.command(KAPELL);
        command.current_dir(&self.repositories[repository]).args(words).arg("--json");
        command
    }

    /// One seat of a conductor: a plan after the other, each to its end.
    fn play(&self, seat: usize) {
        let repository = seat % REPOSITORIES;
        for round in 0.. {
            if !self.is_storming() {
                return;
            }
            let Some(stored) = self.store_plan(seat, repository, round) else { return };
            let id = stored.id.clone();
            self.plans.lock().unwrap().push(stored);
            self.carry_through(repository, &id);
        }
    }

    fn store_plan(&self, seat: usize, repository: usize, round: usize) -> Option<Stored> {
        let name = |number: usize| format!("s{seat}r{round}t{number}");
        let mut tasks = Vec::new();
        for number in 0..TASKS {
            let own = format!("{0}/{0}.txt", name(number));
            let write = format!("write {own} {}", name(number));
            let nap = format!("run sleep {}.{}", 1 + number % 3, seat);
            let common = format!("write common/{0}.txt {0}", name(number));
            let one = match number {
                0 => task(&name(0), &["common"], &[&nap, &common]),
                _ => task(&name(number), &[&own], &[&write, &nap]),
            };
            tasks.push(if number < 4 { one } else { one.after(&[&name(number - 2)]) });
        }
        let file = self.bench.root.join(format!("plan-{seat}-{round}.json"));
        let plan = Plan::new(tasks).with("name", json!(format!("s{seat}r{round}")));
        fs::write(&file, plan.params()["plan"].to_string()).unwrap();
        let deadline = Instant::now() + DEADLINE;
        // Its door may be killed, before or after the plan is stored.
        while Instant::now() < deadline {
            let planned = self.kapell(repository, &["plan", file.to_str().unwrap()]);
            if let Some(id) = planned.as_ref().and_then(|it| it["plan_id"].as_str()) {
                let tasks = (0..TASKS).map(name).collect();
                return Some(Stored { repository, id: id.to_owned(), tasks });
            }
        }
        self.lies.lock().unwrap().push(format!("{} could not be stored", file.display()));
        None
    }

    /// Dispatches, and again whenever nobody conducts it, as a person does who looks at the list.
    fn carry_through(&self, repository: usize, plan: &str) {
        let mut deadline = None;
        let mut seq = 0;
        loop {
            if !self.is_storming() && deadline.is_none() {
                deadline = Some(Instant::now() + DEADLINE);
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                self.lies.lock().unwrap().push(format!("{plan} did not come to its end"));
                return;
            }
            let since = seq.to_string();
            let words =
                ["status", "--scope", "plan", "--id", plan, "--wait-ms", "1000", "--since-seq", &since];
            let Some(status) = self.kapell(repository, &words) else { continue };
            seq = status["seq"].as_i64().unwrap_or_default();
            match status["state"].as_str() {
                Some("done") => return,
                // So is told one that died while nobody was at work.
                Some("stopped") => {}
                Some("failed") => {
                    self.lies.lock().unwrap().push(format!("{plan} is {status:#}"));
                    return;
                }
                _ => {}
            }
            if status["conductor"].is_null() {
                // It may be refused: somebody else, or it itself before it was killed, was quicker.
                self.kapell(repository, &["dispatch", "--plan-id", plan]);
            }
        }
    }

    /// Somebody who looks on, at another door each time, until it is killed.
    fn look_on(&self, number: usize) {
        let doors: [&[&str]; 3] = [
            &["status", "--watch"],
            &["events", "--follow"],
            &["status", "--scope", "conductors", "--watch"],
        ];
        let mut at = number;
        while self.is_storming() {
            let mut door = self.door(at % REPOSITORIES, doors[at % doors.len()]);
            let mut door = door.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            door.wait().unwrap();
            at += 1;
        }
        self.lookers.fetch_sub(1, Ordering::Release);
    }

    fn kill_at_random(&self, mut dice: Dice) {
        while self.is_storming() {
            pause(CALM.0 + Duration::from_millis(dice.roll(CALM.1) as u64));
            let is_door = dice.roll(3) == 0;
            let mut chosen: Vec<Process> = self.bench.processes();
            chosen.retain(|process| match is_door {
                true => {
                    is_called(process, &["plan", "dispatch", "status", "events", "list"])
                        && !is_witness(process)
                }
                false => process.is_leader() && is_called(process, &["conduct"]),
            });
            if !chosen.is_empty() {
                chosen[dice.roll(chosen.len())].kill();
                self.killed[usize::from(is_door)].fetch_add(1, Ordering::Relaxed);
            }
        }
        while self.lookers.load(Ordering::Acquire) > 0 {
            let mut looking = self.bench.processes();
            looking.retain(|process| is_called(process, &["status", "events"]) && !is_witness(process));
            looking.iter().for_each(Process::kill);
            pause(CALM.0);
        }
        self.is_over.store(true, Ordering::Release);
    }

    fn conductors(&self) -> BTreeSet<Running> {
        let mut found = BTreeSet::new();
        let mut workers = 0;
        for process in self.bench.processes() {
            workers += usize::from(process.words.first().is_some_and(|word| *word == "sleep"));
            if process.is_leader()
                && is_called(&process, &["conduct"])
                && !matches!(process.state(), 'Z' | 'X')
            {
                let Some(start) = start_of(process.pid) else { continue };
                let plan = process.words[2].to_string_lossy().into_owned();
                found.insert(Running { pid: process.pid, start, plan });
            }
        }
        self.most_workers.fetch_max(workers, Ordering::Relaxed);
        found
    }

    /// Holds the registry against the process table before and after.
    fn watch_the_registry(&self) {
        // Conductors that were in the list once, and lived.
        let mut known: BTreeMap<i32, u64> = BTreeMap::new();
        let mut at = 0;
        while !self.is_over.load(Ordering::Acquire) {
            at += 1;
            // What begins while the table is walked through may be missed.
            let asked_at = Time::now().as_millis();
            let before = self.conductors();
            let list = self.kapell(at % REPOSITORIES, &["list", "--all"]);
            let after = self.conductors();
            let Some(list) = list else { continue };
            let list = list["conductors"].as_array().unwrap();
            let wrong = self.compare(list, &before, &after, asked_at, &mut known);
            if !wrong.is_empty() {
                let told = format!("{}\nbefore {before:#?}\nafter {after:#?}", wrong.join("\n"));
                self.lies.lock().unwrap().push(told);
            }
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn compare(
        &self,
        list: &[Value],
        before: &BTreeSet<Running>,
        after: &BTreeSet<Running>,
        asked_at: i64,
        known: &mut BTreeMap<i32, u64>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut plans = BTreeSet::new();
        let mut live = 0;
        let mut told: BTreeMap<i32, Vec<&Value>> = BTreeMap::new();
        for row in list {
            let pid = row["pid"].as_i64().unwrap_or_default() as i32;
            told.entry(pid).or_default().push(row);
            let of = |running: &&Running| running.pid == pid && row["plan_id"] == *running.plan;
            if !is_live(row) {
                if row["fresh"] == true || !row["socket"].is_null() {
                    wrong.push(format!("it is over and offered: {row}"));
                }
                continue;
            }
            live += 1;
            if !plans.insert(row["plan_id"].as_str().unwrap_or_default()) {
                wrong.push(format!("two live conductors of one plan: {row}"));
            }
            let started = millis(&row["started_at"]);
            match before.iter().chain(after).find(of) {
                Some(running) => drop(known.insert(pid, running.start)),
                // What began after the first look may have ended before the second.
                None if started >= asked_at => {}
                None => wrong.push(format!("it is dead and listed as alive: {row}")),
            }
            if row["fresh"] != true {
                wrong.push(format!("it is alive and not fresh: {row}"));
            }
        }
        self.most_conductors.fetch_max(live, Ordering::Relaxed);
        for running in before.intersection(after) {
            let rows = told.get(&running.pid).map(Vec::as_slice).unwrap_or_default();
            let own: Vec<&&Value> = rows.iter().filter(|row| row["plan_id"] == *running.plan).collect();
            let was_known = known.get(&running.pid) == Some(&running.start);
            // The number may have been another conductor's before; the newest is the first in the list.
            match own.first() {
                Some(row) if row["state"] == "crashed" && was_known => {
                    wrong.push(format!("it is alive and listed as crashed: {running:?} {row}"));
                }
                None if running.age() > REGISTERS_WITHIN => {
                    wrong.push(format!("it is alive and not listed: {running:?}"));
                }
                _ => {}
            }
        }
        wrong
    }

    /// What is wrong after the storm.
    fn losses(&mut self) -> Vec<String> {
        let mut wrong = std::mem::take(&mut *self.lies.lock().unwrap());
        let plans = std::mem::take(&mut *self.plans.lock().unwrap());
        for (number, repository) in self.repositories.clone().into_iter().enumerate() {
            self.bench.project = repository;
            let own: Vec<&Stored> = plans.iter().filter(|plan| plan.repository == number).collect();
            for plan in &own {
                let mut landed = self.bench.landed(&plan.id);
                landed.sort();
                if landed != plan.tasks {
                    wrong.push(format!("of {} {landed:?} landed, not {:?}", plan.id, plan.tasks));
                    continue;
                }
                for (at, task) in plan.tasks.iter().enumerate() {
                    let folder = if at == 0 { "common" } else { task };
                    let holds = self.bench.on_branch(&plan.id, &format!("{folder}/{task}.txt"));
                    if holds != *task {
                        wrong.push(format!("{folder}/{task}.txt of {} holds {holds:?}", plan.id));
                    }
                }
            }
            let faults = own.iter().flat_map(|plan| sound::faults(&self.bench, &plan.id));
            wrong.extend(faults.collect::<BTreeSet<String>>());
        }
        wrong
    }
}

/// Whoever follows from the first moment on, and hears everything, once and in order.
struct Witness {
    door: Child,
    /// Its lines, as they come.
    heard: Receiver<String>,
}

impl Witness {
    fn of(storm: &Storm) -> Self {
        let mut door = storm.door(0, &["events", "--follow", "--all-projects", "--since", "0"]);
        let mut door = door.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(door.stdout.take().unwrap()).lines();
        let (say, heard) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        Self { door, heard }
    }

    /// What it did not hear as it was recorded.
    fn missed(mut self, storm: &Storm) -> Option<String> {
        let door = storm.door(0, &["events", "--all-projects", "--since", "0"]).output().unwrap();
        let recorded = String::from_utf8_lossy(&door.stdout).into_owned();
        let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64();
        let recorded: Vec<_> = recorded.lines().map(seq).collect();
        let deadline = Instant::now() + DEADLINE;
        let lines = (0..recorded.len())
            .map_while(|_| self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok());
        let heard: Vec<_> = lines.map(|line| seq(&line)).collect();
        self.door.kill().unwrap();
        self.door.wait().unwrap();
        let is_same = heard == recorded;
        (!is_same).then(|| format!("{} events were heard of {} recorded", heard.len(), recorded.len()))
    }
}

impl Running {
    fn age(&self) -> Duration {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let now: f64 = uptime.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        // Ticks of a hundredth of a second, everywhere that Linux runs.
        Duration::from_secs_f64((now - self.start as f64 / 100.0).max(0.0))
    }
}

/// When a process began, in ticks since the machine did; nothing of one that is gone.
fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the program's name: the state is field 3, the start is field 22 (proc(5)).
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

fn is_called(process: &Process, names: &[&str]) -> bool {
    process.words.len() > 2 && names.iter().any(|name| process.words[1] == *name)
}

/// Whether it is one of those who follow from the first event to the last, and are let live.
fn is_witness(process: &Process) -> bool {
    process.words.iter().any(|word| word == "--since")
}

#[expect(clippy::disallowed_methods, reason = "a storm takes its time")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn is_live(row: &Value) -> bool {
    matches!(row["state"].as_str(), Some("queued" | "running" | "paused" | "stopping"))
}

fn millis(time: &Value) -> i64 {
    Time::parse(time.as_str().unwrap_or_default()).map_or(0, Time::as_millis)
}

#[test]
fn the_registry_tells_the_truth_in_a_storm_and_nothing_is_lost() {
    let seconds = number("KAPELL_STORM_S").unwrap_or(SECONDS);
    let seed = number("KAPELL_SEED").unwrap_or(1);
    let mut storm = Storm::new(seconds);
    let witness = Witness::of(&storm);
    std::thread::scope(|scope| {
        let storm = &storm;
        for seat in 0..CONDUCTORS {
            scope.spawn(move || storm.play(seat));
        }
        for number in 0..LOOKERS {
            scope.spawn(move || storm.look_on(number));
        }
        for _ in 0..WATCHERS {
            scope.spawn(move || storm.watch_the_registry());
        }
        scope.spawn(move || storm.kill_at_random(Dice(seed)));
    });
    let unheard = witness.missed(&storm);
    // Whoever found that a plan did not come to its end has said so: nobody waits for it again.
    if storm.lies.lock().unwrap().is_empty() {
        storm.bench.quiet();
    }
    let mut wrong = storm.losses();
    wrong.extend(unheard);
    let count = |it: &AtomicUsize| it.load(Ordering::Relaxed);
    let told = format!(
        "KAPELL_STORM_S={seconds} KAPELL_SEED={seed}: {} conductors and {} doors killed, {} looks, at most {} conductors and {} workers at once",
        count(&storm.killed[0]),
        count(&storm.killed[1]),
        count(&storm.looks),
        count(&storm.most_conductors),
        count(&storm.most_workers),
    );
    println!("{told}");
    assert!(wrong.is_empty(), "{told}\n{}\n{}", wrong.join("\n"), storm.bench.story());
    assert!(count(&storm.looks) > 0 && count(&storm.killed[0]) > 0, "{told}");
}
