//! Programs that keep files of their own names.

use super::check;

#[test]
fn files_of_their_own_names() {
    let packages = "package.json? | package-lock.json? | npm-shrinkwrap.json? | pnpm-lock.yaml? | yarn.lock? | \
                    bun.lock? | bun.lockb?";
    let of_one = format!("{packages} | ./**/package.json");
    for command in [
        "yarn workspace foo add bar",
        "npm -w packages/x install y",
        "npm install y --workspace=packages/x",
        "pnpm --filter foo add bar",
    ] {
        check(&[(command, &of_one)]);
    }
    check(&[
        ("npm install left-pad", packages),
        ("yarn add x", packages),
        ("pnpm rm x", packages),
        ("npm update", packages),
        ("npm audit fix; npm audit; npm audit signatures", packages),
        ("npm pkg set a=b; npm pkg get a; npm version", packages),
        ("npm --silent --loglevel warn install x", packages),
        ("poetry version patch; poetry version", "pyproject.toml? | uv.lock?"),
        ("npm install; npm ci; npm test; npm i -g x; yarn install; pnpm build", ""),
        ("cargo add serde", "Cargo.toml? | Cargo.lock?"),
        (
            "cargo --offline --color never -Z x add --manifest-path a/Cargo.toml serde",
            "a/Cargo.toml? | a/Cargo.lock?",
        ),
        (
            "go -C sub mod tidy; uv --directory sub version 1",
            "sub/go.mod? | sub/go.sum? | sub/pyproject.toml? | sub/uv.lock?",
        ),
        ("cargo +nightly update --dry-run; cargo build; cargo +nightly test", ""),
        ("cd sub && cargo update -p serde", "sub/Cargo.toml? | sub/Cargo.lock?"),
        ("cargo +nightly fmt", "./**/*.rs"),
        ("cargo fix --allow-dirty; cargo clippy", "./**/*.rs"),
        ("cargo clippy --fix", "./**/*.rs"),
        ("go mod tidy; go get x; go mod; go mod download", "go.mod? | go.sum?"),
        ("poetry add x", "pyproject.toml? | poetry.lock? | uv.lock?"),
        ("jest -u src/a.test.js; vitest", "./**/*.snap"),
        ("pnpm -C sub exec rm x; yarn --cwd sub run prettier", "sub/x"),
        (
            "npx --yes prettier@3 --write a.js",
            "a.js/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}",
        ),
        ("yarn eslint --fix a", "a/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,svelte}"),
        ("flock /tmp/l rm x; flock -c 'rm y' /tmp/l; flock /tmp/l -c 'rm z'", "x | y | z"),
        ("npx rimraf a; trash b; gio trash c; npx shx rm -rf d", "a | b | c | d"),
        ("nix develop -c rm a; nix-shell -p x --run 'rm b'; nix-shell --command 'rm c'", "a | b | c"),
        ("direnv exec . rm a; hatch run rm b; pipx run rm c; conda run -n x rm d", "a | b | c | d"),
        ("2to3 -w a; 2to3 b; sg run -p x -r y -U c", "a/**/*.{py,pyi} | c/**/*"),
        ("mkfifo p; gpg -o out -d in", "p | out"),
    ]);
}
