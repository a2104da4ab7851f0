-- `:Kapell NAME ARGUMENTS`: the list of its sub-commands.
local project = require('kapell.project')
local say = require('kapell.say')

local M = {}

local function work(name)
  return function(...)
    return require('kapell.work')[name](...)
  end
end

local function control(action)
  return function(...)
    return require('kapell.work').control(action)(...)
  end
end

local function claim(name)
  return function(...)
    return require('kapell.claim')[name](...)
  end
end

--- By name: what it does, and what its arguments are, for completion.
---@type table<string, { run: fun(root: string, arguments: string[], bang: boolean), takes?: string[], help: string }>
M.commands = {
  plan = { run = work('plan'), takes = { 'file' }, help = 'check and store a plan file (! checks only)' },
  dispatch = { run = work('dispatch'), takes = { 'plan', 'plan-task' }, help = 'start a plan, or some of its tasks' },
  status = {
    run = function(root)
      require('kapell.status').open(root)
    end,
    help = 'what is going on, as it happens',
  },
  judge = { run = work('judge'), takes = { 'target' }, help = 'prove work by gates' },
  land = { run = control('land'), takes = { 'plan' }, help = 'bring accepted work to your branch' },
  claim = { run = claim('claim'), takes = { 'file' }, help = 'own files before changing them' },
  release = { run = claim('release'), takes = { 'own' }, help = 'let go of claimed files' },
  take = { run = claim('take'), takes = { 'file' }, help = 'take a file over from its holder' },
  log = { run = work('log'), takes = { 'attempt' }, help = "an attempt's log, as it grows" },
  diff = {
    run = function(...)
      return require('kapell.work').document('diff')(...)
    end,
    takes = { 'attempt' },
    help = 'what an attempt changed',
  },
  verdict = {
    run = function(...)
      return require('kapell.work').document('verdict')(...)
    end,
    takes = { 'attempt' },
    help = 'what the gates found, with their evidence',
  },
  events = {
    run = function(root)
      require('kapell.events').open(root)
    end,
    help = 'what happened, as it happens',
  },
  pause = { run = control('pause'), takes = { 'target' }, help = 'let nothing new start (! suspends what runs)' },
  resume = { run = control('resume'), takes = { 'target' }, help = 'go on' },
  stop = { run = control('stop'), takes = { 'target' }, help = 'end what runs, its work kept' },
  retry = { run = control('retry'), takes = { 'target' }, help = 'try a task again' },
  approve = { run = control('approve'), takes = { 'target' }, help = 'accept work that the judge refused, or let a stage begin' },
  refuse = { run = work('refuse'), takes = { 'stage' }, help = 'let a stage of a pipeline not begin' },
  cancel = { run = control('cancel'), takes = { 'target' }, help = 'call a task off' },
}

function M.names()
  local names = vim.tbl_keys(M.commands)
  table.sort(names)
  return names
end

---@param call table What `nvim_create_user_command` gives.
function M.run(call)
  local name = call.fargs[1] or 'status'
  local command = M.commands[name]
  if not command then
    say.fail(('there is no `:Kapell %s`; there are %s'):format(name, table.concat(M.names(), ', ')))
    return
  end
  require('kapell').start()
  local root = project.here()
  if not root then
    say.fail('there is no project around this file or folder (a Git repository, or a folder with kapell.toml)')
    return
  end
  command.run(root, vim.list_slice(call.fargs, 2), call.bang)
end

return M
