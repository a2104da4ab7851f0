// A stand-in for `vscode` in unit tests: what pure logic needs, and a record of what was registered.
// It plays no server and no editor: what depends on those is tested inside the real editor.

class Emitter {
  constructor() {
    this.listeners = new Set();
    this.event = (listener) => {
      this.listeners.add(listener);
      return { dispose: () => this.listeners.delete(listener) };
    };
  }
  fire(value) {
    for (const listener of [...this.listeners]) listener(value);
  }
  dispose() {
    this.listeners.clear();
  }
}

class Uri {
  constructor(parts) {
    Object.assign(this, { scheme: '', authority: '', path: '', query: '', fragment: '' }, parts);
  }
  static from(parts) {
    return new Uri(parts);
  }
  static file(path) {
    return new Uri({ scheme: 'file', path });
  }
  static parse(text) {
    const [, scheme, authority, path] = /^(\w[\w+-]*):\/\/([^/]*)(.*)$/.exec(text) ?? [];
    return new Uri({ scheme, authority, path });
  }
  static joinPath(uri, ...parts) {
    return new Uri({ ...uri, path: [uri.path, ...parts].join('/') });
  }
  get fsPath() {
    return this.path;
  }
  toString() {
    return `${this.scheme}://${this.authority}${this.path}${this.query ? `?${this.query}` : ''}`;
  }
}

class Disposable {
  constructor(end) {
    this.end = end;
  }
  dispose() {
    this.end?.();
  }
  static from(...all) {
    return new Disposable(() => all.forEach((one) => one.dispose()));
  }
}

class TreeItem {
  constructor(label, collapsibleState) {
    this.label = label;
    this.collapsibleState = collapsibleState;
  }
}
class ThemeIcon {
  constructor(id, color) {
    Object.assign(this, { id, color });
  }
}
class ThemeColor {
  constructor(id) {
    this.id = id;
  }
}
class MarkdownString {
  constructor() {
    this.value = '';
  }
  appendText(text) {
    this.value += text;
    return this;
  }
  appendMarkdown(text) {
    this.value += text;
    return this;
  }
}
class FileDecoration {
  constructor(badge, tooltip, color) {
    Object.assign(this, { badge, tooltip, color });
  }
}

class CancellationTokenSource {
  constructor() {
    this.cancelled = new Emitter();
    this.token = { isCancellationRequested: false, onCancellationRequested: this.cancelled.event };
  }
  cancel() {
    this.token.isCancellationRequested = true;
    this.cancelled.fire();
  }
  dispose() {}
}

const registered = { commands: new Map(), views: [], items: new Map(), contexts: new Map(), settings: new Set(), decorators: [], executed: [], providers: new Map() };
const nothing = () => new Disposable();
const event = () => nothing();

const vscode = {
  registered,
  EventEmitter: Emitter,
  Uri,
  Disposable,
  TreeItem,
  ThemeIcon,
  ThemeColor,
  MarkdownString,
  FileDecoration,
  CancellationTokenSource,
  FileType: { File: 1, Directory: 2 },
  TreeItemCollapsibleState: { None: 0, Collapsed: 1, Expanded: 2 },
  StatusBarAlignment: { Left: 1, Right: 2 },
  ProgressLocation: { Notification: 15 },
  TextEditorRevealType: { Default: 0 },
  Position: class {},
  Range: class {},
  Selection: class {},
  version: '1.101.0',
  lm: undefined,
  McpStdioServerDefinition: undefined,
  env: { appName: 'stub', clipboard: { writeText: async () => undefined } },
  languages: { setTextDocumentLanguage: async () => undefined },
  commands: {
    registerCommand(id, action) {
      if (registered.commands.has(id)) throw new Error(`command ${id} is registered twice`);
      registered.commands.set(id, action);
      return nothing();
    },
    async executeCommand(id, key, value) {
      if (id === 'setContext') registered.contexts.set(key, value);
      else registered.executed.push([id, key, value]);
    },
  },
  window: {
    activeTextEditor: undefined,
    visibleTextEditors: [],
    createOutputChannel: (name) => ({
      name, dispose() {}, show() {}, info() {}, warn() {}, error() {}, debug() {}, append() {}, appendLine() {},
    }),
    createStatusBarItem: (id) => {
      const item = { id, text: '', show() {}, hide() {}, dispose() {} };
      registered.items.set(id, item);
      return item;
    },
    createTreeView: (id, options) => {
      const view = { id, options, visible: true, onDidChangeVisibility: event, dispose() {} };
      registered.views.push(view);
      return view;
    },
    registerFileDecorationProvider: (provider) => {
      registered.decorators.push(provider);
      return nothing();
    },
    onDidChangeActiveTextEditor: event,
    showErrorMessage: async () => undefined,
    showInformationMessage: async () => undefined,
    showWarningMessage: async () => undefined,
  },
  workspace: {
    workspaceFolders: undefined,
    isTrusted: true,
    textDocuments: [],
    getConfiguration: (section) => ({
      get(key, otherwise) {
        registered.settings.add(`${section}.${key}`);
        return otherwise;
      },
    }),
    registerTextDocumentContentProvider(scheme, provider) {
      registered.providers.set(scheme, provider);
      return nothing();
    },
    onDidChangeTextDocument: event,
    onDidCloseTextDocument: event,
    onDidChangeConfiguration: event,
    onDidChangeWorkspaceFolders: event,
    onDidGrantWorkspaceTrust: event,
  },
};

// The language client wants classes to extend; it is not run here.
module.exports = new Proxy(vscode, { get: (target, key) => (key in target ? target[key] : class {}) });
