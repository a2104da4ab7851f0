//! A small file that says how a plan is, for other tools: replaced as a whole, and only when something changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::print::Out;
use crate::api::ApiError;
use crate::api::wire::PlanStatus;
use crate::base::clock::Time;
use crate::domain::refusal::{Code, Refusal};

/// The file.
#[derive(Debug)]
pub struct StatusFile {
    path: PathBuf,
    last: Option<Value>,
    has_failed: bool,
    is_left: bool,
}

impl StatusFile {
    /// The file at a path; one that is there is replaced, if it is such a file or empty. Nothing is written yet.
    ///
    /// # Errors
    /// There can be no file, or what is there is something else.
    pub fn at(path: PathBuf) -> Result<Self, ApiError> {
        let shown = path.display();
        let refuse = |why: String| {
            let next = "--status-file names a new file in a folder that is there, or one that Kapell wrote";
            Err(Refusal::new(Code::Usage, why, next).into())
        };
        // What is no file would be replaced by one: a device, say.
        if fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file()) {
            return refuse(format!("{shown} is no plain file"));
        }
        let folder =
            path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
        let folder = folder.and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
        if folder.join(path.file_name().unwrap_or_default()).iter().any(|part| part == ".git") {
            return refuse(format!("{shown} is Git's"));
        }
        if path.exists() && !is_ours(&path) {
            return refuse(format!("{shown} is there, and is no status file"));
        }
        let beside = beside(&path);
        let tried = fs::File::create(&beside).and_then(|_| fs::remove_file(&beside));
        match tried {
            Ok(()) if !path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Ok(Self { path, last: None, has_failed: false, is_left: false })
            }
            Ok(()) => refuse(format!("there can be no file {shown}")),
            Err(error) => refuse(format!("there can be no file {shown}: {error}")),
        }
    }

    /// Writes how the plan is as nobody follows it any more, and that it is so: what becomes of it from now on the
    /// file does not tell.
    pub fn leave(&mut self, out: &mut Out, plan: &PlanStatus) {
        self.is_left = true;
        self.write(out, plan);
    }

    /// Writes how the plan is now. What fails is told once; the plan is not held up by it.
    pub fn write(&mut self, out: &mut Out, plan: &PlanStatus) {
        let mut facts = facts(plan);
        facts["followed"] = json!(!self.is_left);
        if self.last.as_ref() == Some(&facts) {
            return;
        }
        let mut told = facts.clone();
        told["updated_at"] = json!(Time::now().to_string());
        match replace(&self.path, &format!("{told}\n")) {
            Ok(()) => (self.last, self.has_failed) = (Some(facts), false),
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    out.note(&format!("cannot write {}: {error}", self.path.display()));
                }
            }
        }
    }
}

fn facts(plan: &PlanStatus) -> Value {
    let conductor =
        plan.conductor.as_ref().map(|it| json!({"id": it.id, "pid": it.pid, "socket": it.socket}));
    let queued = || plan.position.map(|place| format!("it waits for room, #{place} in the queue"));
    json!({
        "plan_id": plan.plan_id,
        "name": plan.name,
        "state": plan.state,
        "reason": plan.reason.clone().or_else(queued),
        "done": plan.done,
        "total": plan.total,
        "running": plan.running,
        "failed": plan.failed,
        "usd": plan.usd,
        "conductor": conductor,
    })
}

/// Whether a file is empty, or one of these, which are small.
fn is_ours(path: &Path) -> bool {
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() < 1 << 16);
    let Some(text) = is_small.then(|| fs::read(path).ok()).flatten() else { return false };
    let told = || serde_json::from_slice::<Value>(&text).unwrap_or_default();
    text.is_empty() || ["plan_id", "updated_at"].iter().all(|key| told()[*key].is_string())
}

/// Where it is written before it gets its name.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

/// Whoever reads it sees the old or the new, never a part.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = beside(path);
    let written = fs::File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(done: u64) -> PlanStatus {
        serde_json::from_value(json!({
            "plan_id": "p-1", "name": "p", "state": "running", "done": done, "total": 3, "running": 1, "failed": 0,
            "usd": 0.5, "tasks": [], "conductor": {"id": "c-1", "pid": 7},
        }))
        .unwrap()
    }

    fn out() -> Out {
        Out::of_sinks(Box::new(io::sink()), Box::new(io::sink()), false, false)
    }

    #[test]
    fn it_is_replaced_when_something_changed_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let mut file = StatusFile::at(path.clone()).unwrap();
        let read = || serde_json::from_str::<Value>(&fs::read_to_string(&path).unwrap()).unwrap();
        file.write(&mut out(), &plan(1));
        assert_eq!((&read()["done"], &read()["conductor"]["pid"]), (&json!(1), &json!(7)));
        fs::write(&path, "somebody else's").unwrap();
        file.write(&mut out(), &plan(1));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        file.write(&mut out(), &plan(2));
        assert_eq!(read()["done"], 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        // Its folder is gone: told, and it goes on.
        drop(folder);
        file.write(&mut out(), &plan(3));
        assert!(file.has_failed);
    }

    #[test]
    fn what_can_be_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at(".git")).unwrap();
        fs::write(at("plan.json"), r#"{"name": "p", "tasks": []}"#).unwrap();
        fs::write(at(".git/HEAD"), "").unwrap();
        let no = ["no/such", "", "new/", "plan.json", ".git/HEAD", ".git/new", ".git"].map(at);
        let no =
            no.into_iter().chain([at(&"x".repeat(256)), "/".into(), "/dev/null".into(), "/proc/x".into()]);
        for path in no {
            assert!(StatusFile::at(path.clone()).is_err(), "{}", path.display());
        }
        fs::write(at("empty"), "").unwrap();
        let mut written = StatusFile::at(at("status.json")).unwrap();
        written.write(&mut out(), &plan(1));
        for path in ["empty", "new", "status.json"].map(at) {
            assert!(StatusFile::at(path.clone()).is_ok(), "{}", path.display());
        }
        assert!(!at("new").exists());
        assert!(StatusFile::at(PathBuf::from("here.json")).is_ok());
    }
}
