//! Moments that the conductor tells of in its log, taken within this process.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A line of the log and when it came.
#[derive(Debug)]
pub struct Mark {
    /// The line, without its fields.
    pub what: String,
    /// When.
    pub at: Instant,
}

impl Mark {
    /// The lines about an attempt, in their order.
    pub const OF_AN_ATTEMPT: [&str; 4] =
        ["its task is to start", "its shim is started", "its end is known", "its end is recorded"];
}

static MARKS: Mutex<Vec<Mark>> = Mutex::new(Vec::new());

struct Marks;

impl<S: Subscriber> Layer<S> for Marks {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let at = Instant::now();
        let mut message = Message(String::new());
        event.record(&mut message);
        if Mark::OF_AN_ATTEMPT.contains(&message.0.as_str()) {
            MARKS.lock().unwrap_or_else(PoisonError::into_inner).push(Mark { what: message.0, at });
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Begins to listen.
pub fn listen() {
    let conductor = Targets::new().with_target("kapell::services::conductor", LevelFilter::DEBUG);
    // Nobody else listens in this process.
    let _ = tracing_subscriber::registry().with(Marks.with_filter(conductor)).try_init();
}

/// What came since the last call.
pub fn take() -> Vec<Mark> {
    std::mem::take(&mut *MARKS.lock().unwrap_or_else(PoisonError::into_inner))
}
