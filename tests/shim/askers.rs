//! Who may tell a shim something, and who keeps it going.

use super::*;
use kapell::sys::process::life;
use kapell::sys::process::tree::identity;
use std::process::Stdio;

#[test]
fn a_worker_has_no_say_over_the_shim_of_another() {
    let bench = Bench::new();
    bench.start(&bench.sh("echo up > up; read go < down"));
    assert_eq!(bench.hear(), "up");
    // The part asks the run above, from another run beside it.
    let beside = bench.run.with_file_name("beside");
    client::start(&kapell(), &beside, &bench.player("asker")).unwrap();
    let ended = in_time("end of the other", move || client::wait(&beside).unwrap());
    let Ended::Exit(exit) = ended else { panic!("{ended:?}") };
    assert_eq!((exit.ended, exit.code), (Cause::Exited, Some(0)));
    assert_eq!(bench.ask(Request::State).state.unwrap().phase, PhaseName::Running);
    bench.tell();
    assert_eq!(bench.exit().code, Some(0));
}

#[test]
fn a_run_ends_with_whoever_wants_its_answer() {
    let bench = Bench::new();
    let mut asker = spawn::program(Path::new("/bin/cat"), bench.top.path());
    let mut asker = asker.stdin(Stdio::piped()).spawn().unwrap();
    let mut job = bench.sh("echo up > up; read go < down");
    job.asker = identity(asker.id().cast_signed()).as_ref().map(life::proof_of);
    assert!(job.asker.is_some());
    bench.start(&job);
    assert_eq!(bench.hear(), "up");
    assert_eq!(bench.ask(Request::State).state.unwrap().phase, PhaseName::Running);
    asker.kill().unwrap();
    asker.wait().unwrap();
    let exit = bench.exit();
    assert_eq!(exit.ended, Cause::Stopped);
    assert!(exit.reason.unwrap().contains("whoever asked"));
}

#[test]
fn nothing_goes_on_for_an_asker_that_was_gone_before() {
    let bench = Bench::new();
    let mut asker = spawn::program(Path::new("/bin/true"), bench.top.path()).spawn().unwrap();
    let mut job = bench.sh("read go < down");
    job.asker = identity(asker.id().cast_signed()).as_ref().map(life::proof_of);
    asker.wait().unwrap();
    assert_eq!(bench.run(&job).ended, Cause::Stopped);
}
