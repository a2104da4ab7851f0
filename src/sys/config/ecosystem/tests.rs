//! Projects on disk, what is found in them, and their customs of tests.

use super::EcosystemKind::{self, *};
use super::{Ecosystem, find};
use crate::domain::plan::CommandLine;

/// Finds what a folder with these files has.
fn found(files: &[(&str, &str)]) -> Ecosystem {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    find(folder.path())
}

fn line(command: Option<CommandLine>) -> String {
    command.map_or("-".to_owned(), |command| command.0.join(" "))
}

/// Kind, and the commands `lint | test | build`.
fn check(files: &[(&str, &str)], kind: EcosystemKind, commands: &str) {
    let found = found(files);
    let told = [found.lint, found.test, found.build].map(line).join(" | ");
    assert_eq!((found.kind, told.as_str()), (kind, commands), "{files:?}");
}

/// The command for test files, `-` if there is none.
fn run(files: &[(&str, &str)], paths: &[&str], expected: &str) {
    assert_eq!(line(found(files).test_files_command(paths)), expected, "{files:?} {paths:?}");
}

#[test]
fn tools_and_their_commands() {
    check(&[], Unknown, "- | - | -");
    check(
        &[("Cargo.toml", "[package]\nname='x'")],
        Cargo,
        "cargo clippy -- -D warnings | cargo test | cargo build",
    );
    check(
        &[("Cargo.toml", "[workspace]")],
        Cargo,
        "cargo clippy --workspace -- -D warnings | cargo test --workspace | cargo build --workspace",
    );
    check(&[("Cargo.toml", "not toml [")], Cargo, "cargo clippy -- -D warnings | cargo test | cargo build");
    check(&[("go.mod", "module x")], Go, "go vet ./... | go test ./... | go build ./...");
    check(&[("go.work", "use ./a")], Go, "- | - | -");
    check(
        &[("pom.xml", "<project/>"), ("mvnw", "")],
        Maven,
        "- | ./mvnw -B test | ./mvnw -B package -DskipTests",
    );
    check(&[("settings.gradle.kts", "")], Gradle, "- | gradle test | gradle assemble");
    check(
        &[("Makefile", "test := no\nlint: a\n\techo\nall check: lint\n# build: x\nA = test: x\n")],
        Make,
        "make lint | make check | make all",
    );
}

#[test]
fn node_by_manager_and_script() {
    let scripts = r#"{"scripts": {"test": "node --test", "lint": "eslint .", "build": "tsc"}}"#;
    check(&[("package.json", scripts)], Npm, "npm run lint | npm run test | npm run build");
    check(
        &[("package.json", scripts), ("yarn.lock", "")],
        Yarn,
        "yarn run lint | yarn run test | yarn run build",
    );
    check(
        &[("package.json", scripts), ("pnpm-lock.yaml", "")],
        Pnpm,
        "pnpm run lint | pnpm run test | pnpm run build",
    );
    check(
        &[("package.json", r#"{"packageManager": "bun@1.2", "scripts": {"lint": "x"}}"#), ("yarn.lock", "")],
        Bun,
        "bun run lint | bun test | -",
    );
    let placeholder = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    check(&[("package.json", placeholder)], Npm, "- | - | -");
    let installed = r#"{"scripts": {"test": " "}, "devDependencies": {"jest": "1"}}"#;
    check(&[("package.json", installed)], Npm, "- | npx --no -- jest | -");
    check(
        &[("package.json", r#"{"scripts": {"test": "vitest --watch"}}"#)],
        Npm,
        "- | npx --no -- vitest run | -",
    );
    for broken in ["", "[]", "{\"scripts\": 3}", "\u{feff}{}", "{\"scripts\": {\"test\": 1}}"] {
        check(&[("package.json", broken)], Npm, "- | - | -");
    }
}

#[test]
fn python_by_what_the_tests_are_written_for() {
    let project = ("pyproject.toml", "[project]\nname='x'\n[tool.ruff]\n");
    check(&[project], Python, "ruff check . | - | -");
    check(
        &[project, ("uv.lock", ""), ("tests/conftest.py", "")],
        Python,
        "uv run ruff check . | uv run pytest | -",
    );
    check(
        &[("setup.py", ""), ("tests/test_a.py", "import unittest\n")],
        Python,
        "- | python3 -m unittest | -",
    );
    check(
        &[("setup.py", ""), ("tests/test_a.py", "import x\ndef test_a(): pass\n")],
        Python,
        "- | python3 -m pytest | -",
    );
    check(&[("requirements.txt", "pytest==8\n"), (".flake8", "")], Python, "flake8 | python3 -m pytest | -");
}

#[test]
fn the_first_that_can_test_speaks_and_the_others_are_listed() {
    let node = ("package.json", "{}");
    let two = found(&[("go.mod", ""), ("Makefile", "x:\n"), node, ("Cargo.toml", "")]);
    assert_eq!(
        (two.kind, two.others.as_slice(), two.evidence.as_deref()),
        (Cargo, &[Go, Npm, Make][..], Some("Cargo.toml"))
    );
    let tools = found(&[node, ("go.mod", "")]);
    assert_eq!((tools.kind, tools.others.as_slice()), (Go, &[Npm][..]));
    // A folder in place of the file is no file.
    assert_eq!(found(&[("Cargo.toml/x", ""), ("go.mod", "")]).kind, Go);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("Cargo.toml")).unwrap();
    std::fs::write(folder.path().join("package.json"), b"\xff\xfe{}").unwrap();
    let found = find(folder.path());
    assert_eq!((found.kind, found.test), (Npm, None));
    assert_eq!(find(&folder.path().join("missing")).kind, Unknown);
}

#[test]
fn customs_of_test_files() {
    let customs: [(&str, &[&str], &[&str]); 6] = [
        (
            "Cargo.toml",
            &["tests/a.rs", "crates/b/tests/x/main.rs", "src/x/tests.rs", "src/x_test.rs"],
            &["src/lib.rs", "src/testing.rs", "benches/a.rs", "spec/api.md", "tests.md"],
        ),
        (
            "package.json",
            &["src/a.test.ts", "a.spec.mjs", "src/__tests__/a.js", "test/x.js", "spec/a.ts"],
            &["src/a.ts", "spec/api.md", "latest/a.ts", "test.md"],
        ),
        (
            "setup.py",
            &["tests/data.json", "test_a.py", "pkg/a_test.py", "conftest.py"],
            &["pkg/attest.py", "test_a.txt", "contest.py"],
        ),
        ("go.mod", &["a_test.go", "x/testdata/in.txt"], &["a.go", "test.go", "tests/a.go"]),
        (
            "pom.xml",
            &[
                "src/test/resources/a",
                "m/src/test/java/a/B.java",
                "src/integrationTest/kotlin/C.kt",
                "BTest.java",
            ],
            &["src/main/java/a/Tested.java", "Test.md", "src/latest/a"],
        ),
        ("Makefile", &["tests/a.c", "a_test.go", "test_x.py"], &["main.c", "spec/api.md"]),
    ];
    for (file, tests, others) in customs {
        let found = found(&[(file, "")]);
        for path in tests {
            assert!(found.is_test_path(path), "{file} {path}");
        }
        for path in others {
            assert!(!found.is_test_path(path), "{file} {path}");
        }
    }
    // All that are there have a say, but for a makefile beside them.
    let both = found(&[("Cargo.toml", ""), ("package.json", ""), ("Makefile", "")]);
    assert!(
        both.is_test_path("web/a.test.ts")
            && both.is_test_path("tests/a.rs")
            && !both.is_test_path("a_test.go")
    );
    assert!(found(&[]).is_test_path("a_test.go") && !found(&[]).is_test_path(""));
}

#[test]
fn given_test_files_alone() {
    let cargo = ("Cargo.toml", "[package]\nname='x'\n[[test]]\nname='e2e'\npath='tests/e2e/all.rs'\n");
    run(
        &[cargo],
        &["tests/a.rs", "tests/b/main.rs", "tests/e2e/all.rs"],
        "cargo test --test a --test b --test e2e",
    );
    run(&[cargo], &["crates/b/tests/a.rs"], "cargo test --manifest-path crates/b/Cargo.toml --test a");
    for paths in
        [&["src/a.rs"][..], &["tests/common/mod.rs"], &["tests/a.rs", "b/tests/c.rs"], &["tests/a.txt"], &[]]
    {
        run(&[cargo], paths, "-");
    }
    let listed = ("Cargo.toml", "[package]\nautotests=false\n[[test]]\nname='a'\n");
    run(&[listed], &["tests/a.rs"], "cargo test --test a");
    run(&[listed], &["tests/b.rs"], "-");
    run(&[("go.mod", "")], &["a/x_test.go", "a/y_test.go", "z_test.go"], "go test . ./a");
    run(&[("go.mod", "")], &["a/x.go"], "-");
    run(&[("setup.py", ""), ("pytest.ini", "")], &["tests/a b.py"], "python3 -m pytest tests/a b.py");
    run(&[("setup.py", "")], &["tests/a.py"], "-");
    run(
        &[("pom.xml", "")],
        &["m/src/test/java/a/BTest.java", "src/test/java/CTest.java"],
        "mvn -B test -Dtest=CTest,a.BTest -Dsurefire.failIfNoSpecifiedTests=false",
    );
    run(
        &[("build.gradle", ""), ("gradlew", "")],
        &["app/core/src/test/kotlin/a/BTest.kt", "src/test/java/CTest.java"],
        "./gradlew :app:core:test --tests a.BTest :test --tests CTest",
    );
    run(&[("build.gradle", "")], &["README.md"], "-");
    run(&[("Makefile", "test:\n")], &["tests/a.c"], "-");
    let node = |script: &str, expected: &str| {
        let package = serde_json::json!({ "scripts": { "test": script } }).to_string();
        run(&[("package.json", package.as_str())], &["test/a.js"], expected);
    };
    node("node --test", "node --test test/a.js");
    node("node --import tsx --test --test-reporter dot 'test/*.js'", "-");
    node("node --import tsx --test 'test/*.js'", "node --import tsx --test test/a.js");
    node("node --test test --test-reporter=dot", "node --test --test-reporter=dot test/a.js");
    node("vitest run --coverage", "npx --no -- vitest run --coverage test/a.js");
    node("jest --ci", "npx --no -- jest --ci --runTestsByPath test/a.js");
    node("mocha", "npx --no -- mocha test/a.js");
    node("bun test", "bun test ./test/a.js");
    for several in [
        "tsc && jest",
        "NODE_ENV=test jest",
        "jest --config x",
        "mocha 'test/**'",
        "echo 'a",
        "./run-tests",
        "node x.js",
    ] {
        node(several, "-");
    }
    // Nothing that a program would take for an option or for another place.
    for path in ["-x", "", "/etc/passwd"] {
        run(&[("setup.py", ""), ("pytest.ini", "")], &[path], "-");
    }
}
