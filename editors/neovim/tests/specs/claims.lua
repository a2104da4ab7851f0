-- Who holds the file: what is shown, and what keeps person and others apart.
local function eq(got, want)
  assert(vim.deep_equal(got, want), ('got %s, want %s'):format(vim.inspect(got), vim.inspect(want)))
end

local function has(text, part)
  assert(text:find(part, 1, true), ('%q is not in:\n%s'):format(part, text))
end

return {
  { 'a claim of another process shows in the open file, and goes when it is free', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    eq(nvim:diagnostics(), {})
    place:claim('ada', { 'src/a.rs' }, 'new schema')
    local one, ms = nvim:diagnostic('held')
    place.note = ('claimed to shown %.0f ms'):format(ms)
    eq(one.severity, 3)
    has(one.message, 'ada')
    nvim:see('●')
    nvim:see('held by ada (new schema)')
    place:release('ada')
    nvim:diagnostic(nil)
    nvim:see_not('●')
    nvim:see_not('held by ada')
  end },

  { 'the lens names the holder, as virtual text on the screen', function(place)
    place:claim('ada', { 'src/**' }, 'new schema')
    local nvim = place:nvim({ signs = false })
    nvim:open('src/a.rs')
    place:wait('for the lens', function()
      return nvim:screen():match('\n?[^\n]*ada[^\n]*\n')
    end)
    local lens = place:wait('for a lens', function()
      return nvim:lua([[
        local found = vim.lsp.codelens.get(vim.fn.has('nvim-0.12') == 1 and { bufnr = 0 } or 0)
        local one = found[1]
        one = one and (one.lens or one)
        return one and one.command and one.command.title
      ]])
    end)
    has(lens, 'ada')
    nvim:see(vim.trim(lens))
  end },

  { 'the inlay hint too, where it is asked for', function(place)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim({ code_lens = false, signs = false, inlay_hints = true })
    nvim:open('src/a.rs')
    local hint = place:wait('for the hint', function()
      return nvim:lua([[
        local one = vim.lsp.inlay_hint.get({ bufnr = 0 })[1]
        local label = one and one.inlay_hint.label
        if type(label) == 'table' then
          label = label[1].value
        end
        return label
      ]])
    end)
    has(hint, 'ada')
    nvim:see(vim.trim(hint))
  end },

  { 'files without a type and folders of claims count; files outside of projects do not', function(place)
    place:claim('ada', { 'LICENCE' })
    local nvim = place:nvim()
    nvim:open('LICENCE')
    nvim:diagnostic('held')
    vim.fn.mkdir(place.base .. '/outside', 'p')
    place.write_file(place.base .. '/outside/x.rs', 'fn x() {}\n')
    nvim:edit(place.base .. '/outside/x.rs')
    nvim:type('ix<Esc>')
    nvim:idle()
    eq(nvim:lua([[return #vim.lsp.get_clients({ name = 'kapell', bufnr = 0 })]]), 0)
    eq(nvim:lua([[return require('kapell').statusline()]]), '')
  end },

  { 'unsaved changes hold the file, saving lets go', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:type('ohello<Esc>')
    local claim = place:wait('for the claim', function()
      return place:claims()[1]
    end)
    eq({ claim.pattern, claim.holder_kind }, { 'src/a.rs', 'person' })
    nvim:see('○')
    nvim:see('yours')
    local answer = place:kapell({ 'claim-files', 'src/a.rs', '--holder', 'ada' })
    eq(answer.granted, false)
    nvim:cmd('write')
    place:wait('for it to be free', function()
      return #place:claims() == 0
    end)
    nvim:see_not('yours')
  end },

  { 'undoing all changes lets go, and so does closing the file', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:type('ohello<Esc>')
    place:wait('for the claim', function()
      return #place:claims() == 1
    end)
    nvim:type('u')
    place:wait('for it to be free after undo', function()
      return #place:claims() == 0
    end)
    nvim:type('oagain<Esc>')
    place:wait('for the claim', function()
      return #place:claims() == 1
    end)
    nvim:cmd('bwipeout!')
    place:wait('for it to be free after closing', function()
      return #place:claims() == 0
    end)
  end },

  { 'a changed buffer with another name holds that one, and lets go of the old one', function(place)
    local function held()
      return vim.tbl_map(function(claim)
        return claim.pattern
      end, place:claims())
    end
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:type('ohello<Esc>')
    place:wait('for the claim', function()
      return vim.deep_equal(held(), { 'src/a.rs' })
    end)
    nvim:cmd('file src/new.rs')
    place:wait('for the claim of the new name', function()
      return vim.deep_equal(held(), { 'src/new.rs' })
    end)
    place:claim('ada', { 'src/a.rs' })
    place:release('ada')
    -- A name that is refused changes nothing.
    nvim:cmd('badd src/b.rs')
    nvim:lua([[vim.fn.bufload('src/b.rs')]])
    nvim:lua([[pcall(vim.cmd, 'file src/b.rs')]])
    nvim:type('omore<Esc>')
    nvim:idle()
    eq(held(), { 'src/new.rs' })
    nvim:cmd('bwipeout!')
    place:wait('for it to be free', function()
      return #held() == 0
    end)
  end },

  { 'lenses go on to show after another buffer was wiped', function(place)
    local nvim = place:nvim({ signs = false })
    nvim:edit('src/a.rs')
    nvim:attached()
    nvim:open('src/b.rs')
    nvim:cmd('bwipeout src/a.rs')
    place:claim('ada', { 'src/b.rs' }, 'new schema')
    local function lens()
      return nvim:lua([[
        local one = vim.lsp.codelens.get(vim.fn.has('nvim-0.12') == 1 and { bufnr = 0 } or 0)[1]
        one = one and (one.lens or one)
        return one and one.command and one.command.title or ''
      ]])
    end
    place:wait('for the lens', function()
      return lens():find('ada', 1, true)
    end)
    place:release('ada')
    place:wait('for the lens to go', function()
      return lens() == ''
    end)
    local told = nvim:lua([[return vim.api.nvim_exec2('messages', { output = true }).output]])
    assert(not told:find('HANDLER_ERROR', 1, true), told)
  end },

  { 'who edits a held file is warned once, in the editor and by a diagnostic', function(place)
    place:claim('ada', { 'src/a.rs' }, 'new schema')
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    nvim:see('held by ada')
    nvim:type('ohello<Esc>')
    nvim:hear('src/a.rs is held by ada (new schema)')
    nvim:diagnostic('meeting')
    nvim:see('▲')
    nvim:type('omore<Esc>')
    nvim:type('oand more<Esc>')
    nvim:idle()
    local count = 0
    for _, text in ipairs(nvim:said()) do
      count = count + (text:find('is held by ada', 1, true) and 1 or 0)
    end
    eq(count, 1)
    nvim:type('uuu')
    nvim:diagnostic('held')
  end },

  { ':Kapell take takes over with a reason that is asked for, and tells who held it', function(place)
    place:claim('ada', { 'src/a.rs' }, 'new schema')
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:see('held by ada')
    nvim:lua([[_G.answers = { 'the release is today' }]])
    nvim:cmd('Kapell take')
    nvim:hear('Why do you take src/a.rs over')
    nvim:hear('src/a.rs is yours')
    nvim:diagnostic(nil)
    nvim:see('yours')
    local claims = place:claims()
    eq({ #claims, claims[1].holder_kind, claims[1].pattern }, { 1, 'person', 'src/a.rs' })
    has(claims[1].reason or '', 'the release is today')
  end },

  { ':Kapell claim and release, of this file and of patterns', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    -- At once: the owner may not be known yet, and is asked for.
    nvim:cmd('Kapell claim')
    nvim:hear('yours: src/a.rs')
    nvim:see('yours')
    nvim:cmd('Kapell claim src/b.rs docs/ -- for the talk')
    nvim:hear('docs/')
    eq(#place:claims(), 3)
    place:wait('for what is held to be completed', function()
      local found = nvim:lua([[return vim.fn.getcompletion('Kapell release s', 'cmdline')]])
      return vim.deep_equal(found, { 'src/a.rs', 'src/b.rs' })
    end)
    nvim:cmd('Kapell release')
    nvim:hear('let go of src/a.rs')
    eq(#place:claims(), 2)
    nvim:cmd('Kapell release all')
    nvim:hear('let go of 2')
    eq(#place:claims(), 0)
    nvim:cmd('Kapell release')
    nvim:hear('you hold no claim of src/a.rs')
  end },

  { 'paths of commands are read and completed from the working folder, and from nowhere else', function(place)
    place.write_file(place.repo .. '/a.rs', 'fn top() {}\n')
    place.write_file(place.repo .. '/src/my file.txt', 'one\n')
    place.write_file(place.repo .. '/src/[id].rs', 'one\n')
    place.write_file(place.repo .. '/src/%.rs', 'one\n')
    local nvim = place:nvim()
    nvim:open('src/b.rs')
    nvim:cmd('cd src')
    --- Claims what is written, and lets go of it by what is completed for that.
    local function claims(written, pattern, completed)
      nvim:cmd('Kapell claim ' .. written)
      nvim:hear('yours: ' .. pattern)
      eq(vim.tbl_map(function(claim)
        return claim.pattern
      end, place:claims()), { pattern })
      place:wait('for it to be completed', function()
        return vim.deep_equal(nvim:lua([[return vim.fn.getcompletion('Kapell release ', 'cmdline')]]), { 'all', completed })
      end)
      nvim:cmd('Kapell release ' .. completed)
      nvim:hear('let go of ' .. pattern)
      eq(place:claims(), {})
      nvim:lua('_G.said = {}')
    end
    claims('a.rs', 'src/a.rs', 'a.rs')
    claims('../a.rs', 'a.rs', '../a.rs')
    claims(place.repo .. '/src/a.rs', 'src/a.rs', 'a.rs')
    claims('%', 'src/b.rs', 'b.rs')
    claims('my\\ file.txt', 'src/my file.txt', 'my\\ file.txt')
    claims('[id].rs', 'src/[[]id[]].rs', '[[]id[]].rs')
    claims('\\%.rs', 'src/%.rs', '%.rs')
    claims('*.rs', 'src/*.rs', '*.rs')
    claims('new/', 'src/new/', 'new/')
    local function complete(text)
      return nvim:lua([[return vim.fn.getcompletion(..., 'cmdline')]], text)
    end
    eq(complete('Kapell claim my'), { 'my\\ file.txt' })
    eq(complete('Kapell claim my\\ f'), { 'my\\ file.txt' })
    eq(complete('Kapell claim a.rs my\\ file.txt [i'), { '[id].rs' })
    -- Taking over is about the same file.
    place:claim('ada', { 'a.rs', 'src/a.rs' })
    nvim:cmd('Kapell take a.rs -- mine now')
    nvim:hear('src/a.rs is yours')
    local holders = {}
    for _, claim in ipairs(place:claims()) do
      holders[claim.pattern] = claim.holder
    end
    eq(holders['a.rs'], 'ada')
    assert(holders['src/a.rs'] and holders['src/a.rs'] ~= 'ada', vim.inspect(holders))
    -- From a folder outside of the project a bare name means nothing in it.
    nvim:cmd('cd ' .. place.base)
    nvim:cmd('Kapell claim a.rs')
    nvim:hear('a.rs does not lie in the project')
    eq(#place:claims(), 2)
  end },

  { ':write of another file leaves the buffer unsaved, and its file held', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:type('ohello<Esc>')
    nvim:see('yours')
    nvim:cmd('write ' .. place.base .. '/elsewhere.rs')
    assert(nvim:lua('return vim.bo.modified'))
    -- Told behind the save.
    place:claim('ada', { 'src/b.rs' })
    nvim:cmd('Kapell status')
    nvim:see('src/b.rs')
    eq(place:kapell({ 'claim-files', 'src/a.rs', '--holder', 'ben' }).granted, false)
    nvim:cmd('wincmd p')
    nvim:cmd('write')
    place:wait('for it to be free', function()
      return #place:claims() == 1
    end)
  end },

  { 'undoing all changes lets go though another process wrote the file meanwhile', function(place)
    local nvim = place:nvim()
    nvim:lua('vim.o.autoread = false')
    nvim:open('src/a.rs')
    nvim:idle()
    place.write_file(place.repo .. '/src/a.rs', 'fn landed() {}\n')
    nvim:type('ohello<Esc>')
    place:wait('for the claim', function()
      return #place:claims() == 1
    end)
    nvim:type('u')
    place:wait('for it to be free', function()
      return #place:claims() == 0
    end)
  end },

  { 'undoing the reading of what another process wrote is a change', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:idle()
    place.write_file(place.repo .. '/src/a.rs', 'fn landed() {}\n')
    nvim:cmd('checktime')
    nvim:see('fn landed')
    nvim:type('u')
    place:wait('for the claim', function()
      return #place:claims() == 1
    end)
    assert(nvim:lua('return vim.bo.modified'))
  end },

  { 'a claim that is refused names the holder', function(place)
    place:claim('ada', { 'src/' }, 'new schema')
    local nvim = place:nvim()
    nvim:open('LICENCE')
    nvim:cmd('Kapell claim src/b.rs')
    nvim:hear('src/b.rs is held by ada (new schema)')
  end },

  { 'what the server refuses is told in a sentence with the hint', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:cmd('Kapell claim ../elsewhere')
    local text = nvim:hear('../elsewhere')
    assert(text:match('^kapell: .+ %(.+%)$') and not text:find('\n'), text)
    nvim:cmd('Kapell land no-such-plan')
    nvim:hear('there is no plan no-such-plan in this project (')
    nvim:cmd('Kapell dance')
    nvim:hear('there is no `:Kapell dance`')
  end },

  { 'a file is waited for, and Stop waiting for it gives that up', function(place)
    place:claim('ada', { 'src/a.rs' }, 'new schema')
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    --- What the lens is given, as soon as it says whether the person waits.
    local function lens(asked)
      return place:wait('for the lens', function()
        return nvim:lua([[
          local asked = ...
          local answers = vim.lsp.buf_request_sync(0, 'textDocument/codeLens', {
            textDocument = vim.lsp.util.make_text_document_params(0),
          }, 2000) or {}
          for _, answer in pairs(answers) do
            for _, one in ipairs(answer.result or {}) do
              local about = one.command and one.command.arguments and one.command.arguments[1]
              if one.command.command == 'kapell.ui.owner' and (about.asked or false) == asked then
                _G.lens = one.command
                return true
              end
            end
          end
          return false
        ]], asked)
      end)
    end
    --- Chooses what the lens offers.
    local function choose(title)
      nvim:lua([[
        local title = ...
        local select = vim.ui.select
        vim.ui.select = function(items, options, callback)
          vim.ui.select = select
          for _, item in ipairs(items) do
            if options.format_item(item):find(title, 1, true) then
              return callback(item)
            end
          end
          vim.notify('it is not offered: ' .. title)
        end
        vim.lsp.commands['kapell.ui.owner'](_G.lens, { client_id = vim.lsp.get_clients({ name = 'kapell' })[1].id })
      ]], title)
    end
    local function happened(kind)
      return place:wait('for the event ' .. kind, function()
        return vim.iter(place:kapell({ 'status', '--scope', 'events' }).events):any(function(event)
          return event.kind == kind
        end)
      end)
    end
    lens(false)
    choose('Ask for it')
    happened('claim.asked')
    nvim:see('you wait for it')
    lens(true)
    choose('Stop waiting for it')
    nvim:hear('no longer waiting for src/a.rs')
    happened('claim.withdrawn')
    nvim:see_not('you wait for it')
    lens(false)
    -- What is free is nobody's then.
    place:release('ada')
    nvim:diagnostic(nil)
    eq(place:claims(), {})
    -- And who does wait, has it.
    place:claim('ada', { 'src/a.rs' })
    lens(false)
    choose('Ask for it')
    nvim:see('you wait for it')
    place:release('ada')
    nvim:see('yours')
    eq(place:claims()[1].holder_kind, 'person')
  end },

  { 'the status window has the claims of all pages, and completion those of open files', function(place)
    local files = {}
    for i = 1, 620 do
      files[i] = ('gen/%03d.rs'):format(i)
    end
    place:claim('ada', files)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:cmd('Kapell claim')
    nvim:see('yours')
    nvim:cmd('Kapell status')
    local function shown(part)
      return place:wait('for ' .. part, function()
        return nvim:text():find(part, 1, true)
      end)
    end
    shown('gen/001.rs')
    shown('gen/620.rs')
    shown('src/a.rs')
    assert(not nvim:text():find('and %d+ more'), nvim:text():match('and %d+ more'))
    nvim:cmd('wincmd p')
    eq(nvim:lua([[return vim.fn.getcompletion('Kapell release s', 'cmdline')]]), { 'src/a.rs' })
  end },

  { 'who loses a claim, or is asked for it, is told; what happens between others is not', function(place)
    local nvim = place:nvim({ notify = 'needs-you' })
    nvim:open('src/a.rs')
    nvim:cmd('Kapell claim')
    nvim:see('yours')
    place:claim('ada', { 'src/b.rs' })
    local function takes(file, why)
      local result = place:kapell({ 'claim-files', file, '--as', 'eve', '--take-over', '--reason', why })
      assert(result.granted, vim.inspect(result))
    end
    takes('src/b.rs', 'between others')
    local wait = vim.system({ vim.env.KAPELL, 'claim-files', 'src/a.rs', '--as', 'zoe', '--wait-s', '20' },
      { cwd = place.repo, env = place.env })
    nvim:hear('zoe')
    takes('src/a.rs', 'the release is today')
    nvim:hear('the release is today')
    assert(not nvim:heard('between others'), nvim:heard('between others'))
    wait:kill('sigterm')
    wait:wait()
  end },

  { 'a code action takes the file over', function(place)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:diagnostic('held')
    local titles = place:wait('for actions', function()
      local found = nvim:lua([[
        local params = vim.lsp.util.make_range_params(0, 'utf-16')
        params.context = { diagnostics = {} }
        local answers = vim.lsp.buf_request_sync(0, 'textDocument/codeAction', params, 2000) or {}
        local titles = {}
        _G.actions = {}
        for _, answer in pairs(answers) do
          for _, action in ipairs(answer.result or {}) do
            table.insert(titles, action.title)
            _G.actions[#titles] = action
          end
        end
        return titles
      ]])
      return #found > 0 and found
    end)
    local index
    for i, title in ipairs(titles) do
      if title:lower():find('take', 1, true) then
        index = i
      end
    end
    assert(index, 'no action takes over: ' .. vim.inspect(titles))
    nvim:lua([[
      local index = ...
      _G.answers = { 'mine now' }
      local action = _G.actions[index]
      local command = type(action.command) == 'table' and action.command or action
      local client = vim.lsp.get_clients({ name = 'kapell', bufnr = 0 })[1]
      if client.exec_cmd then
        client:exec_cmd(command, { bufnr = 0 })
      else
        client:_exec_cmd(command, { bufnr = 0 })
      end
    ]], index)
    nvim:hear('src/a.rs is yours')
    eq(place:claims()[1].holder_kind, 'person')
  end },
}
