-- Which plan, task or attempt a command is about, where it was not said or said loosely.
local owner = require('kapell.owner')
local say = require('kapell.say')
local server = require('kapell.server')

local M = {}

--- Calls back with a plan's id: the one named, the only one there is, or the one chosen.
---@param root string
---@param named string?
---@param callback fun(plan: string)
---@param wanted? fun(plan: table): boolean Which plans can be meant.
function M.plan(root, named, callback, wanted)
  if named and named ~= '' then
    return callback(named)
  end
  server.call(root, 'status', { scope = 'overview' }, function(overview)
    local plans = overview.plans or {}
    if wanted then
      plans = vim.tbl_filter(wanted, plans)
    end
    if #plans == 0 then
      say.warn('there is no plan for that (`:Kapell status` shows the plans, `:Kapell plan FILE` makes one)')
    elseif #plans == 1 then
      callback(plans[1].plan_id)
    else
      vim.ui.select(plans, {
        prompt = 'Which plan?',
        format_item = function(plan)
          return ('%s  %s  %d/%d'):format(plan.plan_id, plan.state, plan.done or 0, plan.total or 0)
        end,
      }, function(plan)
        if plan then
          callback(plan.plan_id)
        end
      end)
    end
  end)
end

--- A task's id as the plan wrote it: an integer or a string.
function M.task_id(text)
  return text:match('^%d+$') and tonumber(text) or text
end

--- Lets the person choose a task of a plan for its last attempt.
local function choose_attempt(root, callback)
  M.plan(root, nil, function(plan)
    server.status(root, { scope = 'plan', id = plan }, 'tasks', function(status)
      local tasks = vim.tbl_filter(function(task)
        return task.attempt ~= nil
      end, status.tasks or {})
      if #tasks == 0 then
        return say.warn(('plan %s has no attempt yet'):format(plan))
      end
      if #tasks == 1 then
        return callback(tasks[1].attempt)
      end
      vim.ui.select(tasks, {
        prompt = 'Which task?',
        format_item = function(task)
          return ('%s  %s  %s'):format(task.id, task.state, task.task)
        end,
      }, function(task)
        if task then
          callback(task.attempt)
        end
      end)
    end)
  end, function(plan)
    return plan.state ~= 'draft'
  end)
end

--- Calls back with an attempt's id. `named` may be an attempt, or `PLAN/TASK` for its last one;
--- without it the attempt that holds the file of the buffer, else one that is chosen.
---@param root string
---@param named string?
---@param callback fun(attempt: string)
function M.attempt(root, named, callback)
  if named and named:find('/', 1, true) then
    server.call(root, 'status', { scope = 'task', id = named }, function(task)
      local last = (task.attempts or {})[#(task.attempts or {})]
      if last then
        callback(last.attempt)
      else
        say.warn(('task %s has no attempt yet%s'):format(named, task.reason and (': ' .. task.reason) or ''))
      end
    end)
    return
  elseif named and named ~= '' then
    return callback(named)
  end
  owner.find(vim.api.nvim_get_current_buf(), function(own)
    for _, claim in ipairs(own and own.held or {}) do
      if claim.holder_kind == 'attempt' then
        return callback(claim.holder)
      end
    end
    choose_attempt(root, callback)
  end)
end

return M
