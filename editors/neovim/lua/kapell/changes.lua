-- Changes that Neovim tells no server of. It stops listening to a buffer that is changed while it has no client, as
-- after a server was left dead, and does not begin again once there is one: then the whole text is sent from here.
local M = {}

---@type table<integer, true> Buffers that are listened to.
local watched = {}
---@type table<integer, true> Buffers that Neovim stopped listening to.
local lost = {}
---@type table<integer, integer> By buffer: its newest change that is to be looked at.
local newest = {}

local ENDS = { unix = '\n', dos = '\r\n', mac = '\r' }

local function send(bufnr, version)
  local line_end = ENDS[vim.bo[bufnr].fileformat] or '\n'
  local text = table.concat(vim.api.nvim_buf_get_lines(bufnr, 0, -1, true), line_end)
  if vim.bo[bufnr].endofline then
    text = text .. line_end
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })) do
    require('kapell.server').notify(client, 'textDocument/didChange', {
      textDocument = { uri = vim.uri_from_bufnr(bufnr), version = version },
      contentChanges = { { text = text } },
    })
  end
  vim.lsp.util.buf_versions[bufnr] = version
end

--- Looks at a change once all who listen were told of it.
local function look(bufnr, tick)
  local is_first = newest[bufnr] == nil
  newest[bufnr] = tick
  if not is_first then
    return
  end
  vim.schedule(function()
    local version = newest[bufnr]
    newest[bufnr] = nil
    -- Whoever listens for Neovim notes the version of what it tells.
    local told = vim.lsp.util.buf_versions[bufnr]
    if told and told < version and vim.api.nvim_buf_is_loaded(bufnr) then
      send(bufnr, version)
    end
  end)
end

--- Sees to it that a buffer's server hears of its changes.
---@param bufnr integer
function M.watch(bufnr)
  if watched[bufnr] then
    return
  end
  watched[bufnr] = vim.api.nvim_buf_attach(bufnr, false, {
    on_lines = function(_, _, tick)
      if #vim.lsp.get_clients({ bufnr = bufnr, _uninitialized = true }) == 0 then
        lost[bufnr] = true
      elseif #vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr }) > 0 then
        look(bufnr, tick)
      end
    end,
    on_reload = function()
      vim.schedule(function()
        if not vim.api.nvim_buf_is_loaded(bufnr) or not vim.lsp.util.buf_versions[bufnr] then
          return
        end
        if lost[bufnr] then
          send(bufnr, vim.api.nvim_buf_get_changedtick(bufnr))
        end
        -- Neovim opens it to its servers anew, also where that is undone: then it has unsaved changes.
        for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })) do
          require('kapell.server').tell_unsaved(client, bufnr)
        end
      end)
    end,
    on_detach = function()
      watched[bufnr] = nil
      -- It is unloaded, perhaps to be read again: without this its server would not hear of that either.
      if lost[bufnr] then
        for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })) do
          vim.lsp.buf_detach_client(bufnr, client.id)
        end
      end
    end,
  }) or nil
end

return M
