-- `:Kapell plan`, `dispatch`, `judge`, `land`, `pause`, `resume`, `stop`: the whole work.
local path = require('kapell.path')
local pick = require('kapell.pick')
local read = require('kapell.read')
local say = require('kapell.say')
local server = require('kapell.server')

local M = {}

--- The buffer of a file, if it is open.
local function buffer_of(file)
  local full = path.full(file)
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    -- By its whole name: `bufnr()` also takes one that has this name in it.
    local name = vim.api.nvim_buf_get_name(bufnr)
    if vim.api.nvim_buf_is_loaded(bufnr) and name ~= '' and path.full(name) == full then
      return bufnr
    end
  end
end

--- The problems of a plan as a quickfix list.
local function list_problems(root, file, problems)
  local items = vim.tbl_map(function(problem)
    local hint = problem.hint and (' (' .. problem.hint .. ')') or ''
    return {
      filename = vim.startswith(file, '/') and file or vim.fs.joinpath(root, file),
      lnum = problem.line or 1,
      col = problem.column or 1,
      type = problem.severity == 'error' and 'E' or 'W',
      text = ('%s [%s]%s'):format(problem.message, problem.code, hint),
    }
  end, problems)
  vim.fn.setqflist({}, ' ', { title = 'Kapell: ' .. file, items = items })
  if #items > 0 then
    vim.cmd('botright copen')
    vim.cmd.wincmd('p')
  end
end

local function told_dispatch(result)
  local waits = {}
  for _, waiting in ipairs(result.waiting or {}) do
    table.insert(waits, ('%s for %s'):format(waiting.task, waiting.on or waiting.reason))
  end
  say.say(('plan %s runs: %d started%s'):format(
    result.plan_id,
    #(result.started or {}),
    #waits > 0 and (', waiting: ' .. table.concat(waits, '; ')) or ''
  ))
end

--- Tells what `control` answered.
function M.told_control(result)
  if type(result.message) == 'string' and result.message ~= '' then
    say.say(result.message)
  end
end

--- Tells what the lenses of a plan file answered.
function M.told_of_file(result)
  local problems = #(result.plan.problems or {})
  if result.dispatch then
    told_dispatch(result.dispatch)
  elseif problems > 0 then
    say.warn(('the plan has %s'):format(say.count(problems, 'problem')))
  else
    say.say(('the plan is in order: %s in %s'):format(
      say.count(#(result.plan.ownership or {}), 'task'), say.count(#(result.plan.waves or {}), 'wave')))
  end
end

function M.plan(root, arguments, bang)
  local file = arguments[1] and path.expanded(arguments[1]) or vim.api.nvim_buf_get_name(0)
  if file == '' then
    return say.fail('name a plan file, or open one')
  end
  local bufnr = buffer_of(file)
  if bufnr and vim.bo[bufnr].modified then
    return say.fail(('%s has changes that are not written (:write first)'):format(file))
  end
  file = path.relative(root, file) or path.full(file)
  server.call(root, 'plan', { file = file, check_only = bang }, function(result)
    local problems = result.problems or {}
    list_problems(root, file, problems)
    local tasks, waves = say.count(#(result.ownership or {}), 'task'), say.count(#(result.waves or {}), 'wave')
    if type(result.plan_id) == 'string' then
      say.say(('plan %s: %s in %s (`:Kapell dispatch %s` starts it)'):format(
        result.plan_id, tasks, waves, result.plan_id))
    elseif #problems > 0 then
      say.warn(('%s has %s'):format(file, say.count(#problems, 'problem')))
    else
      say.say(('%s is in order: %s in %s'):format(file, tasks, waves))
    end
  end)
end

function M.dispatch(root, arguments)
  pick.plan(root, arguments[1], function(plan)
    local tasks = vim.tbl_map(pick.task_id, vim.list_slice(arguments, 2))
    server.call(root, 'dispatch', { plan_id = plan, tasks = #tasks > 0 and tasks or nil }, told_dispatch)
  end, function(plan)
    return plan.state ~= 'running' and plan.state ~= 'done'
  end)
end

--- Waits for a judgement and tells it. The server answers when there is something new.
local function follow_judgement(root, run, since)
  server.call(root, 'status', { run_id = run, since_seq = since, wait_ms = 45000 }, function(status)
    local verdict = status.verdict
    if not verdict and status.state ~= 'failed' then
      return follow_judgement(root, run, status.seq)
    end
    local failed = {}
    for _, gate in ipairs(status.gates or {}) do
      if gate.outcome == 'fail' or gate.outcome == 'error' then
        table.insert(failed, ('%s: %s'):format(gate.name, gate.why or gate.outcome))
      end
    end
    local text = ('judged: %s'):format(verdict or status.reason or 'failed')
    if #failed > 0 then
      text = text .. ' (' .. table.concat(failed, '; ') .. ')'
    end
    say.say(text, verdict == 'approved' and vim.log.levels.INFO or vim.log.levels.WARN)
  end)
end

function M.judge(root, arguments)
  local function judge(parameters)
    server.call(root, 'judge', parameters, function(result)
      if result.verdict then
        say.say('judged: ' .. result.verdict)
      else
        say.say('judging')
        follow_judgement(root, result.run_id)
      end
    end)
  end
  local plan, task = (arguments[1] or ''):match('^(.-)/(.+)$')
  if plan then
    judge({ plan_id = plan, task = pick.task_id(task) })
  elseif arguments[1] and arguments[1]:match('^a%-%w%w%w%w%w%w%w%w%w%w$') then
    judge({ attempt = arguments[1] })
  else
    pick.plan(root, arguments[1], function(chosen)
      judge({ plan_id = chosen })
    end)
  end
end

--- The action of `control` on a plan, task, attempt or worker.
function M.control(action)
  return function(root, arguments, bang)
    pick.plan(root, arguments[1], function(target)
      local parameters = { action = action, target = target, force = bang or nil }
      if #arguments > 1 then
        parameters.message = table.concat(arguments, ' ', 2)
      end
      server.call(root, 'control', parameters, function(result)
        local text = result.message
        if type(text) ~= 'string' or text == '' then
          text = ('%s is %s'):format(target, result.state or action)
        end
        say.say(text)
        if action == 'land' then
          -- The files of the checkout are others now.
          vim.cmd.checktime()
        end
      end)
    end, function(plan)
      if action == 'pause' or action == 'stop' then
        return plan.state == 'running' or plan.state == 'paused'
      end
      return plan.state ~= 'draft'
    end)
  end
end

--- `:Kapell refuse RUN/STAGE [why]`.
function M.refuse(root, arguments)
  local run, stage = (arguments[1] or ''):match('^(.-)/(.+)$')
  if not run then
    return say.fail('name the stage: RUN/STAGE (`:Kapell status` shows those that wait)')
  end
  local why = table.concat(arguments, ' ', 2)
  server.call(root, 'pipeline', {
    action = 'approve', run = run, stage = stage, refuse = true, message = why ~= '' and why or nil,
  }, M.told_control)
end

function M.log(root, arguments)
  pick.attempt(root, arguments[1], function(attempt)
    read.log(root, attempt)
  end)
end

function M.document(part)
  return function(root, arguments)
    pick.attempt(root, arguments[1], function(attempt)
      read.open(root, attempt, part)
    end)
  end
end

return M
