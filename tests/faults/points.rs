//! Each fail point by itself.

use kapell::base::failpoint::Point;

use crate::run::{Run, each};

/// One run for every point of the list, so that none is there which no run comes to.
fn at_every_point(action: &str) {
    each(
        Point::ALL,
        |point| format!("{}:{action}", point.name()),
        |point| {
            let run = Run::under(&format!("{}:{action}", point.name()));
            assert!(run.fired().contains(&point.name().to_owned()), "never reached\n{}", run.story());
            run.ends_well();
        },
    );
}

#[test]
fn killed() {
    at_every_point("kill");
}

#[test]
fn killed_the_second_time() {
    let again: Vec<Point> = Point::ALL.iter().copied().filter(|point| comes_twice(*point)).collect();
    each(
        &again,
        |point| format!("{}:kill@2", point.name()),
        |point| {
            let run = Run::under(&format!("{}:kill@2", point.name()));
            assert!(run.fired().contains(&point.name().to_owned()), "never reached\n{}", run.story());
            run.ends_well();
        },
    );
}

/// Whether one process passes the point more than once in a plan of several tasks.
fn comes_twice(point: Point) -> bool {
    let once = ["store.made", "migration.", "dispatch.", "conductor.", "shim."];
    !once.iter().any(|prefix| point.name().starts_with(prefix))
}

#[test]
fn failed() {
    at_every_point("error");
}

#[test]
fn the_disk_is_full_from_there_on() {
    at_every_point("enospc@1+");
}

#[test]
fn permission_is_lost_from_there_on() {
    at_every_point("eacces@1+");
}

#[test]
fn the_clock_jumps_a_day_on() {
    at_every_point("clock+86400");
}

#[test]
fn the_clock_jumps_a_day_back() {
    at_every_point("clock-86400");
}
