//! Follows every name of a configuration to what it names, and finds what does not go together.
//!
//! A file may name what the other file defines, so every document is held
//! against all of them merged; a problem stands in the document that says it.

use crate::base::sorting::Gather as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::code::ConfigCode;
use super::document::{Document, closest, join, listed, shown, suggestion};
use super::load::{BASE_PORT, Placing, STUCK_AFTER_S, SUBS, TIMEOUT_S, provider_of};
use super::types::{File, Provider, ProviderKind, Route};
use super::values::{Command, Name};
use crate::domain::prices;

mod stages;

pub use stages::APPROVAL;

/// Names that mean something of their own.
const RESERVED: [&str; 3] = ["auto", "all", "none"];

/// What is filled in in the command of a provider of kind `command`.
const PLACEHOLDERS: [&str; 7] = ["prompt", "prompt_file", "worktree", "task", "attempt", "model", "files"];

/// Reports to each document what is wrong with what it says.
pub(super) fn check(documents: &mut [Document<'_>], merged: &File) {
    let names = Names::of(merged);
    for document in documents.iter_mut() {
        if let Ok(file) = File::deserialize(&document.value) {
            let mut said = Said { document, names: &names, merged };
            said.new_names(&file);
            said.rules_and_roles(&file);
            said.fleet(&file);
            said.routes(&file);
            for (name, pipeline) in &file.pipelines {
                said.pipeline(name, pipeline);
            }
        }
    }
    whole(documents, merged, &names);
}

/// What a name can lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thing {
    Provider,
    Worker,
    Group,
    Environment,
}

impl Thing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Worker => "worker",
            Self::Group => "group",
            Self::Environment => "environment",
        }
    }

    /// Where it is defined.
    fn definition(self, name: &str) -> String {
        match self {
            Self::Provider => format!("[{}]", join("providers", name)),
            Self::Worker => format!("[{}]", join("workers", name)),
            Self::Group => format!("[{}]", join("groups", name)),
            Self::Environment => "environments.names".to_owned(),
        }
    }
}

/// All names of both files.
struct Names {
    providers: BTreeSet<String>,
    workers: BTreeSet<String>,
    groups: BTreeSet<String>,
    environments: BTreeSet<String>,
    placing: Placing,
    /// By table and name in small letters, joined: the first of the names there that differ in case alone.
    first_cases: BTreeMap<String, String>,
}

impl Names {
    fn of(file: &File) -> Self {
        let text = |name: &Name| name.0.clone();
        let known = ProviderKind::KNOWN.map(|kind| kind.as_str().to_owned());
        let providers: BTreeSet<String> = known.into_iter().chain(file.providers.keys().cloned()).gather();
        let placing = Placing::of(file);
        let mut workers: BTreeSet<String> = file.workers.keys().cloned().gather();
        if workers.is_empty() {
            workers.clone_from(&providers);
        }
        let members = file.groups.values().flat_map(|group| group.members.iter().flatten()).map(text);
        workers.extend(members.filter(|member| placing.provider(member).is_some()));
        let of_workers = file.workers.values().flat_map(|worker| worker.groups.iter().flatten()).map(text);
        let groups = file.groups.keys().cloned().chain(of_workers).gather();
        let environments = file.environments.iter().flat_map(|all| all.names.iter().flatten()).map(text);
        let mut first_cases = BTreeMap::new();
        for (table, names) in tables(file) {
            for name in names {
                // In order, so that the first one stays.
                first_cases.entry(join(table, &name.to_ascii_lowercase())).or_insert_with(|| name.clone());
            }
        }
        Self { providers, workers, groups, environments: environments.gather(), placing, first_cases }
    }

    fn all(&self, thing: Thing) -> &BTreeSet<String> {
        match thing {
            Thing::Provider => &self.providers,
            Thing::Worker => &self.workers,
            Thing::Group => &self.groups,
            Thing::Environment => &self.environments,
        }
    }

    fn has(&self, thing: Thing, name: &str) -> bool {
        self.all(thing).contains(name) || thing == Thing::Worker && self.placing.provider(name).is_some()
    }
}

/// The names that the file gives, in order, by table.
fn tables(file: &File) -> [(&'static str, Vec<&String>); 4] {
    [
        ("providers", file.providers.keys().collect()),
        ("workers", file.workers.keys().collect()),
        ("groups", file.groups.keys().collect()),
        ("pipelines", file.pipelines.keys().collect()),
    ]
}

/// What one document says.
struct Said<'a, 't> {
    document: &'a mut Document<'t>,
    names: &'a Names,
    merged: &'a File,
}

impl Said<'_, '_> {
    /// The name at a key leads to one of these things.
    fn leads(&mut self, key: &str, name: Option<&Name>, things: &[Thing]) {
        // An empty name stands for one that was reported already.
        let Some(name) = name.map(Name::as_str).filter(|name| !name.is_empty()) else { return };
        if things.iter().any(|&thing| self.names.has(thing, name)) {
            return;
        }
        let kinds: Vec<&str> = things.iter().map(|thing| thing.as_str()).collect();
        let known = things.iter().flat_map(|&thing| self.names.all(thing)).map(String::as_str);
        let hint = suggestion(name, known).unwrap_or_else(|| match things.first() {
            Some(thing) => format!("define it in {}", thing.definition(name)),
            None => String::new(),
        });
        let message = format!("`{key}` names `{}`, which is no {}", shown(name), kinds.join(", no "));
        self.document.value_error(ConfigCode::UnknownName, key, message, hint);
    }

    fn lead(&mut self, key: &str, names: Option<&Vec<Name>>, things: &[Thing]) {
        for (index, name) in names.into_iter().flatten().enumerate() {
            self.leads(&format!("{key}[{index}]"), Some(name), things);
        }
    }

    /// A key that its table cannot do without; the other file may say it.
    fn needs(&mut self, table: &str, key: &str, is_said: bool, hint: &str) {
        // A wrong value was reported, and so was a table that is none.
        if !is_said && !self.document.has(&join(table, key)) && !self.document.is_reported(table) {
            self.document.error(ConfigCode::MissingKey, table, format!("`{table}` lacks `{key}`"), hint);
        }
    }

    /// Names that the file gives can be written in a branch, a folder and a tmux window.
    fn new_names(&mut self, file: &File) {
        for (table, names) in tables(file) {
            for name in names {
                self.new_name(&join(table, name), name);
                self.one_case(table, name);
            }
        }
        let environments = file.environments.clone().unwrap_or_default();
        let names: Vec<&str> = environments.names.iter().flatten().map(Name::as_str).collect();
        for (index, name) in names.iter().enumerate() {
            let is_same = |other: &&&str| *other != name && other.eq_ignore_ascii_case(name);
            if let Some(other) = names[..index].iter().find(is_same) {
                self.differ_in_case(&format!("environments.names[{index}]"), other, name);
            }
        }
        for (key, names) in [("names", environments.names.clone()), ("subs", environments.subs.clone())] {
            for (index, name) in names.iter().flatten().enumerate().filter(|(_, name)| !name.0.is_empty()) {
                self.new_name(&format!("environments.{key}[{index}]"), name.as_str());
            }
        }
        for name in file.groups.keys() {
            let other = [
                ("worker", self.merged.workers.contains_key(name)),
                ("provider", self.names.providers.contains(name)),
            ];
            if let Some((other, _)) = other.into_iter().find(|(_, is_other)| *is_other) {
                let message =
                    format!("`{name}` is a group and a {other}: a task could not say which is meant");
                self.document.error(
                    ConfigCode::DuplicateName,
                    &join("groups", name),
                    message,
                    "give the group another name",
                );
            }
        }
    }

    /// No other name of a table is the same but for its case. It is told of one of the two.
    fn one_case(&mut self, table: &'static str, name: &str) {
        let first = self.names.first_cases.get(&join(table, &name.to_ascii_lowercase()));
        if let Some(other) = first.filter(|other| other.as_str() < name).cloned() {
            self.differ_in_case(&join(table, name), &other, name);
        }
    }

    fn differ_in_case(&mut self, key: &str, other: &str, name: &str) {
        let message = format!(
            "`{}` and `{}` differ in case alone: people take them for one, and so do some systems",
            shown(other),
            shown(name)
        );
        let hint = "give one of them another name";
        self.document.error(ConfigCode::DuplicateName, key, message, hint);
    }

    fn new_name(&mut self, key: &str, name: &str) {
        let is_plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !is_plain {
            let message = format!("`{}` is no name", shown(name));
            self.document.error(
                ConfigCode::BadName,
                key,
                message,
                "use letters, digits, `_`, `-` and `.`, a letter or digit first",
            );
        } else if RESERVED.contains(&name) {
            let message = format!("`{name}` has a meaning of its own and cannot be a name");
            self.document.error(ConfigCode::BadName, key, message, "choose another name");
        }
    }

    fn rules_and_roles(&mut self, file: &File) {
        if let Some(rules) = &file.rules {
            let review = rules.review.as_ref().filter(|name| name.as_str() != "none");
            self.leads("rules.review", review, &[Thing::Provider]);
        }
        let roles = file.roles.clone().unwrap_or_default();
        let roles = [
            ("roles.planner", roles.planner),
            ("roles.judge", roles.judge),
            ("roles.oracle", roles.oracle),
            ("roles.librarian", roles.librarian),
        ];
        for (key, name) in roles {
            self.leads(key, name.as_ref(), &[Thing::Provider, Thing::Worker]);
            self.is_free(key, name.as_ref());
            // The others are asked without a worker; a question to this one is a task.
            if key == "roles.librarian" {
                self.is_staffed(key, name.as_ref(), "questions go to others");
            }
        }
        let entries = file.project.iter().flat_map(|project| project.integrator.iter().flatten());
        for (index, entry) in entries.enumerate() {
            let table = format!("project.integrator[{index}]");
            self.needs(&table, "files", entry.files.is_some(), "name the files that the command makes");
            self.needs(
                &table,
                "command",
                entry.command.is_some(),
                "name the command that makes the files anew",
            );
        }
    }

    /// What looks like a placeholder and is none reaches the program as it stands.
    fn placeholders(&mut self, name: &str, provider: &Provider) {
        // The other kinds have none.
        let kind = self.merged.providers.get(name).and_then(|provider| provider.kind);
        if kind != Some(ProviderKind::Command) {
            return;
        }
        let table = join("providers", name);
        let (line, list) = match &provider.command {
            Some(Command::Line(line)) => (Some((join(&table, "command"), line)), None),
            Some(Command::Words(list)) => (None, Some(list)),
            None => (None, None),
        };
        let listed = [("command", list), ("args", provider.args.as_ref())];
        let words = listed.into_iter().flat_map(|(field, list)| {
            let key = join(&table, field);
            list.into_iter().flatten().enumerate().map(move |(index, word)| (format!("{key}[{index}]"), word))
        });
        let words: Vec<(String, &String)> = line.into_iter().chain(words).collect();
        for (key, word) in words {
            let named = word.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
            let wrong = named.filter(|named| !PLACEHOLDERS.contains(named));
            for (named, meant) in wrong.filter_map(|named| Some((named, closest(named, PLACEHOLDERS)?))) {
                let message =
                    format!("`{{{named}}}` is no placeholder, and reaches the program as it stands");
                let hint = format!("did you mean `{{{meant}}}`?");
                self.document.warning(ConfigCode::UnknownName, &key, message, hint);
            }
        }
    }

    fn fleet(&mut self, file: &File) {
        for (name, provider) in &file.providers {
            self.placeholders(name, provider);
            for variable in provider.set_env.keys() {
                let key = join(&join(&join("providers", name), "set_env"), variable);
                if variable.is_empty() || variable.contains(['=', '\0']) {
                    let message = format!("`{}` is no name of a variable", shown(variable));
                    self.document.error(ConfigCode::BadName, &key, message, "write a name without `=`");
                } else if variable.starts_with("KAPELL_") {
                    let message = format!("`{variable}` is set by Kapell itself");
                    self.document.error(
                        ConfigCode::BadName,
                        &key,
                        message,
                        "names that begin with KAPELL_ are taken",
                    );
                }
            }
        }
        let failover = file.failover.clone().unwrap_or_default();
        self.lead("failover.chain", failover.chain.as_ref(), &[Thing::Provider]);
        let fallback = failover.fallback.as_ref().filter(|name| name.as_str() != "none");
        self.leads("failover.fallback", fallback, &[Thing::Provider]);
        let passed_over = "it never takes over";
        for (index, name) in failover.chain.iter().flatten().enumerate() {
            self.is_staffed(&format!("failover.chain[{index}]"), Some(name), passed_over);
        }
        self.is_staffed("failover.fallback", fallback, passed_over);
        for (name, worker) in &file.workers {
            let table = join("workers", name);
            self.leads(&join(&table, "provider"), worker.provider.as_ref(), &[Thing::Provider]);
            self.leads(&join(&table, "environment"), worker.environment.as_ref(), &[Thing::Environment]);
            for (index, group) in worker.groups.iter().flatten().enumerate() {
                let defined = || self.merged.groups.keys().map(String::as_str);
                let meant = closest(group.as_str(), defined()).filter(|meant| *meant != group.as_str());
                if let (false, Some(meant)) = (self.merged.groups.contains_key(group.as_str()), meant) {
                    let message = format!("worker `{name}` makes a new group `{}`", shown(group.as_str()));
                    let key = format!("{table}.groups[{index}]");
                    self.document.warning(
                        ConfigCode::UnknownName,
                        &key,
                        message,
                        format!("did you mean `{meant}`?"),
                    );
                }
            }
            let provider = worker.provider.as_ref().map(Name::as_str);
            if let Some(provider) =
                provider.filter(|provider| provider != name && self.names.providers.contains(name))
            {
                let message = format!(
                    "worker `{name}` is called like a provider, but `{}` does its work",
                    shown(provider)
                );
                self.document.warning(
                    ConfigCode::DuplicateName,
                    &join(&table, "provider"),
                    message,
                    "a task for that name goes to the worker",
                );
            }
        }
        for (name, group) in &file.groups {
            let table = join("groups", name);
            self.lead(&join(&table, "members"), group.members.as_ref(), &[Thing::Worker]);
            // One with a broken pattern is not empty.
            let is_half_read = self.document.has(&join(&table, "match"));
            if is_empty(self.merged, name) && !is_half_read {
                let message = format!("group `{}` has no members", shown(name));
                let hint = "list them in members, or let workers name it in their groups";
                self.document.warning(ConfigCode::EmptyGroup, &table, message, hint);
            }
            for (index, rule) in group.provider_by_name.iter().flatten().enumerate() {
                let table = format!("{table}.provider_by_name[{index}]");
                self.needs(&table, "match", rule.r#match.is_some(), "write the pattern of the names");
                self.needs(&table, "provider", rule.provider.is_some(), "name the provider");
                self.leads(&join(&table, "provider"), rule.provider.as_ref(), &[Thing::Provider]);
            }
        }
    }

    fn routes(&mut self, file: &File) {
        let mut before = Before::default();
        for (index, route) in file.routes.iter().enumerate() {
            let table = format!("routes[{index}]");
            self.needs(&table, "match", route.r#match.is_some(), "write the pattern of the tasks' texts");
            self.needs(&table, "to", route.to.is_some(), "name a worker, a group or a provider");
            let to = format!("{table}.to");
            match route.to.as_ref().map(Name::as_str) {
                Some("auto") => {
                    let message = format!("`{to}` is `auto`, which leads back to the routes");
                    self.document.value_error(
                        ConfigCode::Unreachable,
                        &to,
                        message,
                        "name a worker, a group or a provider",
                    );
                }
                _ => self.target(&to, route.to.as_ref()),
            }
            self.reach(index, route, &mut before);
        }
    }

    /// A route can match something, and no route before it takes all that it could.
    fn reach(&mut self, index: usize, route: &Route, before: &mut Before) {
        let Some(own) = route.r#match.as_ref().map(|pattern| pattern.as_str().to_owned()) else { return };
        let key = format!("routes[{index}].match");
        let taken = before.taken(index, &own);
        let Ok(parsed) = regex_syntax::Parser::new().parse(&own) else { return };
        if parsed.properties().minimum_len().is_none() {
            let message = format!("`{key}` can match nothing");
            self.document.value_error(
                ConfigCode::BadPattern,
                &key,
                message,
                "write a pattern that some text fits",
            );
            return;
        }
        if let Some(before) = taken {
            let message =
                format!("`routes[{index}]` is never reached: `routes[{before}]` takes all that it could");
            self.document.warning(
                ConfigCode::Unreachable,
                &key,
                message,
                "put it before that one, or take one of them out",
            );
        }
    }

    /// A worker, group or provider that may get a task.
    fn target(&mut self, key: &str, name: Option<&Name>) {
        if let Some(group) = name.map(Name::as_str).filter(|name| is_empty(self.merged, name)) {
            let message = format!("`{key}` names the group `{group}`, which has no members");
            let hint = "give it members, or name another";
            self.document.value_error(ConfigCode::EmptyGroup, key, message, hint);
            return;
        }
        self.leads(key, name, &[Thing::Worker, Thing::Group, Thing::Provider]);
        self.is_free(key, name);
        let lack = name.and_then(|name| Some((name.as_str(), self.lack_of_staff(name.as_str())?)));
        if let Some((name, lack)) = lack {
            let message = format!("`{key}` names the provider `{name}`, {}", lack.tell());
            let (code, hint) = match lack {
                Lack::NoWorker => (ConfigCode::EmptyGroup, "give it one under [workers], or name another"),
                Lack::AllProtected => {
                    (ConfigCode::ProtectedWorker, "name another, or give it a worker that is not protected")
                }
            };
            self.document.value_error(code, key, message, hint);
        }
        if let Some(name) = name.filter(|name| is_protected(self.merged, name.as_str())) {
            let message = format!(
                "`{key}` names the group `{name}`, whose members are all protected and never get a task",
                name = name.0
            );
            let hint = "name another, or give it a member that is not protected";
            self.document.value_error(ConfigCode::ProtectedWorker, key, message, hint);
        }
    }

    /// What a provider lacks whose work nobody may do, nor could by a pattern of names; none where a name is that of
    /// no provider.
    fn lack_of_staff(&self, name: &str) -> Option<Lack> {
        let (workers, groups) = (&self.merged.workers, &self.merged.groups);
        let is_another = workers.contains_key(name) || groups.contains_key(name);
        let by_name = groups.values().any(|group| group.provider_by_name.is_some());
        if workers.is_empty() || is_another || by_name || !self.names.providers.contains(name) {
            return None;
        }
        let members = groups.values().flat_map(|group| group.members.iter().flatten()).map(Name::as_str);
        let is_its = |worker: &&str| self.provider_of(worker).is_none_or(|provider| provider == name);
        let is_protected =
            |worker: &str| workers.get(worker).is_some_and(|worker| worker.protected == Some(true));
        let mut own = workers.keys().map(String::as_str).chain(members).filter(is_its).peekable();
        match own.peek() {
            None => Some(Lack::NoWorker),
            Some(_) => own.all(is_protected).then_some(Lack::AllProtected),
        }
    }

    /// A provider that is passed over where nobody may work for it.
    fn is_staffed(&mut self, key: &str, name: Option<&Name>, what: &str) {
        let Some(name) = name.map(Name::as_str) else { return };
        if let Some(lack @ Lack::AllProtected) = self.lack_of_staff(name) {
            let message = format!("`{key}` names the provider `{name}`, {}: {what}", lack.tell());
            let hint = "name another, or give it a worker that is not protected";
            self.document.warning(ConfigCode::ProtectedWorker, key, message, hint);
        }
    }

    /// The provider of a worker, as far as its own table or its name says.
    fn provider_of<'n>(&'n self, worker: &'n str) -> Option<&'n str> {
        let said = self.merged.workers.get(worker).and_then(|it| it.provider.as_ref()).map(Name::as_str);
        let stem = worker.trim_end_matches(|c: char| c.is_ascii_digit());
        let called = || [worker, stem].into_iter().find(|name| self.names.providers.contains(*name));
        said.or_else(|| self.names.placing.provider(worker)).or_else(called)
    }

    /// A worker that may get something to do.
    fn is_free(&mut self, key: &str, name: Option<&Name>) {
        let worker = name.and_then(|name| self.merged.workers.get(name.as_str()));
        if let (Some(name), Some(true)) = (name, worker.and_then(|worker| worker.protected)) {
            let message =
                format!("`{key}` names `{name}`, a protected worker that never gets a task", name = name.0);
            self.document.value_error(
                ConfigCode::ProtectedWorker,
                key,
                message,
                "name another, or set protected = false",
            );
        }
    }
}

/// Why nobody does a provider's work.
#[derive(Clone, Copy)]
enum Lack {
    NoWorker,
    AllProtected,
}

impl Lack {
    fn tell(self) -> &'static str {
        match self {
            Self::NoWorker => "which has no worker",
            Self::AllProtected => "whose workers are all protected and never get a task",
        }
    }
}

/// Whether a group is defined and nobody belongs to it, nor could by a pattern.
fn is_empty(merged: &File, name: &str) -> bool {
    let Some(group) = merged.groups.get(name) else { return false };
    let mut named = merged.workers.values().flat_map(|worker| worker.groups.iter().flatten());
    group.members.as_ref().is_none_or(Vec::is_empty)
        && group.r#match.is_none()
        && group.provider_by_name.is_none()
        && !named.any(|group| group.as_str() == name)
}

/// What the routes so far take.
#[derive(Default)]
struct Before {
    /// The first of each pattern.
    same: HashMap<String, usize>,
    /// The first that takes whatever there is.
    everything: Option<usize>,
}

impl Before {
    /// The first of the routes before `index` that takes all that `pattern` could; and adds that to them.
    fn taken(&mut self, index: usize, pattern: &str) -> Option<usize> {
        let same = self.same.get(pattern).copied();
        let taken = same.into_iter().chain(self.everything).min();
        if same.is_none() {
            self.same.insert(pattern.to_owned(), index);
        }
        if self.everything.is_none() && takes_everything(pattern) {
            self.everything = Some(index);
        }
        taken
    }
}

/// Whether a pattern, found anywhere, fits every text that one may write.
fn takes_everything(pattern: &str) -> bool {
    let Ok(parsed) = regex_syntax::Parser::new().parse(pattern) else { return false };
    if !parsed.properties().look_set().is_empty() {
        return false;
    }
    // What fits the empty text fits within every text; so does what fits each character by itself.
    parsed.properties().minimum_len() == Some(0)
        || regex::Regex::new(pattern).is_ok_and(|pattern| {
            let mut printable = ('!'..='~').chain(['é', '語']);
            printable.all(|character| pattern.is_match(character.encode_utf8(&mut [0; 4])))
        })
}

/// Whether a group has members, and each of them is a worker that never gets a task.
fn is_protected(merged: &File, name: &str) -> bool {
    let group = merged.groups.get(name);
    if group.is_some_and(|group| group.r#match.is_some() || group.provider_by_name.is_some()) {
        return false;
    }
    let listed = group.and_then(|group| group.members.as_ref()).into_iter().flatten().map(Name::as_str);
    let joined = merged
        .workers
        .iter()
        .filter(|(_, worker)| worker.groups.iter().flatten().any(|group| group.as_str() == name));
    let mut members = listed.chain(joined.map(|(worker, _)| worker.as_str())).peekable();
    members.peek().is_some()
        && members
            .all(|member| merged.workers.get(member).is_some_and(|worker| worker.protected == Some(true)))
}

/// What only both files together can be asked.
fn whole(documents: &mut [Document<'_>], merged: &File, names: &Names) {
    let mut whole = Whole { documents };
    for (name, provider) in &merged.providers {
        let table = join("providers", name);
        let kind = provider.kind.or_else(|| ProviderKind::of_name(name));
        if kind.is_none() {
            let known: Vec<&str> = ProviderKind::KNOWN.iter().map(|kind| kind.as_str()).collect();
            let hint = format!("add kind = \"command\", or one of {}", listed(&known, "and"));
            whole.lacks(&table, "kind", &hint);
        }
        if kind == Some(ProviderKind::Command) && provider.command.is_none() {
            whole.lacks(&table, "command", "name the program, such as [\"my-agent\", \"{prompt_file}\"]");
        }
        if kind != Some(ProviderKind::Ollama) && provider.through.is_some() {
            let key = join(&table, "through");
            whole.warn(
                &key,
                format!("`{key}` says nothing: only a provider of kind ollama works through another"),
                "set kind = \"ollama\", or leave it out",
            );
        }
        if let Some(prices) = &provider.prices {
            let table = join(&table, "prices");
            for (key, price) in [
                ("input_usd_per_mtok", prices.input_usd_per_mtok),
                ("output_usd_per_mtok", prices.output_usd_per_mtok),
            ] {
                if price.is_none() {
                    whole.lacks(&table, key, "say the price in dollars for a million tokens");
                }
            }
        }
        let budget = provider.budget.unwrap_or_default();
        let table = join(&table, "budget");
        let limits = [
            ("usd_per_attempt", budget.usd_per_attempt),
            ("usd_per_day", budget.usd_per_day),
            ("usd_per_month", budget.usd_per_month),
        ];
        let limits = limits.iter().filter_map(|(key, usd)| Some((*key, (*usd)?)));
        for ((key, less), (wider, more)) in limits.clone().zip(limits.skip(1)) {
            if less > more {
                let key = join(&table, key);
                whole.warn(
                    &key,
                    format!("`{key}` is more than {wider}"),
                    "the smaller one ends the spending first",
                );
            }
        }
    }
    for (name, provider) in &merged.providers {
        let kind = provider.kind.or_else(|| ProviderKind::of_name(name));
        let budget = provider.budget.unwrap_or_default();
        let limit = [("usd_per_month", budget.usd_per_month), ("usd_per_day", budget.usd_per_day)];
        let limit = limit.into_iter().find(|(_, usd)| usd.is_some());
        // It tells tokens only; one that is not named is taken for the one that it is likely to choose.
        let model = provider.model.as_deref().filter(|_| kind == Some(ProviderKind::Codex));
        if let (Some((key, _)), Some(model), None) = (limit, model, &provider.prices)
            && prices::listed(model).is_none()
        {
            let table = join("providers", name);
            let key = join(&join(&table, "budget"), key);
            whole.warn(
                &key,
                format!(
                    "`{key}` holds nothing: {name} tells tokens and no dollars, and the list of {} has no price of {model}",
                    prices::AS_OF
                ),
                &format!("say what it costs: prices under [{table}], or limit tokens_per_day"),
            );
        }
    }
    for (name, worker) in &merged.workers {
        if provider_of(name, worker, &names.placing, |name| names.providers.contains(name)).is_none() {
            whole.lacks(&join("workers", name), "provider", "name its provider");
        }
    }
    let rules = merged.rules.clone().unwrap_or_default();
    if rules.stuck_after_s.unwrap_or(STUCK_AFTER_S) >= rules.timeout_s.unwrap_or(TIMEOUT_S) {
        let message = "no attempt can be found stuck: its time is over first";
        let hint = "make rules.stuck_after_s less than rules.timeout_s";
        let key = if rules.stuck_after_s.is_some() { "rules.stuck_after_s" } else { "rules.timeout_s" };
        whole.warn(key, message.to_owned(), hint);
    }
    if let Some(environments) = &merged.environments {
        let subs = environments.subs.iter().flatten().map(|sub| sub.as_str());
        let mut titles: Vec<(String, &str)> = Vec::new();
        for (index, sub) in subs.enumerate() {
            let title = crate::domain::variables::title(sub);
            if let Some((_, other)) = titles.iter().find(|(known, other)| *known == title && *other != sub) {
                let message = format!("`{sub}` and `{other}` both give the variable {title}_PORT");
                let key = format!("environments.subs[{index}]");
                whole.error(&key, message, "choose names that differ in letters and digits");
            }
            titles.push((title, sub));
        }
        let count = environments.names.as_ref().map_or(0, Vec::len);
        let each = environments.subs.as_ref().map_or(SUBS.len(), Vec::len);
        let base = usize::from(environments.base_port.unwrap_or(BASE_PORT));
        let last = base.saturating_add(count.saturating_mul(each)).saturating_sub(1);
        if count > 0 && last > usize::from(u16::MAX) {
            let key = ["environments.base_port", "environments.names"].into_iter().find(|key| whole.has(key));
            let message =
                format!("{count} environments of {each} ports from {base} end at {last}, past 65535");
            whole.error(key.unwrap_or("environments"), message, "choose a smaller base_port");
        }
    }
}

/// Problems that stand in the first document that has the key.
struct Whole<'a, 't> {
    documents: &'a mut [Document<'t>],
}

impl<'t> Whole<'_, 't> {
    fn has(&self, key: &str) -> bool {
        self.documents.iter().any(|document| document.has(key))
    }

    fn at(&mut self, key: &str) -> Option<&mut Document<'t>> {
        self.documents.iter_mut().find(|document| document.has(key))
    }

    fn error(&mut self, key: &str, message: String, hint: &str) {
        if let Some(document) = self.at(key) {
            document.value_error(ConfigCode::Contradiction, key, message, hint);
        }
    }

    fn warn(&mut self, key: &str, message: String, hint: &str) {
        if let Some(document) = self.at(key) {
            document.warning(ConfigCode::Contradiction, key, message, hint);
        }
    }

    /// A key that its table cannot do without. One with a wrong value is there, and reported already.
    fn lacks(&mut self, table: &str, key: &str, hint: &str) {
        if !self.has(&join(table, key))
            && let Some(document) = self.at(table)
            && !document.is_reported(table)
        {
            document.error(ConfigCode::MissingKey, table, format!("`{table}` lacks `{key}`"), hint);
        }
    }
}
