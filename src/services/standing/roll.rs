//! Workers and their standing sessions side by side.

use super::found;
use crate::services::Session;
use crate::services::project::Project;
use crate::services::querying::WorkerView;
use crate::sys::config::Config;

/// Tells of each worker which standing session it has, and adds the sessions that only their names place.
pub fn add_sessions(session: &Session, project: &Project, config: &Config, workers: &mut Vec<WorkerView>) {
    // What is asked about the workers is answered without tmux too.
    let found = found(session, project, config).unwrap_or_else(|error| {
        tracing::warn!("standing sessions are not known: {error}");
        Vec::new()
    });
    for standing in found {
        if let Some(worker) = workers.iter_mut().find(|it| it.worker == standing.worker.as_str()) {
            // Ours come first.
            worker.standing.get_or_insert(standing);
            continue;
        }
        let place = config.place(standing.worker.as_str());
        let (groups, provider, protected) =
            place.map_or_else(Default::default, |it| (it.groups, it.provider, it.protected));
        workers.push(WorkerView {
            worker: standing.worker.to_string(),
            provider: provider.map(|name| name.to_string()).unwrap_or_default(),
            groups,
            protected,
            state: "idle",
            quarantine: None,
            tasks: Vec::new(),
            environment: None,
            usd_today: 0.0,
            model: None,
            away: None,
            standing: Some(standing),
        });
    }
}
