-- A place for one test: a repository, a state folder, and a child Neovim in it.
local M = {}
M.__index = M

local here = vim.fs.dirname(vim.fs.normalize(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p')))
local kapell = vim.env.KAPELL

-- Longer than anything takes on a busy machine; a test that waits for it has failed.
local PATIENCE_MS = 20000

local KAPELL_TOML = [[
[rules]
spec_first = false
tdd = false
max_attempts = 1

[providers.hand]
kind = "command"
command = ["sh", "AGENT"]
max_parallel = 8

[pipelines.feature]
stages = [
  { name = "build", target = "hand", task = "{request}" },
  { name = "deploy", triggers_on = ["build"], approval = true, command = ["true"] },
  { name = "tell", triggers_on = ["build"], approval = true, command = ["true"] },
]
]]

-- A worker that does what the pipe says which has the name of its task, as soon as a test writes into
-- it: so a test decides what happens, and when. Behind its wall it can read pipes and make none.
local AGENT = [[
echo "starting on $KAPELL_TASK"
. "BASE/steps/$KAPELL_TASK"
]]

-- The ids of tasks that tests use.
local IDS = { '1', '2', 'two', 'build', 'later' }

local FILES = {
  ['src/a.rs'] = 'fn a() {}\nfn more() {}\n',
  ['src/b.rs'] = 'fn b() {}\n',
  ['src/c.rs'] = 'fn c() {}\n',
  ['LICENCE'] = 'None at all.\n',
  ['.gitignore'] = '*.orig\n',
}

local function write(path, text)
  vim.fn.mkdir(vim.fs.dirname(path), 'p')
  local file = assert(io.open(path, 'w'))
  file:write(text)
  file:close()
end
M.write_file = write

function M.new()
  local base = vim.uv.fs_realpath(vim.fs.dirname(vim.fn.tempname())) .. '/bench-' .. vim.uv.hrtime()
  local self = setmetatable({ base = base, repo = base .. '/repo', children = {} }, M)
  vim.fn.mkdir(base .. '/steps', 'p')
  write(base .. '/agent.sh', (AGENT:gsub('BASE', base)))
  for path, text in pairs(FILES) do
    write(self.repo .. '/' .. path, text)
  end
  write(self.repo .. '/kapell.toml', (KAPELL_TOML:gsub('AGENT', base .. '/agent.sh')))
  self.env = {
    KAPELL = kapell,
    KAPELL_HOME = base .. '/state',
    HOME = base .. '/home',
    XDG_CONFIG_HOME = base .. '/home/.config',
    XDG_STATE_HOME = base .. '/home/.state',
    XDG_DATA_HOME = base .. '/home/.data',
    XDG_CACHE_HOME = base .. '/home/.cache',
    GIT_CONFIG_GLOBAL = '/dev/null',
    GIT_CONFIG_SYSTEM = '/dev/null',
    GIT_AUTHOR_NAME = 'test', GIT_AUTHOR_EMAIL = 'test@localhost',
    GIT_COMMITTER_NAME = 'test', GIT_COMMITTER_EMAIL = 'test@localhost',
  }
  vim.fn.mkdir(base .. '/home', 'p')
  self:run(vim.list_extend({ 'mkfifo' }, vim.tbl_map(function(id)
    return base .. '/steps/' .. id
  end, IDS)))
  self:git({ 'init', '--quiet', '--initial-branch=main' })
  self:git({ 'add', '--all' })
  self:git({ 'commit', '--quiet', '--message', 'first' })
  return self
end

function M:run(command)
  local result = vim.system(command, { cwd = self.repo, env = self.env, text = true }):wait(60000)
  return result.stdout or '', result.code, result.stderr or ''
end

function M:git(arguments)
  local out, code, err = self:run(vim.list_extend({ 'git' }, arguments))
  assert(code == 0, 'git: ' .. err)
  return out
end

--- The command line of Kapell as another process: its result, or an error that says why not.
function M:kapell(arguments)
  local command = vim.list_extend({ kapell }, arguments)
  local out, code, err = self:run(vim.list_extend(command, { '--json' }))
  if out == '' then
    error(('kapell %s ended with %d: %s'):format(table.concat(arguments, ' '), code, err), 2)
  end
  return vim.json.decode(out, { luanil = { object = true, array = true } })
end

--- Another process claims paths for somebody.
function M:claim(holder, paths, reason)
  local arguments = vim.list_extend({ 'claim-files' }, paths)
  vim.list_extend(arguments, { '--holder', holder })
  if reason then
    vim.list_extend(arguments, { '--reason', reason })
  end
  local result = self:kapell(arguments)
  assert(result.granted, 'not granted: ' .. vim.inspect(result))
  return result
end

function M:release(holder)
  return self:kapell({ 'release-files', '--all', '--holder', holder })
end

function M:claims()
  return self:kapell({ 'status', '--scope', 'claims' }).claims or {}
end

--- Writes a plan file, has it stored by another process, and gives its id.
function M:plan(name, tasks)
  local list = {}
  for i, task in ipairs(tasks) do
    table.insert(list, {
      id = task.id or i, agent = 'hand', task = task.task or ('work on ' .. task.files[1]),
      files = task.files, depends_on = task.depends_on or {},
    })
  end
  local plan = { name = name, tasks = list }
  local text = vim.json.encode(plan):gsub('"depends_on":{}', '"depends_on":[]')
  write(self.base .. '/' .. name .. '.json', text)
  local result = self:kapell({ 'plan', self.base .. '/' .. name .. '.json' })
  assert(result.plan_id, vim.inspect(result))
  return result.plan_id
end

--- Lets the worker of a task do what a shell script says, once it is there to be told.
function M:work(task, script)
  local path = self.base .. '/steps/' .. task
  assert(vim.uv.fs_stat(path), 'there is no pipe for task ' .. task)
  write(path .. '.text', script)
  -- Opening a pipe waits for its reader; a test that never has one has failed by then.
  vim.system({ 'timeout', tostring(PATIENCE_MS / 1000), 'sh', '-c', 'cat "$1.text" > "$1"', 'sh', path })
end

--- A child Neovim with the plugin, in the repository.
---@param options table? For `setup`.
function M:nvim(options)
  local env = vim.tbl_extend('force', self.env, {
    KAPELL_TEST_OPTIONS = vim.json.encode(options or vim.empty_dict()),
    NVIM = '',
  })
  local channel = vim.fn.jobstart({
    vim.v.progpath, '--embed', '--headless', '-u', here .. '/init.lua', '--cmd', 'set columns=140 lines=40',
  }, { rpc = true, cwd = self.repo, env = env })
  assert(channel > 0, 'no child')
  local child = setmetatable({ channel = channel, place = self }, require('child'))
  table.insert(self.children, child)
  return child
end

--- Waits until `condition` gives something true, and gives that and how long it took.
function M:wait(what, condition, patience)
  local began = vim.uv.hrtime()
  local value
  local come = vim.wait(patience or PATIENCE_MS, function()
    value = condition()
    return value
  end, 5)
  if not come then
    error('waited in vain: ' .. what, 2)
  end
  return value, (vim.uv.hrtime() - began) / 1e6
end

function M.skip(why)
  error({ skip = why })
end

--- What a failed test looked like.
function M:report()
  local out = {}
  for _, child in ipairs(self.children) do
    local fine, screen = pcall(child.screen, child)
    table.insert(out, fine and ('--- screen\n' .. screen:gsub('\n[%s~]*\n', '\n')) or '--- the child is dead')
    local heard, said = pcall(child.said, child)
    table.insert(out, heard and ('--- said\n' .. table.concat(said, '\n')) or '')
    local log = self.base .. '/home/.state/nvim/lsp.log'
    if vim.uv.fs_stat(log) then
      table.insert(out, '--- lsp.log\n' .. table.concat(vim.fn.readfile(log, '', -20), '\n'))
    end
  end
  return table.concat(out, '\n')
end

--- Ends all that the test began.
function M:clear()
  for _, child in ipairs(self.children) do
    child:quit()
  end
  if self.dispatched or vim.uv.fs_stat(self.base .. '/state/sock') then
    self:run({ kapell, 'shutdown-all', '--force' })
  end
  vim.fn.delete(self.base, 'rf')
end

return M
