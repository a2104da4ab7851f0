-- Found by `vim.lsp.enable('kapell')` on Neovim 0.11 and newer.
return require('kapell.server').config()
