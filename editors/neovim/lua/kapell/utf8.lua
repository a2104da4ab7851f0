-- Whether a text is UTF-8, which is all that a server can be sent.
local M = {}

-- All that is more than one byte long.
local LONGER = {
  '[\194-\223][\128-\191]',
  '\224[\160-\191][\128-\191]',
  '[\225-\236\238\239][\128-\191][\128-\191]',
  '\237[\128-\159][\128-\191]',
  '\240[\144-\191][\128-\191][\128-\191]',
  '[\241-\243][\128-\191][\128-\191][\128-\191]',
  '\244[\128-\143][\128-\191][\128-\191]',
}

---@param text string
---@return boolean
function M.is_text(text)
  if not text:find('[\128-\255]') then
    return true
  end
  for _, pattern in ipairs(LONGER) do
    text = text:gsub(pattern, 'x')
  end
  return not text:find('[\128-\255]')
end

---@param bufnr integer
---@return boolean
function M.is(bufnr)
  local text = vim.api.nvim_buf_get_lines(bufnr, 0, -1, false)
  return M.is_text(table.concat(text, '\n'))
end

return M
