-- `:Kapell claim`, `release`, `take`.
local owner = require('kapell.owner')
local path = require('kapell.path')
local say = require('kapell.say')
local server = require('kapell.server')

local M = {}

--- Calls back with the patterns that a command is about: those of the names, else that of the file of the buffer.
local function with_paths(root, names, go)
  if #names > 0 then
    local patterns = {}
    for _, name in ipairs(names) do
      local pattern = path.pattern(root, name)
      if not pattern then
        return say.fail(('%s does not lie in the project (it is %s; paths are read from the working folder)'):format(name, root))
      end
      table.insert(patterns, pattern)
    end
    return go(patterns)
  end
  owner.find(vim.api.nvim_get_current_buf(), function(own)
    if own and own.path then
      return go({ own.pattern })
    end
    say.fail('this buffer is no file of a project; name a path')
  end)
end

--- Tells what became of a claim.
---@param result table
function M.told(result)
  if result.granted then
    local patterns = vim.tbl_map(function(claim)
      return claim.pattern
    end, result.claims or {})
    say.say('yours: ' .. table.concat(patterns, ', '))
    return
  end
  local conflict = (result.conflicts or {})[1] or {}
  local more = #(result.conflicts or {}) > 1 and (', and %d more'):format(#result.conflicts - 1) or ''
  say.warn(('%s is held by %s%s (`:Kapell take` takes it over)'):format(
    conflict.witness or conflict.pattern or 'it',
    say.holder(conflict),
    more
  ))
end

--- Splits `src a.rs -- because` into names and a reason.
local function split(arguments)
  local names, reason = {}, nil
  for i, argument in ipairs(arguments) do
    if argument == '--' then
      reason = table.concat(vim.list_slice(arguments, i + 1), ' ')
      break
    end
    table.insert(names, argument)
  end
  return names, reason
end

function M.claim(root, arguments)
  local names, reason = split(arguments)
  with_paths(root, names, function(paths)
    server.call(root, 'claim-files', { paths = paths, reason = reason }, M.told)
  end)
end

function M.release(root, arguments)
  if arguments[1] == 'all' and #arguments == 1 then
    server.call(root, 'release-files', { all = true }, function(result)
      say.say(('let go of %d'):format(#(result.released or {})))
    end)
    return
  end
  with_paths(root, arguments, function(paths)
    M.let_go(root, paths)
  end)
end

--- Lets go of patterns of a project, or waits for them no longer.
---@param root string
---@param paths string[]
function M.let_go(root, paths)
  server.call(root, 'release-files', { paths = paths }, function(result)
    local count = #(result.released or {})
    if result.withdrawn and #result.withdrawn > 0 then
      say.say('no longer waiting for ' .. table.concat(paths, ', '))
    elseif count == 0 then
      say.warn(('you hold no claim of %s (:Kapell status shows the claims)'):format(table.concat(paths, ', ')))
    else
      say.say('let go of ' .. table.concat(paths, ', '))
    end
  end)
end

function M.take(root, arguments)
  local names, reason = split(arguments)
  owner.find(vim.api.nvim_get_current_buf(), function(own)
    local pattern = own and own.pattern
    -- `:Kapell take because of this` means the file of the buffer: a reason is what is typed most.
    if not reason and pattern then
      names, reason = {}, table.concat(names, ' ')
    end
    with_paths(root, names, function(paths)
      local held = pattern == paths[1] and own.held[1]
      require('kapell.ui').take_over(root, paths[1], held and say.holder(held) or nil, reason)
    end)
  end)
end

return M
