//! Running plans as progress that the editor shows: created by a request first, told in parts of a
//! hundred, and cancelled by pausing the plan.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::desk::Desk;
use super::types::{
    Editor, NumberOrString, ProgressNotification, ProgressParams, ProgressParamsValue, ProgressToken,
    WorkDoneProgress, WorkDoneProgressBegin, WorkDoneProgressEnd, WorkDoneProgressReport,
};
use crate::api::table;
use crate::base::ids::PlanId;
use crate::base::tasks;
use crate::domain::conducting::PlanState;
use crate::domain::task::TaskState;
use crate::services::Session;
use crate::services::querying::{self, PlanView};

/// How the tokens of plans begin.
const TOKEN: &str = "kapell/plan/";

/// The plans whose progress is shown, by the tokens, with a folder of their project.
#[derive(Debug, Default)]
pub struct Shown(Mutex<HashMap<String, (String, PathBuf)>>);

impl Shown {
    fn plans(&self) -> MutexGuard<'_, HashMap<String, (String, PathBuf)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the keeper tells of plans.
#[derive(Debug)]
pub struct Progress {
    desk: Arc<Desk>,
    editor: Editor,
    runtime: Handle,
    /// The plans that are being shown.
    steps: HashMap<String, Steps>,
    /// How many were shown so far.
    count: u64,
}

/// The way to what tells of one plan, and by which token it does.
#[derive(Debug)]
struct Steps {
    token: String,
    sender: UnboundedSender<Step>,
}

/// What is told of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It goes on: a sentence, and how much of a hundred is done.
    Report(String, u32),
    /// It runs no more.
    End(String),
}

impl Progress {
    /// Nothing is shown yet. Called on the runtime.
    pub fn new(desk: Arc<Desk>, editor: Editor) -> Self {
        Self { desk, editor, runtime: Handle::current(), steps: HashMap::new(), count: 0 }
    }

    /// Shows the plans of a project that run already.
    pub fn begin(&mut self, session: &Session) {
        if !self.desk.settings().progress {
            return;
        }
        let plans = session.project().and_then(|project| querying::plans(session, &project, 100));
        match plans {
            Ok(plans) => plans.iter().for_each(|plan| self.show(session, plan)),
            Err(error) => tracing::warn!("the running plans: {error}"),
        }
    }

    /// Shows the plans of a project no more, since its folder was taken out of the workspace.
    pub fn leave(&mut self, top: &Path) {
        let gone: Vec<String> = {
            let plans = self.desk.shown.plans();
            plans.values().filter(|(_, folder)| *folder == top).map(|(plan, _)| plan.clone()).collect()
        };
        for plan in gone {
            self.end(&plan, "its folder was closed".to_owned());
        }
    }

    /// Tells of a plan no more, if it was told of.
    fn end(&mut self, plan: &str, why: String) {
        if let Some(steps) = self.steps.remove(plan) {
            self.desk.shown.plans().remove(&steps.token);
            let _ = steps.sender.send(Step::End(why));
        }
    }

    /// Looks at a plan again.
    pub fn update(&mut self, session: &Session, plan: &str) {
        if !self.desk.settings().progress {
            return;
        }
        match querying::plan(session, &PlanId::new(plan)) {
            Ok(view) => self.show(session, &view),
            Err(error) => tracing::warn!("plan {plan}: {error}"),
        }
    }

    fn show(&mut self, session: &Session, view: &PlanView) {
        let id = view.row.id.as_str();
        let (text, percentage) = shown(view);
        if view.state != PlanState::Running {
            self.end(id, format!("{}: {text}", view.state.as_str()));
            return;
        }
        if let Some(steps) = self.steps.get(id) {
            let _ = steps.sender.send(Step::Report(text, percentage));
            return;
        }
        let (sender, steps) = unbounded_channel();
        // A token is used once: a plan that is resumed is told of by another.
        self.count += 1;
        let token = format!("{TOKEN}{id}/{}", self.count);
        self.desk.shown.plans().insert(token.clone(), (id.to_owned(), session.folder.clone()));
        self.steps.insert(id.to_owned(), Steps { token: token.clone(), sender });
        let begin = WorkDoneProgressBegin {
            title: format!("Plan {}", view.row.name),
            cancellable: Some(true),
            message: Some(text),
            percentage: Some(percentage),
        };
        tasks::start_in(&self.runtime, follow(self.editor.clone(), token, begin, steps));
    }
}

/// How far a plan is, in words and of a hundred.
fn shown(view: &PlanView) -> (String, u32) {
    const AT_WORK: [TaskState; 4] =
        [TaskState::Running, TaskState::Judging, TaskState::Approved, TaskState::Landing];
    let (done, total) = (view.count(&[TaskState::Done]), view.total());
    let (running, failed) = (view.count(&AT_WORK), view.count(&[TaskState::Failed, TaskState::Blocked]));
    let mut text = format!("{done} of {total} done");
    for (count, what) in [(running, "at work"), (failed, "failed")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let percentage = (done * 100).checked_div(total).unwrap_or(0);
    (text, u32::try_from(percentage).unwrap_or(100))
}

/// Tells of one plan until it runs no more.
async fn follow(
    editor: Editor,
    token: String,
    begin: WorkDoneProgressBegin,
    mut steps: UnboundedReceiver<Step>,
) {
    let token = NumberOrString::String(token);
    if editor.create_work_done_progress(token.clone()).await.is_err() {
        return;
    }
    tell(&editor, &token, WorkDoneProgress::Begin(begin)).await;
    while let Some(mut step) = steps.recv().await {
        // Only the newest counts.
        while let Ok(next) = steps.try_recv() {
            step = next;
        }
        match step {
            Step::Report(message, percentage) => {
                let report = WorkDoneProgressReport {
                    message: Some(message),
                    percentage: Some(percentage),
                    cancellable: Some(true),
                };
                tell(&editor, &token, WorkDoneProgress::Report(report)).await;
            }
            Step::End(message) => {
                tell(&editor, &token, WorkDoneProgress::End(WorkDoneProgressEnd { message: Some(message) }))
                    .await;
                return;
            }
        }
    }
}

async fn tell(editor: &Editor, token: &ProgressToken, progress: WorkDoneProgress) {
    let params = ProgressParams { token: token.clone(), value: ProgressParamsValue::WorkDone(progress) };
    editor.send_notification::<ProgressNotification>(params).await;
}

/// The person cancelled a progress: its plan is paused.
pub fn cancel(desk: &Arc<Desk>, token: &ProgressToken) {
    let NumberOrString::String(token) = token else { return };
    let Some((plan, folder)) = desk.shown.plans().get(token).cloned() else { return };
    let (client, outbox) = (desk.client.clone(), desk.outbox.clone());
    tasks::block(move || {
        let Some(method) = table::find("control") else { return };
        let call = client.begin().in_folder(folder);
        if let Err(error) = call.run(method, json!({"action": "pause", "target": plan})) {
            let sentence = format!("kapell: {}; {}", error.message, error.hint);
            outbox.leave(super::outbox::Message::Show(super::types::MessageType::WARNING, sentence));
        }
    });
}
