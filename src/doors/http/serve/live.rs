//! Events as they happen, as server-sent events.
//!
//! One thread for each project reads the log, whoever many follow: it keeps the newest events, already written
//! out, and says how far it is. A follower takes them from there, or from the database if it is further behind.
//! It takes the next ones when the ones before are on their way, so nobody who reads slowly costs memory.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::api::ApiError;
use crate::api::methods::events;
use crate::base::tasks;
use crate::base::threads;
use crate::services::following::{self, Follower, Interest, Reader};
use crate::services::{Error, Session};
use crate::store::events::EventRow;

/// So many of the newest events are kept for those who are nearly there.
const KEPT: usize = 2048;
/// At most so many are handed over at once.
const AT_ONCE: usize = 64;
/// Who is further behind than this is told.
const BEHIND: i64 = 1000;
/// Parts that wait for a client that does not read.
const AHEAD: usize = 2;
/// Where nothing happens, a comment shows so often that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The logs that somebody follows.
#[derive(Debug, Default)]
pub struct Logs(Mutex<HashMap<String, Weak<Log>>>);

/// The newest events of a project, or of all.
#[derive(Debug)]
struct Log {
    recent: Mutex<Recent>,
    /// The number up to which the log was read; `None` when it cannot be read any more.
    newest: watch::Sender<Option<i64>>,
    /// Ends the thread that reads.
    session: Session,
}

#[derive(Debug)]
struct Recent {
    /// Whatever happened after this is in here.
    floor: i64,
    told: VecDeque<Told>,
}

/// An event, written out.
#[derive(Debug, Clone)]
struct Told {
    seq: i64,
    plan: Option<String>,
    kind: String,
    text: Bytes,
}

/// Whom a follower is about, and from where on.
#[derive(Debug)]
pub struct Wish {
    /// What is to be seen.
    pub interest: Interest,
    /// From after this event; from the newest on unless told.
    pub since: Option<i64>,
}

impl Logs {
    /// The log that is followed for that interest, read from now on if nobody follows it yet.
    fn log(&self, session: &Session, interest: &Interest) -> Result<Arc<Log>, Error> {
        let key = match interest.all_projects {
            true => String::new(),
            false => session.project()?.id.to_string(),
        };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let living = open.get(&key).and_then(Weak::upgrade).filter(|log| log.newest.borrow().is_some());
        if let Some(log) = living {
            return Ok(log);
        }
        open.retain(|_, log| log.strong_count() > 0);
        let log = Log::read(session, interest.all_projects)?;
        open.insert(key, Arc::downgrade(&log));
        Ok(log)
    }
}

impl Log {
    /// Begins to read.
    fn read(session: &Session, all_projects: bool) -> Result<Arc<Self>, Error> {
        // Not ended with the call that asked first.
        let session = Session { cancel: crate::services::Cancel::default(), ..session.clone() };
        let interest = Interest { all_projects, ..Interest::default() };
        let mut follower = Follower::new(&session, interest, None)?;
        let floor = follower.seq();
        let log = Arc::new(Self {
            recent: Mutex::new(Recent { floor, told: VecDeque::new() }),
            newest: watch::Sender::new(Some(floor)),
            session: session.clone(),
        });
        let weak = Arc::downgrade(&log);
        let read = move || {
            loop {
                let rows = follower.next(None);
                let Some(log) = weak.upgrade() else { return };
                match rows {
                    Ok(rows) if rows.is_empty() && session.cancel.is_cancelled() => return,
                    Ok(rows) => log.add(&rows, follower.seq()),
                    Err(error) => {
                        tracing::warn!("the event log cannot be followed: {error}");
                        log.newest.send_replace(None);
                        return;
                    }
                }
            }
        };
        threads::start("kapell-log", Box::new(read))
            .map_err(|error| Error::system("a thread for the event log", error))?;
        Ok(log)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, rows: &[EventRow], newest: i64) {
        let mut recent = self.recent();
        for row in rows {
            recent.told.push_back(Told::of(row));
            if recent.told.len() > KEPT
                && let Some(oldest) = recent.told.pop_front()
            {
                recent.floor = oldest.seq;
            }
        }
        drop(recent);
        self.newest.send_replace(Some(newest));
    }

    /// The next events after `at`, and how far that is; `None` for one who is further behind than what is kept.
    fn after(&self, at: i64, interest: &Interest, newest: i64) -> Option<(Vec<Bytes>, i64)> {
        let recent = self.recent();
        if at < recent.floor {
            return None;
        }
        let first = recent.told.partition_point(|told| told.seq <= at);
        let mut found = Vec::new();
        let mut reached = at;
        for told in recent.told.iter().skip(first) {
            if found.len() == AT_ONCE {
                return Some((found, reached));
            }
            if told.is_of(interest) {
                found.push(told.text.clone());
            }
            reached = told.seq;
        }
        // Past what other projects did too.
        Some((found, reached.max(newest)))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.session.cancel.cancel();
    }
}

impl Told {
    fn of(row: &EventRow) -> Self {
        let event = serde_json::to_string(&events::event(row)).unwrap_or_default();
        Self {
            seq: row.seq,
            plan: row.plan.clone(),
            kind: row.kind.clone(),
            text: Bytes::from(format!("id: {}\ndata: {event}\n\n", row.seq)),
        }
    }

    fn is_of(&self, interest: &Interest) -> bool {
        interest.plan.as_ref().is_none_or(|plan| self.plan.as_ref() == Some(plan))
            && interest.kind.as_ref().is_none_or(|kind| self.kind.starts_with(kind.as_str()))
    }
}

/// A place from which the log is followed.
#[derive(Debug)]
pub struct Place {
    log: Arc<Log>,
    session: Session,
    interest: Interest,
    at: i64,
    is_told: bool,
}

impl Place {
    /// Finds it.
    ///
    /// # Errors
    /// There is no such plan, or no such event yet; the database fails.
    pub fn find(logs: &Logs, session: &Session, wish: Wish) -> Result<Self, ApiError> {
        let Wish { interest, since } = wish;
        // Read before it is looked where the newest is, so that nothing lies in between.
        let log = logs.log(session, &interest)?;
        let newest = following::check(session, &interest, since)?;
        let session = Session { cancel: crate::services::Cancel::default(), ..session.clone() };
        Ok(Self { log, session, interest, at: since.unwrap_or(newest), is_told: false })
    }

    /// What is next, as far as it is there. Empty when there is nothing yet.
    async fn next(&mut self, newest: i64) -> Result<Vec<u8>, ()> {
        let mut part = Vec::new();
        match self.log.after(self.at, &self.interest, newest) {
            Some((found, reached)) => {
                found.iter().for_each(|text| part.extend_from_slice(text));
                self.at = reached;
            }
            None => {
                self.tell_behind(newest, &mut part);
                let (session, interest, at) = (self.session.clone(), self.interest.clone(), self.at);
                let read = tasks::block(move || -> Result<_, Error> {
                    let mut reader = Reader::new(&session, interest, Some(at))?;
                    Ok((reader.look()?, reader.seq()))
                });
                let (rows, reached) = match read.await {
                    Ok(Ok(read)) => read,
                    Ok(Err(error)) => {
                        tracing::warn!("a follower of events is let go: {error}");
                        return Err(());
                    }
                    Err(_) => return Err(()),
                };
                rows.iter().for_each(|row| part.extend_from_slice(&Told::of(row).text));
                self.at = reached;
            }
        }
        if newest - self.at > BEHIND {
            self.tell_behind(newest, &mut part);
        } else {
            self.is_told = false;
        }
        Ok(part)
    }

    /// Says once that more has happened than was read in time.
    fn tell_behind(&mut self, newest: i64, part: &mut Vec<u8>) {
        if newest - self.at > BEHIND && !std::mem::replace(&mut self.is_told, true) {
            let data = json!({"seq": self.at, "newest": newest});
            part.extend_from_slice(format!("event: behind\ndata: {data}\n\n").as_bytes());
        }
    }

    /// Follows as a body that ends when `stopping` says so, or nobody reads it any more. `guard` is kept until then.
    pub fn into_body(self, mut stopping: watch::Receiver<bool>, guard: impl Send + 'static) -> Body {
        let (parts, body) = mpsc::channel(AHEAD);
        tasks::start(async move {
            let _guard = guard;
            tokio::select! {
                () = self.follow(&parts) => {}
                () = parts.closed() => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
        Body::new(Parts(body))
    }

    async fn follow(mut self, parts: &mpsc::Sender<Bytes>) {
        let mut news = self.log.newest.subscribe();
        let first = format!("retry: 2000\nid: {0}\nevent: open\ndata: {{\"seq\":{0}}}\n\n", self.at);
        if parts.send(Bytes::from(first)).await.is_err() {
            return;
        }
        loop {
            // Room first: what is taken then is what is newest then.
            let Ok(room) = parts.reserve().await else { return };
            let Some(newest) = *news.borrow_and_update() else { return };
            let before = self.at;
            let Ok(part) = self.next(newest).await else { return };
            if !part.is_empty() {
                room.send(Bytes::from(part));
                continue;
            }
            if self.at != before && self.at < newest {
                continue;
            }
            match tokio::time::timeout(HEARTBEAT, news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => room.send(Bytes::from_static(b": here\n\n")),
            }
        }
    }
}

/// A body of parts as they come.
struct Parts(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}
