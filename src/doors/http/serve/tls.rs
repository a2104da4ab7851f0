//! TLS, without which nobody is let in from other machines.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::stream::Patient;
use crate::api::ApiError;
use crate::domain::refusal::{Code, Refusal};

/// The first byte of whoever begins with TLS (RFC 8446, 5.1: a handshake).
const HANDSHAKE: u8 = 22;
/// So much of what nobody reads is taken all the same.
const MOST_UNREAD: u64 = 64 << 10;
/// What whoever does not is told.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 53\r\n\
    Connection: close\r\n\r\nTLS is spoken here: begin the address with https://.\n";

/// A certificate with its key.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads a certificate, with those that vouch for it behind it, and its private key, both as PEM.
    ///
    /// # Errors
    /// A file cannot be read, or holds none; the key is another one's, or others can read it.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, ApiError> {
        let refused =
            |message: String, hint: &str| ApiError::from(Refusal::new(Code::NotAllowed, message, hint));
        let files = "--cert wants the certificate with its chain, --key its private key, both as PEM";
        let no_certificate = |error| {
            refused(format!("{}: {}", chain.display(), said(error, "no certificate is in it")), files)
        };
        let no_key =
            |error| refused(format!("{}: {}", key.display(), said(error, "no private key is in it")), files);
        let certificates = open(chain, no_certificate)?;
        let certificates = CertificateDer::pem_reader_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|all| if all.is_empty() { Err(PemError::NoItemsFound) } else { Ok(all) })
            .map_err(no_certificate)?;
        let file = open(key, no_key)?;
        if file.metadata().is_ok_and(|found| found.mode() & 0o007 != 0) {
            let hint =
                format!("chmod 600 {}: whoever has the key can be taken for this server", key.display());
            return Err(refused(format!("the key {} can be read by everybody", key.display()), &hint));
        }
        let private = PrivateKeyDer::from_pem_reader(file).map_err(no_key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, private))
            .map_err(|error| {
                let both = format!("{} with the key {}: {error}", chain.display(), key.display());
                refused(both, "the key has to be that of the first certificate in the file")
            })?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Agrees with somebody who connected; `None` where that does not come about. A write that is not taken for
    /// `patience` is the end.
    pub async fn accept(
        &self,
        mut stream: TcpStream,
        patience: Duration,
    ) -> Option<TlsStream<Patient<TcpStream>>> {
        let mut first = [0];
        // Whoever says nothing is not waited for by anybody but this.
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first != [HANDSHAKE] {
            // They may be gone.
            let _ = stream.write_all(PLAIN).await;
            let _ = stream.shutdown().await;
            // What is not read would be answered by a reset, and the answer lost with it.
            let _ = tokio::io::copy(&mut stream.take(MOST_UNREAD), &mut tokio::io::sink()).await;
            return None;
        }
        // Why somebody does not like the certificate is theirs to say.
        self.0.accept(Patient::new(stream, patience)).await.ok()
    }
}

fn open(path: &Path, refused: impl Fn(PemError) -> ApiError) -> Result<File, ApiError> {
    let file = File::open(path).map_err(|error| refused(PemError::Io(error)))?;
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err(refused(PemError::Io(io::Error::other("no plain file")))),
        Err(error) => Err(refused(PemError::Io(error))),
    }
}

/// What is wrong with a file.
fn said(error: PemError, nothing: &str) -> String {
    match error {
        PemError::NoItemsFound => nothing.to_owned(),
        PemError::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
