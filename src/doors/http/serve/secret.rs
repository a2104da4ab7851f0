//! The token of `kapell serve`: made once, in a file that only its owner reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::base::ids;
use crate::domain::refusal::{Code, Refusal};
use crate::services::Error;

/// So many letters of five bits each.
const LETTERS: usize = 48;
/// A token of somebody's own may be so short, and no longer than the other.
const LENGTHS: std::ops::RangeInclusive<usize> = 20..=200;

/// The token, and where it lies.
#[derive(Clone)]
pub struct Secret {
    /// The token.
    pub text: String,
    /// Its file.
    pub path: PathBuf,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Secret {
    /// Whether this is the token. How long that takes tells nothing of it but its length.
    pub fn is(&self, said: &[u8]) -> bool {
        let own = self.text.as_bytes();
        own.len() == said.len() && own.iter().zip(said).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

/// Reads the token, which is made where there is none. Two that start at once get the same.
///
/// # Errors
/// The file is not its owner's alone, or no plain file, or holds no token; the system fails.
pub fn keep(path: &Path) -> Result<Secret, Error> {
    if let Some(text) = read(path)? {
        return Ok(Secret { text, path: path.to_owned() });
    }
    make(path)
        .map_err(|error| Error::system(format!("cannot make the token file {}", path.display()), error))?;
    // Whoever was first made it.
    let text = read(path)?.ok_or_else(|| {
        Error::system(format!("the token file {}", path.display()), io::ErrorKind::NotFound.into())
    })?;
    Ok(Secret { text, path: path.to_owned() })
}

/// Puts a whole file there, unless there is something already; never through a link.
fn make(path: &Path) -> io::Result<()> {
    let token = ids::secret(LETTERS).ok_or_else(|| io::Error::other("the system has no random numbers"))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", ids::random_tail(8)));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let put = (|| {
        file.write_all(format!("{token}\n").as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    })();
    let _ = fs::remove_file(&beside);
    put
}

/// The token in a file; `None` where there is none.
fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |error| Error::system(format!("cannot read the token file {}", path.display()), error);
    let refused = |what: &str, hint: String| -> Error {
        Refusal::new(Code::NotAllowed, format!("the token file {} {what}", path.display()), hint).into()
    };
    let anew = || format!("remove {} and start again: a new token is made", path.display());
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(refused("is a link", anew()));
        }
        Err(error) => return Err(failed(error)),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(refused("is no plain file", anew()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(&format!("belongs to user {}", found.uid()), anew()));
    }
    if found.mode() & 0o077 != 0 {
        let hint = format!("chmod 600 {}; or remove it, and a new token is made", path.display());
        return Err(refused("can be read by others", hint));
    }
    let text = content(file).map_err(failed)?;
    let is_token = |text: &str| {
        LENGTHS.contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    match text.as_deref().map(str::trim_ascii).filter(|text| is_token(text)) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(refused("holds no token: 20 to 200 letters, digits, - and _", anew())),
    }
}

fn content(file: File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn it_is_made_once_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || keep(&path).unwrap().text)
            })
            .collect();
        let made: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(made.iter().all(|text| *text == made[0] && text.len() == LETTERS), "{made:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_not_its_owners_alone_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let put = |name: &str, text: &str, mode| {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("own", "abcdefghij-klmnopqrst_0\n", 0o600);
        put("open", "abcdefghijklmnopqrst", 0o640);
        put("short", "abc", 0o600);
        put("empty", "", 0o600);
        put("odd", "abcdefghijklmnopqr\nst", 0o600);
        put("bytes", "\u{e9}bcdefghijklmnopqrst", 0o600);
        symlink(at("own"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let table = [
            ("open", "can be read by others"),
            ("short", "holds no token"),
            ("empty", "holds no token"),
            ("odd", "holds no token"),
            ("bytes", "holds no token"),
            ("link", "is a link"),
            ("dangling", "is a link"),
            ("folder", "is no plain file"),
        ];
        assert_eq!(keep(&at("own")).unwrap().text, "abcdefghij-klmnopqrst_0");
        for (name, why) in table {
            let error = keep(&at(name)).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn only_the_token_is_the_token() {
        let secret = Secret { text: "abcdefghijklmnopqrst".to_owned(), path: PathBuf::new() };
        assert!(secret.is(b"abcdefghijklmnopqrst"));
        for said in [
            "",
            "abcdefghijklmnopqrsT",
            "abcdefghijklmnopqrs",
            "abcdefghijklmnopqrstu",
            "Abcdefghijklmnopqrst",
        ] {
            assert!(!secret.is(said.as_bytes()), "{said}");
        }
    }
}
