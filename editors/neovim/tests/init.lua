-- The child's init file: the plugin as a person would set it up, and what the tests listen to.
local root = vim.fs.dirname(vim.fs.dirname(vim.fs.normalize(debug.getinfo(1, 'S').source:sub(2))))
vim.opt.runtimepath:prepend(root)
vim.o.swapfile = false
vim.o.more = false
vim.o.shortmess = vim.o.shortmess .. 'F'
vim.o.autoread = true
vim.o.statusline = "%f %{%v:lua.require'kapell'.statusline()%}"
vim.o.laststatus = 2

-- All that was said, and answers for what is asked.
_G.said = {}
_G.answers = {}
vim.notify = function(text, level)
  table.insert(_G.said, { text = text, level = level })
end
vim.ui.input = function(options, callback)
  table.insert(_G.said, { text = options.prompt, level = -1 })
  callback(table.remove(_G.answers, 1))
end
vim.ui.select = function(items, options, callback)
  table.insert(_G.said, { text = options.prompt, level = -1 })
  local index = table.remove(_G.answers, 1)
  callback(index and items[index], index)
end

local options = vim.json.decode(vim.env.KAPELL_TEST_OPTIONS or '{}')
options.cmd = options.cmd or { vim.env.KAPELL, 'lsp' }
require('kapell').setup(options)
