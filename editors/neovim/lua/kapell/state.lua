-- What the server told, for each project: the newest events, the claims, what wants a person.
local options = require('kapell.options')

local M = {}

---@class kapell.State
---@field events table[] The newest, oldest of them first.
---@field claims table[]
---@field total integer How many claims there are, of which `claims` may be a part.
---@field cursor string? Where the rest of them begins, if there is any.
---@field own table<integer, true> The numbers of the person's claims, also of those that are no more: who lost one is told of it.
---@field needs table<string, true> What wants a decision since the person last looked: `PLAN/TASK`, `PLAN#STAGE` or a plan's id.

---@type table<string, kapell.State>
local states = {}
local listeners = {}

---@param root string
---@return kapell.State
function M.of(root)
  states[root] = states[root] or { events = {}, claims = {}, total = 0, own = {}, needs = {} }
  return states[root]
end

--- Calls `listener(root, what, value)` for each event (`what` is 'event'), each change of the
--- claims ('claims') and each start or end of a server ('server'). Gives a function that ends it.
---@param listener fun(root: string, what: string, value: any)
---@return fun()
function M.on(listener)
  listeners[listener] = true
  return function()
    listeners[listener] = nil
  end
end

function M.tell(root, what, value)
  -- A copy: a listener may end itself.
  for _, listener in ipairs(vim.tbl_keys(listeners)) do
    local fine, err = pcall(listener, root, what, value)
    if not fine then
      vim.schedule(function()
        require('kapell.say').fail(tostring(err))
      end)
    end
  end
end

-- Where a stage of a pipeline wants somebody to look.
local STAGES = { approval = true, failed = true, unknown = true }

--- Whether an event wants a decision of a person, as opposed to telling that something is done. A try that
--- came to nothing does not: Kapell tries again, and what it gives up is a task that failed. Nor does what
--- waits for a failed task.
---@param event table
---@return boolean
function M.needs_person(event)
  local data = type(event.data) == 'table' and event.data or {}
  if event.kind == 'task.state' then
    return data.to == 'failed'
  elseif event.kind == 'stage.state' then
    return STAGES[data.to] or false
  end
  return event.kind == 'plan.state' and data.state == 'failed'
end

--- What an event is about, as needs are called.
local function key_of(event)
  local data = type(event.data) == 'table' and event.data or {}
  if event.task then
    return ('%s/%s'):format(event.plan_id, event.task)
  end
  return data.stage and ('%s#%s'):format(event.plan_id, data.stage) or event.plan_id
end

-- Events that say how something is now.
local STATES = {
  ['task.state'] = true, ['plan.state'] = true,
  ['stage.state'] = true, ['stage.approved'] = true, ['stage.refused'] = true,
}

--- Counts what wants a decision, and no more what got one.
local function count_need(needs, event)
  local key = STATES[event.kind] and event.plan_id and key_of(event)
  if not key then
    return
  elseif not M.needs_person(event) then
    needs[key] = nil
    return
  end
  -- A plan fails by something in it, which is counted.
  local is_counted = event.kind == 'plan.state' and vim.iter(needs):any(function(need)
    return vim.startswith(need, key .. '/') or vim.startswith(need, key .. '#')
  end)
  if not is_counted then
    needs[key] = true
  end
end

--- Stages that wait for a person already when the server starts.
---@param root string
---@param stages table[]? As the overview names them.
function M.add_stages(root, stages)
  for _, one in ipairs(stages or {}) do
    M.of(root).needs[('%s#%s'):format(one.run, one.stage)] = true
  end
end

--- How much wants a decision since the person last looked.
---@param root string
---@return integer
function M.count_needs(root)
  return vim.tbl_count(M.of(root).needs)
end

--- The person looks at it now.
---@param root string
function M.saw_needs(root)
  M.of(root).needs = {}
end

--- Whether an event tells that a plan or a task came to a good end.
---@param event table
---@return boolean
function M.finished(event)
  local data = type(event.data) == 'table' and event.data or {}
  return (event.kind == 'task.state' and data.to == 'done')
    or (event.kind == 'plan.state' and data.state == 'done')
end

function M.add_event(root, event)
  local state = M.of(root)
  table.insert(state.events, event)
  if #state.events > options.current.events then
    table.remove(state.events, 1)
  end
  count_need(state.needs, event)
  M.tell(root, 'event', event)
end

--- Remembers which claims are the person's.
---@param root string
---@param claims table[]
function M.add_own(root, claims)
  local own = M.of(root).own
  for _, claim in ipairs(claims) do
    if claim.own and claim.claim_id then
      own[claim.claim_id] = true
    end
  end
end

--- Whether one of these claims is or was the person's.
---@param root string
---@param ids any[]
---@return boolean
function M.are_own(root, ids)
  return vim.iter(ids):any(function(id)
    return M.of(root).own[tonumber(id)] ~= nil
  end)
end

function M.set_claims(root, claims, total, cursor)
  local state = M.of(root)
  state.claims = claims or {}
  state.total = total or #state.claims
  state.cursor = cursor
  M.add_own(root, state.claims)
  M.tell(root, 'claims', state.claims)
end

return M
