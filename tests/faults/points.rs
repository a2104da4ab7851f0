//! Each fail point by itself.

use kapell::base::failpoint::Point;

use crate::run::{Run, each};

/// One run for each of the points. A point that no run comes to fails too.
fn at(points: &[Point], action: &str) {
    let fault = |point: &Point| format!("{}:{action}", point.name());
    each(points, fault, |point| {
        let run = Run::under(&[&fault(point)]);
        assert!(run.reached(*point), "never reached\n{}", run.story());
        run.ends_well();
    });
}

#[test]
fn killed() {
    at(&Point::of_tasks(), "kill");
}

#[test]
fn killed_the_second_time() {
    // What one process passes more than once in a plan of several tasks.
    let once = [
        "store.made",
        "migration.",
        "dispatch.",
        "conductor.",
        "shim.",
        "spare.",
        "worktree.trashed",
        "worktree.forgotten",
    ];
    let is_once = |point: &Point| once.iter().any(|prefix| point.name().starts_with(prefix));
    let points: Vec<Point> = Point::of_tasks().into_iter().filter(|point| !is_once(point)).collect();
    at(&points, "kill@2");
}

#[test]
fn killed_every_time() {
    at(&Point::of_tasks(), "kill@1+");
}

#[test]
fn failed() {
    at(&Point::of_tasks(), "error");
}

#[test]
fn the_disk_is_full_from_there_on() {
    at(&Point::of_tasks(), "enospc@1+");
}

#[test]
fn no_file_can_grow() {
    // From not even a lock to just before the end.
    let blocks = [0, 32, 128, 256, 320, 384, 512];
    each(&blocks, |blocks| format!("ulimit -f {blocks}"), |blocks| Run::squeezed(*blocks).ends_well());
}

#[test]
fn permission_is_lost_from_there_on() {
    at(&Point::of_tasks(), "eacces@1+");
}

#[test]
fn the_clock_jumps_a_day_on() {
    at(&Point::of_tasks(), "clock+86400");
}

#[test]
fn the_clock_jumps_a_day_back() {
    at(&Point::of_tasks(), "clock-86400");
}
