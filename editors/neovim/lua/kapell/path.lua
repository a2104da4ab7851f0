-- Paths as a person writes them: from the working folder, as everywhere in Neovim. Kapell reads them from the
-- top of the project.
local M = {}

--- An absolute path without `.` and `..`.
local function plain(path)
  local parts = {}
  for part in path:gmatch('[^/]+') do
    if part == '..' then
      table.remove(parts)
    elseif part ~= '.' then
      table.insert(parts, part)
    end
  end
  return '/' .. table.concat(parts, '/')
end

--- What is left of a path below a folder: '' for that folder itself, nil outside of it.
local function below(folder, path)
  if path == folder then
    return ''
  end
  local prefix = folder == '/' and '/' or folder .. '/'
  return vim.startswith(path, prefix) and path:sub(#prefix + 1) or nil
end

--- A name as it was meant: `%`, `#3`, `%:h` and `<cfile>` are what they are in other commands; a backslash before
--- them says that a file is called so.
---@param name string
---@return string
function M.expanded(name)
  if name:match('^[%%#]%d*$') or name:match('^[%%#]%d*:%a') or name:match('^<%l+>') then
    local found = vim.fn.expand(name)
    return found ~= '' and found or name
  end
  return (name:gsub('^\\([%%#<])', '%1'))
end

--- The absolute path of a name.
---@param name string
---@return string
function M.full(name)
  return plain(vim.fn.fnamemodify(name, ':p'))
end

--- The path of a name in a project, or nil outside of it.
---@param root string
---@param name string
---@return string?
function M.relative(root, name)
  local full = M.full(name)
  local folder = vim.uv.fs_realpath(vim.fs.dirname(full))
  local real = folder and plain(folder .. '/' .. vim.fs.basename(full))
  for _, top in ipairs({ root, vim.uv.fs_realpath(root) }) do
    local found = below(plain(top), full) or real and below(plain(top), real)
    if found then
      return found
    end
  end
end

--- A path of a file that is there as a pattern in which nothing is a wildcard; as the server writes it.
local function literal(path)
  path = path:gsub('[%[%]{}*?]', '[%0]'):gsub('[%c\\]', '?'):gsub('^!', '?')
  return (path:gsub('[ .]/', '?/'):gsub('[ .]$', '?'))
end

--- The pattern in a project that a name stands for, or nil outside of it. The name of a file that is there means
--- that file, whatever is in it.
---@param root string
---@param name string
---@return string?
function M.pattern(root, name)
  name = M.expanded(name)
  local path = M.relative(root, name)
  if not path then
    return nil
  elseif path == '' then
    return '**'
  end
  if vim.uv.fs_lstat(M.full(name)) then
    path = literal(path)
  end
  return name:sub(-1) == '/' and path .. '/' or path
end

--- How a path of a project is written from the working folder.
---@param root string
---@param path string
---@return string
function M.from_here(root, path)
  local here = M.relative(root, vim.fn.getcwd())
  if not here then
    return root .. '/' .. path
  elseif here == '' then
    return path
  end
  local up = ''
  while here do
    local rest = below(here, path)
    if rest and rest ~= '' then
      return up .. rest
    end
    up = up .. '../'
    here = here:match('^(.*)/[^/]*$')
  end
  return up .. path
end

--- A name as it is written in a command.
---@param name string
---@return string
function M.escaped(name)
  name = name:gsub('[\\ \t]', '\\%0')
  if M.expanded(name) ~= name then
    name = '\\' .. name
  end
  return name
end

--- The files that begin so, as they are written in a command.
---@param lead string As it was typed.
---@return string[]
function M.complete(lead)
  local typed = lead:gsub('\\([\\ \t])', '%1'):gsub('^\\([%%#<])', '%1')
  -- Here nothing of it is a wildcard.
  local found = vim.fn.getcompletion(vim.fn.escape(typed, '\\*?[]{}$`'), 'file')
  return vim.tbl_map(M.escaped, found)
end

return M
