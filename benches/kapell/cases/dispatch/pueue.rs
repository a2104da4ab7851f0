//! The same through pueue, where it is installed: a daemon of our own with its own configuration.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kapell::base::clock::Time;
use kapell::sys::process::find::find_program;
use serde_json::Value;

use crate::place::{Place, search_path};

/// A daemon that does not answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many `true` a second pueue gets through two slots, from the first start to the last end that it
/// tells of; nothing where it is not installed.
pub fn drain(place: &Place, tasks: usize) -> Result<Option<f64>> {
    let path = search_path();
    let (Some(client), Some(daemon)) = (find_program("pueue", &path), find_program("pueued", &path)) else {
        return Ok(None);
    };
    let daemon = Daemon::start(place, client, &daemon)?;
    daemon.ask(&["parallel", "2"])?;
    daemon.ask(&["pause"])?;
    for _ in 0..tasks {
        daemon.ask(&["add", "--", "true"])?;
    }
    daemon.ask(&["start"])?;
    daemon.ask(&["wait", "--quiet"])?;
    let status: Value = serde_json::from_str(&daemon.ask(&["status", "--json"])?)?;
    let told = status["tasks"].as_object().context("pueue tells of its tasks")?;
    let time = |task: &Value, what: &str| -> Result<Time> {
        let text = task["status"]["Done"][what].as_str().with_context(|| format!("no {what} in {task}"))?;
        Time::parse(text).with_context(|| format!("{text} is no time"))
    };
    let started = told.values().map(|task| time(task, "start")).collect::<Result<Vec<_>>>()?;
    let ended = told.values().map(|task| time(task, "end")).collect::<Result<Vec<_>>>()?;
    ensure!(ended.len() == tasks, "pueue did {} of {tasks} tasks", ended.len());
    let (first, last) = (started.into_iter().min(), ended.into_iter().max());
    let took = last.context("it did some")?.millis_since(first.context("it did some")?);
    Ok(Some(tasks as f64 / (took as f64 / 1e3)))
}

/// A daemon that ends with this.
struct Daemon<'a> {
    place: &'a Place,
    client: PathBuf,
    config: PathBuf,
    process: Child,
}

impl<'a> Daemon<'a> {
    fn start(place: &'a Place, client: PathBuf, program: &Path) -> Result<Self> {
        let folder = place.project.with_file_name("pueue");
        std::fs::create_dir_all(&folder)?;
        let config = folder.join("pueue.yml");
        let at = serde_json::to_string(&folder)?;
        std::fs::write(
            &config,
            format!(
                "shared:\n  pueue_directory: {at}\n  runtime_directory: {at}\n  use_unix_socket: true\n\
                 client: {{}}\ndaemon: {{}}\n"
            ),
        )?;
        let mut command = place.command(&program.to_string_lossy(), &["-c", &config.to_string_lossy()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let daemon = Self { place, client, config, process };
        let began = Instant::now();
        loop {
            match daemon.ask(&["status"]) {
                Ok(_) => return Ok(daemon),
                Err(error) if began.elapsed() > PATIENCE => {
                    return Err(error.context("pueued does not answer"));
                }
                Err(_) => {}
            }
        }
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        let mut command = self.place.command(&self.client.to_string_lossy(), &["-c"]);
        let output = command.arg(&self.config).args(args).output()?;
        ensure!(output.status.success(), "pueue {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.ask(&["shutdown"]).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
