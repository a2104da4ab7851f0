-- What the server told, for each project: the newest events, the claims, what wants a person.
local options = require('kapell.options')

local M = {}

---@class kapell.State
---@field events table[] The newest, oldest of them first.
---@field claims table[]
---@field total integer How many claims there are, of which `claims` may be a part.
---@field needs integer What happened since the person last looked and wants a decision.

---@type table<string, kapell.State>
local states = {}
local listeners = {}

---@param root string
---@return kapell.State
function M.of(root)
  states[root] = states[root] or { events = {}, claims = {}, total = 0, needs = 0 }
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

-- How an attempt may end that a person has to look at.
local TROUBLE = { violation = true, failed = true, stuck = true, ['timed-out'] = true }

--- Whether an event wants a decision of a person, as opposed to telling that something is done.
---@param event table
---@return boolean
function M.needs_person(event)
  local data = type(event.data) == 'table' and event.data or {}
  if event.kind == 'attempt.finished' then
    return TROUBLE[data.outcome] or false
  elseif event.kind == 'task.state' then
    return data.to == 'failed' or data.to == 'blocked'
  elseif event.kind == 'plan.state' then
    return data.state == 'failed'
  end
  return event.kind:match('^approval%.') ~= nil
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
  if M.needs_person(event) then
    state.needs = state.needs + 1
  end
  M.tell(root, 'event', event)
end

function M.set_claims(root, claims, total)
  local state = M.of(root)
  state.claims = claims or {}
  state.total = total or #state.claims
  M.tell(root, 'claims', state.claims)
end

return M
