use std::io::{BufRead, BufReader, PipeWriter, Write, pipe};
use std::os::fd::AsFd;

use super::*;

/// Everything that comes of these bytes, shown shortly.
fn read_all(bytes: Vec<u8>) -> Vec<String> {
    let (input, mut feed) = pipe().unwrap();
    let (_sink, output) = pipe().unwrap();
    let feeder = std::thread::spawn(move || feed.write_all(&bytes).unwrap());
    let (mut lines, _outlet) = over(input.as_fd(), output.as_fd()).unwrap();
    let mut seen = Vec::new();
    loop {
        match lines.read() {
            Input::Line(line) if line.len() > 100 => seen.push(format!("{} bytes", line.len())),
            Input::Line(line) => seen.push(String::from_utf8_lossy(&line).into_owned()),
            Input::TooLong => seen.push("too long".to_owned()),
            Input::End(end) => {
                seen.push(format!("{end:?}"));
                feeder.join().unwrap();
                return seen;
            }
        }
    }
}

#[test]
fn lines_come_out_as_they_went_in() {
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["Closed"]),
        (b"a\n", &["a", "Closed"]),
        (b"a\nb", &["a", "b", "Closed"]),
        (b"\n\n", &["", "", "Closed"]),
        (b"a\r\n\xff\n", &["a\r", "\u{fffd}", "Closed"]),
    ];
    for (bytes, expected) in table {
        assert_eq!(&read_all(bytes.to_vec()), expected, "{bytes:?}");
    }
}

#[test]
fn a_line_may_be_long_but_not_too_long() {
    let mut bytes = vec![b'x'; LONGEST_LINE];
    bytes.extend_from_slice(b"\nnext\n");
    assert_eq!(read_all(bytes), [&format!("{LONGEST_LINE} bytes"), "next", "Closed"]);
    let mut bytes = vec![b'x'; LONGEST_LINE * 2];
    bytes.extend_from_slice(b"\nnext\n");
    assert_eq!(read_all(bytes), ["too long", "next", "Closed"]);
    // Cut off in the middle: it is still one line that is too long.
    assert_eq!(read_all(vec![b'x'; LONGEST_LINE + CHUNK * 2]), ["too long", "Closed"]);
}

#[test]
fn sending_never_blocks_and_keeps_the_order() {
    let (input, feed) = pipe().unwrap();
    let (sink, output) = pipe().unwrap();
    let (mut lines, outlet) = over(input.as_fd(), output.as_fd()).unwrap();
    // Far more than a pipe holds, and nobody reads yet.
    let count = 500;
    for number in 0..count {
        outlet.send(format!("{number} {}", "x".repeat(5000)).into_bytes());
    }
    assert!(outlet.0.unwritten().bytes > 1_000_000);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let numbers = BufReader::new(sink)
                .lines()
                .map(|line| line.unwrap().split(' ').next().unwrap().parse::<u32>().unwrap());
            numbers.take(count as usize).collect::<Vec<u32>>()
        });
        drop(feed);
        assert_eq!(lines.read(), Input::End(End::Closed));
        lines.write_until(Some(Instant::now() + Duration::from_secs(60)), |written| written);
        assert_eq!(reader.join().unwrap(), (0..count).collect::<Vec<u32>>());
    });
    assert_eq!(outlet.0.unwritten().bytes, 0);
}

#[test]
fn too_much_unwritten_stops_the_reading_until_there_is_room() {
    let (input, feed) = pipe().unwrap();
    let (sink, output) = pipe().unwrap();
    let (mut lines, outlet) = over(input.as_fd(), output.as_fd()).unwrap();
    outlet.send(vec![b'x'; MOST_UNWRITTEN + 1_000_000]);
    ask(&feed);
    // With nobody reading, the question is not looked at.
    assert!(!lines.wait(outlet.0.unwritten().bytes <= MOST_UNWRITTEN, true, Some(Duration::ZERO)));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| outlet.wait_for_room(|| false));
        let reader = scope.spawn(move || BufReader::new(sink).lines().next().unwrap().unwrap().len());
        assert_eq!(lines.read(), Input::Line(b"?".to_vec()));
        assert!(waiter.join().unwrap());
        lines.write_until(Some(Instant::now() + Duration::from_secs(60)), |written| written);
        assert_eq!(reader.join().unwrap(), MOST_UNWRITTEN + 1_000_000);
    });
}

#[test]
fn an_output_that_nobody_reads_ends_the_input() {
    let (input, _feed) = pipe().unwrap();
    let (sink, output) = pipe().unwrap();
    let (mut lines, outlet) = over(input.as_fd(), output.as_fd()).unwrap();
    drop(sink);
    outlet.send(b"hello?".to_vec());
    assert_eq!(lines.read(), Input::End(End::Broken));
    assert!(outlet.is_over());
    assert!(!outlet.wait_for_room(|| false));
    lines.write_until(Some(Instant::now() + Duration::from_secs(60)), |written| written);
}

#[test]
fn a_waker_ends_a_wait_for_room() {
    let (input, _feed) = pipe().unwrap();
    let (_sink, output) = pipe().unwrap();
    let (_lines, outlet) = over(input.as_fd(), output.as_fd()).unwrap();
    outlet.send(vec![b'x'; MOST_UNWRITTEN * 2]);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| outlet.wait_for_room(|| enough.load(Ordering::SeqCst)));
        enough.store(true, Ordering::SeqCst);
        outlet.wake();
        assert!(!waiter.join().unwrap());
    });
}

fn ask(mut feed: &PipeWriter) {
    feed.write_all(b"?\n").unwrap();
}
