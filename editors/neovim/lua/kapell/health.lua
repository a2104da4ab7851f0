-- `:checkhealth kapell`
local options = require('kapell.options')
local project = require('kapell.project')
local say = require('kapell.say')
local server = require('kapell.server')

local M = {}

local health = vim.health

local function check_program()
  local program = (options.current.cmd or { 'kapell' })[1]
  if vim.fn.executable(program) == 0 then
    health.error(('there is no program %q'):format(program), {
      'install kapell and put it on the PATH, or',
      "require('kapell').setup({ cmd = { '/path/to/kapell', 'lsp' } })",
    })
    return
  end
  local answer = vim.system({ program, '--version' }, { text = true }):wait(5000)
  if answer.code == 0 then
    health.ok(('%s is %s'):format(vim.fn.exepath(program), vim.trim(answer.stdout)))
  else
    health.error(('%s does not run: %s'):format(program, vim.trim(answer.stderr or '')))
    return
  end
  if vim.system({ program, 'lsp', '--help' }, { text = true }):wait(5000).code ~= 0 then
    health.error(('%s has no language server'):format(program), { 'install a newer kapell' })
  end
end

local function check_servers()
  local clients = vim.lsp.get_clients({ name = 'kapell' })
  if #clients == 0 then
    health.info('no server runs: it starts with the first file of a project')
  end
  for _, client in ipairs(clients) do
    local info = client.server_info or {}
    local version = info.version and info.version .. ' ' or ''
    health.ok(('server %sfor %s, %s'):format(
      version, server.root(client), say.count(vim.tbl_count(client.attached_buffers), 'buffer')))
  end
end

function M.check()
  health.start('kapell: Neovim')
  if vim.fn.has('nvim-0.11') == 1 then
    health.ok('vim.lsp.config is there')
  elseif vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim 0.10: the server is started by autocommands')
  else
    health.error('Neovim 0.10 or newer is needed')
  end

  health.start('kapell: program')
  check_program()
  if vim.fn.executable('git') == 1 then
    health.ok('git is there')
  else
    health.error('there is no git')
  end

  health.start('kapell: project')
  local root = project.here()
  if root then
    health.ok('the project here is ' .. root)
  else
    health.warn('no project around this file or folder', { 'open a file of a Git repository' })
  end
  check_servers()
end

return M
