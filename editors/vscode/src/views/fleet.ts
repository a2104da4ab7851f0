// Workers, conductors, and events.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { concernOf } from '../model/needs';
import { taskOf } from '../model/text';
import { iconOf } from './icons';
import { Node, rowUri } from './node';
import { Tree } from './tree';

export class WorkersTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()));
  }

  override rows(project?: Node): Node[] {
    return this.byProject(project, ({ snapshot }) => (snapshot?.workers ?? []).map((worker) => {
      const row = new Node({ kind: 'worker', id: worker.worker, worker }, worker.worker);
      row.id = `worker:${worker.worker}`;
      row.iconPath = worker.protected ? new vscode.ThemeIcon('shield') : iconOf(worker.state);
      row.description = [
        worker.state,
        worker.tasks?.length ? `task ${worker.tasks.map(taskOf).join(', ')}` : '',
        worker.provider === worker.worker ? '' : worker.provider,
      ].filter((part) => part !== '').join(', ');
      row.contextValue = `worker.${worker.state}${worker.protected ? '+protected' : ''}`;
      row.tooltip = [worker.worker, worker.provider, worker.state, ...(worker.tasks ?? [])].join(', ');
      return row;
    }));
  }
}

export class ConductorsTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()));
  }

  override rows(): Node[] {
    // Every project is told of all conductors of the machine.
    const all = this.board.shown.flatMap(({ snapshot }) => snapshot?.conductors ?? []);
    return [...new Map(all.map((conductor) => [conductor.id, conductor])).values()].map((conductor) => {
      const row = new Node({ kind: 'conductor', id: conductor.id, conductor }, conductor.plan_id ?? conductor.id);
      row.id = `conductor:${conductor.id}`;
      row.root = conductor.plan_id === undefined ? undefined : this.board.roomOfPlan(conductor.plan_id)?.project.root;
      row.iconPath = iconOf(conductor.state);
      row.description = `${conductor.state}, process ${conductor.pid}${conductor.fresh === false ? ', silent' : ''}`;
      row.contextValue = `conductor.${conductor.state}`;
      row.tooltip = `${conductor.id} runs ${conductor.plan_id ?? 'no plan'} in ${conductor.project ?? 'this project'}`;
      return row;
    });
  }
}

/** So many events are shown; the stream has them all. */
const MOST_ROWS = 200;

export class EventsTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()), board.onEvent(() => this.redraw()));
  }

  override rows(): Node[] {
    return this.board.events.slice(-MOST_ROWS).reverse().map((event) => {
      const row = new Node({ kind: 'event', id: String(event.seq), event }, event.text);
      row.id = `event:${event.seq}`;
      const concern = concernOf(event);
      row.iconPath = new vscode.ThemeIcon(
        concern === 'needs-you' ? 'warning' : concern === 'finished' ? 'check' : 'circle-small',
      );
      row.resourceUri = rowUri(`event-${event.seq}`, concern === 'needs-you' ? 'needs-you' : undefined);
      row.root = event.root;
      row.description = [new Date(event.at).toLocaleTimeString(), this.board.label(event.root)]
        .filter((part) => part !== '').join(', ');
      row.tooltip = `${event.seq}  ${event.at}  ${event.kind}\n${event.text}`;
      return row;
    });
  }
}
