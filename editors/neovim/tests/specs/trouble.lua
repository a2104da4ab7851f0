-- What goes wrong: the server dies, files vanish, things are huge.
local function eq(got, want)
  assert(vim.deep_equal(got, want), ('got %s, want %s'):format(vim.inspect(got), vim.inspect(want)))
end

--- The server's process, found among the children of the child.
local function server_of(nvim)
  local pid = nvim:lua('return vim.uv.os_getpid()')
  for child in (vim.fn.system({ 'cat', ('/proc/%d/task/%d/children'):format(pid, pid) })):gmatch('%d+') do
    -- One that ended meanwhile is not the one that is looked for.
    local there, lines = pcall(vim.fn.readfile, '/proc/' .. child .. '/cmdline', 'b')
    local name = table.concat(there and lines or {}, ''):gsub('[%z\n]', ' ')
    if name:find(' lsp', 1, true) then
      return tonumber(child)
    end
  end
end

return {
  { 'a killed server is started again: claims are held again, nothing stale is shown', function(place)
    if vim.fn.isdirectory('/proc/self') == 0 then
      place.skip('there is no /proc to find the server by')
    end
    place:claim('ada', { 'src/b.rs' })
    local nvim = place:nvim()
    nvim:open('src/b.rs')
    nvim:diagnostic('held')
    nvim:edit('src/a.rs')
    nvim:attached()
    nvim:type('ohello<Esc>')
    place:wait('for the claim', function()
      return #place:claims() == 2
    end)
    local old = place:wait('for the server', function()
      return server_of(nvim)
    end)
    place:release('ada')
    vim.uv.kill(old, 'sigkill')
    nvim:hear('is started again')
    local new, ms = place:wait('for another server', function()
      local pid = server_of(nvim)
      return pid ~= old and pid
    end)
    assert(new)
    nvim:attached()
    place.note = ('another server after %.0f ms'):format(ms)
    place:wait('for the claim of the unsaved file', function()
      for _, claim in ipairs(place:claims()) do
        if claim.pattern == 'src/a.rs' and claim.alive ~= false then
          return true
        end
      end
    end)
    nvim:see('yours')
    nvim:cmd('buffer src/b.rs')
    nvim:diagnostic(nil)
    place:claim('ben', { 'src/b.rs' })
    nvim:diagnostic('held')
  end },

  { 'completion waits half a second for a server that hangs, whatever it asks, and has what was known', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    local function complete()
      return nvim:lua([[return vim.fn.getcompletion('Kapell pause ', 'cmdline')]])
    end
    place:wait('for what there is', function()
      return vim.deep_equal(complete(), { plan, plan .. '/1' })
    end)
    local server = server_of(nvim)
    vim.uv.kill(server, 'sigstop')
    local began = vim.uv.hrtime()
    local found = complete()
    local ms = (vim.uv.hrtime() - began) / 1e6
    vim.uv.kill(server, 'sigcont')
    eq(found, { plan, plan .. '/1' })
    assert(ms < 900, ('%.0f ms'):format(ms))
    place.note = ('%.0f ms'):format(ms)
  end },

  { 'a wait that ends with its server is told', function(place)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    nvim:lua([[
      require('kapell.server').request(require('kapell.project').here(), 'workspace/executeCommand',
        { command = 'kapell.ask', arguments = { { uri = vim.uri_from_bufnr(0) } } }, function() end)
    ]])
    nvim:see('you wait for it')
    vim.uv.kill(server_of(nvim), 'sigkill')
    nvim:hear('nobody waits for src/a.rs any more: ask for it again')
    nvim:see('held by ada')
    nvim:see_not('you wait for it')
  end },

  { 'a buffer that is older than its file has no unsaved changes, also for the next server', function(place)
    local nvim = place:nvim()
    nvim:lua('vim.o.autoread = false')
    nvim:open('src/a.rs')
    place.write_file(place.repo .. '/src/a.rs', 'fn landed() {}\n')
    local old = server_of(nvim)
    vim.uv.kill(old, 'sigkill')
    place:wait('for another server', function()
      local pid = server_of(nvim)
      return pid ~= old and pid
    end)
    nvim:attached()
    -- What it holds is told before this claim of somebody else is.
    place:claim('ada', { 'src/a.rs' })
    nvim:diagnostic('held')
    eq(vim.tbl_map(function(claim)
      return claim.holder
    end, place:claims()), { 'ada' })
    place:release('ada')
    nvim:diagnostic(nil)
    nvim:type('ohello<Esc>')
    nvim:see('yours')
  end },

  { 'commands that come before the server is ready wait for it, and start no second one', function(place)
    local starts = place.base .. '/starts'
    local nvim = place:nvim({ cmd = { 'sh', '-c', 'echo start >> "$0"; sleep 0.3; exec "$KAPELL" lsp', starts } })
    nvim:edit('src/a.rs')
    nvim:cmd('Kapell status')
    for _, command in ipairs({ 'wincmd p', 'Kapell claim', 'Kapell claim src/b.rs', 'edit src/c.rs', 'Kapell claim' }) do
      nvim:cmd(command)
    end
    for _, path in ipairs({ 'src/a.rs', 'src/b.rs', 'src/c.rs' }) do
      nvim:hear('yours: ' .. path)
      nvim:see(path)
    end
    eq(vim.fn.readfile(starts), { 'start' })
    -- Its own window is no file that the server is told of.
    eq(nvim:lua([[
      local files = {}
      for bufnr in pairs(vim.lsp.get_clients({ name = 'kapell' })[1].attached_buffers) do
        table.insert(files, vim.fs.basename(vim.api.nvim_buf_get_name(bufnr)))
      end
      table.sort(files)
      return files
    ]]), { 'a.rs', 'c.rs' })
  end },

  { 'a server that does nothing but die is left dead, and editing goes on', function(place)
    local nvim = place:nvim({ cmd = { 'sh', '-c', 'exit 3' } })
    nvim:edit('src/a.rs')
    nvim:idle()
    nvim:type('ohello<Esc>')
    nvim:cmd('write')
    eq(nvim:lines()[2], 'hello')
    nvim:cmd('Kapell land')
    nvim:hear('the server ended with code 3')
  end },

  { 'a command after the server was left dead has the open files held again, and their changes told', function(place)
    if vim.fn.isdirectory('/proc/self') == 0 then
      place.skip('there is no /proc to find the server by')
    end
    place:claim('ada', { 'src/b.rs' }, 'new schema')
    local nvim = place:nvim()
    nvim:open('src/b.rs')
    nvim:see('held by ada')
    nvim:open('src/a.rs')
    nvim:type('ohello<Esc>')
    nvim:see('yours')
    nvim:cmd('edit src/c.rs')
    nvim:attached()
    nvim:cmd('buffer src/b.rs')
    local old
    for _ = 1, 5 do
      old = place:wait('for another server', function()
        local pid = server_of(nvim)
        return pid ~= old and pid
      end)
      nvim:attached()
      vim.uv.kill(old, 'sigkill')
    end
    nvim:hear('is left dead')
    nvim:see_not('held by ada')
    place:wait('for no server', function()
      return nvim:lua('return #vim.lsp.get_clients()') == 0
    end)
    -- Neovim's lenses need a client each time that they are drawn, and with each change.
    nvim:lua('vim.v.errmsg = ""')
    nvim:type('omore<Esc>')
    nvim:lua('vim.wait(300)')
    nvim:screen()
    nvim:type('u')
    local told = nvim:lua([[return vim.v.errmsg .. vim.api.nvim_exec2('messages', { output = true }).output]])
    assert(not told:find('assertion failed', 1, true), told)
    -- One is changed while nobody listens, the others are not.
    nvim:cmd('buffer src/c.rs')
    nvim:type('owhile it is dead<Esc>')
    nvim:cmd('write')
    nvim:cmd('Kapell status')
    nvim:see('Kapell: ')
    local function held()
      local found = {}
      for _, claim in ipairs(place:claims()) do
        if claim.alive ~= false then
          found[claim.pattern] = claim.holder == 'ada' and 'ada' or 'own'
        end
      end
      return found
    end
    place:wait('for the claim of the unsaved file', function()
      return vim.deep_equal(held(), { ['src/a.rs'] = 'own', ['src/b.rs'] = 'ada' })
    end)
    nvim:cmd('wincmd p')
    nvim:attached()
    nvim:type('oafterwards<Esc>')
    place:wait('for the claim of what is changed now', function()
      return held()['src/c.rs'] == 'own'
    end)
    nvim:type('u')
    place:wait('for it to be free after undo', function()
      return held()['src/c.rs'] == nil
    end)
    -- Also what is read again is told.
    place.write_file(place.repo .. '/src/c.rs', 'fn landed() {}\n')
    nvim:cmd('edit!')
    nvim:type('ox<Esc>')
    place:wait('for the claim', function()
      return held()['src/c.rs'] == 'own'
    end)
    nvim:type('u')
    place:wait('for it to be free', function()
      return held()['src/c.rs'] == nil
    end)
  end },

  { 'a buffer that is no UTF-8 is not sent, and that is told once', function(place)
    place.write_file(place.repo .. '/bin.dat', 'caf\233\n')
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:cmd('edit ++bin bin.dat')
    nvim:hear('bin.dat is no UTF-8 as it was read')
    nvim:type('ohello<Esc>')
    nvim:cmd('doautocmd BufReadPost')
    nvim:idle()
    eq(nvim:lua('return #vim.lsp.get_clients({ bufnr = 0 })'), 0)
    eq(#vim.tbl_filter(function(text)
      return text:find('no UTF-8', 1, true)
    end, nvim:said()), 1)
    assert(not nvim:heard('INVALID_SERVER_MESSAGE'))
    nvim:cmd('Kapell claim')
    nvim:hear('yours: bin.dat')
    -- As it is read without that, it is one like any other.
    nvim:cmd('edit! ++enc=latin1 ++nobin')
    nvim:attached()
  end },

  { 'an open file that is deleted or renamed leaves nothing behind', function(place)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    os.remove(place.repo .. '/src/a.rs')
    nvim:cmd('checktime')
    nvim:cmd('saveas src/z.rs')
    nvim:diagnostic(nil)
    nvim:see_not('held by ada')
    place:claim('ada', { 'src/z.rs' })
    nvim:diagnostic('held')
  end },

  { 'a plan of very many lines does not keep anybody from typing', function(place)
    local tasks = {}
    for i = 1, 12000 do
      table.insert(tasks, ('    {\n      "id": %d,\n      "agent": "hand",\n      "task": "t",\n      "files": ["gen/%d.rs"],\n      "depends_on": [],\n      "priority": 3\n    }'):format(i, i))
    end
    place.write_file(place.repo .. '/big.plan.json', '{\n  "tasks": [\n' .. table.concat(tasks, ',\n') .. '\n  ]\n}\n')
    local nvim = place:nvim()
    nvim:open('big.plan.json')
    assert(#nvim:lines() > 90000)
    local began = vim.uv.hrtime()
    for _ = 1, 20 do
      nvim:type('ix<Esc>')
    end
    local ms = (vim.uv.hrtime() - began) / 1e6
    place.note = ('20 changes in %.0f ms'):format(ms)
    assert(ms < 5000, place.note)
    nvim:diagnostic('syntax')
    nvim:cmd('edit!')
    nvim:diagnostic(nil)
  end },

  { 'both servers of two projects know their own files', function(place)
    local other = place.base .. '/other'
    place.write_file(other .. '/x.rs', 'fn x() {}\n')
    vim.system({ 'git', 'init', '--quiet', other }, { env = place.env }):wait()
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    nvim:open(other .. '/x.rs')
    eq(nvim:diagnostics(), {})
    nvim:type('ohello<Esc>')
    nvim:see('yours')
    eq(#place:claims(), 1)
    eq(nvim:lua([[return #vim.lsp.get_clients({ name = 'kapell' })]]), 2)
    nvim:cmd('write')
    -- Each shows the claims and the events of its own project, whichever buffer is the last one.
    local function known(root)
      return nvim:lua([[
        local state = require('kapell.state').of(...)
        return { vim.tbl_map(function(claim) return claim.pattern end, state.claims), #state.events }
      ]], root)
    end
    place:wait('for the claims of the other project to be gone', function()
      local told = known(other)
      return #told[1] == 0 and told[2] > 0
    end)
    eq(known(place.repo)[1], { 'src/a.rs' })
    nvim:cmd('buffer src/a.rs')
    nvim:cmd('Kapell status')
    nvim:see('src/a.rs')
    nvim:cmd('only | buffer ' .. other .. '/x.rs')
    nvim:cmd('Kapell status')
    nvim:see_not('src/a.rs')
  end },

  { 'a buffer that is saved into another project belongs to that one', function(place)
    local other = place.base .. '/other'
    place.write_file(other .. '/x.rs', 'fn x() {}\n')
    vim.system({ 'git', 'init', '--quiet', other }, { env = place.env }):wait()
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    nvim:see('held by ada')
    nvim:cmd('saveas ' .. other .. '/a.rs')
    nvim:diagnostic(nil)
    nvim:see_not('held by ada')
    local root = place:wait('for the other server', function()
      return nvim:lua([[
        local all = vim.lsp.get_clients({ name = 'kapell', bufnr = 0 })
        return #all == 1 and all[1].initialized and require('kapell.server').root(all[1]) == ... or false
      ]], other)
    end)
    assert(root)
    nvim:type('ohello<Esc>')
    nvim:see('yours')
    eq(#place:claims(), 1)
    -- And one that goes where no project is has no server, and no sign.
    nvim:cmd('saveas ' .. place.base .. '/a.rs')
    place:wait('for no server', function()
      return nvim:lua([[return #vim.lsp.get_clients({ name = 'kapell', bufnr = 0 }) == 0]])
    end)
    nvim:diagnostic(nil)
    nvim:see_not('yours')
  end },
}
