-- The language server: how it is started, found, asked, and started again when it dies.
local options = require('kapell.options')
local project = require('kapell.project')
local say = require('kapell.say')
local state = require('kapell.state')
local utf8 = require('kapell.utf8')

local M = {}

local NEW = vim.fn.has('nvim-0.11') == 1
-- More deaths than this within a minute, and it is left dead.
local MOST_RESTARTS = 4

---@type table<string, function[]> By project: who waits for its server to be ready.
local waiting = {}
---@type table<integer, table<integer, true>> By client: its buffers, for when it dies.
local buffers = {}
---@type table<string, number[]> By project: when its server died.
local deaths = {}
---@type table<string, integer> By project: its client that is not ready yet, of which Neovim does not tell.
local starting = {}

---@param client vim.lsp.Client
---@return string
function M.root(client)
  return client.root_dir or client.config.root_dir
end

local function root_of(client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  return client and M.root(client)
end

--- Whether what was told is of the project that the server was started for. It also tells of other
--- projects whose files it has open, such as one that was just saved under a name there.
local function is_of(root, told)
  local top = type(told) == 'string' and vim.uri_to_fname(told)
  local real = vim.uv.fs_realpath(root) or root
  return top and (top == real or vim.startswith(real, (top:gsub('/$', '')) .. '/'))
end

local function on_event(_, event, ctx)
  local root = root_of(ctx.client_id)
  if root and type(event) == 'table' and event.kind and is_of(root, event.root) then
    state.add_event(root, event)
  end
end

local function on_claims(_, told, ctx)
  local root = root_of(ctx.client_id)
  if root and type(told) == 'table' and is_of(root, told.root) then
    state.set_claims(root, told.claims, told.total, told.next_cursor)
  end
end

local function on_lens_refresh(err, result, ctx)
  require('kapell.lens').refresh_all(ctx.client_id)
  require('kapell.lens').forget_gone()
  local builtin = vim.lsp.handlers['workspace/codeLens/refresh']
  if builtin then
    builtin(err, result, ctx)
  end
  return vim.NIL
end

local function on_init(client)
  local root = M.root(client)
  local ready = waiting[root] or {}
  waiting[root] = nil
  starting[root] = nil
  state.tell(root, 'server', 'started')
  for _, callback in ipairs(ready) do
    callback(nil, client)
  end
  -- A command may have started it, and files that are open are to be held by whichever runs.
  vim.schedule(function()
    for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
      if vim.api.nvim_buf_is_loaded(bufnr) and project.of(bufnr) == root then
        require('kapell').attach(bufnr)
      end
    end
  end)
end

--- Tells a server to which a buffer was just opened where that has unsaved changes. A text that is not what lies
--- on the disk may be older than that instead of changed: only the editor knows, and a file without changes is not
--- to be held.
function M.tell_unsaved(client, bufnr)
  if vim.bo[bufnr].modified then
    local version = vim.lsp.util.buf_versions[bufnr] or vim.api.nvim_buf_get_changedtick(bufnr)
    M.notify(client, 'textDocument/didChange', {
      textDocument = { uri = vim.uri_from_bufnr(bufnr), version = version },
      contentChanges = {},
    })
  end
end

local function on_attach(client, bufnr)
  buffers[client.id] = buffers[client.id] or {}
  buffers[client.id][bufnr] = true
  M.tell_unsaved(client, bufnr)
  require('kapell.changes').watch(bufnr)
  require('kapell.owner').attach(client, bufnr)
  require('kapell.lens').attach(client, bufnr)
end

--- Starts the server again that died under its buffers, unless it does nothing but die.
local function revive(root, lost)
  local now = vim.uv.now()
  deaths[root] = vim.tbl_filter(function(at)
    return now - at < 60000
  end, deaths[root] or {})
  table.insert(deaths[root], now)
  if #deaths[root] > MOST_RESTARTS then
    say.fail('the server died ' .. #deaths[root] .. ' times within a minute and is left dead; see :LspLog and :checkhealth kapell')
    return
  end
  for bufnr in pairs(lost) do
    if vim.api.nvim_buf_is_loaded(bufnr) and project.of(bufnr) == root then
      M.start(root, bufnr)
    end
  end
end

--- Tells those who wait for a server that there is none coming.
local function refuse_waiting(why)
  for _, root in ipairs(vim.tbl_keys(waiting)) do
    if not M.running(root) then
      local callbacks = waiting[root]
      waiting[root] = nil
      for _, callback in ipairs(callbacks) do
        callback(why)
      end
    end
  end
end

local function on_exit(code, signal, client_id)
  vim.schedule(function()
    local lost = buffers[client_id]
    buffers[client_id] = nil
    for root, id in pairs(starting) do
      if id == client_id then
        starting[root] = nil
      end
    end
    if vim.v.exiting ~= vim.NIL then
      return
    end
    require('kapell.lens').forget_client(client_id)
    local root = M.roots[client_id]
    M.roots[client_id] = nil
    local why = ('the server ended with code %s, signal %s'):format(code, signal)
    refuse_waiting(why .. ' (see :checkhealth kapell)')
    if not root then
      -- It ended before it was ready: the same would happen again.
      return
    end
    state.set_claims(root, {}, 0)
    state.tell(root, 'server', 'ended')
    if (code ~= 0 or signal ~= 0) and lost and not M.stopping[client_id] then
      say.warn(why .. ' and is started again')
      revive(root, lost)
    end
    M.stopping[client_id] = nil
  end)
end

---@type table<integer, string> By client: its project, known longer than the client.
M.roots = {}
---@type table<integer, true> Clients that were told to end.
M.stopping = {}

--- What this client can do: before 0.12 it is us who refresh lenses.
local function capabilities()
  local can = vim.lsp.protocol.make_client_capabilities()
  can.workspace.codeLens = vim.tbl_extend('force', can.workspace.codeLens or {}, { refreshSupport = true })
  return can
end

--- The configuration of the client, for `vim.lsp.config` and `vim.lsp.start` alike.
---@return table
function M.config()
  return {
    name = 'kapell',
    cmd = options.current.cmd or { 'kapell', 'lsp' },
    cmd_env = options.current.env,
    capabilities = capabilities(),
    -- No `filetypes`: any file can be owned.
    root_dir = function(bufnr, on_dir)
      local root = project.of(bufnr)
      if root and M.can_send(bufnr) then
        on_dir(root)
      end
    end,
    -- The warning that person and agent meet is ours, with what to do about it.
    init_options = { showMeetings = false, opensClean = true },
    handlers = {
      ['kapell/event'] = on_event,
      ['kapell/claims'] = on_claims,
      ['workspace/codeLens/refresh'] = on_lens_refresh,
    },
    on_init = function(client)
      M.roots[client.id] = M.root(client)
      on_init(client)
    end,
    on_attach = on_attach,
    on_exit = on_exit,
  }
end

local function resolved(root)
  local config = NEW and vim.deepcopy(vim.lsp.config.kapell) or M.config()
  config.root_dir = root
  config.cmd_cwd = root
  return config
end

--- Whether the program is there; says so where it is not, once.
local told_missing = false
function M.found()
  local program = (options.current.cmd or { 'kapell' })[1]
  if vim.fn.executable(program) == 1 then
    told_missing = false
    return true
  end
  if not told_missing then
    told_missing = true
    say.warn(('there is no program %q; install it or set `cmd` (see :help kapell-install)'):format(program))
  end
  return false
end

---@param root string
---@return vim.lsp.Client?
function M.running(root)
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell' })) do
    if M.root(client) == root and not client.is_stopped(client) then
      return client
    end
  end
end

---@type table<integer, true> Buffers of which it was told that they are left alone.
local told_bytes = {}

--- Whether a buffer's text can be sent to a server: that of one that was read with `++bin` may be no UTF-8. It is
--- told once that it is left alone.
---@param bufnr integer
---@return boolean
function M.can_send(bufnr)
  if utf8.is(bufnr) then
    told_bytes[bufnr] = nil
    return true
  end
  if not told_bytes[bufnr] then
    told_bytes[bufnr] = true
    say.warn(('%s is no UTF-8 as it was read: it is not held for you while you edit it, and whoever holds it is not shown (`:Kapell claim` holds it)'):format(
      vim.fn.fnamemodify(vim.api.nvim_buf_get_name(bufnr), ':~:.')))
  end
  return false
end

--- Starts the server of a project, or attaches a buffer to the one that runs.
---@param root string
---@param bufnr integer?
function M.start(root, bufnr)
  if not M.found() or bufnr and not M.can_send(bufnr) then
    return
  end
  local id
  if bufnr then
    -- One that just died is still in the list.
    id = vim.lsp.start(resolved(root), {
      bufnr = bufnr,
      reuse_client = function(client)
        return client.name == 'kapell' and M.root(client) == root and not client.is_stopped(client)
      end,
    })
  elseif NEW then
    id = vim.lsp.start(resolved(root), { attach = false })
  elseif not starting[root] then
    -- This one starts another server whenever it is called.
    id = vim.lsp.start_client(resolved(root))
  end
  if id and not M.running(root) then
    starting[root] = id
  end
end

--- A buffer has another name: its old file is closed, so that nothing is held by it, and the new one is opened.
--- Neovim itself says so only when it is saved.
---@param bufnr integer
---@param old string The name before.
function M.renamed(bufnr, old)
  if old == vim.api.nvim_buf_get_name(bufnr) or not vim.api.nvim_buf_is_loaded(bufnr) then
    return
  end
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell', bufnr = bufnr })) do
    vim.diagnostic.reset(vim.lsp.diagnostic.get_namespace(client.id), bufnr)
    if old ~= '' then
      M.notify(client, 'textDocument/didClose', { textDocument = { uri = vim.uri_from_fname(old) } })
    end
    -- This closes the new name, which is not open, and opens it.
    vim.lsp.buf_detach_client(bufnr, client.id)
    if vim.api.nvim_buf_get_name(bufnr) ~= '' then
      vim.lsp.buf_attach_client(bufnr, client.id)
    end
  end
end

--- Calls back with the ready server of the project that is meant, started if need be.
---@param root string?
---@param callback fun(err: any, client: vim.lsp.Client?)
function M.ready(root, callback)
  if not root then
    callback('there is no project around this file or folder (a Git repository, or a folder with kapell.toml)')
    return
  end
  local client = M.running(root)
  if client and client.initialized then
    callback(nil, client)
    return
  end
  waiting[root] = waiting[root] or {}
  table.insert(waiting[root], callback)
  if not client then
    if not M.found() then
      waiting[root] = nil
      callback('the server is not installed (see :help kapell-install)')
      return
    end
    M.start(root)
  end
end

--- Sends a request to a client: its methods are called otherwise before 0.11.
function M.ask(client, method, params, callback, bufnr)
  local function handler(err, result)
    callback(err, result)
  end
  if NEW then
    client:request(method, params, handler, bufnr)
  else
    client.request(method, params, handler, bufnr)
  end
end

--- Tells a client something.
function M.notify(client, method, params)
  if NEW then
    client:notify(method, params)
  else
    client.notify(method, params)
  end
end

--- Sends a request to the server of a project. Errors are told, unless `callback` takes them.
---@param root string?
---@param method string
---@param params table
---@param callback fun(result: any)
---@param on_error? fun(err: any)
function M.request(root, method, params, callback, on_error)
  M.ready(root, function(err, client)
    if not client then
      return (on_error or function(e)
        say.fail(say.sentence(e))
      end)(err)
    end
    M.ask(client, method, params, function(failed, result)
      if failed then
        (on_error or function(e)
          say.fail(say.sentence(e))
        end)(failed)
      else
        callback(result)
      end
    end)
  end)
end

local function command(method, arguments)
  if next(arguments) == nil then
    arguments = vim.empty_dict()
  end
  return { command = 'kapell.' .. method, arguments = { arguments } }
end

--- Calls a method of the contract.
---@param root string?
---@param method string Such as `claim-files`.
---@param arguments table
---@param callback fun(result: any)
---@param on_error? fun(err: any)
function M.call(root, method, arguments, callback, on_error)
  M.request(root, 'workspace/executeCommand', command(method, arguments), callback, on_error)
end

-- What comes in pages: so much in one of them, and no more pages than these.
local PAGE = 500
local MOST_PAGES = 100

--- Calls `status`, page by page where there are several. Calls back with the first answer, in which `list`
--- has what is in all of them.
---@param root string?
---@param arguments table
---@param list string
---@param callback fun(result: any)
---@param on_error? fun(err: any)
function M.status(root, arguments, list, callback, on_error)
  local first
  local function page(cursor, left)
    local asked = vim.tbl_extend('force', { limit = PAGE }, arguments, { cursor = cursor })
    M.call(root, 'status', asked, function(answer)
      if first then
        vim.list_extend(first[list], answer[list] or {})
      else
        first = answer
        first[list] = answer[list] or {}
      end
      if type(answer.next_cursor) == 'string' and left > 1 then
        page(answer.next_cursor, left - 1)
      else
        callback(first)
      end
    end, on_error)
  end
  page(arguments.cursor, MOST_PAGES)
end

-- What `call_now` was answered last: what came too late is there the next time.
local answers = {}

-- So long a completion waits for all that it asks.
local NOW_MS = 500
local now_until = 0

--- A completion begins, which may ask several questions.
function M.begin_now()
  now_until = vim.uv.hrtime() / 1e6 + NOW_MS
end

--- Calls a method and waits a moment for its answer, for completion only. Of a server that is slower
--- than that, the answer before is given.
---@return any
function M.call_now(root, method, arguments)
  local client = root and M.running(root)
  if not client or not client.initialized then
    return nil
  end
  local key = vim.json.encode({ root, method, arguments })
  local done = false
  M.ask(client, 'workspace/executeCommand', command(method, arguments), function(err, answer)
    done = true
    answers[key] = not err and answer or nil
  end)
  vim.wait(math.max(0, math.floor(now_until - vim.uv.hrtime() / 1e6)), function()
    return done
  end, 5)
  return answers[key]
end

--- Ends all servers; they are not started again.
function M.stop()
  for _, client in ipairs(vim.lsp.get_clients({ name = 'kapell' })) do
    M.stopping[client.id] = true
    if NEW then
      client:stop()
    else
      client.stop()
    end
  end
end

return M
