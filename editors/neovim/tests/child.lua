-- A child Neovim, spoken to over RPC.
local M = {}
M.__index = M

function M:call(method, ...)
  return vim.rpcrequest(self.channel, 'nvim_' .. method, ...)
end

--- Runs Lua in the child and gives its result.
function M:lua(code, ...)
  local result = self:call('exec_lua', code, { ... })
  -- What is nil there comes as something that is true.
  if result == vim.NIL then
    return nil
  end
  return result
end

function M:cmd(command)
  return self:call('command', command)
end

function M:edit(path)
  self:cmd('edit ' .. vim.fn.fnameescape(path))
end

--- Types keys as a person does.
function M:type(keys)
  self:call('input', keys)
  -- Input is taken when the child is idle: this answer comes after it.
  self:call('eval', '1')
end

--- The whole screen, virtual text and signs included.
function M:screen()
  return self:lua([[
    vim.cmd.redraw()
    local rows = {}
    for row = 1, vim.o.lines do
      local cells = {}
      for column = 1, vim.o.columns do
        cells[column] = vim.fn.screenstring(row, column)
      end
      rows[row] = (table.concat(cells):gsub('%s+$', ''))
    end
    return table.concat(rows, '\n')
  ]])
end

--- Everything that was said by notifications and prompts.
function M:said()
  return self:lua([[
    return vim.tbl_map(function(one) return one.text end, _G.said)
  ]])
end

function M:heard(part)
  for _, text in ipairs(self:said()) do
    if text:find(part, 1, true) then
      return text
    end
  end
end

--- Waits until something was said that has this part.
function M:hear(part)
  return self.place:wait('to hear ' .. part, function()
    return self:heard(part)
  end)
end

--- Waits until the screen shows a text.
function M:see(part)
  return self.place:wait('to see ' .. part, function()
    return self:screen():find(part, 1, true)
  end)
end

function M:see_not(part)
  return self.place:wait('to see no more ' .. part, function()
    return not self:screen():find(part, 1, true)
  end)
end

--- The diagnostics of the current buffer that are Kapell's.
function M:diagnostics()
  return self:lua([[
    local found = {}
    for _, one in ipairs(vim.diagnostic.get(0)) do
      if one.source == 'kapell' then
        local data = vim.tbl_get(one, 'user_data', 'lsp', 'data')
        table.insert(found, { code = one.code, message = one.message, severity = one.severity, data = data,
          lnum = one.lnum, col = one.col, end_lnum = one.end_lnum, end_col = one.end_col })
      end
    end
    return found
  ]])
end

--- Waits for a diagnostic with this code; nil waits until there is none.
function M:diagnostic(code)
  return self.place:wait('for the diagnostic ' .. tostring(code), function()
    local all = self:diagnostics()
    if code == nil then
      return #all == 0
    end
    for _, one in ipairs(all) do
      if one.code == code then
        return one
      end
    end
  end)
end

--- Waits until the server is ready for the current buffer.
function M:attached()
  return self.place:wait('for the server', function()
    return self:lua([[
      local client = vim.lsp.get_clients({ name = 'kapell', bufnr = 0 })[1]
      return client and client.initialized or false
    ]])
  end)
end

--- Waits until the child has done all that it was told to do later.
function M:idle()
  self:lua([[
    local done = false
    vim.schedule(function() vim.schedule(function() done = true end) end)
    vim.wait(5000, function() return done end, 1)
  ]])
end

function M:lines()
  return self:call('buf_get_lines', 0, 0, -1, false)
end

function M:text()
  return table.concat(self:lines(), '\n')
end

--- Opens a file and waits for the server.
function M:open(path)
  self:edit(path)
  self:attached()
end

function M:quit()
  pcall(vim.rpcnotify, self.channel, 'nvim_command', 'qall!')
  if vim.fn.jobwait({ self.channel }, 3000)[1] == -1 then
    vim.fn.jobstop(self.channel)
  end
end

return M
