// Tests inside of the extension host: what a person decides and asks for.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');
const { api, asked, base, claim, claims, closeAll, findRow, kapell, open, release, repo, rows, run, servers, until, uriOf, work } = require('./help.js');

async function store(name, tasks) {
  fs.writeFileSync(path.join(repo, `${name}.plan.json`), JSON.stringify({ name, tasks }));
  await open(`${name}.plan.json`);
  // Its message waits for a button, so it is not waited for.
  void run('kapell.storePlanFile');
  return findRow('plans', 'the plan', (one) => one.label === name);
}
const task = (id, file, depends_on = []) => ({ id, agent: 'hand', task: `change ${file}`, files: [file], depends_on });

exports.tests = [
  ['the server is ready', async () => {
    const extension = await until('the extension', () => vscode.extensions.getExtension('kapell.kapell'));
    await extension.activate();
    await until('the server', () => api().context.server.state === 'ready');
  }],

  ['a file with brackets in its name is claimed, marked and opened by that name', async () => {
    await run('kapell.claimFile', uriOf('src/[id]/page.ts'));
    const row = await findRow('claims', 'the claim', (one) => one.label === 'src/[id]/page.ts');
    assert.equal(claims()[0].pattern, 'src/[[]id[]]/page.ts');
    assert.equal((await api().decorations.provideFileDecoration(uriOf('src/[id]/page.ts')))?.badge, '●');
    assert.equal(await api().decorations.provideFileDecoration(uriOf('src/a.rs')), undefined);
    await run('kapell.openClaimed', row);
    assert.ok(vscode.window.activeTextEditor.document.uri.path.endsWith('src/[id]/page.ts'));
    await run('kapell.releaseFile', uriOf('src/[id]/page.ts'));
    assert.deepEqual(claims(), []);
    await closeAll();
  }],

  ['several files are claimed and released at once, and a claimed folder can be clicked on', async () => {
    const both = [uriOf('src/a.rs'), uriOf('src/b.rs')];
    await run('kapell.claimFile', both[0], both);
    assert.deepEqual(claims().map((one) => one.pattern).sort(), ['src/a.rs', 'src/b.rs']);
    await run('kapell.releaseFile', both[0], both);
    assert.deepEqual(claims(), []);
    claim('ada', 'docs');
    await run('kapell.openClaimed', await findRow('claims', 'the folder', (one) => one.label === 'docs'));
    assert.equal(vscode.window.activeTextEditor, undefined);
    release('ada');
  }],

  ['claims of several pages are all there, and one\'s own among the last of them', async () => {
    const files = Array.from({ length: 600 }, (_, i) => `gen/${i}.rs`);
    kapell('claim-files', ...files, '--holder', 'ada');
    await run('kapell.claimFile', uriOf('src/a.rs'));
    const all = await until('all claims', async () => {
      const found = await rows('claims');
      return found.length === 601 && found;
    });
    const own = all.at(-1);
    assert.deepEqual([own.label, own.contextValue], ['src/a.rs', 'claim.own+file']);
    const mark = async (file) => (await api().decorations.provideFileDecoration(uriOf(file)))?.badge;
    assert.equal(await mark('gen/599.rs'), 'AD');
    // One goes and one comes, and neither is in the first page.
    kapell('release-files', 'gen/550.rs', '--holder', 'ada');
    const began = Date.now();
    kapell('claim-files', 'gen/new.rs', '--holder', 'ada');
    await findRow('claims', 'the new one', (one) => one.label === 'gen/new.rs');
    await until('the old one to go', async () => !(await rows('claims')).some((one) => one.label === 'gen/550.rs'));
    const ms = Date.now() - began;
    await run('kapell.releaseClaim', own);
    release('ada');
    await until('none', async () => (await rows('claims')).length === 0);
    return `shown after ${ms} ms`;
  }],

  ['a file that is asked for comes once it is free; a wait can be given up', async () => {
    claim('ada', 'src/a.rs');
    await open('src/a.rs');
    const uri = uriOf('src/a.rs').toString();
    void run('kapell.ask', { uri });
    await until('the wait', () => kapell('status', '--scope', 'events').events.some((one) => one.kind === 'claim.asked'));
    release('ada');
    const mine = await until('the claim', () => claims().find((one) => one.pattern === 'src/a.rs'));
    assert.equal(mine.reason, 'asked for in an editor');
    await run('kapell.releaseFile', uriOf('src/a.rs'));

    claim('ada', 'src/b.rs');
    const { server } = api().context;
    const source = new vscode.CancellationTokenSource();
    const waits = server.call('claim-files', { paths: ['src/b.rs'], wait_s: 600 }, uriOf('src/b.rs').toString(), source.token);
    await until('the wait', () => kapell('status', '--scope', 'events').events.filter((one) => one.kind === 'claim.asked').length === 2);
    source.cancel();
    await assert.rejects(waits);
    release('ada');
    assert.deepEqual(claims(), []);

    // By the action of the server.
    claim('ada', 'src/c.rs');
    await open('src/c.rs');
    const third = uriOf('src/c.rs');
    void run('kapell.ask', { uri: third.toString() });
    await until('the status bar to say so', () => api().context.ownership.text === '$(lock) ada $(bell)');
    const range = new vscode.Range(0, 0, 0, 0);
    const action = await until('the action', async () =>
      (await run('vscode.executeCodeActionProvider', third, range)).find((one) => one.title === 'Stop waiting for it'));
    await run(action.command.command, ...action.command.arguments);
    await until('its end', () => api().context.ownership.text === '$(lock) ada');
    release('ada');
    await until('it to be free', () => api().context.ownership.text === '$(unlock) free');
    assert.deepEqual(claims(), []);
    await closeAll();
  }],

  ['a task that is paused from its row says so, and is resumed from it', async () => {
    const plan = await store('one', [task(1, 'src/a.rs'), task(2, 'src/b.rs')]);
    await run('kapell.startPlan', plan);
    const of = (context) => findRow('plans', context, (one) => one.contextValue === context && one.subject.task.id === 1, plan);
    await run('kapell.pause', await of('task.running+attempt'));
    const paused = await of('task.paused+attempt');
    assert.equal(paused.description, 'paused, by hand');
    await findRow('plans', 'the plan with it', (one) => one.description === '0 of 2, running, 1 at work, 1 paused');
    assert.equal(kapell('status', '--scope', 'plan', '--id', plan.subject.id).tasks[0].paused, true);
    await run('kapell.resume', paused);
    await of('task.running+attempt');
  }],

  ['the lens Stop asks first', async () => {
    const lens = await until('the lens', async () =>
      (await run('vscode.executeCodeLensProvider', uriOf('one.plan.json'), 20)).find((one) => one.command?.title === 'Stop'));
    await run(lens.command.command, ...lens.command.arguments);
    assert.match(asked(), /Stop one\? What runs is ended/);
    await findRow('plans', 'its stop', (one) => one.contextValue.startsWith('plan.stopped'));
    await closeAll();
  }],

  ['a long log is shown from its end, and followed', async () => {
    const plan = await store('long', [task(3, 'src/c.rs')]);
    await run('kapell.startPlan', plan);
    await findRow('plans', 'its task', (one) => one.contextValue === 'task.running+attempt', plan);
    // 60 MB, and then it waits.
    work(3, `yes "a line of a log that goes on and on, sixty-four characters long" | head -n 950000; echo "that was much"; . "${base}/steps/4"`);
    const row = await findRow('plans', 'its task', (one) => one.contextValue === 'task.running+attempt', plan);
    const { server } = api().context;
    await until('all of it', async () => (await server.read(`kapell://attempts/${row.subject.attempt}/log`)).text.includes('that was much'), 60_000);
    const began = Date.now();
    await run('kapell.openLog', row);
    const ms = Date.now() - began;
    const { document } = vscode.window.activeTextEditor;
    // Its whole text is much to ask for again and again.
    const last = () => document.lineAt(Math.max(0, document.lineCount - 2)).text;
    await until('its end', () => last() === 'that was much');
    assert.ok(document.getText().length < 4 << 20);
    const [, head] = /long log; (\d+) MB before it are left out/.exec(document.lineAt(0).text) ?? [];
    assert.ok(Number(head) > 50, document.lineAt(0).text);
    assert.match(document.lineAt(1).text, /^a line of a log that goes on and on, sixty-four characters long$/);
    const written = Date.now();
    work(4, 'echo "and a bit more"; echo "// c" >> src/c.rs');
    await until('the rest', () => last() === 'and a bit more');
    const later = Date.now() - written;
    await findRow('plans', 'its end', (one) => one.label === 'long' && one.contextValue.startsWith('plan.done'));
    await closeAll();
    return `shown after ${ms} ms, what came later after ${later} ms`;
  }],

  ['stages that wait for a person are needs, and are approved and refused', async () => {
    const { run: id } = kapell('pipeline', 'run', 'feature', '--request', 'change a');
    work('build', 'echo "// built" >> src/a.rs');
    await findRow('attention', 'the first stage', (one) => one.label === 'feature: deploy');
    const second = await findRow('attention', 'the second', (one) => one.label === 'feature: tell');
    await until('the badge', () => api().views.attention.badge?.value === 2);
    const plan = await findRow('plans', 'the run', (one) => /^plan\.paused\S*\+approval/.test(one.contextValue));
    assert.equal(plan.subject.id, id);
    await run('kapell.approveStage', await findRow('attention', 'the stage', (one) => one.label === 'feature: deploy'));
    assert.match(asked(), new RegExp(`Let stage deploy of ${id} begin\\?`));
    await until('only one need', async () => (await rows('attention')).map((one) => one.label).join() === 'feature: tell');
    assert.equal(second.contextValue, 'stage.approval');
    kapell('pipeline', 'approve', id, 'tell', '--refuse');
    await until('nothing more to approve', async () => !(await rows('attention')).some((one) => one.contextValue === 'stage.approval'));
    const { stages } = kapell('pipeline', 'show', id);
    assert.deepEqual(stages.map(({ stage, decision }) => [stage, decision]), [['build', undefined], ['deploy', 'approved'], ['tell', 'refused']]);
  }],

  ['a server that does nothing but die is left dead, and told so', async () => {
    const { server } = api().context;
    for (let deaths = 0; deaths < 5; deaths++) {
      const [pid] = await until('a server', () => server.state === 'ready' && servers().length === 1 && servers()).catch((error) => {
        throw new Error(`${error.message} after ${deaths}: ${server.state}, ${server.why}, ${servers()}`);
      });
      process.kill(pid, 'SIGKILL');
      await until('its end', () => !servers().includes(pid));
    }
    await until('the end of it', () => server.state === 'failed');
    assert.match(server.why, /died 5 times within a minute/);
    await run('kapell.restart');
    await until('the server', () => server.state === 'ready');
  }],
];
