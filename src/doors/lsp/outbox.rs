//! The way to the editor, for threads that must not wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::types::{Diagnostic, Editor, MessageType, Notification, Registration, Uri};
use crate::base::tasks;

/// An editor that does not read is not written ahead to without end: with so many messages unsent, events
/// are left out. They have numbers, so whoever reads on sees the gap and asks for them.
const MOST_EVENTS: usize = 10_000;

/// Something to tell the editor.
#[derive(Debug)]
pub enum Message {
    /// What is wrong with a document.
    Diagnostics(Uri, Vec<Diagnostic>, Option<i32>),
    /// `kapell/event`
    Event(Value),
    /// `kapell/claims`
    Claims(Value),
    /// `kapell/projects`
    Projects(Value),
    /// `kapell/meeting`
    Meeting(Value),
    /// Something that is served from now on.
    Register(Registration),
    /// A sentence for the person.
    Show(MessageType, String),
    /// The code lenses are others now.
    RefreshLenses,
    /// The inlay hints are others now.
    RefreshHints,
}

/// Where messages are left; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    messages: UnboundedSender<Message>,
    unsent: Arc<AtomicUsize>,
}

/// What was left and is to be sent.
#[derive(Debug)]
pub struct Unsent {
    messages: UnboundedReceiver<Message>,
    unsent: Arc<AtomicUsize>,
}

/// An empty outbox and its other end.
pub fn open() -> (Outbox, Unsent) {
    let (sender, receiver) = unbounded_channel();
    let unsent = Arc::new(AtomicUsize::new(0));
    (Outbox { messages: sender, unsent: unsent.clone() }, Unsent { messages: receiver, unsent })
}

/// Declares a notification of our own.
macro_rules! notification {
    ($name:ident, $method:literal) => {
        enum $name {}

        impl Notification for $name {
            type Params = Value;
            const METHOD: &'static str = $method;
        }
    };
}

notification!(Event, "kapell/event");
notification!(Claims, "kapell/claims");
notification!(Projects, "kapell/projects");
notification!(Meeting, "kapell/meeting");

impl Outbox {
    /// Leaves a message.
    pub fn leave(&self, message: Message) {
        let unsent = self.unsent.fetch_add(1, Ordering::SeqCst);
        let is_left_out = unsent >= MOST_EVENTS && matches!(message, Message::Event(_));
        // After the end nobody sends any more.
        if is_left_out || self.messages.send(message).is_err() {
            self.unsent.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Unsent {
    /// Sends what is left in the order of leaving, as long as anybody can leave something.
    pub async fn send(mut self, editor: Editor) {
        while let Some(message) = self.messages.recv().await {
            self.unsent.fetch_sub(1, Ordering::SeqCst);
            match message {
                Message::Diagnostics(uri, diagnostics, version) => {
                    editor.publish_diagnostics(uri, diagnostics, version).await;
                }
                Message::Event(params) => editor.send_notification::<Event>(params).await,
                Message::Claims(params) => editor.send_notification::<Claims>(params).await,
                Message::Projects(params) => editor.send_notification::<Projects>(params).await,
                Message::Meeting(params) => editor.send_notification::<Meeting>(params).await,
                Message::Show(kind, text) => editor.show_message(kind, text).await,
                Message::Register(one) => {
                    let editor = editor.clone();
                    tasks::start(async move { drop(editor.register_capability(vec![one]).await) });
                }
                // Its answer says nothing, and is not waited for.
                Message::RefreshLenses => {
                    let editor = editor.clone();
                    tasks::start(async move { drop(editor.code_lens_refresh().await) });
                }
                Message::RefreshHints => {
                    let editor = editor.clone();
                    tasks::start(async move { drop(editor.inlay_hint_refresh().await) });
                }
            }
        }
    }
}
