//! `kapell serve` as a program, a browser, and whoever means ill see it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use kapell::api::reads;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::bench::{Bench, DEADLINE, KAPELL, Plan, task};

/// A server at work. Dropping it ends it.
struct Served {
    child: Child,
    /// What it prints after its first line.
    rest: BufReader<ChildStdout>,
    /// `127.0.0.1:PORT`.
    address: String,
    token: String,
    told: Value,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of the error, which has everything that an error has.
    #[track_caller]
    fn refused(&self) -> (u16, String) {
        let error = self.json();
        for field in ["code", "message", "hint"] {
            assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {self:?}");
        }
        (self.status, error["code"].as_str().unwrap().to_owned())
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Served {
    fn start(bench: &Bench, words: &[&str]) -> Self {
        let mut child = bench
            .command(KAPELL)
            .args(["serve", "--json"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not served: {line:?}"));
        let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        let token = fs::read_to_string(told["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        Self { child, rest, address, token, told }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends these bytes and reads the answer to its end.
    fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        answer(&mut stream)
    }

    /// Sends a request with these lines in its head.
    fn ask(&self, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !lines.iter().any(|line| line.starts_with("Host:")) {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        lines.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.raw(format!("{head}\r\n{body}").as_bytes())
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Reads a path with the token.
    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[&self.bearer()], "")
    }

    /// Reads what is there.
    #[track_caller]
    fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    fn rpc(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[&self.bearer(), "Content-Type: application/json"], body)
    }

    /// Calls a method of the contract.
    #[track_caller]
    fn call(&self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.rpc("/rpc", &request.to_string()).json();
        assert!(answer["error"].is_null(), "{method}: {answer:#}");
        answer["result"].clone()
    }

    /// Follows the events.
    fn follow(&self, path: &str, lines: &[&str]) -> Followed {
        let mut stream = self.connect();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{}\r\n", self.address, self.bearer());
        lines.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{path}: {line:?}");
        Followed { lines }
    }

    /// A WebSocket with these lines in its head: what was answered, and the connection.
    fn upgrade(&self, lines: &[&str]) -> (Answer, TcpStream) {
        let mut stream = self.connect();
        let mut head = format!(
            "GET /rpc HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: \
             13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.address
        );
        lines.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (Answer { status, head, body: String::new() }, stream)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its resident memory, in bytes.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer that comes on a connection which ends after it.
fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is cut after its answer was answered.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Events as they come.
struct Followed {
    lines: BufReader<TcpStream>,
}

impl Followed {
    /// The next of them: its name (`message` unless it has one), its id, and its data.
    fn next(&mut self) -> (String, Option<i64>, Value) {
        let (mut name, mut id, mut data) = ("message".to_owned(), None, None);
        let deadline = Instant::now() + DEADLINE;
        loop {
            // What shows that the connection lives is no event.
            assert!(Instant::now() < deadline, "no event comes");
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the events end");
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("event", said)) => name = said.to_owned(),
                Some(("id", said)) => id = said.parse().ok(),
                Some(("data", said)) => data = Some(serde_json::from_str(said).unwrap()),
                _ => {}
            }
            if line.is_empty()
                && let Some(data) = data.take()
            {
                return (name, id, data);
            }
        }
    }
}

fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    // A mask of zeros is one.
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// The next message of a WebSocket, past pings.
fn message(stream: &mut TcpStream) -> Value {
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut more = [0; 2];
            stream.read_exact(&mut more).unwrap();
            length = usize::from(u16::from_be_bytes(more));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text).unwrap();
        if head[0] == 0x81 {
            return serde_json::from_slice(&text).unwrap();
        }
    }
}

#[test]
fn only_who_has_the_token_is_answered() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let file = served.told["token_file"].as_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(served.told["board"], format!("http://{}/#token={}", served.address, served.token));
    let wrong = format!("Authorization: Bearer {}x", &served.token[1..]);
    let paths = reads::all().iter().flat_map(|read| [&[read.path], read.also].concat());
    for path in paths.chain(["/api/events", "/metrics", "/openapi.json"]) {
        let without = served.ask("GET", path, &[], "");
        assert_eq!(without.refused(), (401, "unauthorized".to_owned()), "{path}");
        assert!(without.header("WWW-Authenticate").is_some_and(|it| it.starts_with("Bearer")), "{without:?}");
        assert_eq!(served.ask("GET", path, &[&wrong], "").refused().0, 401, "{path}");
        // Nor in the address, where it would stand in logs.
        let said = served.ask("GET", &format!("{path}?token={}", served.token), &[], "");
        assert_eq!(said.refused().0, 401, "{path}");
    }
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#;
    assert_eq!(served.ask("POST", "/rpc", &["Content-Type: application/json"], call).refused().0, 401);
    // The board's own files hold no secret, and whether it lives is none.
    assert_eq!(served.ask("GET", "/", &[], "").status, 200);
    assert_eq!(served.ask("GET", "/healthz", &[], "").json(), json!({"ok": true}));
    // The next one has the same token, and neither has the other's port.
    let second = Served::start(&bench, &[]);
    assert_eq!(second.token, served.token);
    assert_ne!(second.address, served.address);
    assert_eq!(second.read("/api/overview")["plans"], json!([]));
}

#[test]
fn pages_of_others_and_other_names_are_not_answered() {
    let bench = Bench::new();
    let served = Served::start(&bench, &["--name", "board.example"]);
    let port = served.address.rsplit_once(':').unwrap().1.to_owned();
    let own = [
        format!("Host: localhost:{port}"),
        "Host: board.example".to_owned(),
        format!("Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}"),
    ];
    for lines in &own {
        assert_eq!(served.ask("GET", "/api/plans", &[lines, &served.bearer()], "").status, 200, "{lines}");
    }
    let table = [
        ("Host: evil.example".to_owned(), (403, "foreign-host")),
        (format!("Host: localhost.evil.example:{port}"), (403, "foreign-host")),
        (format!("Host: {0}\r\nHost: {0}", served.address), (400, "bad-host")),
        (format!("Host: {}\r\nOrigin: http://evil.example", served.address), (403, "foreign-origin")),
        (format!("Host: {}\r\nOrigin: null", served.address), (403, "foreign-origin")),
        (format!("Host: {}\r\nOrigin: http://127.0.0.1:1", served.address), (403, "foreign-origin")),
    ];
    for (lines, (status, code)) in table {
        for path in ["/", "/healthz", "/api/plans", "/rpc", "/nothing"] {
            let answer = served.ask("GET", path, &[&lines, &served.bearer()], "");
            assert_eq!(answer.refused(), (status, code.to_owned()), "{path} {lines}");
            assert!(answer.header("Access-Control-Allow-Origin").is_none(), "{answer:?}");
        }
    }
    let token = format!("Sec-WebSocket-Protocol: kapell, kapell.bearer.{}", served.token);
    let (answer, _) = served.upgrade(&[&token, "Origin: http://evil.example"]);
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_next_step() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    for (method, path, allow) in [
        ("OPTIONS", "/api/plans", "GET, HEAD"),
        ("POST", "/api/plans", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("BREW", "/healthz", "GET, HEAD"),
        ("GET", "/rpc", "POST"),
        ("HEAD", "/rpc", "POST"),
        ("OPTIONS", "/rpc", "POST"),
    ] {
        let answer = served.ask(method, path, &[&served.bearer()], "");
        assert_eq!(
            (answer.status, answer.header("Allow")),
            (405, Some(allow)),
            "{method} {path}: {answer:?}"
        );
    }
    let head = served.ask("HEAD", "/api/plans", &[&served.bearer()], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""), "{head:?}");
    let table = [
        ("/nothing", 404),
        ("/assets/nothing.js", 404),
        ("/../../etc/passwd", 404),
        ("/assets/..%2f..%2f..%2fetc%2fpasswd", 404),
        ("/assets/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/api/%zz", 400),
        ("/api/attempts/%", 400),
        ("/api/attempts/a%00b", 400),
        ("/api/attempts/%ff", 400),
        ("/api/attempts/a%0d%0aX:%20y", 400),
        ("/api/plans?limit=0", 400),
        ("/api/plans?limit=x", 400),
        ("/api/plans?limit=1&limit=1", 400),
        ("/api/plans?nothing=1", 400),
        ("/api/plans?project=/etc", 404),
        ("/api/plans?project=../../../etc", 404),
        ("/api/plans?project=%00", 400),
        ("/api/cost?by=magic", 400),
        ("/api/cost?since=never", 400),
        ("/api/events?since_seq=999999", 400),
        ("/api/events?plan_id=nothing", 404),
        ("/metrics?project=nothing", 404),
    ];
    for (path, status) in table {
        assert_eq!(served.get(path).refused().0, status, "{path}");
    }
    // No part of any path leads anywhere but to what it names.
    for read in reads::all().iter().filter(|read| read.parts().next().is_some()) {
        for odd in
            ["..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "..", "%2e%2e", "-", "%27%20OR%201"]
        {
            let path = read
                .parts()
                .fold(read.path.to_owned(), |path, part| path.replace(&format!("{{{part}}}"), odd));
            let answer = served.get(&path);
            assert!(matches!(answer.refused().0, 400 | 404), "{path}: {answer:?}");
            assert!(!answer.body.contains("root:"), "{path}: {answer:?}");
        }
    }
    let bearer = served.bearer();
    let text = served.ask("POST", "/rpc", &[&bearer, "Content-Type: text/plain"], "{}");
    assert_eq!(text.refused(), (415, "not-json".to_owned()));
    for body in ["hi", "{x", "[", "\u{0}", "[1,"] {
        let answer = served.rpc("/rpc", body).json();
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&Value::Null, &json!(-32700)),
            "{body}: {answer}"
        );
    }
    // Ids come back as they were written, and what is none is refused.
    for id in ["-1", "1.50", "123456789012345678901234567890", "null", "\"a\""] {
        let asked = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"status"}}"#);
        let answer = served.rpc("/rpc", &asked).body;
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#)), "{answer}");
    }
    for body in ["null", "[]", r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#] {
        let answer = served.rpc("/rpc", body);
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (200, &json!(-32600)), "{body}");
        assert_eq!(answer.json()["error"]["data"]["kind"], "invalid-request");
    }
    let nothing = served.rpc("/rpc", r#"{"jsonrpc":"2.0","method":"status"}"#);
    assert_eq!((nothing.status, nothing.body.as_str()), (204, ""), "{nothing:?}");
}

#[test]
fn a_body_without_end_costs_nothing() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    served.read("/api/overview");
    let before = served.resident();
    for lines in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
        for bearer in [served.bearer(), "X: y".to_owned()] {
            let mut stream = served.connect();
            let head = format!(
                "POST /rpc HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n{bearer}\r\n{lines}\r\n\r\n",
                served.address
            );
            stream.write_all(head.as_bytes()).unwrap();
            let part = [b' '; 1 << 16];
            for _ in 0..(100 << 20) / part.len() {
                if lines.starts_with('T') {
                    stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).unwrap();
                }
                stream.write_all(&part).unwrap();
                if lines.starts_with('T') {
                    stream.write_all(b"\r\n").unwrap();
                }
            }
            if lines.starts_with('T') {
                stream.write_all(b"0\r\n\r\n").unwrap();
            }
            let expected = if bearer.starts_with("X") { (401, "unauthorized") } else { (413, "too-long") };
            assert_eq!(answer(&mut stream).refused(), (expected.0, expected.1.to_owned()), "{lines}");
        }
    }
    // One of them was kept up to the limit, and then let go.
    let after = served.resident();
    assert!(after < before + (64 << 20), "{before} {after}");
    assert_eq!(served.read("/api/overview")["plans"], json!([]));
}

#[test]
fn all_that_a_board_shows_can_be_read() {
    let bench = Bench::new();
    let lines = ["say hello", "write out.txt done"];
    let plan = bench.start(&Plan::new([task("one", &["out.txt"], &lines)]));
    bench.at_rest(&plan);
    let served = Served::start(&bench, &[]);
    let plans = served.read("/api/plans");
    assert_eq!((&plans["plans"][0]["plan_id"], &plans["plans"][0]["state"]), (&json!(plan), &json!("done")));
    let tasks = &served.read(&format!("/api/plans/{plan}"))["tasks"];
    assert_eq!((&tasks[0]["id"], &tasks[0]["state"]), (&json!("one"), &json!("done")));
    let task = served.read(&format!("/api/tasks/{plan}/one"));
    assert_eq!(task, served.call("status", &json!({"scope": "task", "id": format!("{plan}/one")})));
    let attempt = task["attempts"][0]["attempt"].as_str().unwrap();
    assert_eq!(served.read(&format!("/api/attempts/{attempt}"))["outcome"], "submitted");
    let log = served.read(&format!("/api/attempts/{attempt}/log"));
    assert!(log["text"].as_str().unwrap().contains("hello") && log["ended"] == true, "{log}");
    let from = log["next"].as_u64().unwrap();
    let nothing = served.read(&format!("/api/attempts/{attempt}/log?offset={from}&wait_ms=45000"));
    assert_eq!((&nothing["text"], &nothing["next"]), (&json!(""), &json!(from)));
    let diff = served.read(&format!("/api/attempts/{attempt}/diff"));
    assert!(diff["diff"].as_str().unwrap().contains("+done"), "{diff}");
    let gate = task["attempts"][0]["gates"][0]["name"].as_str().unwrap();
    let evidence = served.read(&format!("/api/attempts/{attempt}/evidence/{gate}"));
    assert_eq!(evidence["gate"], gate);
    assert_eq!(served.get(&format!("/api/attempts/{attempt}/evidence/nothing")).refused().0, 404);
    for read in reads::all().iter().filter(|read| read.parts().next().is_none()) {
        let whole = served.read(read.path);
        for also in read.also {
            assert!(served.read(also).is_object(), "{also}");
        }
        assert!(whole.is_object(), "{}", read.path);
    }
    let projects = served.read("/api/projects");
    let (current, folder) = (&projects["current"], &projects["projects"][0]["folder"]);
    for project in [current, folder] {
        let encoded: String = project.as_str().unwrap().bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(
            served.read(&format!("/api/plans?project={encoded}"))["plans"],
            plans["plans"],
            "{project}"
        );
    }
    let metrics = served.get("/metrics").body;
    for line in ["kapell_tasks{state=\"done\"} 1", "kapell_claims 0", "# TYPE kapell_events_seq counter"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let document = served.read("/openapi.json");
    let printed = bench.command(KAPELL).args(["serve", "--openapi"]).output().unwrap();
    assert_eq!(document, serde_json::from_slice::<Value>(&printed.stdout).unwrap());
    let page = served.ask("GET", "/", &[], "");
    assert!(page.header("Content-Security-Policy").unwrap().starts_with("default-src 'self'"), "{page:?}");
    let tag = format!("If-None-Match: {}", page.header("ETag").unwrap());
    assert_eq!(served.ask("GET", "/", &[&tag], "").status, 304);
}

#[test]
fn who_comes_back_to_the_events_misses_none() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let claim = |name: String| served.call("claim-files", &json!({"paths": [name]}));
    let mut follower = served.follow("/api/events", &[]);
    assert_eq!(follower.next(), ("open".to_owned(), Some(0), json!({"seq": 0})));
    for number in 0..3 {
        claim(format!("a{number}"));
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (name, id, event) = follower.next();
        assert_eq!((name.as_str(), id), ("message", event["seq"].as_i64()));
        seen.push(event);
    }
    drop(follower);
    // More than is handed over at once happened before somebody looks again.
    for number in 3..=200 {
        claim(format!("a{number}"));
    }
    // By the number that a browser sends, and by the field.
    let last = seen.last().unwrap()["seq"].as_i64().unwrap();
    for (path, line) in [
        ("/api/events".to_owned(), format!("Last-Event-ID: {last}")),
        (format!("/api/events?since_seq={last}"), "X: y".to_owned()),
        ("/api/events?since_seq=0".to_owned(), format!("Last-Event-ID: {last}")),
    ] {
        let mut follower = served.follow(&path, &[&line]);
        assert_eq!(follower.next().2, json!({"seq": last}));
        let newest = served.read("/api/overview")["seq"].as_i64().unwrap();
        let found: Vec<i64> = (last..newest).map(|_| follower.next().1.unwrap()).collect();
        assert_eq!(found, (last + 1..=newest).collect::<Vec<_>>(), "{path}");
        claim(format!("b{last}{path}").replace(['/', '?', '='], "_"));
        assert_eq!(follower.next().1, Some(served.read("/api/overview")["seq"].as_i64().unwrap()));
    }
    // Only what was asked for.
    let mut follower = served.follow("/api/events?since_seq=0&kind=claim.released", &[]);
    follower.next();
    served.call("release-files", &json!({"paths": ["a1"]}));
    assert_eq!(follower.next().2["kind"], "claim.released");
    // All of it is what the contract tells.
    let all =
        served.call("status", &json!({"scope": "events", "since_seq": 0, "limit": 3}))["events"].clone();
    assert_eq!(all, json!(seen));
}

#[test]
fn a_websocket_has_the_whole_contract_and_the_events() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    for (line, status) in [
        ("X: y".to_owned(), 401),
        ("Sec-WebSocket-Protocol: kapell, kapell.bearer.wrong".to_owned(), 401),
        (format!("Sec-WebSocket-Protocol: kapell.bearer.{}", served.token), 101),
        (served.bearer(), 101),
    ] {
        assert_eq!(served.upgrade(&[&line]).0.status, status, "{line}");
    }
    let token = format!("Sec-WebSocket-Protocol: kapell, kapell.bearer.{}", served.token);
    let (answer, mut socket) = served.upgrade(&[&token, &format!("Origin: http://{}", served.address)]);
    // A browser wants one of those that it offered, and the token is not said twice.
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, Some("kapell")));
    let mut ask = |id: u64, method: &str, params: Value| {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        socket.write_all(&frame(&request.to_string())).unwrap();
        message(&mut socket)
    };
    let subscribed = ask(1, "events.subscribe", json!({"since_seq": 0}));
    assert_eq!(subscribed["result"], json!({"subscription": 1, "seq": 0}));
    let granted = ask(2, "claim-files", json!({"paths": ["a.txt"]}));
    let told = if granted["method"].is_null() { message(&mut socket) } else { granted };
    assert_eq!(told["params"]["event"]["kind"], "claim.granted", "{told}");
    let overview = served.read("/api/claims");
    assert_eq!(overview["claims"][0]["holder_kind"], "person", "{overview}");
}

#[test]
fn a_websocket_answers_under_whatever_id_it_is_asked() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let (_, mut stream) = served.upgrade(&[&served.bearer()]);
    let mut ask = |text: &str| {
        stream.write_all(&frame(text)).unwrap();
        message(&mut stream)
    };
    let asked = |id: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"status","params":{{"scope":"claims"}}}}"#)
    };
    for id in ["-1", "1.5", "1e20", "18446744073709551616", "9007199254740993", "null", "\"\"", "\"é\""] {
        let answer = ask(&asked(id));
        assert!(answer["result"].is_object(), "{id}: {answer:#}");
        assert_eq!(answer["id"], serde_json::from_str::<Value>(id).unwrap());
    }
    for (text, code) in [
        (asked("true"), -32600),
        (asked("[1]"), -32600),
        (asked("{}"), -32600),
        ("nonsense".to_owned(), -32700),
        ("[]".to_owned(), -32600),
    ] {
        let answer = ask(&text);
        assert_eq!(answer["error"]["code"], code, "{text}: {answer:#}");
        for field in ["kind", "hint"] {
            assert!(answer["error"]["data"][field].is_string(), "{text}: {answer:#}");
        }
    }
    let answer = ask(&format!("[{},{}]", asked("-1"), asked("2")));
    assert_eq!((&answer[0]["id"], &answer[1]["id"]), (&json!(-1), &json!(2)), "{answer:#}");
}

#[test]
fn who_says_nothing_shuts_nobody_out() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let known = served.follow("/api/events", &[]);
    let silent: Vec<TcpStream> = (0..520).map(|_| served.connect()).collect();
    let began = Instant::now();
    served.read("/api/plans");
    // Otherwise the first is let in when one of them has been silent for 15 s.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop((silent, known));
}

#[test]
fn a_worker_that_has_the_token_decides_nothing_all_the_same() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let port = served.address.rsplit_once(':').unwrap().1;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"control","params":{"action":"stop","target":"all"}}"#;
    let ask = bench.root.join("ask");
    let request = format!(
        "POST /rpc HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n{}\\r\\nContent-Type: application/json\\r\\n\
         Content-Length: {}\\r\\n\\r\\n",
        served.bearer(),
        call.len()
    );
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}\nprintf '{request}' >&3\nprintf '%s' '{call}' >&3\ncat <&3 > out.txt\n"
    );
    fs::write(&ask, script).unwrap();
    bench.configure(&format!(
        "[project]\nwall = \"off\"\n[providers.asker]\nkind = \"command\"\ncommand = [\"/bin/bash\", {ask:?}]\n"
    ));
    let asks = task("one", &["out.txt"], &[]).with("agent", json!("asker"));
    let plan = bench.start(&Plan::new([asks]));
    // The server goes on, so nobody waits until all is quiet.
    bench.task_is(&plan, "one", "done");
    let said = bench.on_branch(&plan, "out.txt");
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("is a worker's"), "{said}");
    // The same words from elsewhere are carried out.
    assert_eq!(served.rpc("/rpc", call).json()["result"]["ack"], true);
}

#[test]
fn it_ends_when_it_is_told_whoever_waits() {
    let bench = Bench::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut served = Served::start(&bench, &[]);
        let mut follower = served.follow("/api/events", &[]);
        follower.next();
        let mut waiting = served.connect();
        let seq = served.read("/api/overview")["seq"].as_i64().unwrap();
        let head = format!(
            "GET /api/overview?since_seq={seq}&wait_ms=45000 HTTP/1.1\r\nHost: {}\r\n{}\r\n\r\n",
            served.address,
            served.bearer()
        );
        waiting.write_all(head.as_bytes()).unwrap();
        let (answer, _socket) = served.upgrade(&[&served.bearer()]);
        assert_eq!(answer.status, 101);
        let mut half = served.connect();
        half.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
        let began = Instant::now();
        served.signal(signal);
        let status = served.child.wait().unwrap();
        assert!(status.success(), "{signal:?}: {status}");
        assert!(began.elapsed() < Duration::from_secs(5), "{signal:?}: {:?}", began.elapsed());
        let mut rest = String::new();
        served.rest.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line is all that it prints");
    }
}

#[test]
fn where_it_cannot_listen_it_says_why() {
    let bench = Bench::new();
    let served = Served::start(&bench, &[]);
    let refused = |words: &[&str]| {
        let output = bench.command(KAPELL).args(["serve", "--json"]).args(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = refused(&["--listen", &served.address]);
    let holder = format!("process {} ", served.child.id());
    assert!(code == Some(1) && text.contains(&holder) && text.contains("--listen 127.0.0.1:0"), "{text}");
    let (code, text) = refused(&["--listen", "0.0.0.0:7777"]);
    assert!(code == Some(1) && text.contains("ssh -L 7777:127.0.0.1:7777"), "{text}");
    let (code, text) = refused(&["--listen", "example.org:80"]);
    assert!(code == Some(2) && text.contains("127.0.0.1:7777"), "{text}");
    // A token that others could know is none.
    let file = bench.root.join("token");
    fs::write(&file, "abcdefghijklmnopqrstuvwxyz\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = refused(&["--token-file", file.to_str().unwrap()]);
    assert!(code == Some(1) && text.contains("chmod 600"), "{text}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let own = Served::start(&bench, &["--token-file", file.to_str().unwrap()]);
    assert_eq!(own.token, "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(own.read("/api/overview")["plans"], json!([]));
    assert_ne!(served.token, own.token);
}
