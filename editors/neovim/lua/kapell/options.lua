-- The options, with what they are where nobody says otherwise.
local M = {}

---@class kapell.Options
M.defaults = {
  -- The server. Nil: `kapell lsp`, found on the PATH.
  ---@type string[]?
  cmd = nil,
  -- Environment for the server, over that of Neovim.
  ---@type table<string, string>?
  env = nil,
  -- Whether the server starts by itself for files below one of `roots`.
  autostart = true,
  -- What makes a folder a project. `{ 'kapell.toml' }` keeps Kapell out of all others.
  roots = { '.git', 'kapell.toml' },
  -- Owner, task and since when, above the first line.
  code_lens = true,
  -- The same as an inlay hint. Off: it would switch on the hints of all servers of a buffer.
  inlay_hints = false,
  -- Signs at the first line of held files; false for none.
  signs = { held = '●', own = '○', meeting = '▲' },
  -- Tell once for each file that is edited while somebody else holds it.
  warn_on_edit = true,
  -- Which events are told: 'needs-you', 'all' or 'none'.
  notify = 'needs-you',
  -- How many events are kept for `:Kapell events`.
  events = 1000,
}

M.current = vim.deepcopy(M.defaults)

---@param given kapell.Options?
function M.set(given)
  given = given or {}
  for key in pairs(given) do
    -- `cmd` and `env` are nil by default, so they are not in the table.
    if M.defaults[key] == nil and key ~= 'cmd' and key ~= 'env' then
      error(('kapell: there is no option %q; see :help kapell-options'):format(key), 0)
    end
  end
  M.current = vim.tbl_deep_extend('force', vim.deepcopy(M.defaults), given)
  -- Lists are taken whole, not mixed with the default's.
  for _, key in ipairs({ 'roots', 'cmd' }) do
    if given[key] ~= nil then
      M.current[key] = given[key]
    end
  end
end

return M
