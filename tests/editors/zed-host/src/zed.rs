//! Zed's side of an extension: loads the component, gives it worktrees, projects and settings, and makes of its
//! answers what Zed makes of them. Only what an extension of Kapell's kind may use is there: any other call, of
//! the system too, ends the extension. The records are those of the WIT files of `zed_extension_api`; that they
//! are is checked when a function is looked up.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower, Resource, ResourceTable,
    ResourceType,
};
use wasmtime::{Engine, Store, StoreContextMut};

pub type Env = Vec<(String, String)>;

/// A folder that is open in Zed: the environment that a shell has there.
#[derive(Clone)]
pub struct Worktree {
    pub env: Env,
}

/// What is open in a window.
struct Project {
    worktrees: Vec<u64>,
}

#[derive(ComponentType, Lift, Debug, Clone, PartialEq)]
#[component(record)]
pub struct Command {
    pub command: String,
    pub args: Vec<String>,
    pub env: Env,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct SettingsLocation {
    #[component(name = "worktree-id")]
    worktree_id: u64,
    path: String,
}

struct State {
    table: ResourceTable,
    /// What stands in the person's `settings.json`.
    settings: Value,
    /// The folder that the extension may write to.
    work_dir: PathBuf,
}

pub struct Extension {
    store: Store<State>,
    instance: Instance,
}

/// The id of the one worktree that is open.
const WORKTREE: u64 = 7;

impl Extension {
    /// Loads it as Zed does when it is installed or Zed starts.
    pub fn load(wasm: &Path, work_dir: &Path) -> Result<Self> {
        let engine = Engine::default();
        let component = Component::from_file(&engine, wasm)?;
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component)?;
        linker.allow_shadowing(true);
        offer_system(&mut linker, &engine, &component)?;
        offer_zed(&mut linker)?;
        let state = State { table: ResourceTable::new(), settings: json!({}), work_dir: work_dir.to_owned() };
        let mut store = Store::new(&engine, state);
        let instance = linker.instantiate(&mut store, &component)?;
        let mut extension = Self { store, instance };
        extension.call::<(), ()>("init-extension", ())?;
        Ok(extension)
    }

    pub fn set_settings(&mut self, settings: Value) {
        self.store.data_mut().settings = settings;
    }

    fn call<P, R>(&mut self, name: &str, parameters: P) -> Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name)?;
        let result = function.call(&mut self.store, parameters)?;
        function.post_return(&mut self.store)?;
        Ok(result)
    }

    /// Calls with the id of a server and something that Zed keeps, which the extension borrows.
    fn ask<T: Send + 'static, R>(&mut self, name: &str, id: &str, kept: T) -> Result<R>
    where
        (Result<R, String>,): ComponentNamedList + Lift,
        R: 'static,
    {
        let resource = self.store.data_mut().table.push(kept)?;
        let lent = Resource::<T>::new_borrow(resource.rep());
        let answer = self.call::<_, (Result<R, String>,)>(name, (id, lent));
        self.store.data_mut().table.delete(resource)?;
        answer?.0.map_err(|text| anyhow!(text))
    }

    /// The extension's own answer to how the language server is started.
    pub fn language_server_command(&mut self, id: &str, worktree: &Worktree) -> Result<Command> {
        self.ask("language-server-command", id, worktree.clone())
    }

    pub fn initialization_options(&mut self, id: &str, worktree: &Worktree) -> Result<Option<Value>> {
        let text: Option<String> =
            self.ask("language-server-initialization-options", id, worktree.clone())?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    pub fn workspace_configuration(&mut self, id: &str, worktree: &Worktree) -> Result<Option<Value>> {
        let text: Option<String> =
            self.ask("language-server-workspace-configuration", id, worktree.clone())?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    /// What Zed starts as the language server: where the settings have a path the extension is not asked at all,
    /// and nothing of what it would say counts (`LocalLspStore::get_language_server_binary`).
    pub fn language_server(&mut self, id: &str, worktree: &Worktree) -> Result<Command> {
        let told = self.store.data().settings["lsp"][id]["binary"].clone();
        let args = told["arguments"].as_array().map(|all| strings(all)).transpose()?;
        let mut command = match told["path"].as_str() {
            Some(path) => Command {
                command: path.to_owned(),
                args: args.unwrap_or_default(),
                env: worktree.env.clone(),
            },
            None => {
                let mut command = self.language_server_command(id, worktree)?;
                command.args = args.unwrap_or(command.args);
                command.command = self.path_from_extension(&command.command);
                command
            }
        };
        command.env.extend(pairs(&told["env"])?);
        Ok(command)
    }

    /// What Zed starts as the context server of the extension.
    pub fn context_server(&mut self, id: &str) -> Result<Command> {
        let project = Project { worktrees: vec![WORKTREE] };
        let mut command: Command = self.ask("context-server-command", id, project)?;
        command.command = self.path_from_extension(&command.command);
        Ok(command)
    }

    /// A program without a folder is one of the extension's own for Zed, and not one on the `PATH`.
    fn path_from_extension(&self, path: &str) -> String {
        self.store.data().work_dir.join(path).to_string_lossy().into_owned()
    }
}

fn strings(all: &[Value]) -> Result<Vec<String>> {
    all.iter().map(|one| one.as_str().map(str::to_owned).context("no text")).collect()
}

fn pairs(all: &Value) -> Result<Env> {
    let Some(all) = all.as_object() else { return Ok(Env::new()) };
    all.iter()
        .map(|(name, value)| Ok((name.clone(), value.as_str().context("no text")?.to_owned())))
        .collect()
}

/// The two things of the system that Rust's library itself asks for: the environment, which for an extension
/// has no more than this, and the seed of its maps.
fn offer_system(linker: &mut Linker<State>, engine: &Engine, component: &Component) -> Result<()> {
    let imports = component.component_type();
    for (name, _) in imports.imports(engine) {
        if name.starts_with("wasi:cli/environment@") {
            linker.instance(name)?.func_wrap(
                "get-environment",
                |store: StoreContextMut<'_, State>, (): ()| {
                    let folder = store.data().work_dir.to_string_lossy().into_owned();
                    Ok((vec![("PWD".to_owned(), folder), ("RUST_BACKTRACE".to_owned(), "full".to_owned())],))
                },
            )?;
        } else if name.starts_with("wasi:random/insecure-seed@") {
            linker
                .instance(name)?
                .func_wrap("insecure-seed", |_: StoreContextMut<'_, State>, (): ()| Ok(((1_u64, 2_u64),)))?;
        }
    }
    Ok(())
}

type Kept<T> = (Resource<T>,);

fn offer_zed(linker: &mut Linker<State>) -> Result<()> {
    let mut root = linker.root();
    root.resource("worktree", ResourceType::host::<Worktree>(), |_, _| Ok(()))?;
    root.resource("project", ResourceType::host::<Project>(), |_, _| Ok(()))?;
    root.func_wrap("[method]worktree.id", |_: StoreContextMut<'_, State>, (_,): Kept<Worktree>| {
        Ok((WORKTREE,))
    })?;
    root.func_wrap(
        "[method]worktree.shell-env",
        |store: StoreContextMut<'_, State>, (it,): Kept<Worktree>| {
            Ok((store.data().table.get(&it)?.env.clone(),))
        },
    )?;
    root.func_wrap(
        "[method]worktree.which",
        |store: StoreContextMut<'_, State>, (it, name): (Resource<Worktree>, String)| {
            let worktree = store.data().table.get(&it)?;
            Ok((which(&name, &worktree.env).map(|path| path.to_string_lossy().into_owned()),))
        },
    )?;
    root.func_wrap(
        "[method]project.worktree-ids",
        |store: StoreContextMut<'_, State>, (it,): Kept<Project>| {
            Ok((store.data().table.get(&it)?.worktrees.clone(),))
        },
    )?;
    root.func_wrap(
        "get-settings",
        |store: StoreContextMut<'_, State>,
         (at, category, key): (Option<SettingsLocation>, String, Option<String>)| {
            let place = at.map(|at| (at.worktree_id, at.path));
            Ok((settings(&store.data().settings, place, &category, key.as_deref())
                .map(|value| value.to_string())
                .map_err(|error| error.to_string()),))
        },
    )?;
    Ok(())
}

/// The settings as Zed tells an extension of them: other names than those in the file, and nothing else of it.
fn settings(all: &Value, place: Option<(u64, String)>, category: &str, key: Option<&str>) -> Result<Value> {
    if let Some((worktree, path)) = place
        && (worktree, path.as_str()) != (WORKTREE, "")
    {
        bail!("there is no worktree {worktree} with {path}");
    }
    let key = key.context("settings without a key")?;
    match category {
        "lsp" => {
            let told = &all["lsp"][key];
            let binary = &told["binary"];
            let binary = binary.is_object().then(
                || json!({"path": binary["path"], "arguments": binary["arguments"], "env": binary["env"]}),
            );
            Ok(json!({
                "binary": binary,
                "settings": told["settings"],
                "initialization_options": told["initialization_options"],
            }))
        }
        "context_servers" => {
            let told = &all["context_servers"][key];
            if told["command"].is_string() {
                let args = if told["args"].is_null() { json!([]) } else { told["args"].clone() };
                let command = json!({"path": told["command"], "arguments": args, "env": told["env"]});
                return Ok(json!({"command": command, "settings": null}));
            }
            // Zed's own when nothing is told is an empty object.
            let settings = if told.is_null() { json!({}) } else { told["settings"].clone() };
            Ok(json!({"command": null, "settings": settings}))
        }
        _ => bail!("Unknown settings category: {category}"),
    }
}

/// A program on the `PATH` of an environment.
fn which(name: &str, env: &Env) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let (_, path) = env.iter().rfind(|(name, _)| name == "PATH")?;
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| {
        file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    })
}
