-- The runner: nvim --headless -u NONE -l tests/run.lua [PART OF A NAME]
-- Each test has a bench (a repository and a state folder of its own) and a child Neovim, which it
-- speaks to over RPC and whose screen it reads. The server is the real one, from $KAPELL; claims
-- of others are made by other processes.
local here = vim.fs.dirname(vim.fs.normalize(vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p')))
package.path = here .. '/?.lua;' .. package.path

local kapell = vim.env.KAPELL
if not kapell or vim.fn.executable(kapell) == 0 then
  io.stderr:write('KAPELL must be the path of the kapell program\n')
  os.exit(2)
end

local bench = require('bench')
local wanted = arg and arg[1] or ''
local counts = { passed = 0, failed = 0, skipped = 0 }
local version = tostring(vim.version())

local function traced(err)
  if type(err) == 'table' then
    return err
  end
  return debug.traceback(tostring(err), 2)
end

local files = vim.fn.glob(here .. '/specs/*.lua', true, true)
table.sort(files)
for _, file in ipairs(files) do
  local spec = vim.fn.fnamemodify(file, ':t:r')
  local tests = dofile(file)
  for _, test in ipairs(tests) do
    local name = ('%s: %s'):format(spec, test[1])
    if name:find(wanted, 1, true) then
      local began = vim.uv.hrtime()
      local place = bench.new()
      local fine, err = xpcall(test[2], traced, place)
      if not fine and not (type(err) == 'table' and err.skip) then
        err = tostring(err) .. '\n' .. place:report()
      end
      place:clear()
      local ms = (vim.uv.hrtime() - began) / 1e6
      if fine then
        counts.passed = counts.passed + 1
        local note = place.note and ('  [' .. place.note .. ']') or ''
        print(('ok      %s  %s  %.0f ms%s'):format(version, name, ms, note))
      elseif type(err) == 'table' then
        counts.skipped = counts.skipped + 1
        print(('SKIPPED %s  %s: %s'):format(version, name, err.skip))
      else
        counts.failed = counts.failed + 1
        print(('FAILED  %s  %s\n%s'):format(version, name, err))
      end
    end
  end
end

print(('%d passed, %d failed, %d skipped'):format(counts.passed, counts.failed, counts.skipped))
os.exit(counts.failed > 0 and 1 or 0)
