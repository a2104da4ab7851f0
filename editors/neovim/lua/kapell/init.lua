-- The plugin's door: `setup`, `start`, `statusline`.
local options = require('kapell.options')
local project = require('kapell.project')
local server = require('kapell.server')

local M = {}

local NEW = vim.fn.has('nvim-0.11') == 1
local started = false

--- Sees to it that a buffer has the server of its project, and no other one.
---@param bufnr integer
function M.attach(bufnr)
  -- Kapell's own windows belong to a project and are no files of it.
  if not vim.api.nvim_buf_is_loaded(bufnr) or vim.bo[bufnr].buftype ~= '' then
    return
  end
  local root = project.of(bufnr)
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })) do
    if server.root(client) == root then
      return
    end
    -- It was saved under a name in another project, or in none.
    vim.lsp.buf_detach_client(bufnr, client.id)
    require('kapell.lens').forget_client(client.id, bufnr)
    require('kapell.owner').forget(bufnr)
  end
  if root then
    server.start(root, bufnr)
  end
end

local function enable()
  if NEW then
    vim.lsp.config('kapell', server.config())
    if server.found() then
      vim.lsp.enable('kapell')
    end
  end
  -- Before 0.11 this is the start. Since then it is for the files without a file type, of which
  -- `vim.lsp.enable` does not hear, and they can be owned as well.
  local group = vim.api.nvim_create_augroup('kapell.start', {})
  vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile', 'BufFilePost', 'FileType' }, {
    group = group,
    desc = 'Start the language server of Kapell',
    callback = function(event)
      if NEW and event.event == 'FileType' then
        return
      end
      vim.schedule(function()
        M.attach(event.buf)
      end)
    end,
  })
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    M.attach(bufnr)
  end
end

--- Starts the server for the files of projects, now and from now on.
function M.start()
  if started then
    return
  end
  started = true
  require('kapell.ui').register()
  require('kapell.owner').setup()
  require('kapell.tell').setup()
  if options.current.autostart then
    enable()
  end
end

--- Sets the options (see |kapell-options|) and starts.
---@param given kapell.Options?
function M.setup(given)
  options.set(given)
  local again = started
  M.start()
  if again and NEW then
    vim.lsp.config('kapell', server.config())
  end
end

--- The component for a status line: who holds the file, and how much waits for the person.
---@param bufnr integer?
---@return string
function M.statusline(bufnr)
  return require('kapell.owner').statusline(bufnr)
end

return M
