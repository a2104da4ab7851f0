-- Documents that the server has: an attempt's diff, log and verdict.
local say = require('kapell.say')
local server = require('kapell.server')
local view = require('kapell.view')

local M = {}

-- How long one question waits for more of a log; the server answers as soon as there is any.
local LOG_WAIT_MS = 30000

-- A longer log (bytes) is shown from so much before its end on.
local LOG_MOST = 2 * 1024 * 1024

local FILETYPES = { ['text/markdown'] = 'markdown', ['text/x-diff'] = 'diff', ['application/json'] = 'json' }

---@param attempt string
---@param part 'diff'|'log'|'verdict'
local function uri(attempt, part)
  return ('kapell://attempts/%s/%s'):format(attempt, part)
end

--- Reads a document piece by piece; `each(text, answer)` for each piece, `done` at the end. With `wait_ms`
--- the first piece is waited for.
local function pieces(root, address, offset, each, done, wait_ms, failed)
  server.request(root, 'kapell/read', { uri = address, offset = offset, wait_ms = wait_ms }, function(answer)
    local text = answer.text or ''
    each(text, answer)
    local nxt = answer.next_offset
    if type(nxt) == 'number' and nxt ~= offset and text ~= '' then
      pieces(root, address, nxt, each, done)
    else
      done(type(nxt) == 'number' and nxt or offset, answer)
    end
  end, failed)
end

--- Opens a document that does not grow.
---@param root string
---@param attempt string
---@param part 'diff'|'verdict'
function M.open(root, attempt, part)
  local text, mime = {}, nil
  pieces(root, uri(attempt, part), nil, function(piece, answer)
    table.insert(text, piece)
    mime = mime or answer.mime_type
  end, function()
    local filetype = FILETYPES[mime or ''] or (part == 'diff' and 'diff' or 'markdown')
    local bufnr = view.buffer(root, ('%s/%s'):format(attempt, part), filetype)
    local all = table.concat(text):gsub('\n$', '')
    if all == '' then
      say.say(('%s of %s is empty'):format(part, attempt))
      return
    end
    view.write(bufnr, vim.split(all, '\n', { plain = true }))
    view.show(bufnr)
  end)
end

--- Follows a growing document as long as its buffer is shown.
local function follow(root, address, bufnr, offset)
  local turn = (vim.b[bufnr].kapell_turn or 0) + 1
  vim.b[bufnr].kapell_turn = turn
  vim.b[bufnr].kapell_following = address
  vim.b[bufnr].kapell_offset = offset
  local function is_ours()
    return vim.api.nvim_buf_is_valid(bufnr) and vim.b[bufnr].kapell_turn == turn
  end
  local function rest()
    if is_ours() then
      vim.b[bufnr].kapell_following = nil
    end
  end
  pieces(root, address, offset, function(text, answer)
    if is_ours() and text ~= '' then
      view.append(bufnr, text)
      -- Where to go on when it is shown again.
      vim.b[bufnr].kapell_offset = answer.next_offset
    end
  end, function(nxt, answer)
    if not is_ours() then
      return
    elseif not answer.ended and vim.fn.bufwinid(bufnr) ~= -1 then
      follow(root, address, bufnr, nxt)
    else
      rest()
    end
  end, LOG_WAIT_MS, rest)
end

--- A server that ended answers nothing: what was followed goes on with the next one.
require('kapell.state').on(function(root, what, news)
  if what ~= 'server' or news ~= 'started' then
    return
  end
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    local address = vim.b[bufnr].kapell_root == root and vim.b[bufnr].kapell_following
    if address then
      follow(root, address, bufnr, vim.b[bufnr].kapell_offset or 0)
    end
  end
end)

--- Opens the log of an attempt, and follows it while the attempt lives.
---@param root string
---@param attempt string
function M.log(root, attempt)
  local address = uri(attempt, 'log')
  -- Asked first: of an attempt that is not there, no window opens.
  server.request(root, 'kapell/read', { uri = address, offset = -1 }, function(answer)
    local bufnr = view.buffer(root, attempt .. '/log', 'kapell-log')
    view.show(bufnr)
    if vim.b[bufnr].kapell_following then
      return
    end
    local offset = vim.b[bufnr].kapell_offset
    local left_out = (answer.size or 0) - LOG_MOST
    if not offset and left_out > 0 then
      offset = -LOG_MOST
      view.append(bufnr, ('… this is the end of a long log; %.0f MB before it are left out …\n'):format(left_out / 1e6))
    end
    follow(root, address, bufnr, offset or 0)
  end)
end

return M
