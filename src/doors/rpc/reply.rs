//! Where an answer goes: on a line of its own, or into its batch.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::api::ApiError;
use crate::api::message::{self, Id};
use crate::sys::stdio::Outlet;

/// What is to happen once an answer is on its way.
type Then = Box<dyn FnOnce() + Send>;

/// The place of one answer.
pub struct Reply {
    /// A notification has none, and is not answered.
    id: Option<Id>,
    to: To,
}

enum To {
    Line(Outlet<'static>),
    Batch(Arc<Batch>),
}

/// Answers that go out together, when the last place among them is gone.
pub struct Batch {
    outlet: Outlet<'static>,
    answers: Mutex<Vec<String>>,
    then: Mutex<Vec<Then>>,
}

impl Batch {
    /// A batch without answers yet.
    pub fn new(outlet: Outlet<'static>) -> Arc<Self> {
        Arc::new(Self { outlet, answers: Mutex::default(), then: Mutex::default() })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let answers = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        // A batch of notifications is not answered at all.
        if !answers.is_empty() {
            self.outlet.send(format!("[{}]", answers.join(",")).into_bytes());
        }
        for then in self.then.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            then();
        }
    }
}

impl Reply {
    /// On a line of its own.
    pub fn on_line(id: Option<Id>, outlet: Outlet<'static>) -> Self {
        Self { id, to: To::Line(outlet) }
    }

    /// Into a batch.
    pub fn in_batch(id: Option<Id>, batch: Arc<Batch>) -> Self {
        Self { id, to: To::Batch(batch) }
    }

    /// The request's id.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// Answers.
    pub fn send(self, outcome: &Result<Value, ApiError>) {
        self.send_then(outcome, None);
    }

    /// Answers, and then does something.
    pub fn send_then(self, outcome: &Result<Value, ApiError>, then: Option<Then>) {
        let answer = self.id.map(|id| message::response(&id, outcome));
        match self.to {
            To::Line(outlet) => {
                if let Some(answer) = answer {
                    outlet.send(answer.into_bytes());
                }
                if let Some(then) = then {
                    then();
                }
            }
            To::Batch(batch) => {
                batch.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answer);
                batch.then.lock().unwrap_or_else(PoisonError::into_inner).extend(then);
            }
        }
    }
}
