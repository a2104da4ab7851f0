-- The status window. It is drawn anew with each event, at once, and never more than one question
-- a time: what happens while the server answers is in the next drawing.
local say = require('kapell.say')
local server = require('kapell.server')
local state = require('kapell.state')
local view = require('kapell.view')

local M = {}

local NAME = 'status'
local highlights = vim.api.nvim_create_namespace('kapell.status')

-- Plans that are over are shown in one line, and no more than these.
local MOST_OLD_PLANS = 5

local MARKS = {
  waiting = '·', ready = '·', running = '▶', judging = '⚖', rejected = '↻', approved = '✓', landing = '⇣',
  done = '✓', failed = '✗', blocked = '✗', cancelled = '–', paused = '‖', draft = '·', stopped = '■',
}
local COLOURS = {
  running = 'DiagnosticInfo', judging = 'DiagnosticInfo', landing = 'DiagnosticInfo', done = 'DiagnosticOk',
  approved = 'DiagnosticOk', paused = 'DiagnosticWarn', failed = 'DiagnosticError', blocked = 'DiagnosticError', rejected = 'DiagnosticWarn',
}

---@class kapell.Page Lines under way, what each is about, and what is coloured.
local function page()
  local self = { lines = {}, targets = {}, colours = {} }
  function self.add(text, target, colour)
    table.insert(self.lines, (text:gsub('%s*\n%s*', ' ')))
    self.targets[#self.lines] = target
    if colour then
      self.colours[#self.lines] = colour
    end
  end
  return self
end

--- '22:17' of a time, in this machine's zone.
local function clock(time)
  local y, mo, d, h, mi, s = (time or ''):match('^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)')
  if not y then
    return '?'
  end
  local utc = os.time({ year = y, month = mo, day = d, hour = h, min = mi, sec = s, isdst = false })
  local now = os.time()
  local shift = os.difftime(now, os.time(vim.tbl_extend('force', os.date('!*t', now), { isdst = false })))
  return os.date('%H:%M', utc + shift)
end

--- The tasks of a plan that want a decision: those that failed, and those that are blocked by something
--- else than one that failed.
local function needy(tasks)
  local lost = {}
  for _, task in ipairs(tasks) do
    lost[tostring(task.id)] = task.state == 'failed' or task.state == 'blocked'
  end
  return vim.tbl_filter(function(task)
    local by_lost = vim.iter(task.depends_on or {}):any(function(id)
      return lost[tostring(id)]
    end)
    return task.state == 'failed' or (task.state == 'blocked' and not by_lost)
  end, tasks)
end

--- The server's warnings without what is told as a need already. One about a plan may tell of something
--- else than a need in it: that nobody runs it.
local function other_warnings(warnings, needs)
  return vim.tbl_filter(function(warning)
    return not vim.iter(needs):any(function(need)
      if not need.stage then
        return vim.startswith(warning, 'task ' .. need.key .. ' ')
      end
      local of_plan = vim.startswith(warning, ('plan %s:'):format(need.plan))
        or vim.startswith(warning, ('plan %s '):format(need.plan))
      return of_plan and warning:find('approval: ', 1, true) ~= nil
    end)
  end, warnings or {})
end

local function add_plan(out, plan, status)
  local tasks = status and status.tasks or {}
  local paused = #vim.tbl_filter(function(task)
    return task.paused
  end, tasks)
  local head = ('%s %s  %s  %d of %d done'):format(
    MARKS[plan.state] or ' ', plan.plan_id, plan.state, plan.done or 0, plan.total or 0)
  -- Each by itself: the server counts paused tasks among the running ones, and blocked ones among the failed.
  for _, part in ipairs({
    { (plan.running or 0) - paused, 'running' },
    { paused, 'paused' },
    { (plan.failed or 0) - (plan.blocked or 0), 'failed' },
    { plan.blocked or 0, 'blocked' },
  }) do
    if part[1] > 0 then
      head = head .. (', %d %s'):format(part[1], part[2])
    end
  end
  if plan.position then
    head = head .. (', place %d in the queue'):format(plan.position)
  end
  out.add(head, { plan = plan.plan_id }, 'Title')
  for _, task in ipairs(tasks) do
    local is = task.paused and 'paused' or task.state
    local who = task.worker and ('  ' .. task.worker) or ''
    local tries = (task.attempts or 0) > 1 and ('  try %d'):format(task.attempts) or ''
    local why = task.reason and task.state ~= 'done' and ('  ' .. task.reason) or ''
    out.add(
      ('  %s %-4s %-9s %s%s%s%s'):format(
        MARKS[is] or ' ', task.id, is, task.task, who, tries, why),
      { plan = plan.plan_id, task = plan.plan_id .. '/' .. tostring(task.id), attempt = task.attempt },
      COLOURS[is]
    )
  end
end

local function over(plan)
  return plan.state == 'done' or plan.state == 'stopped'
end

--- The window's lines, from what the server answered.
local function draw(answers)
  local out = page()
  local overview = answers.overview
  local needs = {}
  for _, one in ipairs(overview.to_approve or {}) do
    table.insert(needs, {
      plan = one.run, stage = one.stage, key = one.run .. '#' .. one.stage,
      text = ('%s stage %s waits for your approval  (a approves, x refuses)'):format(one.run, one.stage),
    })
  end
  for _, plan in ipairs(overview.plans or {}) do
    local id = plan.plan_id
    for _, task in ipairs(needy(answers.plans[id] and answers.plans[id].tasks or {})) do
      local key = id .. '/' .. tostring(task.id)
      table.insert(needs, {
        plan = id, task = key, key = key, attempt = task.attempt,
        text = ('%s %s: %s'):format(key, task.state, task.reason or task.task),
      })
    end
  end
  local warnings = other_warnings(overview.warnings, needs)
  local workers = overview.workers or {}
  out.add(('Kapell: %d busy, %d idle, %s  (? for keys)'):format(
    workers.busy or 0, workers.idle or 0, say.count(overview.claims or 0, 'claim')), nil, 'Comment')

  if #needs > 0 or #warnings > 0 then
    out.add('')
    out.add('Needs you', nil, 'WarningMsg')
    for _, need in ipairs(needs) do
      out.add('  ' .. need.text, need, 'DiagnosticWarn')
    end
    for _, warning in ipairs(warnings) do
      out.add('  ' .. warning, nil, 'DiagnosticWarn')
    end
  end

  out.add('')
  local old = 0
  for _, plan in ipairs(overview.plans or {}) do
    old = old + (over(plan) and 1 or 0)
    if not over(plan) or old <= MOST_OLD_PLANS then
      add_plan(out, plan, answers.plans[plan.plan_id])
    end
  end
  if #(overview.plans or {}) == 0 then
    out.add('No plan yet: `:Kapell plan FILE` makes one.', nil, 'Comment')
  end

  local claims = answers.claims
  if #claims > 0 then
    out.add('')
    out.add('Claims', nil, 'Title')
    for _, claim in ipairs(claims) do
      local shared = claim.mode == 'shared' and ' (shared)' or ''
      out.add(('  %-32s %s%s since %s'):format(claim.pattern, say.holder(claim), shared, clock(claim.since)),
        { claim = claim, attempt = claim.holder_kind == 'attempt' and claim.holder or nil, task = claim.task })
    end
    if answers.total > #claims then
      out.add(('  and %d more'):format(answers.total - #claims), nil, 'Comment')
    end
  end
  return out
end

local drawing, dirty = {}, {}

local function paint(bufnr, out)
  view.write(bufnr, out.lines)
  vim.api.nvim_buf_clear_namespace(bufnr, highlights, 0, -1)
  for line, colour in pairs(out.colours) do
    vim.api.nvim_buf_set_extmark(bufnr, highlights, line - 1, 0, { line_hl_group = colour })
  end
  M.targets = M.targets or {}
  M.targets[bufnr] = out.targets
end

--- Asks for all that is shown, then draws.
local function refresh(root, bufnr)
  if drawing[root] then
    dirty[root] = true
    return
  end
  drawing[root] = true
  local answers = { plans = {} }
  local open = 2
  local function arrived()
    open = open - 1
    if open > 0 then
      return
    end
    drawing[root] = nil
    if vim.api.nvim_buf_is_valid(bufnr) then
      paint(bufnr, draw(answers))
    end
    if dirty[root] then
      dirty[root] = nil
      refresh(root, bufnr)
    end
  end
  local function failed(err)
    drawing[root] = nil
    if vim.api.nvim_buf_is_valid(bufnr) then
      view.write(bufnr, { 'Kapell does not answer: ' .. say.sentence(err) })
    end
  end
  server.call(root, 'status', { scope = 'overview' }, function(overview)
    answers.overview = overview
    for _, plan in ipairs(overview.plans or {}) do
      if not over(plan) then
        open = open + 1
        server.status(root, { scope = 'plan', id = plan.plan_id }, 'tasks', function(status)
          answers.plans[plan.plan_id] = status
          arrived()
        end, function()
          -- It may be gone by now.
          arrived()
        end)
      end
    end
    arrived()
  end, failed)
  -- With each change the server tells the first of the claims; the rest is asked for.
  local told = state.of(root)
  answers.claims, answers.total = vim.list_slice(told.claims), told.total
  if not told.cursor then
    return arrived()
  end
  server.status(root, { scope = 'claims', cursor = told.cursor }, 'claims', function(rest)
    vim.list_extend(answers.claims, rest.claims)
    arrived()
  end, failed)
end

local function target()
  local bufnr = vim.api.nvim_get_current_buf()
  return (M.targets and M.targets[bufnr] or {})[vim.api.nvim_win_get_cursor(0)[1]] or {}
end

local HELP = {
  { '<CR>', 'log of the attempt, or the claimed file' },
  { 'd', 'diff of the attempt' },
  { 'v', 'verdict of the attempt' },
  { 'p', 'pause the plan or task' },
  { 'r', 'resume it' },
  { 's', 'stop it' },
  { 'R', 'retry the task' },
  { 'a', 'approve the stage, or the work that the judge refused' },
  { 'x', 'refuse the stage' },
  { 'L', 'land the plan' },
  { 'q', 'close' },
}

local function keys(root, bufnr)
  local work = require('kapell.work')
  local read = require('kapell.read')
  local function on_attempt(action)
    return function()
      local it = target()
      if it.attempt then
        action(it.attempt)
      else
        say.warn('there is no attempt in this line')
      end
    end
  end
  local function on_plan(action)
    return function()
      local it = target()
      local id = action ~= 'land' and it.task or it.plan
      if id then
        work.control(action)(root, { id })
      else
        say.warn('there is no plan in this line')
      end
    end
  end
  view.key(bufnr, '<CR>', 'log or file', function()
    local it = target()
    if it.claim and not it.attempt then
      vim.cmd.wincmd('p')
      vim.cmd.edit(vim.fn.fnameescape(vim.fs.joinpath(root, it.claim.pattern)))
    else
      on_attempt(function(attempt)
        read.log(root, attempt)
      end)()
    end
  end)
  view.key(bufnr, 'd', 'diff', on_attempt(function(attempt)
    read.open(root, attempt, 'diff')
  end))
  view.key(bufnr, 'v', 'verdict', on_attempt(function(attempt)
    read.open(root, attempt, 'verdict')
  end))
  view.key(bufnr, 'p', 'pause', on_plan('pause'))
  view.key(bufnr, 'r', 'resume', on_plan('resume'))
  view.key(bufnr, 's', 'stop', on_plan('stop'))
  view.key(bufnr, 'R', 'retry', on_plan('retry'))
  view.key(bufnr, 'L', 'land', on_plan('land'))
  -- What cannot be taken back is asked first.
  view.key(bufnr, 'a', 'approve', function()
    local it = target()
    local id = it.stage and it.plan .. '/' .. it.stage or it.task
    if not id then
      return say.warn('there is neither a stage nor a task in this line')
    end
    vim.ui.select({ 'Approve', 'Leave it' }, { prompt = ('Approve %s?'):format(id) }, function(choice)
      if choice == 'Approve' then
        work.control('approve')(root, { id })
      end
    end)
  end)
  view.key(bufnr, 'x', 'refuse', function()
    local it = target()
    if not it.stage then
      return say.warn('there is no stage in this line')
    end
    vim.ui.input({ prompt = ('Why do you refuse stage %s of %s? (may be left empty) '):format(it.stage, it.plan) }, function(why)
      if why then
        work.refuse(root, { it.plan .. '/' .. it.stage, why })
      end
    end)
  end)
  view.key(bufnr, '?', 'keys', function()
    local lines = vim.tbl_map(function(entry)
      return ('%-5s %s'):format(entry[1], entry[2])
    end, HELP)
    vim.api.nvim_echo({ { table.concat(lines, '\n') } }, false, {})
  end)
end

---@param root string
function M.open(root)
  local bufnr = view.buffer(root, NAME, 'kapell-status')
  view.show(bufnr)
  state.saw_needs(root)
  vim.cmd.redrawstatus({ bang = true })
  if not vim.b[bufnr].kapell_follows then
    vim.b[bufnr].kapell_follows = true
    keys(root, bufnr)
    local off
    off = state.on(function(of, what, value)
      if not vim.api.nvim_buf_is_valid(bufnr) then
        off()
      elseif of == root and vim.fn.bufwinid(bufnr) ~= -1 then
        if what == 'server' and value == 'ended' then
          drawing[root], dirty[root] = nil, nil
          view.write(bufnr, { 'The server of Kapell ended.' })
        else
          state.saw_needs(root)
          refresh(root, bufnr)
        end
      end
    end)
  end
  refresh(root, bufnr)
end

return M
