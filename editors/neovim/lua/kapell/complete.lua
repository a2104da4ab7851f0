-- Completion of `:Kapell`: sub-commands, and the ids that the server knows now.
local path = require('kapell.path')
local project = require('kapell.project')
local server = require('kapell.server')
local state = require('kapell.state')

local M = {}

local function plans(root)
  local overview = server.call_now(root, 'status', { scope = 'overview' }) or {}
  return vim.tbl_map(function(plan)
    return plan.plan_id
  end, overview.plans or {})
end

local function tasks(root, plan)
  local status = server.call_now(root, 'status', { scope = 'plan', id = plan, limit = 500 }) or {}
  return status.tasks or {}
end

--- The stages of pipelines that wait for a person.
local function stages(root)
  local overview = server.call_now(root, 'status', { scope = 'overview' }) or {}
  return vim.tbl_map(function(one)
    return one.run .. '/' .. one.stage
  end, overview.to_approve or {})
end

--- For each kind of argument, what there is.
local kinds = {
  plan = plans,
  ['plan-task'] = function(root, words)
    return vim.tbl_map(function(task)
      return tostring(task.id)
    end, tasks(root, words[3]))
  end,
  stage = stages,
  target = function(root)
    local found = plans(root)
    for _, plan in ipairs(vim.deepcopy(found)) do
      for _, task in ipairs(tasks(root, plan)) do
        table.insert(found, plan .. '/' .. tostring(task.id))
        if task.attempt then
          table.insert(found, task.attempt)
        end
      end
    end
    return vim.list_extend(found, stages(root))
  end,
  attempt = function(root)
    local found = {}
    for _, plan in ipairs(plans(root)) do
      for _, task in ipairs(tasks(root, plan)) do
        if task.attempt then
          table.insert(found, task.attempt)
          table.insert(found, plan .. '/' .. tostring(task.id))
        end
      end
    end
    return found
  end,
  own = function(root)
    local found = { 'all' }
    -- Of many claims the server tells a part; those of files that are open are known in any case.
    local open = require('kapell.owner').own_patterns(root)
    for _, claim in ipairs(state.of(root).claims) do
      if claim.own then
        table.insert(open, claim.pattern)
      end
    end
    table.sort(open)
    open = vim.tbl_map(function(pattern)
      return path.escaped(path.from_here(root, pattern))
    end, open)
    for _, pattern in ipairs(open) do
      if found[#found] ~= pattern then
        table.insert(found, pattern)
      end
    end
    return found
  end,
}

--- The words of the command that is typed, its name first: without what stands before it in the line, such as
--- `silent` or another command and a bar. Behind `:Kapell` a bar is one of its arguments.
local function words_of(line)
  local at = 1
  while true do
    local first, last = line:find('Kapell!?%f[^%w!]', at)
    if not first then
      break
    end
    local before = line:sub(1, first - 1):match('[^|]*$')
    -- Only modifiers, colons and ranges.
    if (' ' .. before):gsub('[%s:%d,.$%%]+%a+!?%f[%s]', ''):match('^[%s:%d,.$%%]*$') then
      line = line:sub(first)
      break
    end
    at = last + 1
  end
  local words = {}
  -- A blank behind a backslash ends no word.
  for word in line:gsub('\\(.)', function(c)
    return ('\1%02x'):format(c:byte())
  end):gmatch('%S+') do
    table.insert(words, (word:gsub('\1(%x%x)', function(code)
      return string.char(tonumber(code, 16))
    end)))
  end
  return words
end

---@return string[]
function M.complete(lead, line, position)
  local words = words_of(line:sub(1, position))
  -- The word under way is not yet one of the arguments.
  local index = #words - (lead == '' and 0 or 1)
  local found
  if index <= 1 then
    found = require('kapell.command').names()
  else
    local command = require('kapell.command').commands[words[2]]
    local takes = command and command.takes or {}
    local kind = takes[index - 1] or takes[#takes]
    if kind == 'file' then
      return path.complete(lead)
    end
    local root = project.here()
    server.begin_now()
    found = kind and root and kinds[kind](root, words) or {}
  end
  return vim.tbl_filter(function(word)
    return vim.startswith(word, lead)
  end, found)
end

return M
