// A window with several folders: two repositories, a folder below the top of one, and a folder that is none.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');
const {
  api, base, claim, claims, closeAll, diagnostics, findRow, kapellIn, open, release, repo, rows, run, servers, textOf, type, until, uriOf,
  work,
} = require('./help.js');

const other = path.join(base, 'other');
const plain = path.join(base, 'plain');
const inOther = (file) => path.join(other, file);
const otherClaims = () => kapellIn(other, 'status', '--scope', 'claims').claims;
const names = () => api().context.board.shown.map((room) => api().context.board.nameOf(room));
const folderOf = (folder) => vscode.workspace.workspaceFolders.findIndex(({ uri }) => uri.fsPath === folder);
const text = () => api().context.ownership.text;

/** The row of a project in a view. */
const group = (tree, name) => findRow(tree, `${name} in ${tree}`, (row) => row.contextValue === 'project' && row.label === name);

exports.tests = [
  ['one server answers for the window, and knows its projects', async () => {
    const extension = await until('the extension', () => vscode.extensions.getExtension('kapell.kapell'));
    await extension.activate();
    await until('the server', () => api().context.server.state === 'ready');
    await until('the projects', () => names().length === 2);
    assert.deepEqual(names(), ['shop', 'other']);
    assert.equal(servers().length, 1);
  }],

  ['claims of each project are below its name, and mark its files alone', async () => {
    claim('ada', 'src/a.rs');
    kapellIn(other, 'claim-files', 'web/src/a.rs', '--holder', 'ben');
    const shop = await group('claims', 'shop');
    assert.deepEqual((await rows('claims', shop)).map((row) => row.label), ['src/a.rs']);
    const row = await findRow('claims', 'the claim', (one) => one.label === 'web/src/a.rs', await group('claims', 'other'));
    assert.match(row.description, /ben/);
    const mark = (file) => api().decorations.provideFileDecoration(uriOf(file))?.badge;
    assert.deepEqual([mark('src/a.rs'), mark(inOther('web/src/a.rs')), mark(inOther('src/a.rs'))], ['AD', 'BE', undefined]);
    assert.equal(mark(path.join(plain, 'src/a.rs')), undefined);
    // The row opens the file of its own project.
    await run('kapell.openClaimed', row);
    assert.equal(vscode.window.activeTextEditor.document.uri.fsPath, inOther('web/src/a.rs'));
    await until('the diagnostic', () => diagnostics(inOther('web/src/a.rs'), 'held')[0]);
    await until('the status bar', () => text().includes('ben'));
    await open('src/a.rs');
    await until('the status bar', () => text().includes('ada'));
    release('ada');
    await until('it to be free', () => text().includes('free'));
    assert.equal((await rows('claims')).length, 1);
    kapellIn(other, 'release-files', '--all', '--holder', 'ben');
    await until('no claim', async () => (await rows('claims')).length === 0);
    await closeAll();
  }],

  ['commands are about the project of the file in the editor, or ask', async () => {
    await open(inOther('web/src/a.rs'));
    await run('kapell.claimFile');
    assert.deepEqual(otherClaims().map((one) => one.pattern), ['web/src/a.rs']);
    assert.deepEqual(claims(), []);
    await until('the status bar', () => text().includes('yours'));
    await run('kapell.claimFile', uriOf('src/a.rs'));
    assert.deepEqual(claims().map((one) => one.pattern), ['src/a.rs']);
    // The server's own action for it names the project as well.
    const actions = await run('vscode.executeCodeActionProvider', uriOf(inOther('web/src/a.rs')), new vscode.Range(0, 0, 0, 1));
    const let_go = actions.find((one) => one.title.startsWith('Release'));
    await run(let_go.command.command, ...let_go.command.arguments);
    assert.deepEqual(otherClaims(), []);
    await run('kapell.claimFile');
    // Its message is not waited for.
    void run('kapell.releaseAll');
    await until('all to be free', () => claims().length === 0 && otherClaims().length === 0);
    await run('kapell.claimFile', vscode.Uri.file(inOther('src/a.rs')));
    const row = await findRow('claims', 'the row', (one) => one.contextValue.startsWith('claim.own'), await group('claims', 'other'));
    await run('kapell.releaseClaim', row);
    assert.deepEqual(otherClaims(), []);
    await closeAll();
  }],

  ['unsaved changes hold a file in its own project', async () => {
    await open(inOther('src/a.rs'));
    await type('// mine\n');
    await until('the claim', () => otherClaims().some((one) => one.pattern === 'src/a.rs' && one.holder_kind === 'person'));
    assert.deepEqual(claims(), []);
    await run('workbench.action.revertAndCloseActiveEditor');
    await until('it to be free', () => otherClaims().length === 0);
    // A folder that is no repository has no owner, and is left alone.
    await open(path.join(plain, 'src/a.rs'));
    await type('// mine\n');
    assert.equal((await api().context.server.owner(uriOf(path.join(plain, 'src/a.rs')))).path ?? undefined, undefined);
    await run('workbench.action.revertAndCloseActiveEditor');
  }],

  ['a plan of the second project is stored, run, read, judged and landed there', async () => {
    fs.writeFileSync(inOther('small.plan.json'), JSON.stringify({
      name: 'small', tasks: [{ id: 1, agent: 'hand', task: 'change a', files: ['src/a.rs'], depends_on: [] }],
    }));
    await open(inOther('small.plan.json'));
    void run('kapell.storePlanFile');
    const plan = await findRow('plans', 'the plan', (one) => one.subject.kind === 'plan' && one.subject.plan.name === 'small',
      await group('plans', 'other'));
    assert.ok(!(await rows('plans')).some((row) => row.label === 'shop'));
    await run('kapell.startPlan', plan);
    const project = await group('plans', 'other');
    await findRow('plans', 'the plan to run', (one) => one.contextValue.startsWith('plan.running'), project);
    // By hand it is the only one that can be paused, whichever file is open.
    await open('src/a.rs');
    await run('kapell.pause');
    await findRow('plans', 'a pause', (one) => one.contextValue.startsWith('plan.paused'), project);
    await run('kapell.resume');
    await findRow('plans', 'the plan to go on', (one) => one.contextValue.startsWith('plan.running'), project);
    const task = await findRow('plans', 'its task to run', (one) => one.contextValue === 'task.running+attempt', plan);
    await run('kapell.openLog', task);
    const { document } = vscode.window.activeTextEditor;
    await until('the beginning', () => document.getText().includes('starting on 1'));
    work(1, 'echo "now it changes"; echo "// by hand" >> src/a.rs');
    await until('the rest', () => document.getText().includes('now it changes'));
    const done = await findRow('plans', 'the plan to be done', (one) => one.contextValue.startsWith('plan.done'), project);
    const [row] = await rows('plans', done);
    await run('kapell.showVerdict', row);
    assert.match(vscode.window.activeTextEditor.document.getText(), /approved/);
    await run('kapell.showDiff', row);
    const tab = await until('the diff', () => {
      const { input } = vscode.window.tabGroups.activeTabGroup.activeTab ?? {};
      return input instanceof vscode.TabInputTextDiff && input;
    });
    const after = await vscode.workspace.openTextDocument(tab.modified);
    assert.match(after.getText(), /by hand/);
    const [attempt] = await rows('plans', row);
    assert.match(attempt.label, /^Try 1 by hand/);
    void run('kapell.land', done);
    await until('it to land', () => textOf(inOther('src/a.rs')).includes('// by hand'));
    assert.ok(!fs.readFileSync(path.join(repo, 'src/a.rs'), 'utf8').includes('// by hand'));
    const events = await rows('events');
    assert.ok(events.some((one) => /other/.test(one.description)));
    assert.ok(events.every((one) => one.root !== undefined));
    await closeAll();
  }],

  ['agents in the editor get a Kapell for each folder', async () => {
    const definitions = await api().mcp.provider.provideMcpServerDefinitions();
    assert.deepEqual(definitions.map((one) => one.label), ['Kapell (shop)', 'Kapell (web)', 'Kapell (plain)']);
    assert.deepEqual(definitions.map((one) => one.cwd.fsPath), [repo, path.join(other, 'web'), plain]);
  }],

  ['a folder that goes takes its rows along, and brings them back', async () => {
    kapellIn(other, 'claim-files', 'web/src/a.rs', '--holder', 'ben');
    await group('claims', 'other');
    vscode.workspace.updateWorkspaceFolders(folderOf(path.join(other, 'web')), 1);
    await until('one project', () => names().join() === 'shop');
    assert.deepEqual(await rows('claims'), []);
    assert.deepEqual(await rows('plans'), []);
    // A single project needs no name.
    claim('ada', 'src/a.rs');
    await findRow('claims', 'the claim', (one) => one.label === 'src/a.rs');
    release('ada');
    vscode.workspace.updateWorkspaceFolders(vscode.workspace.workspaceFolders.length, 0, { uri: vscode.Uri.file(other) });
    await until('both', () => names().join() === 'shop,other');
    const row = await findRow('claims', 'the claim', (one) => one.label === 'web/src/a.rs', await group('claims', 'other'));
    assert.match(row.description, /ben/);
    await findRow('plans', 'its plan', (one) => one.contextValue.startsWith('plan.done'), await group('plans', 'other'));
    assert.equal(servers().length, 1);
  }],

  ['a killed server comes back for all of them', async () => {
    const [pid] = servers();
    const states = [];
    const heard = api().context.server.onState((state) => states.push(state));
    process.kill(pid, 'SIGKILL');
    await until('another server', () => states.includes('ready'));
    heard.dispose();
    await until('the projects', () => names().join() === 'shop,other');
    await group('claims', 'other');
    kapellIn(other, 'release-files', '--all', '--holder', 'ben');
    await until('no claim', async () => (await rows('claims')).length === 0).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(api().context.board.claims)} ${JSON.stringify(otherClaims())}`);
    });
  }],
];
