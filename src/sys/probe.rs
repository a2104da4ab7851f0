//! Short looks at the programs of this machine: where one lies, what lies behind it, what it says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its exit status; none if a signal ended it.
    pub status: Option<i32>,
    /// Its standard output, as text.
    pub stdout: String,
    /// Its standard error, as text.
    pub stderr: String,
}

/// The program of that name on `path`, which is written as `PATH` is.
pub fn find(name: &str, path: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        // An empty entry means the current folder; a program from there is nobody's choice.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| is_executable(program))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether the program is a script, told by its first two bytes.
pub fn is_script(program: &Path) -> bool {
    let mut start = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && &start == b"#!"
}

/// The program that an npm package's script starts: killing the script would leave it running.
/// Npm installs it in the package itself or in one beside it that is called `NAME-SYSTEM`.
pub fn behind_script(name: &str, script: &Path) -> Option<PathBuf> {
    let script = script.canonicalize().ok()?;
    let package = script.ancestors().find(|folder| {
        let parent = folder.parent();
        let is_modules = |folder: Option<&Path>| {
            folder.and_then(Path::file_name).is_some_and(|name| name == "node_modules")
        };
        let is_scope = parent
            .and_then(Path::file_name)
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
        is_modules(parent) || is_scope && is_modules(parent.and_then(Path::parent))
    })?;
    let scope = package.parent()?;
    let mut places = vec![package.to_owned()];
    let inner = package.join("node_modules");
    for folder in [scope.to_owned(), inner.join(scope.file_name()?), inner] {
        let mut beside: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let entry = path.file_name().and_then(|entry| entry.to_str()).unwrap_or_default();
                entry.strip_prefix(name).is_some_and(|tail| tail.starts_with('-')) && is_for_this_machine(entry)
            })
            .collect();
        // `codex-linux-x64` before `codex-linux-x64-baseline`.
        beside.sort_by_key(|path| path.as_os_str().len());
        places.extend(beside);
    }
    places.iter().find_map(|place| native_in(place, name, 6))
}

fn is_for_this_machine(package: &str) -> bool {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    package.contains(arch) && package.contains(system)
}

/// An executable `name` that is no script, at most `depth` folders down.
fn native_in(folder: &Path, name: &str, depth: usize) -> Option<PathBuf> {
    for called in [name.to_owned(), format!("{name}.exe")] {
        let path = folder.join(called);
        if is_executable(&path) && !is_script(&path) {
            return Some(path);
        }
    }
    if depth == 0 {
        return None;
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.file_name() != "node_modules")
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.iter().find_map(|folder| native_in(folder, name, depth - 1))
}

/// Runs a program with exactly this environment and without input, and hears what it says.
///
/// # Errors
/// It cannot be started, or it did not end within `limit`; then it and its process group are killed.
pub fn run(
    program: &Path,
    args: &[&str],
    cwd: &Path,
    environment: &BTreeMap<String, String>,
    limit: Duration,
) -> io::Result<Said> {
    #[expect(clippy::disallowed_methods, reason = "folder and environment are named right here")]
    let child = Command::new(program)
        .args(args)
        .current_dir(cwd)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (ended, end) = sync_channel(1);
    std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let _ = ended.send(child.wait_with_output());
    })?;
    match end.recv_timeout(limit) {
        Ok(output) => {
            let output = output?;
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Ok(Said { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
        }
        Err(RecvTimeoutError::Timeout) => {
            if let Some(group) = group {
                let _ = kill_process_group(group, Signal::KILL);
            }
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} did not end within {} s", program.display(), limit.as_secs()),
            ))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the waiting thread died")),
    }
}

/// Bytes and files that are free for this user on the file system of `path`.
pub fn free_space(path: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_favail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path, text: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn finds_only_what_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b b"));
        fs::create_dir_all(a.join("tool")).unwrap();
        program(&b.join("tool"), b"#!/bin/sh\n");
        fs::write(a.join("text"), "").unwrap();
        let path = format!(":relative:{}:{}", a.display(), b.display());
        assert_eq!(find("tool", &path), Some(b.join("tool")));
        assert_eq!(find("text", &path), None);
        assert_eq!(find("tool", ""), None);
        assert!(is_script(&b.join("tool")));
    }

    #[test]
    fn finds_the_program_behind_a_script_of_npm() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let modules = root.join("lib/node_modules");
        let arch = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        program(&modules.join("@openai/codex/bin/codex.js"), b"#!/usr/bin/env node\n");
        let native = modules.join(format!("@openai/codex-{system}-{arch}/vendor/triple/bin/codex"));
        program(&native, b"\x7fELF");
        program(&modules.join("@openai/codex-plan9-vax/bin/codex"), b"\x7fELF");
        fs::create_dir(root.join("bin")).unwrap();
        let link = root.join("bin/codex");
        std::os::unix::fs::symlink(modules.join("@openai/codex/bin/codex.js"), &link).unwrap();
        assert_eq!(behind_script("codex", &link), Some(native));
        // Without a package around it, a script is only a script.
        let lonely = root.join("bin/lonely");
        program(&lonely, b"#!/bin/sh\n");
        assert_eq!(behind_script("lonely", &lonely), None);
    }

    #[test]
    fn hears_a_program_and_gives_up_on_a_mute_one() {
        let folder = tempfile::tempdir().unwrap();
        let environment = BTreeMap::from([("WHO".to_owned(), "it's me".to_owned())]);
        let shell = Path::new("/bin/sh");
        let say = |script: &str, limit| run(shell, &["-c", script], folder.path(), &environment, limit);
        let said = say("printf %s \"$WHO\"; echo oh >&2; exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!(said, Said { status: Some(3), stdout: "it's me".into(), stderr: "oh\n".into() });
        let error = say("read never < /dev/zero; while :; do :; done", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let missing = run(Path::new("/no/such"), &[], folder.path(), &environment, Duration::from_secs(1));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
