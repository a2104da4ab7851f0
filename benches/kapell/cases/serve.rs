//! `kapell serve` under load: requests at a steady rate, while many follow the events and some happen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Around;
use crate::figure::{Amount, Figure};
use crate::place::{KAPELL, Place};
use crate::server::Door;

const CASE: &str = "serve";
/// Requests in a second, over these connections.
const RATE: u32 = 200;
const CONNECTIONS: u32 = 20;
/// Who follow the events.
const FOLLOWERS: usize = 100;
/// An event each so often.
const EVENT_EACH: Duration = Duration::from_millis(100);
/// What a dashboard asks, one after another.
const PATHS: [&str; 6] =
    ["/api/overview", "/api/plans", "/api/claims?limit=20", "/api/workers", "/api/queue", "/healthz"];
/// What takes longer does not happen any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server; ended when this is dropped.
struct Served {
    child: Child,
    address: String,
    token: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(place: &Place) -> Result<Self> {
        let mut child = place
            .command(KAPELL, &["serve", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it prints")?).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)?;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        let token = std::fs::read_to_string(text("token_file"))?.trim().to_owned();
        Ok(Self { child, address: text("url").replace("http://", ""), token })
    }

    fn ask(&self, stream: &mut TcpStream, path: &str) -> Result<()> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
            self.address, self.token
        );
        Ok(stream.write_all(head.as_bytes())?)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

/// Measures.
pub fn run(around: &Around) -> Result<Vec<Figure>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let length = if around.quick { Duration::from_secs(6) } else { Duration::from_secs(30) };
    let place = Place::new(&around.folder, 20)?;
    let mut door = Door::Inside(place.client());
    let tasks: Vec<Value> = (0..200)
        .map(|number| json!({"id": number, "task": "Work", "files": [format!("out/{number}.txt")]}))
        .collect();
    let rules = json!({"spec_first": false, "tdd": false});
    let (stored, _) = door.call("plan", json!({"plan": {"name": "many", "tasks": tasks, "rules": rules}}))?;
    ensure!(stored["plan_id"].is_string(), "the plan is refused: {stored}");
    let served = Arc::new(Served::start(&place)?);
    let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..FOLLOWERS).map(|_| AtomicUsize::new(0)).collect());
    for number in 0..FOLLOWERS {
        let mut stream = served.connect()?;
        served.ask(&mut stream, "/api/events")?;
        let mut lines = BufReader::new(stream);
        // It follows from the moment at which it is told so.
        loop {
            let mut line = String::new();
            ensure!(lines.read_line(&mut line)? > 0, "a follower is not served");
            if line.starts_with("event: open") {
                break;
            }
        }
        let counts = counts.clone();
        // It ends with the server.
        thread::spawn(move || {
            for line in lines.lines() {
                let Ok(line) = line else { return };
                if line.starts_with("data: {\"seq\":") && line.contains("\"kind\":") {
                    counts[number].fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let times = Arc::new(Mutex::new(Vec::new()));
    let began = Instant::now();
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (served, times) = (served.clone(), times.clone());
            thread::spawn(move || ask_steadily(&served, number, began, length, &times))
        })
        .collect();
    thread::sleep(Duration::from_secs(3).min(length / 3));
    let early = served.resident()?;
    let mut events = 0;
    while began.elapsed() < length {
        door.call("claim-files", json!({"paths": [format!("new/{events}.txt")]}))?;
        events += 1;
        thread::sleep(EVENT_EACH);
    }
    for asked in asking {
        asked.join().map_err(|_| anyhow::anyhow!("a client failed"))??;
    }
    let late = served.resident()?;
    // The last event is on its way at most.
    let deadline = Instant::now() + PATIENCE;
    let missed =
        || counts.iter().map(|count| events - count.load(Ordering::Relaxed).min(events)).sum::<usize>();
    while missed() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    times.sort_unstable();
    let at = |hundredths: usize| times[(times.len() * hundredths / 100).min(times.len() - 1)];
    ensure!(!times.is_empty(), "nobody was answered");
    let rate = times.len() as f64 / length.as_secs_f64();
    let whole =
        format!("{} asked over {} s, {FOLLOWERS} follow {events} events", times.len(), length.as_secs());
    Ok(vec![
        Figure::told(CASE, "an answer, 99 of 100 within", Amount::Time(at(99)))
            .limited(Amount::Time(Duration::from_millis(50)))
            .noting(format!("half within {:.1} ms; {whole}", at(50).as_secs_f64() * 1e3)),
        Figure::told(CASE, "answers, asked at a steady rate", Amount::PerSecond(rate)),
        Figure::told(CASE, "events that a follower missed", Amount::Count(missed() as u64, "events"))
            .limited(Amount::Count(0, "events")),
        Figure::told(
            CASE,
            "resident memory that came on while it was so",
            Amount::Bytes(late.saturating_sub(early)),
        )
        .limited(Amount::Bytes(4 << 20))
        .noting(format!("{:.1} MiB in the end", late as f64 / 1048576.0)),
    ])
}

/// Asks at the times at which it is to be asked, whether the answer before came or not, so that what waits
/// for a slow answer counts as waiting.
fn ask_steadily(
    served: &Served,
    number: u32,
    began: Instant,
    length: Duration,
    times: &Mutex<Vec<Duration>>,
) -> Result<()> {
    let step = Duration::from_secs(1) * CONNECTIONS / RATE;
    let mut due = Duration::from_secs(1) * number / RATE;
    let mut stream = served.connect()?;
    let mut round = number as usize;
    while due < length {
        thread::sleep(due.saturating_sub(began.elapsed()));
        served.ask(&mut stream, PATHS[round % PATHS.len()])?;
        read_answer(&mut stream)?;
        let time = began.elapsed().saturating_sub(due);
        times.lock().unwrap_or_else(PoisonError::into_inner).push(time);
        (due, round) = (due + step, round + 1);
    }
    Ok(())
}

/// Reads one answer, which has to be a good one.
fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 1 << 14];
    loop {
        let read = stream.read(&mut part)?;
        ensure!(read > 0, "the connection ended");
        bytes.extend_from_slice(&part[..read]);
        let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "{head}");
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if bytes.len() - at - 4 >= length.context("an answer has a length")? {
            return Ok(());
        }
    }
}
