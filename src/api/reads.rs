//! The one list of what can be read over HTTP by its path, for dashboards: most of it is a scope of `status`,
//! as a page wants it. The routes of `kapell serve` and its OpenAPI document are made of this table.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::ApiError;
use super::client::{Call, guard};
use super::message::written;
use super::methods::{reads, status};
#[cfg(test)]
use super::schema::generating;
use super::wire::{Scope, StatusParams};
use crate::domain::refusal::{Code, Refusal};

/// Something that can be read.
#[derive(Debug)]
pub struct Read {
    /// Where, with the names of what varies in braces: `/api/plans/{id}`.
    pub path: &'static str,
    /// Where else.
    pub also: &'static [&'static str],
    /// For people, a few words.
    pub title: &'static str,
    /// What may be asked beside the path, without what every path takes.
    pub fields: &'static [Field],
    /// What it answers.
    pub gives: Gives,
}

/// What a path answers.
#[derive(Debug)]
pub enum Gives {
    /// A scope of `status`. Its `id` is made of what varies in the path.
    Scope(Scope),
    /// Something of its own.
    Own {
        /// The name of its schema.
        name: &'static str,
        /// Reads it.
        read: fn(&Call, &Asked) -> Result<Value, ApiError>,
        /// What its schema is made of.
        #[cfg(test)]
        schema: generating::Make,
    },
}

/// Something that may be asked.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it does.
    pub description: &'static str,
}

/// What a field may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A day, a month, or how far back.
    Since,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// What was asked: the path's own parts, then the fields, by name.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<&'static str, Value>);

/// A text without control characters, in JSON Schema.
pub const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// What `since` may be, in JSON Schema.
const SINCE_PATTERN: &str =
    "^(today|month|all|[1-9][0-9]{0,2}d|20[0-9]{2}-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?)$";

/// Which project, at every path.
pub const PROJECT: Field = Field {
    name: "project",
    kind: Kind::Text,
    description: "The project: its id or its folder, as /api/projects lists them. Unless told, the one in which kapell serve was started.",
};
/// From which event on.
pub const SINCE_SEQ: Field = Field {
    name: "since_seq",
    kind: Kind::Number(0, i64::MAX),
    description: "Only what is newer than this event number.",
};
const LIMIT: Field =
    Field { name: "limit", kind: Kind::Number(1, 500), description: "At most so many items." };
const CURSOR: Field = Field {
    name: "cursor",
    kind: Kind::Number(0, i64::MAX),
    description: "Where the page before ended: its next_cursor.",
};
const WAIT_MS: Field = Field {
    name: "wait_ms",
    kind: Kind::Number(0, 45_000),
    description: "Wait so long for something newer than since_seq, or a final state.",
};
/// Of which kinds events are.
pub const KIND: Field = Field {
    name: "kind",
    kind: Kind::Text,
    description: "Of these kinds only: the beginning of the kind's name.",
};
/// Of which plan events are.
pub const PLAN: Field = Field { name: "plan_id", kind: Kind::Text, description: "Of this plan only." };
/// Of which projects.
pub const ALL_PROJECTS: Field =
    Field { name: "all_projects", kind: Kind::Flag, description: "Of every project of this person." };
const ENDED: Field =
    Field { name: "kind", kind: Kind::OneOf(&["all"]), description: "`all`: those that ended too." };
const BY: Field = Field {
    name: "by",
    kind: Kind::OneOf(&["provider", "plan", "task", "worker", "day", "month"]),
    description: "What sums are of; providers unless told.",
};
const SINCE: Field = Field {
    name: "since",
    kind: Kind::Since,
    description: "From when on: 2026-11-01, 2026-11, 7d, today, month or all; this month unless told.",
};
const OFFSET: Field = Field {
    name: "offset",
    kind: Kind::Number(0, i64::MAX),
    description: "From this byte on: next of the answer before.",
};
const LOG_WAIT: Field =
    Field { name: "wait_ms", kind: Kind::Number(0, 45_000), description: "Wait so long for more." };

macro_rules! own {
    ($name:literal, $type:ty, $read:expr) => {
        Gives::Own {
            name: $name,
            read: |call, asked| {
                let read: fn(&crate::services::Session, &Asked) -> Result<$type, ApiError> = $read;
                written(guard($name, || read(&call.session(), asked))?)
            },
            #[cfg(test)]
            schema: generating::of_result::<$type>,
        }
    };
}

use super::wire::{
    DiffRead, DirectoriesRead, EvidenceRead, GroupsRead, LogRead, MultiEnvRead, PlansRead, ProjectsRead,
    ServicesRead,
};

static ALL: [Read; 24] = [
    scope("/api/overview", Scope::Overview, "Everything in a few lines", &[SINCE_SEQ, WAIT_MS]),
    Read {
        path: "/api/plans",
        also: &[],
        title: "The plans of the project, those at work first",
        fields: &[LIMIT],
        gives: own!("plans", PlansRead, |session, asked| reads::plans(session, asked.count("limit"))),
    },
    scope(
        "/api/plans/{id}",
        Scope::Plan,
        "A plan and a page of its tasks",
        &[LIMIT, CURSOR, SINCE_SEQ, WAIT_MS],
    ),
    scope(
        "/api/plans/{id}/replay",
        Scope::Replay,
        "A plan from its first event on, with why",
        &[LIMIT, CURSOR],
    ),
    scope("/api/tasks/{plan}/{task}", Scope::Task, "A task with its attempts", &[SINCE_SEQ, WAIT_MS]),
    scope("/api/attempts/{id}", Scope::Attempt, "An attempt with its gates", &[SINCE_SEQ, WAIT_MS]),
    Read {
        path: "/api/attempts/{id}/log",
        also: &[],
        title: "What an attempt's agent wrote, from an offset on",
        fields: &[OFFSET, LOG_WAIT],
        gives: own!("log", LogRead, |session, asked| {
            reads::log(session, asked.text("id"), asked.number("offset"), asked.number("wait_ms"))
        }),
    },
    Read {
        path: "/api/attempts/{id}/diff",
        also: &[],
        title: "What an attempt changed, at most a megabyte of it",
        fields: &[],
        gives: own!("diff", DiffRead, |session, asked| reads::diff(session, asked.text("id"))),
    },
    Read {
        path: "/api/attempts/{id}/evidence/{gate}",
        also: &[],
        title: "What a gate of an attempt saw",
        fields: &[],
        gives: own!("evidence", EvidenceRead, |session, asked| {
            reads::evidence(session, asked.text("id"), asked.text("gate"))
        }),
    },
    scope("/api/claims", Scope::Claims, "Who holds what", &[LIMIT, CURSOR]),
    scope("/api/workers", Scope::Workers, "Workers and what they do", &[LIMIT, CURSOR]),
    scope(
        "/api/conductors",
        Scope::Conductors,
        "Running orchestrations, of all projects",
        &[ENDED, LIMIT, CURSOR],
    ),
    scope("/api/queue", Scope::Queue, "What waits to start, and the landing queue", &[LIMIT, CURSOR]),
    scope(
        "/api/cost",
        Scope::Cost,
        "What was spent, and what the month will come to",
        &[BY, SINCE, LIMIT, CURSOR],
    ),
    scope("/api/budget", Scope::Budget, "Money by provider, against its limits", &[LIMIT, CURSOR]),
    scope(
        "/api/history",
        Scope::History,
        "Plans that were started, newest first",
        &[ALL_PROJECTS, LIMIT, CURSOR],
    ),
    Read {
        path: "/api/health",
        also: &["/health", "/api/multi-env/health"],
        title: "What workers show of life, and what all of them need",
        fields: &[LIMIT, CURSOR],
        gives: Gives::Scope(Scope::Health),
    },
    scope("/api/environments", Scope::Environments, "Isolated checkouts with their services", &[]),
    Read {
        path: "/api/multi-env/status",
        also: &[],
        title: "All environments in a few numbers",
        fields: &[],
        gives: own!("multi-env", MultiEnvRead, |session, _| reads::multi_env(session)),
    },
    Read {
        path: "/api/multi-env/directories",
        also: &["/directories"],
        title: "The checkouts",
        fields: &[],
        gives: own!("directories", DirectoriesRead, |session, _| reads::directories(session)),
    },
    Read {
        path: "/api/multi-env/environments",
        also: &["/environments"],
        title: "The sub-environments of all checkouts",
        fields: &[],
        gives: own!("services", ServicesRead, |session, _| reads::services(session)),
    },
    Read {
        path: "/api/multi-env/pr-groups",
        also: &["/pr-groups"],
        title: "Groups of workers and what they do, those that review first",
        fields: &[],
        gives: own!("groups", GroupsRead, |session, _| reads::groups(session)),
    },
    Read {
        path: "/api/projects",
        also: &[],
        title: "The projects that Kapell knows",
        fields: &[],
        gives: own!("projects", ProjectsRead, |session, _| reads::projects(session)),
    },
    scope(
        "/api/log",
        Scope::Events,
        "Events that happened, a page of them",
        &[PLAN, KIND, ALL_PROJECTS, SINCE_SEQ, WAIT_MS, LIMIT, CURSOR],
    ),
];

const fn scope(path: &'static str, scope: Scope, title: &'static str, fields: &'static [Field]) -> Read {
    Read { path, also: &[], title, fields, gives: Gives::Scope(scope) }
}

/// All of them.
pub fn all() -> &'static [Read] {
    &ALL
}

impl Read {
    /// The names of what varies in the path.
    pub fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Checks what was asked: the parts of the path, and the fields beside it.
    ///
    /// # Errors
    /// A field is unknown, said twice, or not what it may be.
    pub fn asked(
        &self,
        parts: impl IntoIterator<Item = (String, String)>,
        fields: &[(String, String)],
    ) -> Result<Asked, ApiError> {
        let mut asked = asked(self.fields, fields)?;
        for (name, value) in parts {
            // Only names of the path come from its pattern.
            if let Some(name) = self.parts().find(|part| *part == name) {
                asked.0.insert(name, Value::from(value));
            }
        }
        Ok(asked)
    }

    /// Whether it may take long or wait: git is asked, or services, or somebody waits for news.
    pub fn is_slow(&self, asked: &Asked) -> bool {
        let asks_around = match self.gives {
            Gives::Scope(scope) => matches!(scope, Scope::Health | Scope::Environments),
            Gives::Own { name, .. } => matches!(name, "multi-env" | "directories" | "services" | "diff"),
        };
        asks_around || asked.number("wait_ms") > 0
    }

    /// Reads it.
    pub fn read(&self, call: &Call, asked: &Asked) -> Result<Value, ApiError> {
        match &self.gives {
            Gives::Own { read, .. } => read(call, asked),
            Gives::Scope(scope) => {
                let params = asked.status(*scope)?;
                guard("status", || written(status::answer(&call.session(), &params, reads::MOST_BYTES)?))
            }
        }
    }
}

/// Checks fields beside a path; `project` may be there everywhere, and is somebody else's to read.
///
/// # Errors
/// As [`Read::asked`].
pub fn asked(known: &[Field], fields: &[(String, String)]) -> Result<Asked, ApiError> {
    let mut asked = Asked::default();
    for (name, value) in fields {
        if name == PROJECT.name {
            continue;
        }
        let Some(field) = known.iter().find(|field| field.name == name) else {
            let names: Vec<&str> = known.iter().chain([&PROJECT]).map(|field| field.name).collect();
            return Err(ApiError::invalid_params(
                format!("{name:?} cannot be asked here"),
                format!("these can: {}", names.join(", ")),
            ));
        };
        if asked.0.insert(field.name, field.read(value)?).is_some() {
            return Err(ApiError::invalid_params(format!("{name} is said twice"), "say it once"));
        }
    }
    Ok(asked)
}

impl Field {
    fn read(&self, text: &str) -> Result<Value, ApiError> {
        let (value, expected) = match self.kind {
            // What it means is found out by whoever reads it.
            Kind::Text | Kind::Since => (Some(Value::from(text)), String::new()),
            Kind::Number(least, most) => {
                let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse::<i64>().ok().filter(|it| is_plain && (least..=most).contains(it));
                (number.map(Value::from), format!("a whole number from {least} to {most}"))
            }
            Kind::Flag => (text.parse::<bool>().ok().map(Value::from), "true or false".to_owned()),
            Kind::OneOf(words) => {
                (words.contains(&text).then(|| Value::from(text)), format!("one of {}", words.join(", ")))
            }
        };
        value.ok_or_else(|| {
            ApiError::invalid_params(format!("{} is {text:?}", self.name), format!("it is {expected}"))
        })
    }

    /// Its JSON Schema.
    pub fn schema(&self) -> Value {
        use serde_json::json;
        match self.kind {
            // Control characters are refused, whatever they would mean.
            Kind::Text => json!({"type": "string", "pattern": PLAIN}),
            Kind::Since => json!({"type": "string", "pattern": SINCE_PATTERN}),
            Kind::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
        }
    }
}

impl Asked {
    /// A text; what was not said is empty.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text, if it was said.
    pub fn said(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    /// A number; what was not said is 0.
    pub fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// A number, if it was said.
    pub fn seq(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A small number, if it was said.
    pub fn count(&self, name: &str) -> Option<u32> {
        self.0.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
    }

    /// Whether it was said to be so.
    pub fn is(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The parameters of `status` that this means.
    fn status(&self, scope: Scope) -> Result<StatusParams, ApiError> {
        let mut params = Map::new();
        for (name, value) in &self.0 {
            let (name, value) = match *name {
                "plan" | "task" => continue,
                "plan_id" => ("id", value.clone()),
                "cursor" => ("cursor", Value::from(value.to_string())),
                name => (name, value.clone()),
            };
            params.insert(name.to_owned(), value);
        }
        if let (Some(plan), Some(task)) = (self.said("plan"), self.said("task")) {
            if plan.contains('/') {
                return Err(Refusal::new(
                    Code::NotFound,
                    format!("there is no plan {plan:?}"),
                    "/api/plans lists them",
                )
                .into());
            }
            params.insert("id".to_owned(), Value::from(format!("{plan}/{task}")));
        }
        let params: StatusParams = StatusParams::deserialize(&Value::Object(params))
            .map_err(|error| ApiError::bug(format!("the question of {scope:?}: {error}")))?;
        Ok(StatusParams { scope, ..params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn find(path: &str) -> &'static Read {
        all().iter().find(|read| read.path == path).unwrap()
    }

    #[test]
    fn fields_are_what_they_may_be() {
        let claims = find("/api/claims");
        type Case<'c> = (&'c [(&'c str, &'c str)], Option<&'c str>);
        let table: [Case<'_>; 12] = [
            (&[], None),
            (&[("limit", "5"), ("cursor", "12")], None),
            (&[("project", "anything")], None),
            (&[("limit", "0")], Some("limit is \"0\"")),
            (&[("limit", "501")], Some("limit is \"501\"")),
            (&[("limit", "+5")], Some("limit is \"+5\"")),
            (&[("limit", "5.0")], Some("limit is \"5.0\"")),
            (&[("limit", "")], Some("limit is \"\"")),
            (&[("limit", "99999999999999999999")], Some("limit is \"99999999999999999999\"")),
            (&[("limit", "5"), ("limit", "5")], Some("limit is said twice")),
            (&[("id", "x")], Some("\"id\" cannot be asked here")),
            (&[("scope", "cost")], Some("\"scope\" cannot be asked here")),
        ];
        for (fields, expected) in table {
            let found = claims.asked([], &pairs(fields)).err().map(|error| error.message);
            assert_eq!(found.as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_path_is_a_question_to_status() {
        let task = find("/api/tasks/{plan}/{task}");
        let asked =
            task.asked(pairs(&[("plan", "p-1"), ("task", "a/b")]), &pairs(&[("wait_ms", "9")])).unwrap();
        let params = asked.status(Scope::Task).unwrap();
        assert_eq!((params.id.as_deref(), params.wait_ms), (Some("p-1/a/b"), Some(9)));
        let asked = task.asked(pairs(&[("plan", "p-1/2"), ("task", "b")]), &[]).unwrap();
        assert_eq!(asked.status(Scope::Task).unwrap_err().kind, "not-found");
        let page = find("/api/plans/{id}").asked(pairs(&[("id", "p")]), &pairs(&[("cursor", "7")])).unwrap();
        let params = page.status(Scope::Plan).unwrap();
        assert_eq!((params.id.as_deref(), params.cursor.as_deref()), (Some("p"), Some("7")));
        let by = find("/api/cost").asked([], &pairs(&[("by", "day"), ("since", "7d")])).unwrap();
        assert_eq!(by.status(Scope::Cost).unwrap().since.as_deref(), Some("7d"));
    }

    #[test]
    fn every_path_is_there_once() {
        let mut paths: Vec<&str> = all().iter().flat_map(|read| [&[read.path], read.also].concat()).collect();
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
        for read in all() {
            assert!(
                read.fields.iter().all(|field| read.parts().all(|part| part != field.name)),
                "{}",
                read.path
            );
        }
    }
}
