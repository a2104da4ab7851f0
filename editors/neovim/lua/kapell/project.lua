-- Which project a buffer belongs to.
local options = require('kapell.options')

local M = {}

--- The folder of the project around a path, or nil.
---@param path string
---@return string?
function M.around(path)
  if path == '' then
    return nil
  end
  return vim.fs.root(path, options.current.roots)
end

--- The project of a buffer: only files have one, and Kapell's own windows.
---@param bufnr integer
---@return string?
function M.of(bufnr)
  local own = vim.b[bufnr].kapell_root
  if own then
    return own
  end
  local name = vim.api.nvim_buf_get_name(bufnr)
  if vim.bo[bufnr].buftype ~= '' or name == '' or name:match('^%a[%w+.-]+://') then
    return nil
  end
  return M.around(vim.fs.normalize(name))
end

--- The project that a command is about: of the buffer, else of the working folder.
---@return string?
function M.here()
  return M.of(vim.api.nvim_get_current_buf()) or M.around(vim.fn.getcwd())
end

return M
