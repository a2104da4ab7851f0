-- The commands that lenses and code actions of the server carry, and that only an editor can do.
local project = require('kapell.project')
local read = require('kapell.read')
local server = require('kapell.server')

local M = {}

local function root_of(context)
  local client = context and context.client_id and vim.lsp.get_client_by_id(context.client_id)
  return client and server.root(client) or project.here()
end

--- Takes a file over, with a reason, which is asked for where none is given.
---@param root string
---@param path string Of the file, in the project.
---@param holder string?
---@param reason string?
function M.take_over(root, path, holder, reason)
  local function go(why)
    if not why or why == '' then
      return
    end
    server.call(root, 'claim-files', { paths = { path }, take_over = true, reason = why }, function(result)
      local say = require('kapell.say')
      if result.granted then
        say.say(('%s is yours'):format(path))
      else
        require('kapell.claim').told(result)
      end
    end)
  end
  if reason and reason ~= '' then
    return go(reason)
  end
  local from = holder and (' from ' .. holder) or ''
  vim.ui.input({ prompt = ('Why do you take %s over%s? '):format(path, from) }, go)
end

function M.register()
  local function on(name, action)
    vim.lsp.commands['kapell.ui.' .. name] = function(command, context)
      action(root_of(context), (command.arguments or {})[1] or {})
    end
  end
  on('showDiff', function(root, arguments)
    read.open(root, arguments.attempt, 'diff')
  end)
  on('showVerdict', function(root, arguments)
    read.open(root, arguments.attempt, 'verdict')
  end)
  on('openLog', function(root, arguments)
    read.log(root, arguments.attempt)
  end)
  on('takeOver', function(root, arguments)
    M.take_over(root, arguments.path, arguments.holder)
  end)
end

return M
