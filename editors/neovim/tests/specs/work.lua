-- Plans and attempts: the whole work, steered from the editor.
local function eq(got, want)
  assert(vim.deep_equal(got, want), ('got %s, want %s'):format(vim.inspect(got), vim.inspect(want)))
end

local PLAN = [[
{
  "name": "small",
  "tasks": [
    {"id": 1, "agent": "hand", "task": "change a", "files": ["src/a.rs"], "depends_on": []},
    {"id": "two", "agent": "hand", "task": "change b", "files": ["src/b.rs"], "depends_on": [1]}
  ]
}
]]

local BAD = [[
{
  "tasks": [
    {"id": 1, "agent": "hand", "task": "one", "files": ["src/a.rs"], "depends_on": []},
    {"id": 2, "agent": "hand", "task": "two", "files": ["src/"], "depends_on": []},
    {"id": 3, "agent": "gpt99", "task": "three", "files": ["src/c.rs"], "depends_on": [9]}
  ]
}
]]

--- The states of a plan's tasks, by another process.
local function states(place, plan)
  local found = {}
  for _, task in ipairs(place:kapell({ 'status', '--scope', 'plan', '--id', plan }).tasks) do
    found[tostring(task.id)] = task.state
  end
  return found
end

local function until_state(place, plan, task, state)
  place:wait(('for task %s to be %s'):format(task, state), function()
    return states(place, plan)[task] == state
  end)
end

local function attempt_of(place, plan, task)
  local all = place:kapell({ 'status', '--scope', 'task', '--id', plan .. '/' .. task }).attempts
  return all[#all].attempt
end

return {
  { 'a plan file is checked as it is typed, and stored by :Kapell plan', function(place)
    place.write_file(place.repo .. '/small.plan.json', PLAN)
    local nvim = place:nvim()
    nvim:open('small.plan.json')
    nvim:cmd('Kapell! plan')
    nvim:hear('small.plan.json is in order: 2 tasks in 2 waves')
    eq(place:kapell({ 'status' }).plans, {})
    nvim:cmd('Kapell plan')
    local text = nvim:hear('2 tasks in 2 waves (`:Kapell dispatch small-')
    local id = text:match('plan (small%-%w+):')
    eq(place:kapell({ 'status' }).plans[1].plan_id, id)
  end },

  { 'a plan is not refused because of another one whose name has its own in it', function(place)
    place.write_file(place.repo .. '/small.plan.json', PLAN)
    place.write_file(place.repo .. '/very-small.plan.json', PLAN)
    local nvim = place:nvim()
    nvim:lua('vim.o.hidden = true')
    nvim:open('very-small.plan.json')
    nvim:type('o <Esc>')
    nvim:edit('src/a.rs')
    nvim:cmd('Kapell! plan small.plan.json')
    nvim:hear('small.plan.json is in order: 2 tasks in 2 waves')
    nvim:cmd('cd src')
    nvim:cmd('Kapell! plan ../very-small.plan.json')
    nvim:hear('very-small.plan.json has changes that are not written')
    local one = PLAN:gsub('},\n.*', '}\n  ]\n}\n')
    place.write_file(place.base .. '/outside.plan.json', one)
    nvim:cmd('Kapell! plan ' .. place.base .. '/outside.plan.json')
    nvim:hear('outside.plan.json is in order: 1 task in 1 wave')
  end },

  { 'a plan that the configuration names is formed', function(place)
    local config = table.concat(vim.fn.readfile(place.repo .. '/kapell.toml'), '\n')
    place.write_file(place.repo .. '/kapell.toml', '[project]\nplans = ["plans/*.json"]\n' .. config)
    place.write_file(place.repo .. '/plans/p[1].json', '{"tasks":[]}\n')
    local nvim = place:nvim()
    nvim:open('plans/p[1].json')
    nvim:cmd('setlocal expandtab shiftwidth=2')
    place:wait('for it to be formed', function()
      nvim:lua('vim.lsp.buf.format()')
      return nvim:text() == '{\n  "tasks": []\n}'
    end)
    nvim:open('src/a.rs')
    nvim:lua('vim.lsp.buf.format()')
    nvim:hear('no matching language servers')
  end },

  { 'the lenses of a plan file are carried out, and how it went is told', function(place)
    place.write_file(place.repo .. '/small.plan.json', PLAN)
    local nvim = place:nvim()
    nvim:open('small.plan.json')
    nvim:see('Check')
    nvim:see('Dispatch')
    -- One after the other: what runs already is a problem of the plan that is checked.
    local function carry_out(id)
      nvim:lua([[
        local id = ...
        vim.lsp.commands[id]({ command = id, arguments = { { uri = vim.uri_from_bufnr(0) } } },
          { client_id = vim.lsp.get_clients({ name = 'kapell' })[1].id })
      ]], id)
    end
    carry_out('kapell.checkPlan')
    nvim:hear('the plan is in order: 2 tasks in 2 waves')
    carry_out('kapell.dispatchPlan')
    nvim:hear('runs: 1 started')
    nvim:see('running by hand')
  end },

  { 'problems of a plan come into the quickfix list and as diagnostics', function(place)
    place.write_file(place.repo .. '/bad.plan.json', BAD)
    local nvim = place:nvim()
    nvim:open('bad.plan.json')
    nvim:cmd('Kapell plan')
    nvim:hear('bad.plan.json has')
    local items = nvim:lua([[
      return vim.tbl_map(function(i) return { i.lnum, i.type, i.text:match('%[([%w-]+)%]') } end, vim.fn.getqflist())
    ]])
    local codes = {}
    for _, item in ipairs(items) do
      codes[item[3]] = item[1]
    end
    assert(codes.overlap and codes['unknown-dependency'], vim.inspect(items))
    eq(codes['unknown-dependency'], 5)
    place.plan_codes = codes
    local one = nvim:diagnostic('unknown-dependency')
    eq(one.lnum, 4)
    nvim:diagnostic('overlap')
  end },

  { 'a half-typed plan is no crash, and right again when it is whole', function(place)
    place.write_file(place.repo .. '/small.plan.json', PLAN)
    local nvim = place:nvim()
    nvim:open('small.plan.json')
    nvim:type('ggdd')
    nvim:diagnostic('syntax')
    nvim:type('u')
    nvim:diagnostic(nil)
  end },

  { 'the server completes and explains in a plan file', function(place)
    place.write_file(place.repo .. '/small.plan.json', PLAN)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('small.plan.json')
    local function asked(method, line, column)
      return place:wait('for ' .. method, function()
        return nvim:lua([[
          local method, line, column = ...
          local answers = vim.lsp.buf_request_sync(0, method, {
            textDocument = vim.lsp.util.make_text_document_params(0),
            position = { line = line, character = column },
          }, 3000) or {}
          for _, answer in pairs(answers) do
            return vim.json.encode(answer.result)
          end
        ]], method, line, column)
      end)
    end
    local line = nvim:lines()[4]
    local hover = asked('textDocument/hover', 3, line:find('src/a.rs', 1, true) + 2)
    assert(hover and hover:find('ada'), tostring(hover))
    local definition = asked('textDocument/definition', 4, nvim:lines()[5]:find('[1]', 1, true))
    assert(definition and definition:find('"line":3', 1, true), tostring(definition))
    local agents = asked('textDocument/completion', 3, line:find('"hand"', 1, true) + 1)
    assert(agents and agents:find('hand'), tostring(agents))
  end },

  { 'dispatch, status, log, diff, verdict, land', function(place)
    local plan = place:plan('small', {
      { id = 1, files = { 'src/a.rs' }, task = 'change a' },
      { id = 'two', files = { 'src/b.rs' }, task = 'change b', depends_on = { 1 } },
    })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell status')
    nvim:see(plan)
    nvim:see('change b')
    nvim:cmd('Kapell dispatch')
    nvim:hear(('plan %s runs: 1 started, waiting: two for'):format(plan))
    nvim:see('running')
    nvim:see('1 busy')

    -- Its log follows it.
    nvim:cmd('Kapell log ' .. plan .. '/1')
    nvim:see('starting on 1')
    place:work('1', 'echo "now it changes"; echo "// by hand" >> src/a.rs; echo "that was it"')
    nvim:see('that was it')
    until_state(place, plan, '1', 'done')

    nvim:cmd('wincmd p')
    nvim:see('✓ 1')
    local attempt = attempt_of(place, plan, '1')
    nvim:cmd('Kapell diff ' .. attempt)
    nvim:see('+// by hand')
    eq(nvim:lua('return vim.bo.filetype'), 'diff')
    nvim:cmd('close')
    nvim:cmd('Kapell verdict ' .. plan .. '/1')
    nvim:see('approved')
    assert(nvim:text():find('ownership', 1, true), nvim:text())
    nvim:cmd('close')

    place:work('two', 'echo "// b too" >> src/b.rs')
    until_state(place, plan, 'two', 'done')
    nvim:hear(('plan %s: done'):format(plan))
    nvim:cmd('edit src/a.rs')
    nvim:cmd('Kapell land ' .. plan)
    place:wait('for it to land', function()
      return place:git({ 'log', '--oneline', 'main' }):match('\n.*\n')
    end)
    place:wait('for the buffer to be read again', function()
      return nvim:text():find('// by hand', 1, true)
    end)
  end },

  { 'what needs you is told and counted, until it is looked at', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    place:work('1', 'echo "not mine" >> src/b.rs')
    nvim:cmd('Kapell dispatch ' .. plan)
    until_state(place, plan, '1', 'failed')
    nvim:hear('(:Kapell status)')
    nvim:see('need you')
    nvim:cmd('Kapell status')
    nvim:see('Needs you')
    nvim:see(plan .. '/1 failed')
    nvim:see_not('need you')
  end },

  { 'pause, resume and stop', function(place)
    local plan = place:plan('small', {
      { id = 1, files = { 'src/a.rs' } },
      { id = 2, files = { 'src/b.rs' }, depends_on = { 1 } },
    })
    local function state()
      return place:kapell({ 'status', '--scope', 'plan', '--id', plan }).state
    end
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell dispatch')
    until_state(place, plan, '1', 'running')
    nvim:cmd('Kapell status')
    nvim:cmd('Kapell pause')
    place:wait('for a pause', function()
      return state() == 'paused'
    end)
    nvim:see('paused')
    nvim:cmd('Kapell resume ' .. plan)
    place:wait('for it to go on', function()
      return state() == 'running'
    end)
    nvim:cmd('Kapell! stop ' .. plan)
    place:wait('for the end', function()
      return state() == 'stopped'
    end)
    nvim:see('stopped')
  end },

  { 'a task that is paused by itself says so, and its plan counts it', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } }, { id = 2, files = { 'src/b.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell dispatch')
    until_state(place, plan, '1', 'running')
    until_state(place, plan, '2', 'running')
    nvim:cmd('Kapell status')
    nvim:see('0 of 2 done, 2 running')
    nvim:cmd('Kapell pause ' .. plan .. '/1')
    nvim:see('‖ 1    paused')
    nvim:see('▶ 2    running')
    nvim:see('0 of 2 done, 1 running, 1 paused')
    nvim:cmd('Kapell resume ' .. plan .. '/1')
    nvim:see('0 of 2 done, 2 running')
    nvim:see('▶ 1    running')
  end },

  { 'what is blocked is told apart from what failed, and is no need of its own', function(place)
    local plan = place:plan('small', {
      { id = 1, files = { 'src/a.rs' } },
      { id = 2, files = { 'src/b.rs' }, depends_on = { 1 } },
    })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    place:work('1', 'echo "not mine" >> src/b.rs')
    nvim:cmd('Kapell dispatch ' .. plan)
    until_state(place, plan, '2', 'blocked')
    nvim:see('1 need you')
    nvim:cmd('Kapell status')
    nvim:see('0 of 2 done, 1 failed, 1 blocked')
    nvim:see(plan .. '/1 failed')
    nvim:see_not(plan .. '/2 blocked')
  end },

  { 'stages that wait for a person are told, and are approved and refused', function(place)
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    local run = place:kapell({ 'pipeline', 'run', 'feature', '--request', 'change a' }).run
    place:work('build', 'echo "// built" >> src/a.rs')
    nvim:see('2 need you')
    -- An editor that comes later knows it as well.
    local later = place:nvim()
    later:open('src/c.rs')
    later:see('2 need you')
    nvim:cmd('Kapell status')
    local function at(stage)
      place:wait('for stage ' .. stage, function()
        for number, line in ipairs(nvim:lines()) do
          if line:find(('%s stage %s waits for your approval'):format(run, stage), 1, true) then
            nvim:call('win_set_cursor', 0, { number, 0 })
            return true
          end
        end
      end)
    end
    at('tell')
    at('deploy')
    nvim:lua([[_G.answers = { 1 }]])
    nvim:type('a')
    nvim:hear(('Approve %s/deploy?'):format(run))
    local function decisions()
      local found = {}
      for _, stage in ipairs(place:kapell({ 'pipeline', 'show', run }).stages) do
        found[stage.stage] = stage.decision
      end
      return found
    end
    place:wait('for the approval', function()
      return decisions().deploy == 'approved'
    end)
    later:see('1 need you')
    place:wait('for completion', function()
      return vim.deep_equal(later:lua([[return vim.fn.getcompletion('Kapell refuse ', 'cmdline')]]), { run .. '/tell' })
    end)
    at('tell')
    nvim:lua([[_G.answers = { 'not today' }]])
    nvim:type('x')
    nvim:hear(('Why do you refuse stage tell of %s?'):format(run))
    place:wait('for the refusal', function()
      return decisions().tell == 'refused'
    end)
    place:wait('for nothing to wait', function()
      return not nvim:text():find('waits for your approval', 1, true)
    end)
  end },

  { 'a long log is shown from its end, and followed', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell dispatch')
    until_state(place, plan, '1', 'running')
    place:work('1', ('yes "a line of a log that goes on and on, sixty-four characters long" | head -n 200000; echo "that was much"; . "%s/steps/later"'):format(place.base))
    local attempt = attempt_of(place, plan, '1')
    place:wait('for all of it', function()
      return nvim:lua([[
        local params = { uri = ('kapell://attempts/%s/log'):format(...) }
        local answers = vim.lsp.buf_request_sync(0, 'kapell/read', params, 5000) or {}
        return vim.iter(vim.tbl_values(answers)):any(function(answer)
          return answer.result and answer.result.text:find('that was much', 1, true) ~= nil
        end)
      ]], attempt)
    end)
    nvim:cmd('Kapell log ' .. attempt)
    nvim:see('that was much')
    local lines = nvim:lines()
    -- 200,000 lines of 65 bytes.
    eq(lines[1], '… this is the end of a long log; 11 MB before it are left out …')
    eq(lines[2], 'a line of a log that goes on and on, sixty-four characters long')
    assert(#lines < 2 * 1024 * 1024 / 64 + 5, tostring(#lines))
    place:work('later', 'echo "and a bit more"; echo "// x" >> src/a.rs')
    nvim:see('and a bit more')
    until_state(place, plan, '1', 'done')
    -- Shown again it goes on where it was.
    nvim:cmd('close')
    nvim:cmd('Kapell log ' .. attempt)
    nvim:see('and a bit more')
    eq(#vim.tbl_filter(function(line)
      return line:find('left out', 1, true)
    end, nvim:lines()), 1)
  end },

  { 'judge tells the verdict', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    place:work('1', 'echo "// x" >> src/a.rs')
    nvim:cmd('Kapell dispatch')
    until_state(place, plan, '1', 'done')
    nvim:cmd('Kapell judge ' .. attempt_of(place, plan, '1'))
    nvim:hear('judged: ')
  end },

  { 'events are listed, and more are added as they happen', function(place)
    place:claim('ada', { 'src/a.rs' })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell events')
    nvim:see('ada claims src/a.rs')
    place:claim('ben', { 'src/b.rs' })
    nvim:see('ben claims src/b.rs')
    local count = 0
    for _, line in ipairs(nvim:lines()) do
      count = count + (line:find('ada claims', 1, true) and 1 or 0)
    end
    eq(count, 1)
  end },

  { 'plans, tasks and attempts are completed', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } }, { id = 'two', files = { 'src/b.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    local function complete(text)
      return nvim:lua([[return vim.fn.getcompletion(..., 'cmdline')]], 'Kapell ' .. text)
    end
    -- Whoever types does not wait for a server that is slow: what it says is there the next time.
    local function completes(text, want)
      place:wait(('for %q to be completed'):format(text), function()
        return vim.deep_equal(complete(text), want)
      end)
    end
    completes('dispatch ', { plan })
    completes('dispatch ' .. plan .. ' ', { '1', 'two' })
    completes('dispatch ' .. plan .. ' t', { 'two' })
    place:wait('for tasks to be completed', function()
      return vim.tbl_contains(complete('pause '), plan .. '/two')
    end)
    eq(complete('log '), {})
    nvim:cmd('Kapell dispatch ' .. plan .. ' 1')
    until_state(place, plan, '1', 'running')
    local attempt = attempt_of(place, plan, '1')
    place:wait('for the attempt to be completed', function()
      return vim.deep_equal(complete('log a-'), { attempt })
    end)
  end },

  { 'an attempt that is not there is told, and no window opens', function(place)
    local nvim = place:nvim()
    nvim:open('src/c.rs')
    nvim:cmd('Kapell log a-nosuchone1')
    nvim:hear('a-nosuchone1')
    eq(nvim:lua('return #vim.api.nvim_list_wins()'), 1)
  end },

  { 'the holder of the file is the attempt that log and diff are about', function(place)
    local plan = place:plan('small', { { id = 1, files = { 'src/a.rs' } } })
    local nvim = place:nvim()
    nvim:open('src/a.rs')
    nvim:cmd('Kapell dispatch')
    until_state(place, plan, '1', 'running')
    place:wait('for the holder', function()
      return nvim:lua([[return require('kapell').statusline()]]):find('task ' .. plan .. '/1', 1, true)
    end)
    nvim:cmd('Kapell log')
    nvim:see('starting on 1')
    -- And in an editor that does not know the holder yet.
    local fresh = place:nvim()
    fresh:edit('src/a.rs')
    fresh:cmd('Kapell log')
    fresh:see('starting on 1')
  end },
}
