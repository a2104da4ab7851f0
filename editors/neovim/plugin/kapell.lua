-- Nothing is loaded here but the command and the start: the modules come when they are needed.
if vim.g.loaded_kapell then
  return
end
vim.g.loaded_kapell = 1

if vim.fn.has('nvim-0.10') == 0 then
  vim.api.nvim_create_user_command('Kapell', function()
    vim.notify('kapell: this plugin needs Neovim 0.10 or newer', vim.log.levels.ERROR)
  end, { nargs = '*' })
  return
end

vim.api.nvim_create_user_command('Kapell', function(call)
  require('kapell.command').run(call)
end, {
  nargs = '*',
  bang = true,
  desc = 'Steer Kapell: plans, claims, attempts',
  complete = function(lead, line, position)
    return require('kapell.complete').complete(lead, line, position)
  end,
})

-- Scheduled, so that a `setup()` in the same file comes first. `vim.g.kapell_autostart = false`
-- leaves the start to `setup()`.
if vim.g.kapell_autostart ~= false then
  vim.schedule(function()
    require('kapell').start()
  end)
end
