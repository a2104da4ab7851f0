-- Which events are told to the person as they happen.
local options = require('kapell.options')
local say = require('kapell.say')
local state = require('kapell.state')

local M = {}

-- By project: how many needs the status line has.
local counted = {}

function M.setup()
  state.on(function(root, what, event)
    if what == 'server' and event == 'started' then
      -- What waits since before the server started is in none of its events.
      require('kapell.server').call(root, 'status', { scope = 'overview' }, function(overview)
        state.add_stages(root, overview.to_approve)
        counted[root] = state.count_needs(root)
        vim.cmd.redrawstatus({ bang = true })
      end, function() end)
    end
    if what ~= 'event' then
      return
    end
    vim.api.nvim_exec_autocmds('User', { pattern = 'KapellEvent', data = { root = root, event = event } })
    if state.count_needs(root) ~= counted[root] then
      counted[root] = state.count_needs(root)
      vim.cmd.redrawstatus({ bang = true })
    end
    local how = options.current.notify
    if how == 'none' then
      return
    end
    local where = event.plan_id and (event.plan_id .. ': ') or ''
    local data = type(event.data) == 'table' and event.data or {}
    if event.kind == 'claim.taken' and state.are_own(root, { data.claim }) then
      -- Who takes over gives a reason.
      say.warn(event.text)
    elseif event.kind == 'claim.asked' and state.are_own(root, type(data.claims) == 'table' and data.claims or {}) then
      say.say(event.text)
    elseif state.needs_person(event) then
      say.warn(where .. event.text .. ' (:Kapell status)')
    elseif how == 'all' then
      say.say(where .. event.text)
    elseif event.kind == 'plan.state' and state.finished(event) then
      say.say(event.text)
    end
  end)
end

return M
