-- The window of events: what happened, as it happens.
local say = require('kapell.say')
local server = require('kapell.server')
local state = require('kapell.state')
local view = require('kapell.view')

local M = {}

local NAME = 'events'

local function line(event)
  local at = (event.at or ''):match('T(%d+:%d+:%d+)') or ''
  local mark = state.needs_person(event) and '!' or ' '
  local plan = event.plan_id and (event.plan_id .. '  ') or ''
  return (('%s %s %-18s %s%s'):format(mark, at, event.kind, plan, event.text or ''):gsub('\n', ' '))
end

---@param root string
function M.open(root)
  local bufnr = view.buffer(root, NAME, 'kapell-events')
  view.show(bufnr)
  if vim.b[bufnr].kapell_follows then
    return
  end
  vim.b[bufnr].kapell_follows = true
  -- What came before, then what comes; an event that is in both is shown once.
  local newest = -1
  local early = {}
  local function show(event)
    if event.seq > newest then
      newest = event.seq
      local empty = vim.api.nvim_buf_line_count(bufnr) == 1
        and vim.api.nvim_buf_get_lines(bufnr, 0, 1, false)[1] == ''
      view.append(bufnr, (empty and '' or '\n') .. line(event))
    end
  end
  local off
  off = state.on(function(of, what, event)
    if not vim.api.nvim_buf_is_valid(bufnr) then
      off()
    elseif of == root and what == 'event' then
      if early then
        table.insert(early, event)
      else
        show(event)
      end
    end
  end)
  local function begin(events)
    for _, event in ipairs(events) do
      show(event)
    end
    for _, event in ipairs(early) do
      show(event)
    end
    early = nil
    if vim.api.nvim_get_current_buf() == bufnr then
      vim.cmd.normal({ 'G', bang = true })
    end
  end
  server.call(root, 'status', { scope = 'events' }, function(result)
    begin(result.events or {})
  end, function(err)
    say.fail(say.sentence(err))
    begin(state.of(root).events)
  end)
end

return M
