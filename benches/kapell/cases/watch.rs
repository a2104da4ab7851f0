//! What it costs to look on: the registry, those who follow the log, `kapell top`, and the processes that are
//! looked at, with as many workers as the largest fleet of the examples.

use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Around;
use crate::figure::{Amount, Figure};
use crate::place::{KAPELL, Place};
use crate::rounds::{Rounds, median, timed};
use crate::server::Door;

const CASE: &str = "watch";
const WORKERS: usize = 26;
/// Says something else each second.
const WORKER: &str =
    r#"while :; do i=$((i+1)); echo '{"kapell":"progress","text":"step '$i'"}'; sleep 1; done"#;
/// How long processor time is added up.
const WATCHED: Duration = Duration::from_secs(10);
/// What is shown within this is shown at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let place = Place::new(&around.folder, 20)?;
    let worker = place.project.with_file_name("worker.sh");
    fs::write(&worker, WORKER)?;
    place.configure(&format!(
        "[project]\nisolation = \"shared\"\nmax_workers = {WORKERS}\n[rules]\nspec_first = false\ntdd = false\n\
         [providers.busy]\nkind = \"command\"\ncommand = [\"sh\", {worker:?}]\n"
    ))?;
    let mut figures = idle(&place)?;
    let tasks: Vec<Value> = (0..WORKERS)
        .map(|number| json!({"id": number, "task": "Work", "files": [format!("out/{number}.txt")]}))
        .collect();
    let mut door = Door::Inside(place.client());
    let (stored, _) = door.call("plan", json!({"plan": {"name": "busy", "tasks": tasks}}))?;
    let plan =
        stored["plan_id"].as_str().with_context(|| format!("the plan is refused: {stored}"))?.to_owned();
    let (started, _) = door.call("dispatch", json!({"plan_id": plan}))?;
    let conductor = started["conductor"]["pid"].as_u64().context("somebody conducts it")?;
    let measured = busy(around, &place, &mut door, &plan, conductor);
    door.call("control", json!({"action": "stop", "target": plan, "force": true}))?;
    let began = Instant::now();
    while fs::metadata(format!("/proc/{conductor}")).is_ok() && began.elapsed() < PATIENCE {
        pause(Duration::from_millis(50));
    }
    figures.extend(measured?);
    Ok(figures)
}

/// Those who follow while nothing happens.
fn idle(place: &Place) -> Result<Vec<Figure>> {
    // The database is made, and everybody has looked.
    place.command(KAPELL, &["status"]).output()?;
    let mut figures = Vec::new();
    for words in [&["events", "--follow"][..], &["status", "--watch"]] {
        let looking = Looking::new(place.command(KAPELL, words))?;
        let used = looking.used(looking.pid())?;
        figures.push(share(format!("kapell {}, nothing happens", words.join(" ")), used, 0.005));
    }
    if let Some(top) = top(place)? {
        let used = top.used(top.program()?)?;
        figures.push(share("kapell top, nothing happens", used, 0.005));
    }
    Ok(figures)
}

fn busy(around: &Around, place: &Place, door: &mut Door, plan: &str, conductor: u64) -> Result<Vec<Figure>> {
    let began = Instant::now();
    loop {
        let (status, _) = door.call("status", json!({"scope": "plan", "id": plan}))?;
        if status["running"] == WORKERS {
            break;
        }
        ensure!(began.elapsed() < 3 * PATIENCE, "the workers do not all start: {status:#}");
        pause(Duration::from_millis(100));
    }
    let mut figures = Vec::new();
    let list = || -> Result<Duration> {
        let (output, time) = timed(|| Ok(place.command(KAPELL, &["list"]).output()?))?;
        ensure!(output.status.success() && !output.stdout.is_empty(), "kapell list: {output:?}");
        Ok(time)
    };
    let rounds = Rounds::take(around.rounds(20), 3, &mut [Box::new(list)])?;
    figures.push(
        Figure::told(CASE, "kapell list, from its start to its end", Amount::Time(rounds.median(0)?))
            .limited(Amount::Time(Duration::from_millis(10)))
            .noting(format!("99 of 100 within {:.1} ms", rounds.slow(0).as_secs_f64() * 1e3)),
    );
    let mut followers =
        vec![("kapell events --follow", Looking::new(place.command(KAPELL, &["events", "--follow"]))?)];
    if let Some(top) = top(place)? {
        figures.push(share(format!("kapell top, {WORKERS} workers busy"), top.used(top.program()?)?, 0.03));
        followers.push(("kapell top", top));
    }
    for (number, (name, looking)) in followers.iter_mut().enumerate() {
        let mut times = Vec::new();
        for round in 0..around.rounds(20) {
            // A letter that was never on its screen before, so that it is drawn as it is.
            let letter = char::from_u32((0x4e00 + 256 * number + round) as u32).context("it is a letter")?;
            door.call("claim-files", json!({"paths": [format!("new/{letter}.txt")]}))?;
            let recorded = Instant::now();
            looking.shows(&letter.to_string())?;
            times.push(recorded.elapsed());
            pause(Duration::from_millis(120));
        }
        figures.push(
            Figure::told(CASE, format!("an event of another process on the screen of {name}"), {
                Amount::Time(times.iter().max().copied().unwrap_or_default())
            })
            .limited(Amount::Time(Duration::from_millis(100)))
            .noting(format!("the longest; the median is {:.1} ms", median(&times)?.as_secs_f64() * 1e3)),
        );
    }
    let largest = shims(place)?.into_iter().map(resident).collect::<Result<Vec<_>>>()?;
    figures.push(
        Figure::told(
            CASE,
            format!("memory of a conductor with {WORKERS} workers"),
            Amount::Bytes(resident(conductor)?),
        )
        .limited(Amount::Bytes(12 << 20)),
    );
    figures.push(
        Figure::told(
            CASE,
            "memory of the largest of their shims",
            Amount::Bytes(largest.iter().max().copied().unwrap_or(0)),
        )
        .limited(Amount::Bytes(4 << 20))
        .noting(format!("of {}", largest.len())),
    );
    ensure!(largest.len() >= WORKERS, "{} shims are there", largest.len());
    Ok(figures)
}

/// A share of one processor.
fn share(name: impl Into<String>, used: Duration, most: f64) -> Figure {
    Figure::told(CASE, name, Amount::Time(used)).limited(Amount::Time(WATCHED.mul_f64(most))).noting(format!(
        "of {} s: {:.2} % of a processor",
        WATCHED.as_secs(),
        used.as_secs_f64() * 10.0
    ))
}

/// `kapell top` on a terminal that `script` makes; nothing where that is not installed.
fn top(place: &Place) -> Result<Option<Looking>> {
    if place.command("script", &["--version"]).output().is_err() {
        return Ok(None);
    }
    let inside = format!("stty rows 40 cols 120; exec '{KAPELL}' top");
    let mut command = place.command("script", &["-qfc", &inside, "/dev/null"]);
    command.env("TERM", "xterm-256color");
    let mut top = Looking::new(command)?;
    top.shows("events")?;
    Ok(Some(top))
}

/// A process that is looked at, and what it shows.
struct Looking {
    child: Child,
    /// What it showed, read as it comes: it never waits for whoever looks.
    came: Receiver<Vec<u8>>,
    shown: Vec<u8>,
}

impl Looking {
    fn new(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut stdout = child.stdout.take().context("it has an output")?;
        let (sender, came) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(read @ 1..) = stdout.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, came, shown: Vec::new() })
    }

    fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// The one process below it.
    fn program(&self) -> Result<u64> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        Ok(children.split_whitespace().next().context("it has a child")?.parse()?)
    }

    /// The processor time that a process takes while it is watched, after it has come to rest.
    fn used(&self, pid: u64) -> Result<Duration> {
        pause(Duration::from_secs(2));
        let before = processor_time(pid)?;
        pause(WATCHED);
        Ok(processor_time(pid)?.saturating_sub(before))
    }

    /// Waits until it shows a text, from what came since the last.
    fn shows(&mut self, text: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(at) = self.shown.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.shown.drain(..at + text.len());
                return Ok(());
            }
            let came = self.came.recv_timeout(PATIENCE.saturating_sub(began.elapsed()));
            self.shown.extend(came.with_context(|| format!("{text} is not shown"))?);
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        // The terminal goes with `script`, and with the terminal whoever is in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "it is measured what is used while time goes by")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// What all threads of a process have used, to the nanosecond.
fn processor_time(pid: u64) -> Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

fn resident(pid: u64) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Rss:")).context("it has resident memory")?;
    Ok(line.split_whitespace().nth(1).context("a figure")?.parse::<u64>()? << 10)
}

/// The shims of this place whose worker is at work; not those that wait for one.
fn shims(place: &Place) -> Result<Vec<u64>> {
    let state = place.state.as_os_str().as_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_here = words.windows(state.len()).any(|window| window == state);
        let is_shim = words.split(|byte| *byte == 0).nth(1) == Some(b"shim");
        let children =
            fs::read_to_string(entry.path().join(format!("task/{pid}/children"))).unwrap_or_default();
        if is_here && is_shim && !children.trim().is_empty() {
            found.push(pid);
        }
    }
    Ok(found)
}
