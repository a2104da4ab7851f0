-- The code lenses and inlay hints of this server alone: Neovim shows none by itself.
local options = require('kapell.options')
local server = require('kapell.server')

local M = {}

-- Since 0.12 Neovim keeps lenses up to date by itself, for one client if told so.
local KEEPS = vim.lsp.codelens.enable ~= nil

-- How often the lenses of a buffer were asked for: an answer that a newer question overtook, to a server
-- that answers them beside each other, is old by now.
local asked = {}

local function refresh(client, bufnr)
  if KEEPS or not options.current.code_lens or not vim.api.nvim_buf_is_loaded(bufnr) then
    return
  end
  local turn = (asked[bufnr] or 0) + 1
  asked[bufnr] = turn
  local params = { textDocument = vim.lsp.util.make_text_document_params(bufnr) }
  server.ask(client, 'textDocument/codeLens', params, function(err, lenses)
    if not err and asked[bufnr] == turn and vim.api.nvim_buf_is_loaded(bufnr) then
      vim.lsp.codelens.save(lenses or {}, bufnr, client.id)
      vim.lsp.codelens.display(lenses or {}, bufnr, client.id)
    end
  end, bufnr)
end

--- The lenses of all buffers of a client, because the server says that they are others now.
function M.refresh_all(client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  for bufnr in pairs(client and client.attached_buffers or {}) do
    refresh(client, bufnr)
  end
end

--- By buffer: what Neovim 0.12 knows of its lenses.
local function active()
  local known, capability = pcall(require, 'vim.lsp._capability')
  local lenses = known and type(capability) == 'table' and capability.all and capability.all.codelens
  return lenses and lenses.active or {}
end

--- Neovim 0.12 keeps the lenses of buffers and clients that are gone, and cannot ask for those of any other
--- one then. Should another version not have them there, it looks after them by itself.
function M.forget_gone()
  for bufnr, provider in pairs(active()) do
    for id in pairs(provider.client_state or {}) do
      if not vim.lsp.get_client_by_id(id) then
        provider.client_state[id] = nil
      end
    end
    if not vim.api.nvim_buf_is_valid(bufnr) then
      pcall(provider.reset_timer, provider)
      active()[bufnr] = nil
    end
  end
end

--- A server ended or lost a buffer, and its lenses go with it: Neovim 0.12 leaves those that are switched on for one
--- client, and fails with each redraw once that client is not there any more.
---@param client_id integer
---@param only integer? The buffer that is meant; all of them otherwise.
function M.forget_client(client_id, only)
  if not KEEPS then
    pcall(vim.lsp.codelens.clear, client_id, only)
    return
  end
  for bufnr, provider in pairs(active()) do
    if (only == nil or only == bufnr) and (provider.client_state or {})[client_id] then
      pcall(provider.on_detach, provider, client_id)
      provider.client_state[client_id] = nil
      if next(provider.client_state) == nil then
        pcall(provider.destroy, provider)
        active()[bufnr] = nil
      end
    end
  end
  -- What one showed that another took the place of is known to nobody.
  local shown = vim.api.nvim_get_namespaces()['nvim.lsp.codelens:' .. client_id]
  for _, bufnr in ipairs(shown and (only and { only } or vim.api.nvim_list_bufs()) or {}) do
    vim.api.nvim_buf_clear_namespace(bufnr, shown, 0, -1)
  end
end

function M.attach(client, bufnr)
  if options.current.inlay_hints then
    vim.lsp.inlay_hint.enable(true, { bufnr = bufnr })
  end
  if not options.current.code_lens then
    return
  end
  if KEEPS then
    M.forget_gone()
    vim.lsp.codelens.enable(true, { client_id = client.id })
    return
  end
  refresh(client, bufnr)
  vim.api.nvim_create_autocmd({ 'BufEnter', 'InsertLeave', 'BufWritePost', 'TextChanged' }, {
    group = vim.api.nvim_create_augroup('kapell.lens.' .. bufnr, {}),
    buffer = bufnr,
    callback = function()
      local now = vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })[1]
      if now then
        refresh(now, bufnr)
      end
    end,
  })
end

return M
