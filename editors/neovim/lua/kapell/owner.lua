-- Who holds the file of a buffer: the sign, the status line, and the word of warning.
local options = require('kapell.options')
local say = require('kapell.say')
local server = require('kapell.server')
local state = require('kapell.state')

local M = {}

local signs = vim.api.nvim_create_namespace('kapell.signs')

---@class kapell.Owner
---@field path? string The file's path in the project.
---@field pattern? string What is asked for to own it: in a pattern some characters of a name stand in quotes.
---@field held table[] The claims of others on it.
---@field own table[] One's own claims on it.
---@field asked boolean Whether the person waits for it.

---@type table<integer, kapell.Owner> By buffer.
local owners = {}
---@type table<integer, string> By buffer: of whose claim the person was warned.
local warned = {}

---@type table<integer, integer> By buffer: how often its owner was asked for.
local asked = {}

---@param bufnr integer?
---@return kapell.Owner?
function M.of(bufnr)
  return owners[(bufnr == nil or bufnr == 0) and vim.api.nvim_get_current_buf() or bufnr]
end

--- The patterns by which the person holds files of a project that are open.
---@param root string
---@return string[]
function M.own_patterns(root)
  local found = {}
  for bufnr, owner in pairs(owners) do
    if owner.own[1] and require('kapell.project').of(bufnr) == root then
      for _, claim in ipairs(owner.own) do
        table.insert(found, claim.pattern)
      end
    end
  end
  return found
end

local function show_sign(bufnr, owner)
  vim.api.nvim_buf_clear_namespace(bufnr, signs, 0, -1)
  local texts = options.current.signs
  if not texts then
    return
  end
  local held, own = owner.held[1] ~= nil, owner.own[1] ~= nil
  local modified = vim.bo[bufnr].modified
  local text, highlight
  if held and (own or modified) then
    text, highlight = texts.meeting, 'KapellMeeting'
  elseif held then
    text, highlight = texts.held, 'KapellHeld'
  elseif own then
    text, highlight = texts.own, 'KapellOwn'
  end
  if text then
    vim.api.nvim_buf_set_extmark(bufnr, signs, 0, 0, {
      sign_text = text,
      sign_hl_group = highlight,
      -- Below the signs of errors, above those of the hints.
      priority = 12,
    })
  end
end

-- Warns with the first change of a file that somebody else holds; the file's next holder gets
-- a warning of its own.
local function warn_if_met(bufnr)
  local owner = owners[bufnr]
  local claim = owner and owner.held[1]
  if not claim then
    warned[bufnr] = nil
  elseif options.current.warn_on_edit and vim.bo[bufnr].modified and warned[bufnr] ~= claim.holder then
    warned[bufnr] = claim.holder
    say.warn(('%s is held by %s: `:Kapell take` takes it over, `u` undoes your change'):format(
      owner.path or vim.api.nvim_buf_get_name(bufnr),
      say.holder(claim)
    ))
  end
end

local function take(bufnr, answer)
  local owner = { path = answer.path, pattern = answer.pattern or answer.path, held = {}, own = {}, asked = answer.asked == true }
  for _, claim in ipairs(answer.claims or {}) do
    table.insert(claim.own and owner.own or owner.held, claim)
  end
  owners[bufnr] = owner
  local root = require('kapell.project').of(bufnr)
  if root then
    state.add_own(root, owner.own)
  end
  show_sign(bufnr, owner)
  warn_if_met(bufnr)
  vim.api.nvim_exec_autocmds('User', { pattern = 'KapellOwner', data = { buf = bufnr, owner = owner } })
  vim.cmd.redrawstatus({ bang = true })
end

--- Asks who holds the file of a buffer.
---@param bufnr integer
function M.refresh(bufnr)
  local client = vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })[1]
  if not client or not client.initialized then
    return
  end
  -- Answers may overtake each other: only that to the last question counts.
  local turn = (asked[bufnr] or 0) + 1
  asked[bufnr] = turn
  server.ask(client, 'kapell/owner', { uri = vim.uri_from_bufnr(bufnr) }, function(err, answer)
    if asked[bufnr] == turn and not err and type(answer) == 'table' and vim.api.nvim_buf_is_loaded(bufnr) then
      take(bufnr, answer)
    end
  end, bufnr)
end

--- Calls back with the owner of a buffer's file, which is asked for where it is not known yet: a
--- command may come before the first answer. Nil where the buffer is no file of a project.
---@param bufnr integer
---@param callback fun(owner: kapell.Owner?)
function M.find(bufnr, callback)
  local root = vim.bo[bufnr].buftype == '' and require('kapell.project').of(bufnr)
  if owners[bufnr] or not root then
    return callback(owners[bufnr])
  end
  server.request(root, 'kapell/owner', { uri = vim.uri_from_bufnr(bufnr) }, function(answer)
    if type(answer) == 'table' and vim.api.nvim_buf_is_loaded(bufnr) then
      take(bufnr, answer)
    end
    callback(owners[bufnr])
  end)
end

function M.attach(_, bufnr)
  M.refresh(bufnr)
end

local function refresh_project(root)
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell' })) do
    if server.root(client) == root then
      for bufnr in pairs(client.attached_buffers) do
        M.refresh(bufnr)
      end
    end
  end
end

--- Nothing is known of a buffer any more.
---@param bufnr integer
function M.forget(bufnr)
  owners[bufnr] = nil
  vim.api.nvim_buf_clear_namespace(bufnr, signs, 0, -1)
end

local function forget_project(root)
  for bufnr in pairs(owners) do
    if vim.api.nvim_buf_is_loaded(bufnr) and require('kapell.project').of(bufnr) == root then
      -- It was the server that waited.
      if owners[bufnr].asked then
        say.warn(('nobody waits for %s any more: ask for it again'):format(owners[bufnr].path))
      end
      M.forget(bufnr)
    end
  end
end

--- Claims changed, the server came or went: every file that is open is asked for again. The event
--- comes first; the list of claims also tells of leases that ran out, which are no event.
local function on_state(root, what, value)
  if what == 'claims' or (what == 'event' and vim.startswith(value.kind, 'claim.')) then
    refresh_project(root)
  elseif what == 'server' and value == 'ended' then
    forget_project(root)
  end
end

---@param bufnr integer?
---@return string
function M.statusline(bufnr)
  bufnr = (bufnr == nil or bufnr == 0) and vim.api.nvim_get_current_buf() or bufnr
  local parts = {}
  local owner = owners[bufnr]
  if owner then
    local held = owner.held[1]
    if held then
      local more = #owner.held > 1 and (' +%d'):format(#owner.held - 1) or ''
      table.insert(parts, 'held by ' .. say.holder(held) .. more)
      if owner.asked then
        table.insert(parts, 'you wait for it')
      end
    elseif owner.own[1] then
      table.insert(parts, 'yours')
    end
  end
  local root = require('kapell.project').of(bufnr)
  local needs = root and state.count_needs(root) or 0
  if needs > 0 then
    table.insert(parts, needs .. ' need you')
  end
  -- A percent sign has a meaning in a status line.
  return (table.concat(parts, ', '):gsub('%%', '%%%%'))
end

function M.setup()
  for name, link in pairs({ KapellHeld = 'DiagnosticSignInfo', KapellOwn = 'DiagnosticSignOk', KapellMeeting = 'DiagnosticSignWarn' }) do
    vim.api.nvim_set_hl(0, name, { link = link, default = true })
  end
  state.on(on_state)
  local group = vim.api.nvim_create_augroup('kapell.owner', {})
  vim.api.nvim_create_autocmd({ 'TextChanged', 'TextChangedI', 'BufModifiedSet' }, {
    group = group,
    callback = function(event)
      local owner = owners[event.buf]
      if owner then
        warn_if_met(event.buf)
        if event.event == 'BufModifiedSet' then
          show_sign(event.buf, owner)
        end
      end
    end,
  })
  -- Neovim tells the server of another name when the file is saved, and until then the old one is held.
  local names = {} ---@type table<integer, string>
  vim.api.nvim_create_autocmd('BufFilePre', {
    group = group,
    callback = function(event)
      names[event.buf] = vim.api.nvim_buf_get_name(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd('BufFilePost', {
    group = group,
    callback = function(event)
      server.renamed(event.buf, names[event.buf] or '')
      names[event.buf] = nil
      M.refresh(event.buf)
    end,
  })
  vim.api.nvim_create_autocmd('BufUnload', {
    group = group,
    callback = function(event)
      owners[event.buf] = nil
      warned[event.buf] = nil
    end,
  })
end

return M
