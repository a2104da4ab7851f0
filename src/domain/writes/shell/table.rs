//! What programs do to the files that they are given: a table, a line for programs that are alike.

/// What a program does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// Writes its operands behind the first so many.
    Operands(usize),
    /// Removes its operands; folders with all in them, if one of these options is given.
    Remove(&'static str),
    /// Writes its operands behind the first so many, if one of these options is given.
    If(&'static str, usize),
    /// The same, unless one of these options is given.
    Unless(&'static str, usize),
    /// Writes the values of these options.
    Values(&'static str),
    /// Writes the last operand, or below it.
    Copy,
    /// The same, and the others vanish.
    Move,
    /// Replaces files by packed ones with this end, or the other way around.
    Pack(&'static str),
    /// Rewrites files of these names: its operands, or what it finds below them; if one of the first
    /// options is given (none: always), and none of the second.
    Format(&'static str, &'static str, &'static str),
    /// Rewrites files of these names that it finds below its folder, whatever its operands are, if one of these
    /// options is given (none: always).
    Find(&'static str, &'static str),
    /// Rewrites these files of its folder, if it has at least so many operands and none of these options.
    Own(usize, &'static str, &'static str),
    /// Runs its operands behind the first so many.
    Carry(usize),
}

/// Programs (`+` joins one with its first operand), their short options with values, and the long ones; see
/// [`super::operands::Operands::of`].
pub(super) type Row = (&'static str, &'static str, &'static str, Rule);

const SCRIPTS: &str = "*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,svelte}";
const PYTHON: &str = "*.{py,pyi}";
const PYTHON_PACKAGES: &str = "pyproject.toml poetry.lock uv.lock";
const COMPOSER: &str = "composer.json composer.lock";
/// What tells programs for Node.js which packages there are.
const PACKAGES: &str =
    "package.json package-lock.json npm-shrinkwrap.json pnpm-lock.yaml yarn.lock bun.lock bun.lockb";
const TEXTS: &str = "*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}";

const TABLE: &[Row] = &[
    ("tee sponge dos2unix unix2dos ex", "c:", "", Rule::Operands(0)),
    ("rm grm rmdir unlink", "", "", Rule::Remove("r R recursive")),
    ("rimraf del-cli trash trash-put rip gio+trash gio+remove", "", "", Rule::Remove("")),
    ("ed red", "p:", "prompt", Rule::Operands(0)),
    ("shred", "n:s:", "iterations size", Rule::Operands(0)),
    ("touch", "d:r:t:", "date reference time", Rule::Operands(0)),
    ("mkfifo", "m:", "mode", Rule::Operands(0)),
    ("iconv", "f:t:o:", "from-code to-code output", Rule::Values("o output")),
    ("gpg gpg2", "o:r:u:", "output recipient local-user", Rule::Values("o output")),
    ("truncate", "s:r:", "size reference", Rule::Operands(0)),
    ("uniq", "f:s:w:", "skip-fields skip-chars check-chars", Rule::Operands(1)),
    ("rename prename", "", "", Rule::Unless("n nono no-act", 1)),
    ("sd", "n:f:", "max-replacements flags", Rule::Unless("p preview", 2)),
    ("yq", "", "", Rule::If("i inplace", 1)),
    ("mv gmv", "t:S:", "target-directory suffix", Rule::Move),
    ("cp gcp", "t:S:", "target-directory suffix", Rule::Copy),
    ("ln gln link", "t:S:", "target-directory suffix", Rule::Copy),
    ("install ginstall", "t:S:m:o:g:", "target-directory suffix mode owner group", Rule::Copy),
    ("scp", "P:i:o:F:J:l:c:S:", "", Rule::Copy),
    (
        "rsync",
        "e:f:T:B:M:",
        "rsh exclude include filter exclude-from include-from files-from log-file backup-dir suffix temp-dir \
         max-size min-size bwlimit port chmod chown info timeout",
        Rule::Copy,
    ),
    ("sort", "o:k:t:S:T:", "output key field-separator buffer-size", Rule::Values("o output")),
    ("shuf", "o:n:i:", "output head-count", Rule::Values("o output")),
    (
        "gcc cc g++ c++ clang clang++ ld rustc tsc pandoc dot xmllint xsltproc protoc swiftc ghc",
        "o:",
        "output outFile",
        Rule::Values("o output outFile"),
    ),
    ("go+build", "o:", "", Rule::Values("o")),
    ("gzip gunzip pigz", "S:", "suffix", Rule::Pack(".gz")),
    ("bzip2 bunzip2", "", "", Rule::Pack(".bz2")),
    ("xz unxz lzma", "S:T:", "suffix threads", Rule::Pack(".xz")),
    ("zstd unzstd", "o:T:", "", Rule::Pack(".zst")),
    // Formatters.
    ("rustfmt", "", "edition config config-path emit color", Rule::Format("", "check", "*.rs")),
    ("cargo+fmt", "p:", "package manifest-path", Rule::Format("", "check", "*.rs")),
    ("gofmt goimports gofumpt", "r:", "", Rule::Format("w", "", "*.go")),
    ("go+fix", "", "", Rule::Format("", "diff", "*.go")),
    ("golangci-lint+run", "c:", "config", Rule::Find("fix", "*.go")),
    ("deno+lint", "", "config ext", Rule::Format("fix", "", SCRIPTS)),
    ("go+fmt", "", "", Rule::Format("", "n", "*.go")),
    (
        "black",
        "l:t:c:",
        "line-length target-version config exclude include",
        Rule::Format("", "check diff c", PYTHON),
    ),
    (
        "isort",
        "l:m:p:",
        "profile line-length settings-path",
        Rule::Format("", "c check check-only diff", PYTHON),
    ),
    ("ruff+format", "", "config line-length exclude", Rule::Format("", "check diff", PYTHON)),
    ("ruff+check", "", "config select ignore exclude", Rule::Format("fix fix-only", "diff no-fix", PYTHON)),
    ("autopep8 yapf", "j:", "style max-line-length", Rule::Format("i in-place", "d diff", PYTHON)),
    (
        "prettier",
        "",
        "config parser ignore-path plugin",
        // With `--check` too.
        Rule::Format("w write", "", TEXTS),
    ),
    ("eslint", "c:", "config ext ignore-path", Rule::Format("fix", "fix-dry-run", SCRIPTS)),
    ("stylelint", "", "config", Rule::Format("fix", "", "*.{css,scss,less,vue}")),
    ("biome+check", "", "config-path", Rule::Format("write fix apply apply-unsafe", "", SCRIPTS)),
    ("biome+format", "", "config-path", Rule::Format("write fix", "", SCRIPTS)),
    ("biome+lint", "", "config-path", Rule::Format("write fix apply", "", SCRIPTS)),
    ("deno+fmt", "", "config ext", Rule::Format("", "check", TEXTS)),
    ("clang-format", "", "style assume-filename", Rule::If("i", 0)),
    ("shfmt", "i:", "", Rule::Format("w", "", "*.{sh,bash}")),
    ("terraform+fmt tofu+fmt", "", "", Rule::Format("", "check write=false", "*.{tf,tfvars}")),
    ("dart+format", "o:l:", "output line-length", Rule::Format("", "o output", "*.dart")),
    ("mix+format", "", "", Rule::Format("", "check-formatted dry-run", "*.{ex,exs}")),
    ("zig+fmt", "", "", Rule::Format("", "check", "*.zig")),
    ("taplo+fmt taplo+format", "", "", Rule::Format("", "check", "*.toml")),
    (
        "rubocop",
        "c:",
        "config only",
        Rule::Format("a A x autocorrect autocorrect-all fix-layout", "", "*.rb"),
    ),
    ("2to3", "f:x:j:o:", "fix nofix processes output-dir", Rule::Format("w write", "", PYTHON)),
    (
        "sg+run sg+scan ast-grep+run ast-grep+scan",
        "p:r:l:c:",
        "pattern rewrite lang config rule",
        Rule::Format("U update-all", "", "*"),
    ),
    ("autoflake docformatter", "", "config exclude imports", Rule::Format("i in-place", "c check", PYTHON)),
    ("pyupgrade", "", "", Rule::Operands(0)),
    ("standard xo", "", "", Rule::Format("fix", "", SCRIPTS)),
    ("oxlint", "c:", "config", Rule::Format("fix", "", SCRIPTS)),
    ("markdownlint markdownlint-cli2", "c:", "config", Rule::Format("f fix", "", "*.{md,markdown}")),
    ("swiftformat", "", "config", Rule::Format("", "lint dryrun", "*.swift")),
    ("swift-format", "", "configuration", Rule::If("i in-place", 0)),
    ("scalafmt", "c:", "config", Rule::Format("", "test check list", "*.{scala,sbt}")),
    ("ormolu fourmolu", "m:", "mode", Rule::If("i", 0)),
    ("google-java-format", "", "", Rule::If("i r replace", 0)),
    ("cmake-format", "c:", "", Rule::If("i in-place", 0)),
    ("pg_format", "", "", Rule::If("i inplace", 0)),
    ("nixfmt alejandra nixpkgs-fmt", "", "", Rule::Format("", "c check", "*.nix")),
    ("dprint+fmt", "c:", "config", Rule::Format("", "check", TEXTS)),
    ("phpcbf", "", "standard", Rule::Format("", "", "*.php")),
    ("php-cs-fixer+fix", "", "config", Rule::Format("", "dry-run", "*.php")),
    ("stylua", "", "", Rule::Format("", "c check", "*.lua")),
    ("ktlint", "", "", Rule::Format("F format", "", "*.{kt,kts}")),
    // What rewrites files of its own names.
    ("cargo+fix", "", "", Rule::Find("", "*.rs")),
    ("cargo+clippy", "", "", Rule::Find("fix", "*.rs")),
    ("jest vitest", "", "", Rule::Find("u update updateSnapshot", "*.snap")),
    (
        "npm+install npm+i npm+add npm+uninstall npm+remove npm+rm npm+r npm+un npm+version pnpm+add pnpm+remove pnpm+rm \
         pnpm+install pnpm+i yarn+add yarn+remove bun+add bun+a bun+install bun+i bun+remove",
        "C:",
        "prefix dir cwd",
        Rule::Own(1, "g global", PACKAGES),
    ),
    (
        "npm+update npm+up npm+upgrade npm+dedupe pnpm+update pnpm+up yarn+upgrade yarn+up bun+update \
         npm+shrinkwrap",
        "C:",
        "prefix dir cwd",
        Rule::Own(0, "g global", PACKAGES),
    ),
    ("npm+audit pnpm+audit npm+pkg", "C:", "", Rule::Own(1, "get signatures dry-run", PACKAGES)),
    (
        "cargo+add cargo+remove cargo+rm cargo+update cargo+upgrade",
        "",
        "",
        Rule::Own(0, "n dry-run", "Cargo.toml Cargo.lock"),
    ),
    ("go+get go+mod", "", "", Rule::Own(1, "download verify graph why", "go.mod go.sum")),
    (
        "poetry+add poetry+remove poetry+update poetry+lock",
        "",
        "",
        Rule::Own(0, "dry-run check", PYTHON_PACKAGES),
    ),
    ("uv+add uv+remove uv+lock", "", "", Rule::Own(0, "dry-run check", PYTHON_PACKAGES)),
    ("poetry+version uv+version", "", "", Rule::Own(1, "dry-run", "pyproject.toml uv.lock")),
    ("uv+export pip-compile", "o:", "output-file format", Rule::Values("o output-file")),
    ("pdm+add pdm+remove pdm+update pdm+lock", "", "", Rule::Own(0, "dry-run", "pyproject.toml pdm.lock")),
    (
        "pipenv+install pipenv+uninstall pipenv+update pipenv+lock",
        "",
        "",
        Rule::Own(0, "", "Pipfile Pipfile.lock"),
    ),
    (
        "deno+add deno+remove deno+install",
        "",
        "",
        Rule::Own(1, "g global", "deno.json deno.lock package.json"),
    ),
    ("ncu npm-check-updates", "", "", Rule::Find("u upgrade", "package.json")),
    ("svn+revert hg+revert jj+restore", "", "", Rule::Operands(0)),
    ("composer+require composer+remove composer+update", "", "", Rule::Own(0, "dry-run", COMPOSER)),
    (
        "bundle+add bundle+remove bundle+update bundle+lock",
        "",
        "",
        Rule::Own(0, "print", "Gemfile Gemfile.lock"),
    ),
    // Programs that run another one.
    ("flock", "w:E:c:", "timeout conflict-exit-code command", Rule::Carry(1)),
    ("sudo doas", "u:g:h:p:C:r:t:T:U:D:R:", "user group host prompt chdir", Rule::Carry(0)),
    ("exec", "a:", "", Rule::Carry(0)),
    ("command builtin nohup setsid busybox toybox unbuffer", "", "", Rule::Carry(0)),
    ("time gtime", "o:f:", "output format", Rule::Carry(0)),
    ("nice", "n:", "adjustment", Rule::Carry(0)),
    ("ionice", "c:n:p:P:u:", "class classdata", Rule::Carry(0)),
    ("timeout gtimeout", "s:k:", "signal kill-after", Rule::Carry(1)),
    ("stdbuf gstdbuf", "i:o:e:", "input output error", Rule::Carry(0)),
    ("caffeinate", "t:w:", "", Rule::Carry(0)),
    ("taskset chrt", "", "", Rule::Carry(1)),
    ("strace ltrace", "e:p:s:a:", "", Rule::Carry(0)),
    ("npx bunx", "p:c:", "package call", Rule::Carry(0)),
    ("pipx+run", "", "spec python", Rule::Carry(0)),
    ("uvx pipx", "p:", "from with python", Rule::Carry(0)),
    ("direnv+exec", "", "", Rule::Carry(1)),
    (
        "hatch+run pdm+run rye+run pixi+run conda+run devbox+run",
        "e:n:p:",
        "env name prefix environment",
        Rule::Carry(0),
    ),
    ("shx", "", "", Rule::Carry(0)),
    ("npm+exec npm+x", "p:c:", "package call", Rule::Carry(0)),
    ("pnpm+dlx yarn+dlx", "p:", "package", Rule::Carry(0)),
    ("uv+run", "p:", "with python extra group", Rule::Carry(0)),
    ("mise+exec bun+x poetry+run pipenv+run bundle+exec yarn+exec pnpm+exec", "", "", Rule::Carry(0)),
    ("yarn+run pnpm+run yarn pnpm", "", "", Rule::Carry(0)),
];

/// The row of a program, or of a program with this first operand; whether it is the second.
pub(super) fn row(program: &str, first: Option<&str>) -> Option<(&'static Row, bool)> {
    let is_meant = |name: &str| match name.split_once('+') {
        Some((name, word)) if name == program && first == Some(word) => Some(true),
        _ if name == program => Some(false),
        _ => None,
    };
    TABLE.iter().find_map(|row| Some((row, row.0.split(' ').find_map(is_meant)?)))
}
