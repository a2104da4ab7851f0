// The whole work: plans, dispatch, judgement, landing, and what steers them.
import * as vscode from 'vscode';
import { count, quotePattern, splitPatterns } from '../model/text';
import type { ControlResult, DispatchResult, JudgeResult, PlanResult, PlanStatus } from '../model/wire';
import { isWanted } from './care';
import { guard } from './guard';
import { command, planOf, projectOf, rootOf, say, subjectOf, targetOf, type Context, type Target } from './context';

export function registerWork(context: Context): void {
  command(context, 'kapell.checkPlanFile', (uri: unknown) => plan(context, uri, true));
  command(context, 'kapell.storePlanFile', (uri: unknown) => plan(context, uri, false));
  command(context, 'kapell.startPlan', (given: unknown) => dispatch(context, given));
  command(context, 'kapell.sendTask', (given: unknown) => sendTask(context, given));
  command(context, 'kapell.judgeWork', (given: unknown) => judge(context, given));

  context.server.guard = (id, args) => guard(context, id, args);
  context.extension.subscriptions.push(context.server.onExecuted((done) => tellExecuted(context, done)));
  command(context, 'kapell.ui.openPlan', () => vscode.commands.executeCommand('kapell.plans.focus'));
  command(context, 'kapell.ui.openTask', (given: { attempt?: string }) =>
    vscode.commands.executeCommand(given.attempt ? 'kapell.showVerdict' : 'kapell.plans.focus', given.attempt));

  const active = (it: PlanStatus): boolean => it.state === 'running' || it.state === 'paused';
  // What waits for an approval goes on by that.
  const isResumable = (it: PlanStatus): boolean => it.state === 'stopped' || (it.state === 'paused' && !it.reason?.startsWith('approval'));
  const begun = (it: PlanStatus): boolean => it.state !== 'draft';
  steer(context, 'pause', 'Pause which plan?', (it) => it.state === 'running');
  steer(context, 'resume', 'Resume which plan?', isResumable);
  steer(context, 'stop', 'Stop which plan?', active);
  steer(context, 'retry', 'Retry which?', begun);
  steer(context, 'cancel', 'Cancel which?', begun);
  steer(context, 'approve', 'Approve which?', begun, { question: 'Why?' });
  steer(context, 'nudge', 'Tell whom?', active, { question: 'What is the worker to be told?', isNeeded: true });
  steer(context, 'land', 'Land which plan?', (it) => it.done > 0);
}

/** What lenses and actions had the server do is told as well. */
function tellExecuted(
  context: Context, { command: id, args, result }: { command: string; args: unknown[]; result: unknown },
): void {
  if (id === 'kapell.control') {
    const { message } = result as ControlResult;
    if (message) void say(message);
  } else if (id === 'kapell.checkPlan' || id === 'kapell.dispatchPlan') {
    const { plan: checked, dispatch: started } = result as { plan: PlanResult; dispatch?: DispatchResult };
    const errors = checked.problems.filter((problem) => problem.severity === 'error').length;
    if (errors > 0) void say(`the plan has ${count(errors, 'error')}; the panel of problems shows them.`);
    else if (started) tellDispatch(started);
    else void say(`the plan is in order: ${count(checked.waves.flat().length, 'task')} in ${count(checked.waves.length, 'wave')}.`);
  } else if (id === 'kapell.judge') {
    void followJudgement(context, result as JudgeResult, (args[1] as { uri?: string } | undefined)?.uri);
  }
}

/** What is asked with an action. */
interface Message {
  question: string;
  isNeeded?: boolean;
}

/** What the server says of it is told where nothing else shows that it was done. */
const TOLD = new Set(['land', 'nudge']);

/** An action of `control`, with as much care as it wants. */
function steer(
  context: Context, action: string, title: string, wanted: (plan: PlanStatus) => boolean, asked?: Message,
): void {
  command(context, `kapell.${action}`, async (given: unknown) => {
    const meant = await targetOf(context, given, title, wanted);
    if (meant === undefined) return;
    const { id: target, about } = meant;
    if (!(await isWanted(context, action, target, about))) return;
    let message: string | undefined;
    if (asked) {
      message = await vscode.window.showInputBox({ title: asked.question, prompt: target });
      if (message === undefined || (asked.isNeeded && message.trim() === '')) return;
    }
    const result = await context.server.call<ControlResult>('control', {
      action, target, ...(message ? { message } : {}),
    }, about);
    if (TOLD.has(action) || !result.ack) await say(result.message ?? `${target} is ${result.state ?? action}`);
  });
}

/** A plan file as the server is to read it: in the project by its path there. */
async function planFile(context: Context, given: unknown): Promise<{ document: vscode.TextDocument; file: string }> {
  const uri = given instanceof vscode.Uri ? given : vscode.window.activeTextEditor?.document.uri;
  if (!uri || uri.scheme !== 'file') throw new Error('open a plan file first');
  const document = await vscode.workspace.openTextDocument(uri);
  if (document.isDirty) await document.save();
  return { document, file: (await context.ownership.of(uri))?.path ?? uri.fsPath };
}

async function plan(context: Context, given: unknown, checkOnly: boolean): Promise<void> {
  const { document, file } = await planFile(context, given);
  const about = document.uri.toString();
  const result = await context.server.call<PlanResult>('plan', { file, check_only: checkOnly }, about);
  const errors = result.problems.filter((problem) => problem.severity === 'error');
  const [first] = errors;
  if (first) {
    const answer = await vscode.window.showErrorMessage(
      `Kapell: ${first.message}${first.hint ? ` (${first.hint})` : ''}${errors.length > 1 ? `, and ${errors.length - 1} more` : ''}`,
      'Show',
    );
    if (answer === 'Show') {
      const at = new vscode.Position(Math.max(0, (first.line ?? 1) - 1), Math.max(0, (first.column ?? 1) - 1));
      await vscode.window.showTextDocument(document, { selection: new vscode.Range(at, at) });
    }
    return;
  }
  const tasks = result.waves.flat().length;
  const shape = `${count(tasks, 'task')} in ${count(result.waves.length, 'wave')}`;
  if (result.plan_id === null) {
    await say(`${file} is in order: ${shape}.`);
    return;
  }
  const answer = await say(`plan ${result.plan_id} is stored: ${shape}.`, 'Dispatch');
  if (answer === 'Dispatch') await start(context, { id: result.plan_id, about });
}

async function dispatch(context: Context, given: unknown): Promise<void> {
  const plan = await planOf(
    context, given, 'Dispatch which plan?', (it) => it.state === 'draft' || it.state === 'failed',
  );
  if (plan !== undefined) await start(context, plan);
}

async function start(context: Context, { id, about }: Target): Promise<void> {
  tellDispatch(await context.server.call<DispatchResult>('dispatch', { plan_id: id }, about));
}

function tellDispatch(result: DispatchResult): void {
  const waiting = result.waiting.length === 0 ? '' : `, ${result.waiting.length} waiting`;
  vscode.window.setStatusBarMessage(`Kapell: ${result.started.length} started${waiting}`, 5000);
}

async function sendTask(context: Context, given: unknown): Promise<void> {
  const about = await projectOf(context, given, 'A task in which project?');
  if (about === undefined) return;
  const task = await vscode.window.showInputBox({ title: 'What is to be done?' });
  if (!task) return;
  const uri = vscode.window.activeTextEditor?.document.uri;
  const isHere = uri !== undefined && context.board.place(uri)?.room.project.root === about;
  const owner = isHere ? await context.ownership.of(uri) : undefined;
  const here = owner?.pattern ?? owner?.path ?? '';
  const files = await vscode.window.showInputBox({
    title: 'Which files may it change?',
    prompt: 'Paths or patterns, separated by blanks; in "quotes" what has some itself',
    value: quotePattern(here),
  });
  if (files === undefined || splitPatterns(files).length === 0) return;
  const workers = context.board.workersOf(about).filter((it) => !it.protected);
  const choice = await vscode.window.showQuickPick(
    ['auto', ...workers.map((it) => it.worker)], { title: 'Who does it?' },
  );
  if (!choice) return;
  tellDispatch(await context.server.call<DispatchResult>('dispatch', {
    task, files: splitPatterns(files), target: choice,
  }, about));
}

async function judge(context: Context, given: unknown): Promise<void> {
  const subject = subjectOf(given);
  let params: Record<string, unknown>;
  let about = rootOf(given);
  if (subject?.kind === 'attempt') {
    params = { attempt: subject.attempt };
  } else if (subject?.kind === 'task') {
    params = { plan_id: subject.id.slice(0, subject.id.indexOf('/')), task: subject.task.id };
  } else {
    const plan = await planOf(context, given, 'Judge which plan?', (it) => it.state !== 'draft');
    if (plan === undefined) return;
    params = { plan_id: plan.id };
    about = plan.about;
  }
  await followJudgement(context, await context.server.call<JudgeResult>('judge', params, about), about);
}

async function followJudgement(context: Context, begun: JudgeResult, about: string | undefined): Promise<void> {
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: 'Kapell: judging', cancellable: true },
    async (_progress, token) => {
      let result = begun;
      const run = result.run_id;
      while (!result.verdict && result.state !== 'failed' && !token.isCancellationRequested) {
        const status: JudgeResult = await context.server.call<JudgeResult>('status', {
          run_id: run, wait_ms: 20_000, ...(result.seq === undefined ? {} : { since_seq: result.seq }),
        }, about);
        result = status;
      }
      if (token.isCancellationRequested) return;
      const failed = (result.gates ?? []).filter((gate) => gate.outcome === 'fail' || gate.outcome === 'error');
      const why = failed.map((gate) => `${gate.name}: ${gate.why ?? gate.outcome}`).join('; ');
      // Not waited for: the progress is over.
      void say(`${result.verdict ?? result.reason ?? 'not judged'}${why === '' ? '' : ` (${why})`}`);
    },
  );
}
