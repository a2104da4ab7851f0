// A window that nobody trusts: no program is started, it is said why, and trust starts it.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');
const { api, base, claim, diagnostics, open, release, rows, run, servers, until } = require('./help.js');

// The program that the folder's own settings name: it leaves a trace when it is started.
const trace = path.join(base, 'started');
const seen = [];

exports.tests = [
  ['the window is not trusted, and the extension is active all the same', async () => {
    assert.equal(vscode.workspace.isTrusted, false);
    const extension = await until('the extension', () => vscode.extensions.getExtension('kapell.kapell'));
    await extension.activate();
    api().context.server.onState((state) => seen.push(state));
    assert.equal(api().context.server.state, 'untrusted');
    assert.equal(api().context.server.why, 'this folder is not trusted yet');
  }],

  ['nothing is started, whatever is asked for', async () => {
    await open('src/a.rs');
    await open('kapell.toml');
    await assert.rejects(api().context.server.call('status', {}), /the server is not running: this folder is not trusted yet/);
    // Their messages wait for a button.
    for (const id of ['kapell.restart', 'kapell.claimFile', 'kapell.storePlanFile', 'kapell.refresh', 'kapell.sendTask']) void run(id);
    await run('kapell.refresh');
    await run('kapell.restart');
    assert.equal(api().context.server.state, 'untrusted');
    assert.ok(seen.every((state) => state === 'stopped' || state === 'untrusted'), seen.join());
    assert.deepEqual(servers(), []);
    assert.equal(fs.existsSync(trace), false);
    for (const name of Object.keys(api().trees)) assert.deepEqual(await rows(name), [], name);
    assert.deepEqual(await api().mcp.provider.provideMcpServerDefinitions(), []);
    assert.equal(api().decorations.provideFileDecoration(vscode.Uri.file('/x')), undefined);
  }],

  ['a plan is checked against its schema without a server', async () => {
    const document = await open('bad.plan.json');
    const one = await until('the problem', () =>
      vscode.languages.getDiagnostics(document.uri).find(({ message }) => /tasks|property/i.test(message)));
    assert.notEqual(one.source, 'kapell');
    return one.message;
  }],

  ['trust starts it, with what the folder names', async () => {
    claim('ada', 'src/a.rs');
    const trusted = new Promise((done) => vscode.workspace.onDidGrantWorkspaceTrust(done));
    // The person in the window sees this and trusts it.
    fs.writeFileSync(path.join(base, 'trust-me'), '');
    await trusted;
    const began = Date.now();
    await until('the server', () => api().context.server.state === 'ready', 40_000);
    const ms = Date.now() - began;
    // The folder's settings are news of their own, and may come a moment later.
    await until('the program that the folder names', () => fs.existsSync(trace));
    await until('its server', () => api().context.server.state === 'ready');
    await open('src/a.rs');
    await until('the diagnostic', () => diagnostics('src/a.rs', 'held')[0]);
    await until('the claim', async () => (await rows('claims')).length === 1);
    assert.equal((await api().mcp.provider.provideMcpServerDefinitions()).length, 1);
    // Trust and the settings that come with it are two pieces of news of one thing.
    assert.equal(servers().length, 1);
    release('ada');
    return `ready ${ms} ms after the trust; ${seen.join(', ')}`;
  }],
];
