-- What is told to the person, always in one sentence.
local M = {}

---@param text string
---@param level integer?
function M.say(text, level)
  vim.notify('kapell: ' .. text, level or vim.log.levels.INFO)
end

function M.warn(text)
  M.say(text, vim.log.levels.WARN)
end

function M.fail(text)
  M.say(text, vim.log.levels.ERROR)
end

--- An error of the server as a sentence with its hint.
---@param err any
---@return string
function M.sentence(err)
  if type(err) ~= 'table' then
    return tostring(err)
  end
  local text = err.message or vim.inspect(err)
  local hint = type(err.data) == 'table' and err.data.hint
  if type(hint) == 'string' and hint ~= '' then
    text = ('%s (%s)'):format(text, hint)
  end
  return (text:gsub('%s*\n%s*', ' '))
end

--- A number of things.
---@param count integer
---@param what string The name of one.
---@return string
function M.count(count, what)
  return ('%d %s%s'):format(count, what, count == 1 and '' or 's')
end

--- Who holds something, in words.
---@param claim table
---@return string
function M.holder(claim)
  -- An attempt goes by the name of its worker.
  local text = claim.worker or claim.holder or 'somebody'
  if type(claim.task) == 'string' and claim.task ~= '' then
    text = ('%s (task %s)'):format(text, claim.task)
  elseif type(claim.reason) == 'string' and claim.reason ~= '' then
    text = ('%s (%s)'):format(text, claim.reason)
  end
  return text
end

return M
