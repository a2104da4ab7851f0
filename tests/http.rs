//! A conductor's own socket, on a real conductor with a real worker: HTTP, WebSocket, and the
//! end. Nothing sleeps: a test waits for an answer, a line from the worker, or a lock.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails, in its helpers too")]
#![expect(clippy::disallowed_methods, reason = "the environment and the folder are set right here")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, FlockOperation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Only a fault takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A worker that says that it is here and waits to be told to go on.
const WAITER: &str = "echo here > ../up; read x < ../down";
/// The same, deaf to every signal that can be ignored.
const DEAF: &str = "trap '' TERM INT HUP; echo here > ../up; read x < ../down";

/// Does what may block in a thread of its own, so that a test fails and does not hang.
fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(act()));
    result.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what}: nothing happened"))
}

/// A state folder, a project, `kapell rpc` in it, and a plan at work with one worker.
struct World {
    top: tempfile::TempDir,
    rpc: Child,
    to_rpc: ChildStdin,
    from_rpc: BufReader<ChildStdout>,
    /// Both ends are held here, so that nobody waits for the other to open them.
    up: BufReader<File>,
    _down: File,
    plan: String,
    conductor: i32,
    socket: PathBuf,
}

impl World {
    /// With a worker that runs `script`.
    fn new(script: &str) -> Self {
        let top = tempfile::tempdir().unwrap();
        let project = top.path().join("project");
        fs::create_dir(&project).unwrap();
        let [up, down] = ["up", "down"].map(|name| {
            let path = top.path().join(name);
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
            File::options().read(true).write(true).open(path).unwrap()
        });
        let script = script.replace("..", top.path().to_str().unwrap());
        let config = format!(
            "[project]\nwall = 'off'\n[rules]\nspec_first = false\ntdd = false\n[providers.waiter]\nkind = 'command'\n\
             command = ['/bin/sh', '-c', {}]\n",
            Value::from(script)
        );
        fs::write(project.join("kapell.toml"), config).unwrap();
        git(&top, &["init", "--quiet", "--initial-branch=main"]);
        git(&top, &["add", "."]);
        git(&top, &["-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "first"]);
        let mut rpc = Command::new(env!("CARGO_BIN_EXE_kapell"));
        let mut rpc =
            at(&mut rpc, &top).arg("rpc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to_rpc = rpc.stdin.take().unwrap();
        let from_rpc = BufReader::new(rpc.stdout.take().unwrap());
        let up = BufReader::new(up);
        let (plan, socket) = (String::new(), PathBuf::new());
        let mut world = Self { top, rpc, to_rpc, from_rpc, up, _down: down, plan, conductor: 0, socket };
        let task = json!({"id": 1, "agent": "waiter", "task": "Wait", "files": ["out.txt"]});
        let made = world.rpc("plan", &json!({"plan": {"tasks": [task]}}));
        world.plan = made["result"]["plan_id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        world.dispatch();
        world
    }

    /// Starts the plan, and waits until its worker is here.
    fn dispatch(&mut self) {
        let answer = self.rpc("dispatch", &json!({"plan_id": self.plan}));
        let conductor = &answer["result"]["conductor"];
        self.conductor =
            i32::try_from(conductor["pid"].as_i64().unwrap_or_else(|| panic!("{answer}"))).unwrap();
        self.socket = PathBuf::from(conductor["socket"].as_str().unwrap());
    }

    fn hear_worker(&mut self) {
        let mut up = BufReader::new(self.up.get_ref().try_clone().unwrap());
        let line = in_time("the worker", move || {
            let mut line = String::new();
            up.read_line(&mut line).unwrap();
            line
        });
        assert_eq!(line, "here\n");
    }

    /// Calls a method at `kapell rpc`.
    fn rpc(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(self.to_rpc, "{request}").unwrap();
        let mut line = String::new();
        self.from_rpc.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{method}: {line:?}"))
    }

    /// Sends a body over HTTP, and gives the status and the answer.
    fn post(&self, body: &[u8]) -> (u16, Value) {
        let mut stream = connect(&self.socket);
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: k\r\nConnection: close\r\nContent-Type: application/json\r\n"
        )
        .unwrap();
        write!(stream, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)))
    }

    /// Calls a method over HTTP.
    fn http(&self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (status, answer) = self.post(request.to_string().as_bytes());
        assert_eq!((status, &answer["id"]), (200, &json!(1)), "{answer}");
        answer
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.conductor).unwrap(), signal).unwrap();
    }

    /// Something that waits for the end of the conductor. Made while it lives.
    fn end(&self) -> impl FnOnce() {
        let lock =
            File::open(self.top.path().join("state/life").join(format!("plan-{}", self.plan))).unwrap();
        move || {
            in_time("the conductor's end", move || {
                rustix::fs::flock(&lock, FlockOperation::LockShared).unwrap();
            });
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.rpc.kill();
        let _ = self.rpc.wait();
        // Its worker ends with the pipe that it reads. A test that failed may leave a conductor.
        if self.socket.exists() {
            let _ = kill_process(Pid::from_raw(self.conductor).unwrap(), Signal::KILL);
        }
    }
}

/// A command in the project, with nothing else in its environment.
fn at<'a>(command: &'a mut Command, top: &tempfile::TempDir) -> &'a mut Command {
    let kapell = Path::new(env!("CARGO_BIN_EXE_kapell")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", kapell.display());
    let home = top.path();
    command.current_dir(home.join("project")).env_clear().env("PATH", path).env("HOME", home);
    command.env("KAPELL_HOME", home.join("state")).env("TMUX_TMPDIR", home)
}

fn git(top: &tempfile::TempDir, words: &[&str]) {
    assert!(at(&mut Command::new("git"), top).args(words).status().unwrap().success());
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// A WebSocket, as far as a test needs one.
struct Web(UnixStream);

impl Web {
    fn open(socket: &Path) -> Self {
        let mut stream = connect(socket);
        let head = "GET / HTTP/1.1\r\nHost: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // The key's answer as RFC 6455 gives it, section 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Self(stream)
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        // A final text frame with a mask, of nothing but zeros.
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).unwrap();
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    /// The next message; none when the other side has closed.
    fn next(&mut self) -> Option<Value> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => self.take(2).iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            127 => self.take(8).iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
            length => usize::from(length),
        };
        let text = self.take(length);
        match head[0] {
            0x81 => Some(serde_json::from_slice(&text).unwrap()),
            0x88 => None,
            other => panic!("frame {other:#x}"),
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The answer to a call, which must be the next message.
    fn call(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.ask(id, method, params);
        let answer = self.next().unwrap();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }
}

#[test]
fn a_conductor_answers_over_http_until_it_is_shut_down() {
    let mut world = World::new(WAITER);
    world.hear_worker();
    assert_eq!(world.socket, world.top.path().join(format!("state/sock/{}.sock", world.plan)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(world.socket.parent().unwrap()), mode(&world.socket)), (0o700, 0o600));
    let listed = world.rpc("status", &json!({"scope": "conductors"}));
    assert_eq!(listed["result"]["conductors"][0]["socket"], world.socket.to_str().unwrap(), "{listed}");

    // The table's methods answer what they answer elsewhere, refusals included.
    for (method, params) in [
        ("status", json!({"scope": "plan", "id": world.plan})),
        ("claim_files", json!({"paths": ["x"], "check_only": true})),
        ("status", json!({"scope": "plan", "id": "p-none"})),
        ("dispatch", json!({"plan_id": world.plan})),
        ("status", json!({"scoop": 1})),
        ("status", json!([1])),
        ("dance", json!({})),
    ] {
        let (here, there) = (world.http(method, &params), world.rpc(method, &params));
        // Without what may have moved on in between.
        let fixed = |answer: &Value| match &answer["result"] {
            Value::Null => answer["error"].clone(),
            result => json!([result["scope"], result["plan_id"], result["granted"]]),
        };
        assert_eq!(fixed(&here), fixed(&there), "{here} {there}");
    }

    let condition = world.http("conductor.status", &json!({}))["result"].clone();
    assert_eq!(condition["plan_id"], world.plan);
    assert_eq!((&condition["state"], &condition["paused"]), (&json!("running"), &json!(false)));
    assert_eq!(condition["progress"], json!({"done": 0, "total": 1, "running": 1, "failed": 0}));
    assert!(condition["iteration"].as_u64().unwrap() > 0, "{condition}");
    assert_eq!(world.http("conductor.pause", &json!({}))["result"]["state"], "paused");
    let condition = world.http("conductor.status", &Value::Null)["result"].clone();
    assert_eq!((&condition["state"], &condition["paused"]), (&json!("paused"), &json!(true)));
    assert_eq!(world.http("conductor.resume", &json!([]))["result"]["state"], "running");
    assert_eq!(world.http("conductor.status", &json!({}))["result"]["paused"], false);
    assert_eq!(world.http("conductor.shutdown", &json!({"now": true}))["error"]["code"], -32602);

    let methods = world.http("rpc.discover", &json!({}))["result"]["methods"].clone();
    let names: Vec<&str> = methods.as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["plan", "events.subscribe", "conductor.shutdown", "rpc.discover"] {
        assert!(names.contains(&name), "{names:?}");
    }

    let end = world.end();
    assert_eq!(world.http("conductor.shutdown", &json!({"force": true}))["result"]["ack"], true);
    end();
    assert!(!world.socket.exists());
    let plan = world.rpc("status", &json!({"scope": "plan", "id": world.plan}));
    assert_eq!(plan["result"]["state"], "stopped", "{plan}");
}

#[test]
fn messages_are_answered_as_the_standard_says() {
    let mut world = World::new(WAITER);
    world.hear_worker();
    let short = |answer: &Value| match answer["error"]["code"].as_i64() {
        Some(code) => format!("{} {code}", answer["id"]),
        None => answer["id"].to_string(),
    };
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"release-files","params":{"all":true}}"#;
    let note = call.replace("\"id\":1,", "");
    let table = [
        (call.replace(":1,", ":\"a\","), "\"a\""),
        (call.replace(":1,", ":null,"), "null"),
        (call.replace("{\"all\":true}", "[true]"), "1 -32602"),
        (call.replace("release-files", "events.subscribe"), "1 -32021"),
        ("{".to_owned(), "null -32700"),
        (r#"{"jsonrpc":"1.0","id":1}"#.to_owned(), "1 -32600"),
        (format!("[{call},{note},{{}},{call}]"), "1, null -32600, 1"),
        (format!("[{}]", call.replace("release-files", "dance")), "1 -32601"),
        ("[]".to_owned(), "null -32600"),
        (note.clone(), "null"),
        (format!("[{note}]"), "null"),
    ];
    for (sent, expected) in table {
        let (status, answer) = world.post(sent.as_bytes());
        let shown = match &answer {
            Value::Array(answers) => answers.iter().map(short).collect::<Vec<_>>().join(", "),
            Value::Null => "null".to_owned(),
            one => short(one),
        };
        assert_eq!((status, shown.as_str()), (200, expected), "{sent}: {answer}");
    }
    // A notification is carried out.
    let claim = json!({"jsonrpc": "2.0", "method": "claim-files", "params": {"paths": ["noted"]}});
    world.post(claim.to_string().as_bytes());
    let refused = world.rpc("claim-files", &json!({"paths": ["noted"]}));
    assert_eq!(refused["result"]["granted"], false, "{refused}");
    // A thousand at once, and one more than is read.
    let many = |count: usize| format!("[{}]", vec![call; count].join(","));
    assert_eq!(world.post(many(1000).as_bytes()).1.as_array().unwrap().len(), 1000);
    assert!(world.post(many(10_001).as_bytes()).1["error"]["code"].is_i64());
    let mut end = connect(&world.socket);
    // Somebody who never ends what they say holds up nobody's end.
    write!(end, "POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[").unwrap();
    let ended = world.end();
    world.signal(Signal::INT);
    ended();
    assert!(!world.socket.exists());
}

#[test]
fn a_websocket_hears_events_to_the_last() {
    let mut world = World::new(WAITER);
    world.hear_worker();
    let mut web = Web::open(&world.socket);
    let opened = web.call(1, "events.subscribe", &json!({"plan_id": world.plan, "kind": "plan."}));
    assert_eq!(opened["result"]["subscription"], 1, "{opened}");
    let seq = opened["result"]["seq"].as_i64().unwrap();
    let second = web.call(2, "events.subscribe", &json!({"since_seq": 0, "kind": "no such kind"}));
    assert_eq!(second["result"]["subscription"], 2, "{second}");

    // A wait on the same connection keeps nobody else from an answer.
    web.ask(3, "claim-files", &json!({"paths": ["web"], "holder": "web"}));
    assert_eq!(web.next().unwrap()["result"]["granted"], true);
    web.ask(4, "claim-files", &json!({"paths": ["web"], "wait_s": 600, "holder": "other"}));
    assert_eq!(web.call(5, "conductor.status", &json!({}))["result"]["paused"], false);

    world.http("conductor.pause", &json!({}));
    let event = web.next().unwrap();
    assert_eq!((&event["method"], &event["params"]["subscription"]), (&json!("events.event"), &json!(1)));
    assert!(event["params"]["event"]["seq"].as_i64().unwrap() > seq, "{event}");
    assert_eq!(event["params"]["event"]["plan_id"], world.plan, "{event}");

    assert_eq!(
        web.call(6, "events.unsubscribe", &json!({"subscription": 2}))["result"]["unsubscribed"],
        true
    );
    assert_eq!(
        web.call(7, "events.unsubscribe", &json!({"subscription": 2}))["result"]["unsubscribed"],
        false
    );
    assert_eq!(web.call(8, "events.unsubscribe", &json!([2]))["error"]["code"], -32602);
    web.send(&json!([{"jsonrpc": "2.0", "id": 9, "method": "events.subscribe"}]));
    assert_eq!(web.next().unwrap()[0]["error"]["code"], -32021);

    // The end ends waits, tells the last of it, and closes.
    let end = world.end();
    world.signal(Signal::TERM);
    let rest: Vec<Value> = std::iter::from_fn(|| web.next()).collect();
    let answer = rest.iter().find(|message| message["id"] == 4).unwrap_or_else(|| panic!("{rest:?}"));
    assert_eq!(answer["result"]["granted"], false);
    let states: Vec<&Value> = rest.iter().map(|it| &it["params"]["event"]["data"]["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "stopped").count(), 1, "{rest:?}");
    end();
    assert!(!world.socket.exists());
}

#[test]
fn an_open_websocket_keeps_what_it_claimed_and_a_request_does_not() {
    let mut world = World::new(WAITER);
    world.hear_worker();
    let mut web = Web::open(&world.socket);
    let wish = |path: &str| json!({"paths": [path], "ttl_s": 1});
    assert_eq!(web.call(1, "claim-files", &wish("web"))["result"]["granted"], true);
    assert_eq!(world.http("claim-files", &wish("one"))["result"]["granted"], true);
    // When the second claim has run out, the first has too.
    let granted = world.rpc("claim-files", &json!({"paths": ["one"], "wait_s": 50}));
    assert_eq!(granted["result"]["granted"], true, "{granted}");
    let refused = world.rpc("claim-files", &json!({"paths": ["web"]}));
    let name = format!("http-{}", std::process::id());
    assert_eq!(refused["result"]["conflicts"][0]["holder"], name, "{refused}");
    drop(web);
    let granted = world.rpc("claim-files", &json!({"paths": ["web"], "wait_s": 50}));
    assert_eq!(granted["result"]["granted"], true, "{granted}");
    let end = world.end();
    world.http("conductor.shutdown", &json!({}));
    end();
}

#[test]
fn a_second_signal_ends_the_workers_and_the_next_conductor_replaces_what_a_killed_one_left() {
    let mut world = World::new(DEAF);
    world.hear_worker();
    let mut web = Web::open(&world.socket);
    web.call(1, "events.subscribe", &json!({"plan_id": world.plan, "kind": "plan."}));
    let end = world.end();
    world.signal(Signal::TERM);
    assert_eq!(web.next().unwrap()["params"]["event"]["data"]["state"], "stopped");
    // The worker does not hear that it should end, and is given no time.
    world.signal(Signal::TERM);
    end();
    assert!(!world.socket.exists());
    let stopped = world.conductor;
    world.dispatch();
    assert_ne!(world.conductor, stopped);
    let end = world.end();
    world.signal(Signal::KILL);
    end();
    assert!(world.socket.exists(), "nobody was there to remove it");
    // A process that ends closes what it had open one by one, and the lock may come before the socket: whoever
    // gets in between hears the end of it.
    if let Ok(mut late) = UnixStream::connect(&world.socket) {
        in_time("the socket's end", move || late.read_to_end(&mut Vec::new()).unwrap_or_default());
        assert!(UnixStream::connect(&world.socket).is_err());
    }
    let before = world.conductor;
    world.dispatch();
    assert_ne!(world.conductor, before);
    assert_eq!(world.http("conductor.status", &json!({}))["result"]["plan_id"], world.plan);
    let end = world.end();
    world.http("conductor.shutdown", &json!({"force": true}));
    end();
    assert!(!world.socket.exists());
}

#[test]
fn a_worker_is_not_let_in() {
    let exe = std::env::current_exe().unwrap();
    let script = format!("TOP=.. exec '{}' --exact ask_as_a_worker --ignored --nocapture", exe.display());
    let mut world = World::new(&script);
    world.hear_worker();
    let end = world.end();
    world.http("conductor.shutdown", &json!({}));
    end();
}

/// What the worker of the test above does. It is here once it knows that nobody answers.
#[test]
#[ignore = "played by a worker"]
fn ask_as_a_worker() {
    let var = |name: &str| std::env::var(name).unwrap();
    let top = PathBuf::from(var("TOP"));
    let mut stream = connect(&top.join(format!("state/sock/{}.sock", var("KAPELL_PLAN"))));
    // Closed with or without what was sent being taken, there is no answer.
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let line = if answer.is_empty() { "here" } else { "let in" };
    let mut up = File::options().write(true).open(top.join("up")).unwrap();
    writeln!(up, "{line}").unwrap();
    File::open(top.join("down")).unwrap().read_to_end(&mut answer).unwrap();
}

#[test]
fn the_examples_work_as_they_are_written() {
    let mut world = World::new(WAITER);
    if !at(&mut Command::new("curl"), &world.top)
        .arg("--version")
        .output()
        .is_ok_and(|it| it.status.success())
    {
        eprintln!("there is no curl to try them with");
        return;
    }
    world.hear_worker();
    let end = world.end();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/SOCKET.md")).unwrap();
    let script: String = text.split("```sh\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let output = at(&mut Command::new("/bin/sh"), &world.top).args(["-euc", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {output:?}");
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().map(Result::unwrap).collect();
    let shown: Vec<&Value> = answers.iter().map(|answer| &answer["result"]["state"]).collect();
    assert_eq!(answers.len(), 4, "{said}");
    assert_eq!((shown[0], shown[3]), (&json!("running"), &json!("stopped")), "{said}");
    assert!(answers[1].is_array() && answers[2]["error"]["data"]["hint"].is_string(), "{said}");
    end();
}
