-- Kapell's own windows: a buffer that nobody writes, with its project and its keys.
local M = {}

local function find(root, name)
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if vim.b[bufnr].kapell_root == root and vim.b[bufnr].kapell_view == name then
      return bufnr
    end
  end
end

--- Gives a buffer a name that can be read, and another one where two projects have the same name.
local function name_it(bufnr, root, name)
  local full = ('kapell://%s/%s'):format(vim.fs.basename(root), name)
  for i = 1, 99 do
    if pcall(vim.api.nvim_buf_set_name, bufnr, i == 1 and full or ('%s %d'):format(full, i)) then
      return
    end
  end
end

--- The buffer of a view, made if it is not there.
---@param root string
---@param name string Such as `status`, or `a-1/log`.
---@param filetype string
---@return integer
function M.buffer(root, name, filetype)
  local bufnr = find(root, name)
  if not bufnr then
    bufnr = vim.api.nvim_create_buf(false, true)
    vim.b[bufnr].kapell_view = name
    name_it(bufnr, root, name)
    vim.bo[bufnr].bufhidden = 'hide'
    vim.bo[bufnr].swapfile = false
    vim.b[bufnr].kapell_root = root
    vim.bo[bufnr].filetype = filetype
    vim.bo[bufnr].modifiable = false
    M.key(bufnr, 'q', 'Close', function()
      -- The last window cannot be closed.
      if #vim.api.nvim_list_wins() > 1 then
        vim.cmd.close()
      else
        vim.cmd.enew()
      end
    end)
  end
  return bufnr
end

--- Shows a buffer: in the window that has it, else in a new one.
---@param bufnr integer
---@param how? string A command that opens a window.
function M.show(bufnr, how)
  local window = vim.fn.bufwinid(bufnr)
  if window ~= -1 then
    vim.api.nvim_set_current_win(window)
    return
  end
  vim.cmd(how or 'botright split')
  vim.api.nvim_win_set_buf(0, bufnr)
  vim.wo.number = false
  vim.wo.relativenumber = false
  vim.wo.wrap = false
  vim.wo.signcolumn = 'no'
end

--- Writes lines from `first` (0-based) to the end, and keeps the cursors where they are.
function M.write(bufnr, lines, first)
  vim.bo[bufnr].modifiable = true
  vim.api.nvim_buf_set_lines(bufnr, first or 0, -1, false, lines)
  vim.bo[bufnr].modifiable = false
  vim.bo[bufnr].modified = false
end

--- Appends text that may end in the middle of a line; a cursor on the last line stays there.
function M.append(bufnr, text)
  local last = vim.api.nvim_buf_line_count(bufnr)
  local following = {}
  for _, window in ipairs(vim.fn.win_findbuf(bufnr)) do
    if vim.api.nvim_win_get_cursor(window)[1] == last then
      table.insert(following, window)
    end
  end
  local lines = vim.split(text, '\n', { plain = true })
  local tail = vim.api.nvim_buf_get_lines(bufnr, last - 1, last, false)[1] or ''
  lines[1] = tail .. lines[1]
  M.write(bufnr, lines, last - 1)
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(bufnr), 0 })
  end
end

function M.key(bufnr, key, description, action)
  vim.keymap.set('n', key, action, { buffer = bufnr, nowait = true, desc = 'Kapell: ' .. description })
end

return M
