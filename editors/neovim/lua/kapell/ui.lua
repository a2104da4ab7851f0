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
---@param path string Of the file, in the project, as a pattern.
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
    M.take_over(root, arguments.pattern or arguments.path, arguments.holder)
  end)
  on('openPlan', function(root)
    require('kapell.status').open(root)
  end)
  on('openTask', function(root, arguments)
    if arguments.attempt and arguments.attempt ~= vim.NIL then
      read.open(root, arguments.attempt, 'verdict')
    else
      require('kapell.status').open(root)
    end
  end)
  -- What lenses have the server do: how it went is told.
  local function carried_out(id, tell)
    vim.lsp.commands[id] = function(command, context)
      server.request(root_of(context), 'workspace/executeCommand', {
        command = id,
        arguments = command.arguments,
      }, tell)
    end
  end
  local work = require('kapell.work')
  carried_out('kapell.control', work.told_control)
  carried_out('kapell.checkPlan', work.told_of_file)
  carried_out('kapell.dispatchPlan', work.told_of_file)
  -- Documents by their address: `kapell://attempts/ID/PART`.
  local function on_document(name)
    on(name, function(root, arguments)
      local attempt, part = (arguments.uri or ''):match('^kapell://attempts/([^/]+)/(%a+)')
      if part == 'log' then
        read.log(root, attempt)
      elseif attempt then
        read.open(root, attempt, part)
      end
    end)
  end
  on_document('openDocument')
  on_document('followLog')
  -- The lens: what can be done with the file.
  on('owner', function(root, arguments)
    local held = (arguments.claims or {})[1]
    local choices = {}
    if held then
      table.insert(choices, { 'Take over', function()
        M.take_over(root, arguments.pattern or arguments.path, require('kapell.say').holder(held))
      end })
      if arguments.asked then
        table.insert(choices, { 'Stop waiting for it', function()
          require('kapell.claim').let_go(root, { arguments.pattern or arguments.path })
        end })
      else
        table.insert(choices, { 'Ask for it: claim it once it is free', function()
          server.request(root, 'workspace/executeCommand', {
            command = 'kapell.ask', arguments = { { uri = arguments.uri } },
          }, function() end)
        end })
      end
      local attempt = held.attempt or (held.holder_kind == 'attempt' and held.holder)
      if attempt then
        table.insert(choices, { 'Show what it changed so far', function()
          read.open(root, attempt, 'diff')
        end })
        table.insert(choices, { 'Open its log', function()
          read.log(root, attempt)
        end })
      end
    elseif arguments.path then
      table.insert(choices, { 'Release', function()
        require('kapell.claim').let_go(root, { arguments.pattern or arguments.path })
      end })
    end
    vim.ui.select(choices, {
      prompt = arguments.path or 'Kapell',
      format_item = function(choice)
        return choice[1]
      end,
    }, function(choice)
      if choice then
        choice[2]()
      end
    end)
  end)
end

return M
