//! Real programs, run to their ends.

use std::os::unix::ffi::OsStringExt as _;

use proptest::prelude::*;

use super::*;
use crate::sys::process::tree::Handle;

fn sh(script: &str) -> Command {
    let mut command = program("/bin/sh", Path::new("/"));
    command.env("PATH", "/usr/bin:/bin").args(["-c", script]);
    command
}

fn within(timeout_ms: u64) -> Limits {
    Limits {
        timeout: Some(Duration::from_millis(timeout_ms)),
        grace: Duration::from_millis(100),
        ..Limits::default()
    }
}

/// The process that `output` names ends, if it has not yet.
fn check_gone(output: &Captured) {
    let pid: i32 = output.to_text().trim().parse().unwrap();
    if let Some(handle) = Handle::open(pid).unwrap() {
        assert!(handle.wait_for_end(Duration::from_secs(10)).unwrap(), "{pid} lives on");
    }
}

#[test]
fn a_program_ends_as_it_ends() {
    let cases = [
        ("exit 0", End::Exited(0)),
        ("exit 7", End::Exited(7)),
        ("kill -9 $$", End::Signaled(9)),
        ("kill -TERM $$", End::Signaled(15)),
    ];
    for (script, end) in cases {
        assert_eq!(run(&mut sh(script), b"", &Limits::default()).unwrap().end, end, "{script}");
    }
}

#[test]
fn the_streams_are_apart_and_the_environment_is_empty() {
    let output = run(&mut sh("echo out; echo err >&2; env | grep -c HOME"), b"", &Limits::default()).unwrap();
    assert_eq!(output.stdout.to_text(), "out\n0\n");
    assert_eq!(output.stderr.to_text(), "err\n");
}

#[test]
fn input_larger_than_a_pipe_comes_back_whole() {
    let input: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    let output = run(&mut sh("cat"), &input, &Limits::default()).unwrap();
    assert_eq!(output.stdout.omitted(), 0);
    assert!(output.stdout.into_bytes() == input);
}

#[test]
fn a_program_need_not_read_its_input() {
    let output = run(&mut sh("exit 3"), &vec![b'x'; 1 << 20], &Limits::default()).unwrap();
    assert_eq!(output.end, End::Exited(3));
}

#[test]
fn the_beginning_and_the_end_of_much_output_are_kept() {
    let limits = Limits { max_output: 1000, ..Limits::default() };
    let output = run(&mut sh("seq 100000"), b"", &limits).unwrap().stdout;
    assert_eq!(output.total(), 588_895);
    assert_eq!(output.omitted(), 588_895 - 1000);
    let text = output.to_text();
    assert!(text.starts_with("1\n2\n") && text.ends_with("\n100000\n"), "{text}");
    assert!(text.contains("587895 bytes omitted"), "{text}");
}

#[test]
fn arguments_need_not_be_text() {
    let mut command = program("/bin/sh", Path::new("/"));
    command.args(["-c", "printf %s \"$1\"", "sh"]).arg(OsString::from_vec(b"a \"'\n\xff".to_vec()));
    let output = run(&mut command, b"", &Limits::default()).unwrap();
    assert_eq!(output.stdout.into_bytes(), b"a \"'\n\xff");
}

#[test]
fn what_cannot_start_is_named() {
    let missing = run(&mut program("/no/such program", Path::new("/")), b"", &Limits::default());
    assert!(missing.unwrap_err().to_string().contains("`/no/such program` in /"));
    let nowhere = run(&mut program("/bin/true", Path::new("/no/folder")), b"", &Limits::default());
    assert!(nowhere.unwrap_err().to_string().contains("/no/folder"));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_left_in_the_group_neither_delays_the_end_nor_outlives_it() {
    let output = run(&mut sh("sleep 1000 & echo $!"), b"", &Limits::default()).unwrap();
    assert_eq!(output.end, End::Exited(0));
    check_gone(&output.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn past_its_time_all_of_it_is_killed() {
    let scripts = [
        "sleep 1000 & echo $!; wait",
        // In a session of its own, where no signal to the group comes.
        "setsid sleep 1000 & echo $!; wait",
        // Deaf to the first signal, both of them.
        "trap '' TERM; setsid sh -c 'sleep 1000; sleep 1000' & echo $!; wait; sleep 1000",
    ];
    for script in scripts {
        let output = run(&mut sh(script), b"", &within(300)).unwrap();
        assert_eq!(output.end, End::TimedOut, "{script}");
        assert!(output.duration < Duration::from_secs(100), "{script}");
        check_gone(&output.stdout);
    }
}

#[test]
fn the_grace_is_for_cleaning_up() {
    let limits = Limits { grace: Duration::from_secs(60), ..within(300) };
    let output = run(
        &mut sh("trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.01; done"),
        b"",
        &limits,
    );
    let output = output.unwrap();
    assert_eq!(output.end, End::TimedOut);
    assert_eq!(output.stdout.to_text(), "ready\ncleaned\n");
}

proptest! {
    #[test]
    fn however_it_comes_the_same_is_kept(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12),
        keep in 0_usize..40,
    ) {
        let mut captured = Captured::new(keep);
        for chunk in &chunks {
            captured.push(chunk);
        }
        let all = chunks.concat();
        prop_assert_eq!(captured.total(), all.len() as u64);
        prop_assert_eq!(captured.omitted(), all.len().saturating_sub(keep) as u64);
        let expected = if all.len() <= keep {
            all
        } else {
            let tail = keep - keep / 2;
            [&all[..keep / 2], &all[all.len() - tail..]].concat()
        };
        prop_assert_eq!(captured.into_bytes(), expected);
    }
}

#[test]
fn what_is_detached_tells_its_end_and_is_no_descendant() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let script: Vec<OsString> = ["-c", "echo $$ $PPID"].map(OsString::from).into();
    let (sender, ended) = std::sync::mpsc::channel();
    let on_end = move || sender.send(()).unwrap();
    let pid = detach(Path::new("/bin/sh"), &script, folder.path(), [], &log, on_end).unwrap();
    ended.recv_timeout(Duration::from_secs(60)).unwrap();
    let told = std::fs::read_to_string(&log).unwrap();
    let (own, parent) = told.trim().split_once(' ').unwrap();
    assert_eq!(own.parse::<u32>().unwrap(), pid);
    if cfg!(target_os = "linux") {
        assert_ne!(parent.parse::<u32>().unwrap(), std::process::id());
    }
}

#[test]
fn what_cannot_be_detached_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (sender, ended) = std::sync::mpsc::channel::<()>();
    let on_end = move || sender.send(()).unwrap();
    let refused = detach(Path::new("/no/such program"), &[], folder.path(), [], &log, on_end).unwrap_err();
    let told = format!("{refused} {:?}", std::error::Error::source(&refused));
    assert!(told.contains("`/no/such program`") && told.contains("No such file"), "{told}");
    assert!(ended.recv().is_err(), "what never began has no end");
}
