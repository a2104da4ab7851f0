-- The plugin itself: start, command, health, help.
local function eq(got, want)
  assert(vim.deep_equal(got, want), ('got %s, want %s'):format(vim.inspect(got), vim.inspect(want)))
end

return {
  { 'without a server everything is told in a sentence, and editing goes on', function(place)
    local nvim = place:nvim({ cmd = { place.base .. '/no-such-program', 'lsp' } })
    nvim:edit('src/a.rs')
    nvim:hear('there is no program')
    nvim:type('ohello<Esc>')
    nvim:cmd('write')
    nvim:cmd('Kapell status')
    nvim:see('Kapell does not answer: the server is not installed')
    nvim:cmd('Kapell land')
    nvim:hear('the server is not installed (see :help kapell-install)')
    eq(nvim:lua([[return require('kapell').statusline()]]), '')
  end },

  { 'sub-commands are completed', function(place)
    local nvim = place:nvim({ autostart = false })
    local names = nvim:lua([[return vim.fn.getcompletion('Kapell ', 'cmdline')]])
    for _, name in ipairs({
      'plan', 'dispatch', 'status', 'judge', 'land', 'claim', 'release', 'take', 'log', 'diff', 'events', 'pause',
      'resume', 'stop',
    }) do
      assert(vim.tbl_contains(names, name), name .. ' is not completed')
    end
    eq(nvim:lua([[return vim.fn.getcompletion('Kapell re', 'cmdline')]]), { 'refuse', 'release', 'resume', 'retry' })
    eq(nvim:lua([[return vim.fn.getcompletion('Kapell claim LIC', 'cmdline')]]), { 'LICENCE' })
    -- Whatever stands before it in the line.
    for _, before in ipairs({ 'silent ', 'silent! ', ':', 'write | ', 'write a.rs|silent! ' }) do
      eq(nvim:lua([[return vim.fn.getcompletion(..., 'cmdline')]], before .. 'Kapell re'),
        { 'refuse', 'release', 'resume', 'retry' })
      eq(nvim:lua([[return vim.fn.getcompletion(..., 'cmdline')]], before .. 'Kapell! claim LIC'), { 'LICENCE' })
    end
    eq(nvim:lua([[return vim.fn.getcompletion('Kape claim LIC', 'cmdline')]]), { 'LICENCE' })
    eq(nvim:lua([[return vim.fn.getcompletion('Kapell claim Kapell LIC', 'cmdline')]]), { 'LICENCE' })
  end },

  { 'outside of a project the command says so', function(place)
    local nvim = place:nvim()
    nvim:cmd('cd ' .. place.base)
    nvim:cmd('Kapell status')
    nvim:hear('there is no project around this file or folder')
  end },

  { 'an option that is not there is an error with its name', function(place)
    local nvim = place:nvim()
    local message = nvim:lua([[local _, e = pcall(require('kapell').setup, { colour = 'red' }) return e]])
    assert(message:find('there is no option "colour"', 1, true), message)
  end },

  { ':checkhealth kapell has no error', function(place)
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:cmd('checkhealth kapell')
    local text = nvim:text()
    assert(not text:find('ERROR'), text)
    assert(text:find('the project here is'), text)
    assert(text:find('kapell %d'), text)
    assert(text:find(', 1 buffer%f[%A]'), text)
  end },

  { ':checkhealth kapell explains a missing program', function(place)
    local nvim = place:nvim({ cmd = { place.base .. '/nowhere', 'lsp' } })
    nvim:edit('src/a.rs')
    nvim:cmd('checkhealth kapell')
    local text = nvim:text()
    assert(text:find('ERROR') and text:find('install kapell'), text)
  end },

  { 'the help has its tags, and each command and option is in it', function(place)
    local nvim = place:nvim({ autostart = false })
    local doc = nvim:lua([[return vim.api.nvim_get_runtime_file('doc/kapell.txt', false)[1] ]])
    local copy = place.base .. '/doc'
    vim.fn.mkdir(copy, 'p')
    local text = table.concat(vim.fn.readfile(doc), '\n')
    place.write_file(copy .. '/kapell.txt', text .. '\n')
    nvim:cmd('helptags ' .. copy)
    local tags = table.concat(vim.fn.readfile(copy .. '/tags'), '\n')
    local known = nvim:lua([[
      return { require('kapell.command').names(), vim.tbl_keys(require('kapell.options').defaults) }
    ]])
    for _, name in ipairs(known[1]) do
      assert(tags:find(':Kapell-' .. name .. '\t', 1, true), 'no tag for :Kapell ' .. name)
    end
    for _, name in ipairs(known[2]) do
      assert(text:find('`' .. name .. '`', 1, true), 'nothing about the option ' .. name)
    end
    for tag in text:gmatch('|([%w%-:]+)|') do
      assert(tags:find(tag .. '\t', 1, true) or not tag:find('[Kk]apell'), 'no tag ' .. tag)
    end
  end },
}
