//! `kapell serve` with a certificate: whoever speaks TLS is answered on every interface, whoever does not is told.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::bench::{Bench, DEADLINE, KAPELL};

/// A file of `tests/data/tls`: a certificate for board.example and localhost, its key, and the key of another.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// A key in a file of this mode, which a checkout does not keep.
fn key(bench: &Bench, name: &str, mode: u32) -> PathBuf {
    let path = bench.root.join(format!("{mode:o}-{name}"));
    fs::copy(data(name), &path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// A server at work. Dropping it ends it.
struct Secured {
    child: Child,
    told: Value,
    port: u16,
    token: String,
}

impl Drop for Secured {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Secured {
    fn start(bench: &Bench, words: &[&str]) -> Self {
        let key = key(bench, "key.pem", 0o600);
        let mut child = bench
            .command(KAPELL)
            .args(["serve", "--json", "--cert"])
            .arg(data("cert.pem"))
            .arg("--key")
            .arg(key)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not served: {line:?}"));
        let port = told["url"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        let token = fs::read_to_string(told["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        Self { child, told, port, token }
    }

    fn connect(&self, address: &str) -> TcpStream {
        let stream = TcpStream::connect((address, self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Asks by TLS for a server of this name: the first line of the answer, and the rest.
    fn ask(&self, address: &str, name: &str, lines: &str) -> (String, String) {
        let certificate = CertificateDer::from_pem_file(data("cert.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        said(&mut StreamOwned::new(client, self.connect(address)), lines)
    }
}

/// Says that and reads to the end.
fn said(stream: &mut (impl Read + Write), lines: &str) -> (String, String) {
    stream.write_all(format!("{lines}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection may end without being said to.
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (first, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}

/// An address of this machine that others could reach it by, if it has one.
fn outer() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only says from where it would be.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

#[test]
fn whoever_speaks_tls_is_answered_on_every_interface() {
    let bench = Bench::new();
    let served = Secured::start(&bench, &["--listen", "0.0.0.0:0", "--name", "board.example"]);
    let url = format!("https://board.example:{}", served.port);
    assert_eq!(served.told["url"], url);
    assert_eq!(served.told["board"], format!("{url}/#token={}", served.token));
    let port = served.port;
    // No worker that begins now reads the key.
    let noted = fs::read_to_string(bench.state().join("secrets")).unwrap();
    assert!(noted.lines().any(|line| line.ends_with("600-key.pem")), "{noted}");
    let asked = |host: &str, more: &str| format!("GET /api/plans HTTP/1.1\r\nHost: {host}\r\n{more}");
    let bearer = format!("Authorization: Bearer {}\r\n", served.token);
    let own = asked(&format!("board.example:{port}"), &bearer);
    let (status, body) = served.ask("127.0.0.1", "board.example", &own);
    assert!(status.contains(" 200 ") && body.contains("\"plans\""), "{status} {body}");
    let page = format!("{bearer}Origin: https://board.example:{port}\r\n");
    let (status, _) =
        served.ask("127.0.0.1", "board.example", &asked(&format!("board.example:{port}"), &page));
    assert!(status.contains(" 200 "), "{status}");
    let (status, _) = served.ask("127.0.0.1", "localhost", &asked(&format!("localhost:{port}"), &bearer));
    assert!(status.contains(" 200 "), "{status}");
    // The token and the names count as they do without.
    let (status, _) = served.ask("127.0.0.1", "localhost", &asked(&format!("localhost:{port}"), ""));
    assert!(status.contains(" 401 "), "{status}");
    let (status, _) = served.ask("127.0.0.1", "localhost", &asked("evil.example", &bearer));
    assert!(status.contains(" 403 "), "{status}");
    if let Some(address) = outer() {
        let (status, _) =
            served.ask(&address, "board.example", &asked(&format!("{address}:{port}"), &bearer));
        assert!(status.contains(" 200 "), "{address}: {status}");
        // There nobody is localhost.
        let (status, _) = served.ask(&address, "localhost", &asked(&format!("localhost:{port}"), &bearer));
        assert!(status.contains(" 403 "), "{address}: {status}");
    }
}

#[test]
fn whoever_does_not_speak_tls_is_told_or_waited_for_by_nobody() {
    let bench = Bench::new();
    let served = Secured::start(&bench, &[]);
    let silent = served.connect("127.0.0.1");
    let (status, body) =
        said(&mut served.connect("127.0.0.1"), "GET /api/plans HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    assert!(status.contains(" 400 ") && body.contains("https://"), "{status} {body}");
    assert!(body.ends_with('\n'), "the whole of it: {body:?}");
    let garbage = [22, 3, 1, 255, 255, 7, 7, 7];
    let mut stream = served.connect("127.0.0.1");
    stream.write_all(&garbage).unwrap();
    let mut answer = Vec::new();
    // It is cut off or told by an alert; no word in plain text.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.first().is_none_or(|byte| *byte == 21), "{answer:?}");
    let asked = format!(
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n",
        served.port, served.token
    );
    let (status, _) = served.ask("127.0.0.1", "127.0.0.1", &asked);
    assert!(status.contains(" 200 "), "{status}");
    drop(silent);
}

#[test]
fn a_certificate_that_is_of_no_use_is_refused_before_anybody_is_let_in() {
    let bench = Bench::new();
    let (good, open, other) =
        (key(&bench, "key.pem", 0o600), key(&bench, "key.pem", 0o644), key(&bench, "other.pem", 0o600));
    let cert = data("cert.pem");
    let empty = bench.root.join("empty.pem");
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o600)).unwrap();
    let gone = bench.root.join("gone.pem");
    let table = [
        ((&cert, &open), "can be read by everybody"),
        ((&cert, &other), "KeyMismatch"),
        ((&cert, &empty), "no private key is in it"),
        ((&good, &good), "no certificate is in it"),
        ((&gone, &good), "gone.pem"),
        ((&cert, &gone), "gone.pem"),
    ];
    for ((cert, key), expected) in table {
        let output = bench
            .command(KAPELL)
            .args(["serve", "--json", "--listen", "0.0.0.0:0", "--cert"])
            .arg(cert)
            .arg("--key")
            .arg(key)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("not-allowed") && said.contains(expected), "{expected}: {said}");
    }
    let output = bench.command(KAPELL).args(["serve", "--cert"]).arg(&cert).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
