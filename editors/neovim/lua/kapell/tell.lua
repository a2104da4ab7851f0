-- Which events are told to the person as they happen.
local options = require('kapell.options')
local say = require('kapell.say')
local state = require('kapell.state')

local M = {}

function M.setup()
  state.on(function(root, what, event)
    if what ~= 'event' then
      return
    end
    vim.api.nvim_exec_autocmds('User', { pattern = 'KapellEvent', data = { root = root, event = event } })
    local how = options.current.notify
    if how == 'none' then
      return
    end
    local where = event.plan_id and (event.plan_id .. ': ') or ''
    if event.kind == 'claim.taken' and vim.tbl_get(event, 'data', 'from_kind') == 'person' then
      -- Perhaps it was this person's: who takes over gives a reason.
      say.warn(event.text)
    elseif event.kind == 'claim.asked' and vim.tbl_contains(vim.tbl_get(event, 'data', 'from_kinds') or {}, 'person') then
      say.say(event.text)
    elseif state.needs_person(event) then
      say.warn(where .. event.text .. ' (:Kapell status)')
      vim.cmd.redrawstatus({ bang = true })
    elseif how == 'all' then
      say.say(where .. event.text)
    elseif event.kind == 'plan.state' and state.finished(event) then
      say.say(event.text)
    end
  end)
end

return M
