// What tests inside of the extension host share.
const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');

const base = process.env.KAPELL_TEST_BASE;
const repo = path.join(base, 'shop');

async function until(what, condition, patience = 20_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

/** The text of a file that git may be replacing: it removes one before it writes it anew. */
function textOf(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (e) {
    if (e.code === 'ENOENT') return '';
    throw e;
  }
}

/** Kapell as another process, in a folder. */
function kapellIn(folder, ...args) {
  const out = execFileSync(process.env.KAPELL, [...args, '--json'], {
    cwd: folder, env: process.env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
  });
  return JSON.parse(out);
}
const kapell = (...args) => kapellIn(repo, ...args);
const claim = (holder, file, reason = 'because') => kapell('claim-files', file, '--holder', holder, '--reason', reason);
const release = (holder) => kapell('release-files', '--all', '--holder', holder);
const claims = () => kapell('status', '--scope', 'claims').claims;

function work(task, script) {
  // The worker reads what is written into its pipe; opening one waits for the reader.
  const pipe = path.join(base, 'steps', String(task));
  const writer = spawn('timeout', ['60', 'sh', '-c', 'cat > "$1"', 'sh', pipe], { stdio: ['pipe', 'ignore', 'ignore'] });
  writer.stdin.end(script);
}

const api = () => vscode.extensions.getExtension('kapell.kapell').exports;
const uriOf = (file) => vscode.Uri.file(path.resolve(repo, file));
const run = (id, ...args) => vscode.commands.executeCommand(id, ...args);

async function open(file) {
  const document = await vscode.workspace.openTextDocument(uriOf(file));
  await vscode.window.showTextDocument(document);
  return document;
}

function diagnostics(file, code) {
  return vscode.languages.getDiagnostics(uriOf(file)).filter((one) =>
    one.source === 'kapell' && (code === undefined || one.code === code));
}

async function type(text) {
  const editor = vscode.window.activeTextEditor;
  await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), text));
}

const closeAll = () => run('workbench.action.closeAllEditors');

async function rows(tree, node) {
  return (await api().trees[tree].getChildren(node)) ?? [];
}

async function findRow(tree, what, matches, node) {
  return until(what, async () => (await rows(tree, node)).find(matches));
}

/** The processes that this extension host has started, by the end of their command lines. */
function children(end) {
  return execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
    .split('\n').filter((line) => line.trimEnd().endsWith(end)).map((line) => Number(line.trim().split(' ')[0]));
}
const servers = () => children('kapell lsp');

/** What was asked in dialogs, each of which was answered with yes. */
const asked = () => textOf(path.join(base, 'asked'));

module.exports = {
  api, asked, base, children, claim, claims, closeAll, diagnostics, findRow, kapell, kapellIn, open, release, repo, rows, run, servers, textOf, type,
  until, uriOf, work,
};
