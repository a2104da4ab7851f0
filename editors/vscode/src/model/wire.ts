// What the server answers: the part of the contract (protocol/) that is shown.

export type Id = number | string;

export interface PlanLine {
  plan_id: string;
  name: string;
  state: string;
  done: number;
  total: number;
  running: number;
  /** What failed, and what is blocked by that. */
  failed: number;
  /** How many of those are blocked. */
  blocked?: number;
  conductor?: string;
  /** Its conductor's place in the queue, from 1, while that waits for room. */
  position?: number;
}

/** A stage of a pipeline that waits for a person. */
export interface ToApprove {
  run: string;
  stage: string;
}

export interface Overview {
  seq: number;
  plans: PlanLine[];
  workers: { busy: number; idle: number; unhealthy: number };
  claims: number;
  warnings: string[];
  to_approve?: ToApprove[];
}

export interface TaskLine {
  id: Id;
  state: string;
  task: string;
  attempts: number;
  attempt?: string;
  worker?: string;
  /** Its worker is held up until somebody resumes it. */
  paused?: boolean;
  reason?: string;
  commit?: string;
  depends_on?: Id[];
}

export interface PlanStatus extends Omit<PlanLine, 'conductor'> {
  seq?: number;
  reason?: string;
  base?: string;
  target?: string;
  integration?: string;
  usd?: number;
  tasks: TaskLine[];
  next_cursor?: string;
}

/** A run of a pipeline, which is a plan of the same id. */
export interface RunLine {
  run: string;
  name: string;
  state: string;
  /** The stages that wait for a person. */
  to_approve?: string[];
  request?: string;
}

export interface PipelineResult {
  runs?: RunLine[];
  message?: string;
}

export interface Gate {
  name: string;
  outcome: string;
  why?: string;
  evidence?: string | null;
  duration_ms?: number;
}

export interface Attempt {
  attempt: string;
  task_id: string;
  number: number;
  worker: string;
  provider: string;
  state: string;
  outcome?: string | null;
  reason?: string;
  worktree?: string | null;
  ref?: string | null;
  verdict?: string;
  gates?: Gate[];
  changed?: string[];
  outside_claim?: string[];
  started_at?: string;
  ended_at?: string;
}

export interface TaskStatus {
  task_id: string;
  state: string;
  task: string;
  files: string[];
  depends_on: Id[];
  reason?: string;
  commit?: string;
  attempts: Attempt[];
}

export interface Claim {
  claim_id: number;
  pattern: string;
  mode: string;
  holder: string;
  holder_kind: string;
  task?: string;
  reason?: string;
  since: string;
  expires_at: string;
  own?: boolean;
  attempt?: string;
  worker?: string;
}

export interface Worker {
  worker: string;
  provider: string;
  groups?: string[];
  protected?: boolean;
  state: string;
  tasks?: string[];
}

export interface Conductor {
  id: string;
  pid: number;
  plan_id?: string;
  state: string;
  project?: string;
  started_at?: string;
  heartbeat_at?: string;
  fresh?: boolean;
}

export interface Event {
  seq: number;
  at: string;
  kind: string;
  plan_id?: string;
  task?: string;
  attempt?: string;
  holder?: string;
  text: string;
  data?: Record<string, unknown>;
  /** The top folder of its project, where it was told and not asked for. */
  root?: string;
}

/** A checkout of a project that is open in the window. */
export interface Project {
  /** The URI of its top folder. */
  root: string;
  /** The project's id: all worktrees of a repository have the same. */
  project: string;
  name: string;
  /** The window's folders in it, with their paths in the project. */
  folders: { uri: string; path: string }[];
}

export interface Projects {
  projects: Project[];
  /** Folders of the window that are no project. */
  outside: string[];
}

export interface Claims {
  root: string;
  claims: Claim[];
  total: number;
  /** Where there are more than these: where they go on. */
  next_cursor?: string;
}

export interface Meeting {
  uri: string;
  path: string;
  claims: Claim[];
  message: string;
}

export interface Owner {
  path?: string;
  /** What is asked for to own it; a server before this one has only the path. */
  pattern?: string;
  claims: Claim[];
  own?: unknown;
  /** The person waits for it. */
  asked?: boolean;
}

export interface ReadResult {
  text: string;
  mime_type?: string;
  next_offset?: number;
  ended?: boolean;
  /** Of a log: how many bytes it has by now. */
  size?: number;
}

export interface ClaimConflict {
  pattern: string;
  held_pattern?: string;
  witness?: string;
  holder: string;
  holder_kind: string;
  task?: string;
  reason?: string;
  since?: string;
}

export interface ClaimResult {
  granted: boolean;
  claims: { claim_id: number; pattern: string }[];
  conflicts: ClaimConflict[];
}

export interface Problem {
  severity: 'error' | 'warning';
  code: string;
  message: string;
  hint?: string;
  line?: number;
  column?: number;
}

export interface PlanResult {
  plan_id: string | null;
  name?: string;
  waves: Id[][];
  problems: Problem[];
}

export interface DispatchResult {
  run_id: string | null;
  plan_id: string;
  started: { task: Id; attempt: string; worker: string }[];
  waiting: { task: Id; reason: string; on?: string }[];
}

export interface JudgeResult {
  run_id: string;
  state?: string;
  verdict?: string;
  gates?: Gate[];
  reason?: string;
  seq?: number;
}

export interface ControlResult {
  ack: boolean;
  state?: string;
  message?: string;
}
