//! The requests of the editor. Handlers answer from texts that are in memory or on other threads; none
//! waits for the store on the thread that answers.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::desk::{Desk, Note};
use super::documents::{Document, Kind};
use super::outbox::Unsent;
use super::progress::Progress;
use super::reading::{OwnerParams, ReadParams, ReadResult, aside};
use super::settings::Settings;
use super::text::Encoding;
use super::types::{
    CodeActionParams, CodeActionProviderCapability, CodeActionResponse, CodeLens, CodeLensOptions,
    CodeLensParams, CompletionOptions, CompletionParams, CompletionResponse, DocumentFormattingParams,
    DocumentSymbolParams, DocumentSymbolResponse, Editor, ExecuteCommandOptions, ExecuteCommandParams,
    FileOperationFilter, FileOperationPattern, FileOperationRegistrationOptions, FoldingRange,
    FoldingRangeParams, FoldingRangeProviderCapability, GotoDefinitionParams, GotoDefinitionResponse, Hover,
    HoverParams, HoverProviderCapability, InitializeParams, InitializeResult, InitializedParams, InlayHint,
    InlayHintParams, LSPAny, LanguageServer, Location, OneOf, PositionEncodingKind, ReferenceParams,
    Registration, RpcResult, SaveOptions, ServerCapabilities, ServerInfo, TextDocumentPositionParams,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions,
    TextEdit, Uri, WatchKind, WorkDoneProgressOptions, WorkspaceFileOperationsServerCapabilities,
    WorkspaceFoldersServerCapabilities, WorkspaceServerCapabilities,
};
use super::{checker, commands, config, keeper, owned, plans, reading};
use crate::base::tasks;
use crate::domain::plan::document::Format;

/// The server of one editor.
#[derive(Debug)]
pub struct Server {
    desk: Arc<Desk>,
    editor: Editor,
    unsent: Mutex<Option<Unsent>>,
}

impl Server {
    /// A server that knows nothing of its editor yet.
    pub fn new(desk: Arc<Desk>, editor: Editor, unsent: Unsent) -> Self {
        Self { desk, editor, unsent: Mutex::new(Some(unsent)) }
    }

    /// `kapell/read`
    pub async fn read(&self, params: ReadParams) -> RpcResult<ReadResult> {
        let call = self.desk.client.begin();
        let _cancel = commands::CancelOnDrop(call.cancel().clone());
        let turn = if params.waits() { self.desk.turn().await } else { None };
        let read = aside(&self.desk, move |desk| {
            let _turn = turn;
            reading::read(desk, call, &params)
        })
        .await;
        read.and_then(|read| read).map_err(commands::protocol_error)
    }

    /// `kapell/owner`
    pub async fn owner(&self, params: OwnerParams) -> RpcResult<Value> {
        let owner = aside(&self.desk, move |desk| reading::owner(desk, &params)).await;
        owner.and_then(|owner| owner).map_err(commands::protocol_error)
    }

    /// Makes an answer about a document on another thread; nothing for a document that is not open.
    async fn about<T: Send + 'static>(
        &self,
        uri: &Uri,
        make: impl FnOnce(&Desk, &Document) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let document = self.desk.documents.get(uri)?;
        let made = aside(&self.desk, move |desk| make(desk, &document)).await;
        made.inspect_err(|error| tracing::error!("bug: {}", error.message)).ok().flatten()
    }
}

/// Who holds a document; nobody where that cannot be told.
fn ownership(desk: &Desk, document: &Document) -> owned::Ownership {
    let path = document.path.as_deref();
    let found = path.map(|path| reading::ownership(desk, path)).transpose();
    found.inspect_err(|error| tracing::warn!("{error}")).ok().flatten().flatten().unwrap_or_default()
}

impl LanguageServer for Server {
    async fn initialize(&self, params: InitializeParams) -> RpcResult<InitializeResult> {
        let settings = Settings::of(&params);
        let person = settings.person.clone();
        let capabilities = capabilities(&settings);
        self.desk.agree(settings);
        let name = person.unwrap_or_else(|| self.desk.client.house().person().to_owned());
        self.desk.client.introduce_person(&name);
        Ok(InitializeResult {
            capabilities,
            server_info: Some(ServerInfo {
                name: "kapell".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
            offset_encoding: None,
        })
    }

    async fn initialized(&self, _: InitializedParams) {
        let unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second time nothing is begun again.
        let Some(unsent) = unsent else { return };
        tasks::start(unsent.send(self.editor.clone()));
        let progress = Progress::new(self.desk.clone(), self.editor.clone());
        let started = keeper::start(&self.desk, progress).and_then(|()| checker::start(&self.desk));
        if let Err(error) = started {
            tracing::error!("kapell lsp: no thread to keep claims: {error}");
        }
        self.desk.note(Note::Ready);
        let settings = self.desk.settings();
        let mut later = Vec::new();
        later.extend(settings.registers_formatting.then(formatting));
        later.extend(settings.registers_watches.then(watches));
        if !later.is_empty() {
            let editor = self.editor.clone();
            // Its answer is not waited for: the editor may want to be answered first.
            tasks::start(async move { drop(editor.register_capability(later).await) });
        }
    }

    async fn shutdown(&self) -> RpcResult<()> {
        // Whoever is told of the end by this may not wait for the process to end.
        let (done, is_done) = std::sync::mpsc::channel();
        self.desk.note(Note::End(done));
        let _ = aside(&self.desk, move |_| is_done.recv_timeout(super::LAST_NOTES)).await;
        Ok(())
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> RpcResult<Option<LSPAny>> {
        commands::execute(&self.desk, params).await.map(Some).map_err(commands::protocol_error)
    }

    async fn code_lens(&self, params: CodeLensParams) -> RpcResult<Option<Vec<CodeLens>>> {
        let lenses = |desk: &Desk, document: &Document| {
            let mut lenses = owned::lenses(document, &ownership(desk, document));
            lenses.extend(plans::lenses::lenses(desk, document));
            Some(lenses)
        };
        Ok(self.about(&params.text_document.uri, lenses).await)
    }

    async fn inlay_hint(&self, params: InlayHintParams) -> RpcResult<Option<Vec<InlayHint>>> {
        let hints = move |desk: &Desk, document: &Document| {
            let is_asked =
                |hint: &InlayHint| params.range.start <= hint.position && hint.position <= params.range.end;
            let hints = owned::hints(document, &ownership(desk, document));
            Some(hints.into_iter().filter(is_asked).collect())
        };
        Ok(self.about(&params.text_document.uri, hints).await)
    }

    async fn code_action(&self, params: CodeActionParams) -> RpcResult<Option<CodeActionResponse>> {
        let uri = params.text_document.uri.clone();
        let actions = move |desk: &Desk, document: &Document| {
            let shown = &params.context.diagnostics;
            let mut actions = match document.kind {
                Kind::Plan(_) => plans::actions::actions(desk, document, shown),
                Kind::Config => config::actions(document, shown),
                Kind::Other => Vec::new(),
            };
            actions.extend(owned::actions(document, &ownership(desk, document), shown));
            Some(actions)
        };
        Ok(self.about(&uri, actions).await)
    }

    async fn completion(&self, params: CompletionParams) -> RpcResult<Option<CompletionResponse>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position;
        let complete = move |desk: &Desk, document: &Document| match document.kind {
            Kind::Plan(_) => plans::completion::complete(desk, document, position),
            Kind::Config => config::complete(document, position),
            Kind::Other => None,
        };
        Ok(self.about(&text_document.uri, complete).await.map(CompletionResponse::Array))
    }

    async fn hover(&self, params: HoverParams) -> RpcResult<Option<Hover>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        let hover = move |desk: &Desk, document: &Document| match document.kind {
            Kind::Plan(_) => plans::hover::hover(desk, document, position),
            Kind::Config => config::hover(document, position),
            Kind::Other => None,
        };
        Ok(self.about(&text_document.uri, hover).await)
    }

    async fn goto_definition(
        &self,
        params: GotoDefinitionParams,
    ) -> RpcResult<Option<GotoDefinitionResponse>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position_params;
        let definition = move |_: &Desk, document: &Document| match document.kind {
            Kind::Plan(_) => plans::navigation::definition(document, position),
            Kind::Config => config::definition(document, position),
            Kind::Other => None,
        };
        Ok(self.about(&text_document.uri, definition).await.map(GotoDefinitionResponse::Scalar))
    }

    async fn references(&self, params: ReferenceParams) -> RpcResult<Option<Vec<Location>>> {
        let TextDocumentPositionParams { text_document, position } = params.text_document_position;
        let with_definition = params.context.include_declaration;
        let references = move |_: &Desk, document: &Document| {
            plans::navigation::references(document, position, with_definition)
        };
        Ok(self.about(&text_document.uri, references).await)
    }

    async fn document_symbol(
        &self,
        params: DocumentSymbolParams,
    ) -> RpcResult<Option<DocumentSymbolResponse>> {
        let symbols = |_: &Desk, document: &Document| match document.kind {
            Kind::Plan(_) => plans::navigation::symbols(document),
            Kind::Config => Some(config::symbols(document)),
            Kind::Other => None,
        };
        Ok(self.about(&params.text_document.uri, symbols).await.map(DocumentSymbolResponse::Nested))
    }

    async fn folding_range(&self, params: FoldingRangeParams) -> RpcResult<Option<Vec<FoldingRange>>> {
        let folds = |_: &Desk, document: &Document| match document.kind {
            Kind::Plan(_) => plans::navigation::folds(document),
            Kind::Config => Some(config::folds(document)),
            Kind::Other => None,
        };
        Ok(self.about(&params.text_document.uri, folds).await)
    }

    async fn formatting(&self, params: DocumentFormattingParams) -> RpcResult<Option<Vec<TextEdit>>> {
        let options = params.options;
        let indent = if options.insert_spaces {
            " ".repeat(options.tab_size.min(16) as usize)
        } else {
            "\t".to_owned()
        };
        let format = move |_: &Desk, document: &Document| {
            if document.kind != Kind::Plan(Format::Json) {
                return None;
            }
            let new_text = plans::format::json(&document.text, &indent)?;
            if new_text == *document.text {
                return Some(Vec::new());
            }
            Some(vec![TextEdit { range: document.range(&(0..document.text.len())), new_text }])
        };
        Ok(self.about(&params.text_document.uri, format).await)
    }
}

/// Formatting, for plans in JSON alone that are plans by their names.
fn formatting() -> Registration {
    formatting_of("kapell-formatting", &["**/plan.json", "**/*.plan.json"])
}

/// Formatting of a plan in JSON that the configuration calls one.
pub fn formatting_of_file(path: &str) -> Registration {
    // What would be a wildcard is one character like any other: editors do not agree on how it is escaped.
    let escape = |c: char| if "*?[]{}\\".contains(c) { '?' } else { c };
    let pattern: String = path.chars().map(escape).collect();
    formatting_of(&format!("kapell-formatting {path}"), &[&pattern])
}

fn formatting_of(id: &str, patterns: &[&str]) -> Registration {
    let named = |pattern: &&str| serde_json::json!({"scheme": "file", "pattern": pattern});
    let selector: Vec<Value> = patterns.iter().map(named).collect();
    Registration {
        id: id.to_owned(),
        method: "textDocument/formatting".to_owned(),
        register_options: Some(serde_json::json!({"documentSelector": selector})),
    }
}

/// The configuration, on whose names every plan depends, and repositories that are made.
fn watches() -> Registration {
    Registration {
        id: "kapell-watches".to_owned(),
        method: "workspace/didChangeWatchedFiles".to_owned(),
        register_options: Some(serde_json::json!({"watchers": [
            {"globPattern": "**/kapell.toml"},
            {"globPattern": "**/.git/HEAD", "kind": WatchKind::Create},
        ]})),
    }
}

/// What is served.
fn capabilities(settings: &Settings) -> ServerCapabilities {
    let everywhere = || FileOperationRegistrationOptions {
        filters: vec![FileOperationFilter {
            scheme: Some("file".to_owned()),
            pattern: FileOperationPattern { glob: "**".to_owned(), matches: None, options: None },
        }],
    };
    ServerCapabilities {
        position_encoding: Some(match settings.encoding {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::INCREMENTAL),
            will_save: None,
            will_save_wait_until: None,
            save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(false) })),
        })),
        code_lens_provider: Some(CodeLensOptions { resolve_provider: Some(false) }),
        inlay_hint_provider: Some(OneOf::Left(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(["\"", "/", "[", ","].map(str::to_owned).into()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        folding_range_provider: Some(FoldingRangeProviderCapability::Simple(true)),
        // Where it can be said for plans alone, that is done later: nobody wants us to format other files.
        document_formatting_provider: (!settings.registers_formatting).then_some(OneOf::Left(true)),
        code_action_provider: Some(CodeActionProviderCapability::Simple(true)),
        execute_command_provider: Some(ExecuteCommandOptions {
            commands: commands::names(),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        }),
        workspace: Some(WorkspaceServerCapabilities {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(OneOf::Left(true)),
            }),
            file_operations: Some(WorkspaceFileOperationsServerCapabilities {
                did_rename: Some(everywhere()),
                did_delete: Some(everywhere()),
                ..WorkspaceFileOperationsServerCapabilities::default()
            }),
        }),
        ..ServerCapabilities::default()
    }
}
