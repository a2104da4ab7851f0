//! Opening the database, and transactions on it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, FileControl, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::error::StoreError;
use super::migrate;
use crate::base::failpoint::Point;
use crate::base::shared::assert_none_is_held;
use crate::base::threads;

/// Marks the file as Kapell's ("Kapl"), in SQLite's header.
pub(super) const APPLICATION_ID: i32 = 0x4b61_706c;

/// The file on whose lock writers queue, and which each of them touches after a commit.
pub(super) const BELL: &str = "kapell.lock";

/// Bytes of a page. A change of some rows touches a page for each of their tables and indexes, whatever its size, and
/// all of them are written twice and summed up: the smaller, the less of that. What a database has is kept.
const PAGE: u64 = 1 << 10;

/// Bytes of the log that are read again in less than a tenth of a millisecond.
const SMALL_LOG: u64 = 64 << 10;

/// With so many bytes in the log it is folded by who keeps the database open, when nobody waits for that, and by who
/// has written and leaves.
const GROWN_LOG: u64 = 192 << 10;

/// With so many bytes in the log a commit folds them into the database, which takes as long as some commits: not
/// one claim of two hundred is to wait for that.
const LARGE_LOG: u64 = 2 << 20;

/// Who waits this long for its turn to write tells so.
const PATIENCE: Duration = Duration::from_secs(5);

/// The database of one person on one machine. Cheap to share between threads.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// For who looks while another thread writes; opened when that first happens.
    second: OnceLock<Mutex<Connection>>,
    /// Whether who looks waits for a writer of this process instead.
    is_shared: AtomicBool,
    /// Held by the thread that writes or waits for its turn among the processes.
    writing: Mutex<()>,
    // SQLite's busy handler starves writers when many processes write (a writer waited
    // 3 s for a commit of 60 µs), so they queue on this file's lock instead, for 7 µs.
    turnstile: File,
    /// So long the turn is waited for.
    limit: OnceLock<Duration>,
}

/// How thoroughly to look at the file before using it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The header and the file's length.
    Header,
    /// Every page, as `PRAGMA quick_check` does.
    Pages,
}

/// One transaction. Everything that is recorded goes through its methods, which
/// the files of this folder add, one area each.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(super) sql: &'a Connection,
}

impl Store {
    /// Opens the database `kapell.db` in `folder`, making both when they are not there.
    ///
    /// A newer or damaged database is refused before anything is written.
    pub fn open(folder: &Path, check: Check) -> Result<Self, StoreError> {
        private_folder(folder)?;
        let path = folder.join("kapell.db");
        let turnstile_path = folder.join(BELL);
        let turnstile = open_private(&turnstile_path)
            .map_err(|source| StoreError::Io { path: turnstile_path, source })?;
        // Who finds it ready does not wait for who writes, or whoever looks would hang with a writer that was
        // suspended. What it is beside others SQLite sees to.
        let mut seen = look_at_header(&path);
        let mut opening = None;
        if !matches!(&seen, Ok(Some(header)) if header.format == migrate::NEWEST) {
            // Nobody writes meanwhile, so what looks cut short is cut short. And nobody else opens it: of those who
            // find a database that somebody was killed while making, all but one would be told that it is locked.
            opening = Some(turn(&turnstile, &path, None)?);
            seen = look_at_header(&path);
        }
        let page = seen?.map_or(PAGE, |header| header.page);
        let had_log = path.with_extension("db-wal").exists();
        // The file is made by us, so that it is private from its first byte.
        drop(open_private(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?);
        Point::StoreMade.reach().map_err(StoreError::from)?;
        let connection = connect(&path)?;
        // Should the file turn out damaged, closing it must not write into it.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let damaged = |what: String| StoreError::Damaged { path: path.clone(), what };
        let read = |error: rusqlite::Error| {
            let error = StoreError::from(error);
            if error.is_damage() { damaged(error.to_string()) } else { error }
        };
        let found: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(read)?;
        if found > migrate::NEWEST {
            return Err(StoreError::Newer { path, found, known: migrate::NEWEST });
        }
        if found > 0 {
            // It has been read once, and with that recovered; to look through all of it takes long.
            opening.take();
        }
        if found > 0 && check == Check::Pages {
            let verdict: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(read)?;
            if verdict != "ok" {
                return Err(damaged(verdict));
            }
        }
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        if found == 0 {
            // Both stand in the file, so they are set once.
            connection.execute_batch(&format!("PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL"))?;
        }
        let large = LARGE_LOG / page;
        connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA journal_size_limit = 4194304; PRAGMA wal_autocheckpoint = {large}",
        ))?;
        drop(opening);
        let store = Self {
            path,
            connection: Mutex::new(connection),
            second: OnceLock::new(),
            is_shared: AtomicBool::new(false),
            writing: Mutex::new(()),
            turnstile,
            limit: OnceLock::new(),
        };
        if found < migrate::NEWEST {
            store.migrate()?;
        }
        if !had_log {
            // Or a loss of power could take the log, and with it what was committed. SQLite is built without that,
            // since it cannot know whether the log was there.
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|source| StoreError::Io { path: folder.to_owned(), source })?;
        }
        Ok(store)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `change` in one durable transaction: all of it or, on an error, nothing.
    /// Writers of all processes take turns.
    pub fn write<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let opened = self.open_to_write()?;
        let before = opened.connection.total_changes();
        let done = change(&opened.tx())?;
        self.commit(&opened, before)?;
        Ok(done)
    }

    /// Runs `look` on one consistent view of the database.
    pub fn read<T, E: From<StoreError>>(&self, look: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        look(&self.open_to_read()?.tx())
    }

    // What follows is the same for all changes and looks, of which there are hundreds.

    fn open_to_write(&self) -> Result<Opened<'_>, StoreError> {
        assert_none_is_held();
        // Whoever looks waits for the transaction at most, and not for those of other processes before it.
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn()?;
        let connection = self.connection();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Opened { connection, _turn: Some(turn), _writing: Some(writing) })
    }

    fn open_to_read(&self) -> Result<Opened<'_>, StoreError> {
        assert_none_is_held();
        let connection = self.free_connection();
        connection.execute_batch("BEGIN DEFERRED")?;
        Ok(Opened { connection, _turn: None, _writing: None })
    }

    /// Commits, and tells everybody where anything changed since `before`.
    fn commit(&self, opened: &Opened<'_>, before: u64) -> Result<(), StoreError> {
        let has_changed = opened.connection.total_changes() != before;
        if has_changed {
            Point::StoreChanged.reach()?;
        }
        opened.connection.execute_batch("COMMIT")?;
        if has_changed {
            Point::StoreCommitted.reach()?;
            self.ring();
        }
        Ok(())
    }

    /// Looks at every page, and not whether indexes agree with their tables: quicker than [`Self::integrity`].
    pub fn soundness(&self) -> Result<Vec<String>, StoreError> {
        self.faults("PRAGMA quick_check(20)")
    }

    /// Looks at every page and every constraint; `Ok` lists what was found wrong, none when sound.
    pub fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.faults("PRAGMA integrity_check(20)")
    }

    fn faults(&self, look: &str) -> Result<Vec<String>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare(look)?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// From now on nobody in this process waits longer than this to write: for one whose answer is not waited for any
    /// longer either. It is to end soon, for a wait that was given up goes on until the process does.
    pub fn give_up_after(&self, limit: Duration) -> Result<(), StoreError> {
        let _ = self.limit.set(limit);
        Ok(self.connection().busy_timeout(limit)?)
    }

    /// From now on who looks waits until a writer of this process has committed. That is for processes whose threads
    /// write all the time: a connection forgets what it has read with each commit of another, and to read all of it
    /// again takes as long.
    pub fn share_one_connection(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }

    /// Folds the write-ahead log into the database, so that whoever opens it next does not have to.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn()?;
        let connection = self.connection();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Folds what others need not wait for into the database, while nobody does: beside readers and writers, on a
    /// connection of its own. A commit that finds very many in the log does it itself, and that takes as long
    /// as some commits. A few pages are left for later, as most of them will have changed again by then.
    pub fn fold_aside(&self) {
        let Some(aside) = self.second() else { return };
        let fold = || -> Result<(), rusqlite::Error> {
            let frames = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?);
            let unfolded = aside.query_row("PRAGMA wal_checkpoint(NOOP)", [], frames)?;
            let page: i64 = aside.pragma_query_value(None, "page_size", |row| row.get(0))?;
            if unfolded * page > GROWN_LOG as i64 {
                aside.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            }
            Ok(())
        };
        if let Err(error) = fold() {
            // A commit does it then.
            tracing::debug!("not folded: {error}");
        }
    }

    /// Lets go of the database without tidying up, in a process that ends now: the system closes what
    /// is open, and whoever opens it next finds the write-ahead log as it lies. One that has grown is
    /// folded in all the same if nobody else has it open, because the first to open it has to read it all: by
    /// whoever only looked, if it can be, who did not wait for the disk already.
    pub fn leave(self) {
        let log = std::fs::metadata(self.path.with_extension("db-wal"));
        let most = if self.connection().total_changes() == 0 { SMALL_LOG } else { GROWN_LOG };
        if log.is_ok_and(|log| log.len() <= most) || others_have_it_open(&self.path) {
            std::mem::forget(self);
        }
    }

    fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let _turn = self.turn()?;
        migrate::run(&mut connection)?;
        // The header on disk tells the format to a Kapell that must not open the file.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// A panic while the lock was held rolled its transaction back, so the connection is sound.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to look with: who looks need not wait until a writer's commit is on the disk.
    fn free_connection(&self) -> MutexGuard<'_, Connection> {
        if self.is_shared.load(Ordering::Relaxed) {
            return self.connection();
        }
        match self.connection.try_lock() {
            Ok(connection) => return connection,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {}
        }
        self.second().unwrap_or_else(|| self.connection())
    }

    /// The connection beside that of the writers, where it can be had.
    fn second(&self) -> Option<MutexGuard<'_, Connection>> {
        if self.second.get().is_none()
            && let Ok(second) = connect(&self.path)
        {
            // Should another thread have been quicker, this one is closed again.
            let _ = self.second.set(Mutex::new(second));
        }
        Some(self.second.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells everybody who watches that something was committed. The log file beside the database
    /// would tell too early: it is written before the commit can be seen.
    fn ring(&self) {
        // Whoever misses it looks again at its own deadline.
        let _ = rustix::io::pwrite(&self.turnstile, b".", 0);
    }

    fn turn(&self) -> Result<Turn<'_>, StoreError> {
        turn(&self.turnstile, &self.path, self.limit.get().copied())
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Without it SQLite prepares a statement anew for each value that is bound to it wherever a partial
    // index might serve: a quarter of all that a conductor did.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Whoever is the last to close it empties the log and leaves the file: to make a file anew and have its folder
    // written takes as long as some commits.
    let mut stays = 1;
    connection.file_control(Some("main"), FileControl::PersistWal(&mut stays))?;
    connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}

/// A transaction that was begun, rolled back when it is dropped before its commit. What it holds is let go of in this
/// order.
struct Opened<'a> {
    connection: MutexGuard<'a, Connection>,
    _turn: Option<Turn<'a>>,
    _writing: Option<MutexGuard<'a, ()>>,
}

impl Opened<'_> {
    fn tx(&self) -> Tx<'_> {
        Tx { sql: &self.connection }
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // One that fails has been rolled back by SQLite, or is when the connection is used next.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

/// Whether another process has the database at `path` open. Each that has keeps a lock on one byte of the index of
/// the log, which SQLite calls its dead man's switch (`UNIX_SHM_DMS` in `os_unix.c`).
fn others_have_it_open(path: &Path) -> bool {
    const SWITCH: u64 = 128;
    let Ok(index) = File::open(path.with_extension("db-shm")) else { return false };
    let lock = Flock {
        start: SWITCH,
        length: 1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let other = fcntl_getlk(&index, &lock);
    // With it closed this process would lose its own lock, which closing the database asks for.
    std::mem::forget(index);
    matches!(other, Ok(Some(_)))
}

/// Waits for the turn of whoever writes the database at `path`, so long at most.
fn turn<'a>(turnstile: &'a File, path: &Path, limit: Option<Duration>) -> Result<Turn<'a>, StoreError> {
    let mut operation = FlockOperation::NonBlockingLockExclusive;
    let mut _waits = None;
    loop {
        match flock(turnstile, operation) {
            Ok(()) => return Ok(Turn(turnstile)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                if let Some(limit) = limit {
                    return turn_within(turnstile, path, limit);
                }
                operation = FlockOperation::LockExclusive;
                _waits = Some(tell_later(turnstile, path));
            }
            Err(errno) => return Err(StoreError::Io { path: path.to_owned(), source: errno.into() }),
        }
    }
}

/// The same, by a thread that goes on to wait where this gives up: the lock is that of the file, whoever takes it.
fn turn_within<'a>(turnstile: &'a File, path: &Path, limit: Duration) -> Result<Turn<'a>, StoreError> {
    let failed = |source| StoreError::Io { path: path.to_owned(), source };
    let lock = turnstile.try_clone().map_err(failed)?;
    let (had, turns) = channel();
    let wait = move || {
        while let Err(errno) = flock(&lock, FlockOperation::LockExclusive) {
            if errno != rustix::io::Errno::INTR {
                return;
            }
        }
        // With nobody who waits any more the process ends, and the lock with it.
        let _ = had.send(());
    };
    threads::start("kapell-turn", Box::new(wait)).map_err(failed)?;
    match turns.recv_timeout(limit) {
        Ok(()) => Ok(Turn(turnstile)),
        Err(RecvTimeoutError::Disconnected) => Err(failed(rustix::io::Errno::NOLCK.into())),
        Err(RecvTimeoutError::Timeout) => {
            let (path, seconds) = (path.to_owned(), limit.as_secs());
            Err(StoreError::Busy { path, who: holder_of(turnstile), seconds })
        }
    }
}

/// Who has locked the file, in words.
fn holder_of(turnstile: &File) -> String {
    match holder(turnstile.metadata().map_or(0, |it| it.ino())) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// Tells of a wait for the turn if it is not over before long; it is over as soon as what this gives is dropped.
fn tell_later(turnstile: &File, path: &Path) -> Sender<()> {
    let (waits, is_over) = channel();
    let path = path.to_owned();
    let lock = turnstile.try_clone();
    let tell = move || {
        if is_over.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let who = lock.map_or_else(|_| "another process".to_owned(), |lock| holder_of(&lock));
            tracing::warn!(
                "waiting to write {} since {} s: {who} has the turn; if it is suspended let it go on, if it hangs end it",
                path.display(),
                PATIENCE.as_secs()
            );
        }
    };
    // Without a thread nobody is told, that is all.
    let _ = threads::start("kapell-turn", Box::new(tell));
    waits
}

/// The process that has locked the file of this number, where the system tells.
fn holder(inode: u64) -> Option<u32> {
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // Such as `3: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`; who waits has an arrow instead of the first word.
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        let is_it = kind == "FLOCK" && file.rsplit(':').next()?.parse() == Ok(inode);
        if is_it { pid.parse().ok() } else { None }
    })
}

/// The right to write, given back on drop.
struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Cannot fail for an open file; closing it would free the lock too.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// Makes a folder that only its owner may enter.
pub(crate) fn private_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| StoreError::Io { path: folder.to_owned(), source })
}

fn open_private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What the first bytes of a database say.
struct Header {
    /// Bytes of a page.
    page: u64,
    /// The newest step that was taken.
    format: i64,
}

/// Reads the first hundred bytes without SQLite, which would create and recover files beside it; nothing where there
/// are none. Offsets are those of the SQLite file format, section 1.3.
fn look_at_header(path: &Path) -> Result<Option<Header>, StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let damaged = |what: &str| StoreError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let length = file.metadata().map_err(io)?.len();
    if length == 0 {
        // A database is empty before the first commit, whose bell stays; later it was emptied.
        let has_rung = path.with_file_name(BELL).metadata().is_ok_and(|bell| bell.len() > 0);
        return match has_rung {
            true => Err(damaged("it is empty, though something was written into it")),
            false => Ok(None),
        };
    }
    let mut header = [0u8; 100];
    if file.read_exact(&mut header).is_err() {
        return Err(damaged("it is shorter than a database header"));
    }
    if &header[..16] != b"SQLite format 3\0" {
        return Err(damaged("it is no SQLite database"));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        0 => return Err(damaged("its pages have no size")),
        1 => 65_536,
        size => u64::from(size),
    };
    let (pages, format, application) = (number(28), number(60), number(68));
    if application != 0 && application != APPLICATION_ID as u32 {
        return Err(damaged("it belongs to another program"));
    }
    let format = i64::from(format);
    if format > migrate::NEWEST {
        return Err(StoreError::Newer { path: path.to_owned(), found: format, known: migrate::NEWEST });
    }
    // While the log has something to fold in, the header may know of pages that are only there.
    let log = path.with_extension("db-wal");
    let is_folded = log.metadata().map_or(true, |log| log.len() == 0);
    if is_folded && length < u64::from(pages) * page_size {
        return Err(damaged("it is cut short"));
    }
    Ok(Some(Header { page: page_size, format }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_close_empties_the_log_and_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), Check::Header).unwrap());
        let log = folder.path().join("kapell.db-wal");
        assert_eq!(log.metadata().unwrap().len(), 0);
        let store = Store::open(folder.path(), Check::Pages).unwrap();
        assert_eq!(store.integrity().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn who_cannot_wait_for_ever_is_told_who_has_the_turn() {
        let folder = tempfile::tempdir().unwrap();
        let (other, own) = [(); 2].map(|()| Store::open(folder.path(), Check::Header).unwrap()).into();
        own.give_up_after(Duration::from_secs(60)).unwrap();
        own.write(|_| Ok::<_, StoreError>(())).unwrap();
        let turn = other.turn().unwrap();
        let refused = turn_within(&own.turnstile, &own.path, Duration::from_millis(1)).map(|_| ());
        let told = refused.unwrap_err().to_string();
        assert!(told.starts_with(&format!("process {} has had the turn", std::process::id())), "{told}");
        assert!(own.read(|tx| tx.projects()).unwrap().is_empty());
        // Whoever gives it back in time is waited for.
        std::thread::scope(|scope| {
            let late = scope.spawn(|| own.write(|_| Ok::<_, StoreError>(())));
            drop(turn);
            late.join().unwrap().unwrap();
        });
    }

    /// What another process is told to do: it has the database open until its stdin ends.
    #[test]
    #[ignore = "played by another process"]
    fn has_it_open() {
        #[expect(clippy::disallowed_methods, reason = "how a test tells another process")]
        let folder = std::env::var_os("KAPELL_TEST_FOLDER").unwrap();
        let _store = Store::open(Path::new(&folder), Check::Header).unwrap();
        println!("it is open");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn only_another_process_has_it_open_beside_this_one() {
        use std::io::BufRead as _;
        use std::process::Stdio;

        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Check::Header).unwrap();
        assert!(!others_have_it_open(store.path()));
        drop(store);
        let tests = std::env::current_exe().unwrap();
        #[expect(clippy::disallowed_methods, reason = "the store does not start programs, but for this test")]
        let mut command = std::process::Command::new(tests);
        command.args(["--exact", "--ignored", "--nocapture", "store::connection::tests::has_it_open"]);
        command.env("KAPELL_TEST_FOLDER", folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut other = command.spawn().unwrap();
        let said = std::io::BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.into_iter().any(|line| line.contains("it is open")));
        let store = Store::open(folder.path(), Check::Header).unwrap();
        assert!(others_have_it_open(store.path()));
        drop(other.stdin.take());
        other.wait().unwrap();
        assert!(!others_have_it_open(store.path()));
    }

    #[test]
    fn a_database_of_larger_pages_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let made = Connection::open(folder.path().join("kapell.db")).unwrap();
        made.execute_batch("PRAGMA page_size = 4096; CREATE TABLE t (a INTEGER) STRICT; DROP TABLE t;")
            .unwrap();
        drop(made);
        let size = |store: &Store| -> (i64, i64) {
            let one = |of: &str| store.connection().pragma_query_value(None, of, |row| row.get(0)).unwrap();
            (one("page_size"), one("wal_autocheckpoint"))
        };
        let store = Store::open(folder.path(), Check::Pages).unwrap();
        assert_eq!(size(&store), (4096, 512));
        let small = tempfile::tempdir().unwrap();
        assert_eq!(size(&Store::open(small.path(), Check::Pages).unwrap()), (1024, 2048));
    }

    #[test]
    fn who_looks_does_not_wait_for_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Check::Header).unwrap();
        let count = |tx: &Tx<'_>| -> Result<i64, StoreError> {
            Ok(tx
                .sql
                .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'news'", [], |row| row.get(0))?)
        };
        let (has_written, written) = channel();
        let (may_commit, permission) = channel();
        std::thread::scope(|scope| {
            let store = &store;
            scope.spawn(move || {
                let change = |tx: &Tx<'_>| -> Result<(), StoreError> {
                    tx.sql.execute_batch("CREATE TABLE news (it TEXT)")?;
                    has_written.send(()).unwrap();
                    permission.recv().unwrap();
                    Ok(())
                };
                store.write(change).unwrap();
            });
            written.recv().unwrap();
            assert_eq!(store.read(count).unwrap(), 0);
            may_commit.send(()).unwrap();
        });
        assert_eq!(store.read(count).unwrap(), 1);
    }
}
