//! What commands write that their words alone do not tell: by commits, by lists, by other names of a file.

use super::*;

/// A project with branches that change one file each, and their patches beside it.
fn branched() -> Bench {
    let bench = Bench::new();
    for (branch, file) in [("topic", "src/lib.txt"), ("other", "README")] {
        bench.git(["checkout", "-q", "-b", branch, "main"]);
        bench.write(file, &format!("{branch}\n"));
        bench.commit(branch);
        let patch = bench.git(["format-patch", "-1", "--stdout"]);
        fs::write(bench.root.join(format!("{branch}.patch")), patch + "\n").unwrap();
    }
    bench.git(["checkout", "-q", "main"]);
    bench
}

#[test]
fn what_git_would_bring_over_a_held_file_is_refused_before() {
    let bench = branched();
    bench.git(["config", "alias.co", "checkout"]);
    bench.git(["config", "alias.undo", "!git reset -q && git restore"]);
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    for command in [
        "git merge topic",
        "git co topic",
        "cd src; git undo src/lib.txt",
        "git merge --no-ff -m 'the topic' other topic",
        "git cherry-pick topic",
        "git cherry-pick main..topic",
        "git revert --no-edit HEAD",
        "git rebase topic",
        "git rebase --autostash other",
        "git rebase --abort",
        "git checkout topic",
        "git checkout -b new topic",
        "git checkout -f -b new",
        "git checkout -B main -f",
        "git checkout --force --orphan new",
        "git am --abort",
        "git switch topic",
        "git switch -c new topic",
        "git pull",
        "git fetch && git merge other",
        "git bisect bad",
        "git am ../topic.patch",
        "git am < ../topic.patch",
        "git am ../*.patch",
        "git apply ../topic.patch",
        "cd src && git apply ../../topic.patch",
        "cat ../topic.patch | git apply -3",
        "git show topic | git apply",
        "git stash",
        "git stash apply",
        "git restore .",
        "git restore -s topic src/lib.txt",
        "git checkout -- src",
        "git reset --hard",
        "git clean -fd src",
        "git mv src/lib.txt x",
        "git rm src/lib.txt",
    ] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.starts_with("kapell: src/lib.txt is held by claude-a"), "{command}: {reason}");
    }
    let reason = ask(&bench, &bash(&bench, "b", "git merge topic"));
    assert!(reason.contains("; git merge topic changes it. "), "{reason}");
    let reason = ask(&bench, &bash(&bench, "b", "git pull"));
    assert!(reason.contains("git fetch, which changes no file"), "{reason}");
    // What touches other files, or none.
    for command in [
        "git merge other",
        "git cherry-pick other",
        "git rebase other",
        "git checkout other",
        "git checkout main",
        "git co main; git lol; git undo; git nothing src/lib.txt",
        "git checkout -b new",
        "git switch -c new other",
        "git merge none-such",
        "git merge --abort; git rebase --continue; git am --quit; git cherry-pick --quit",
        "git fetch; git stash list; git bisect log",
        "git show topic; git diff topic; git log -p topic",
        "git apply --check ../topic.patch",
    ] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
    // Nothing of that is a claim: git looks after what is changed there.
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt"]);
    for command in ["git apply ../other.patch", "git am ../other.patch", "git restore README"] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt", "agent claude-b README"]);
}

#[test]
fn what_somebody_resolved_in_a_merge_is_not_thrown_away_with_it() {
    let bench = branched();
    bench.write("src/lib.txt", "main\n");
    bench.commit("main has it too");
    let merge = ["-c", "user.name=a", "-c", "user.email=a@b", "merge", "topic"];
    let merged = bench.command("git").args(merge).output().unwrap();
    assert!(String::from_utf8_lossy(&merged.stdout).contains("CONFLICT"), "{merged:?}");
    assert_eq!(ask(&bench, &edit(&bench, "a", "README")), "");
    assert_eq!(ask(&bench, &bash(&bench, "b", "git merge --abort")), "");
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    for command in ["git merge --abort", "git cherry-pick --skip", "git revert --abort"] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.starts_with("kapell: src/lib.txt is held by claude-a"), "{command}: {reason}");
    }
    // Nor what somebody staged meanwhile.
    assert_eq!(ask(&bench, &event(&bench, "a", "SessionEnd")), "");
    let ours = bench.command("git").args(["checkout", "--ours", "src/lib.txt"]).output().unwrap();
    assert!(ours.status.success(), "{ours:?}");
    bench.git(["add", "src/lib.txt"]);
    assert_eq!(ask(&bench, &bash(&bench, "b", "git merge --abort")), "");
    assert_eq!(ask(&bench, &edit(&bench, "c", "README")), "");
    bench.write("README", "PRECIOUS\n");
    assert_eq!(ask(&bench, &bash(&bench, "d", "git merge --abort")), "");
    bench.git(["add", "README"]);
    let reason = ask(&bench, &bash(&bench, "e", "git merge --abort"));
    assert!(reason.contains("README is held by claude-c"), "{reason}");
}

#[test]
fn what_a_command_finds_or_reads_from_a_list_is_asked_about() {
    let bench = Bench::new();
    bench.write("docs/a.md", "a\n");
    bench.write("held", "src/lib.txt\n");
    bench.write("free", "docs/a.md\n");
    assert_eq!(ask(&bench, &edit(&bench, "a", "src/lib.txt")), "");
    for command in [
        "xargs rm < held",
        "xargs -a held sed -i s/a/b/",
        "cat held | xargs rm",
        "while read -r f; do rm \"$f\"; done < held",
        "for f in $(cat held); do rm $f; done",
        "xargs rm < none",
        "./list > free2 && xargs rm < free2",
        "./list | xargs -I{} mv {} old/",
        "./list | while read -r f; do sed -i s/a/b/ \"src/$f\"; done",
        "find . -mtime +3 -delete",
        "find . -type f ! -name '*.md' -exec rm {} +",
        "find . \\( -name '*.txt' -o -name '*.c' \\) -delete",
        "find . -type d -name src -exec rm -rf {} +",
        "grep -rl one . | xargs sed -i s/one/two/",
        "sed -i s/one/two/ $(grep -rl --include='*.txt' one src)",
        "git ls-files | xargs sed -i s/a/b/",
        "git diff --name-only | xargs rm",
        "shopt -s globstar; rm -rf **/src",
        "find . -name 's?c' | xargs rm -r",
        "cd s*c && rm lib.txt",
        "cd s*c && rm *.txt",
        "find . -type d | while read -r d; do rm $d/*.txt; done",
    ] {
        let reason = ask(&bench, &bash(&bench, "b", command));
        assert!(reason.starts_with("kapell: src/lib.txt is held by claude-a"), "{command}: {reason}");
    }
    let reason = ask(&bench, &bash(&bench, "b", "./list | xargs rm"));
    assert!(reason.contains("; the command finds its files by itself, and may find this one. "), "{reason}");
    for command in [
        "./list | xargs cat",
        "ps aux | awk '{print $2}' | xargs kill",
        "cd docs && ./list | xargs rm",
        "find docs -mtime +3 -delete",
        "find . -name '*.md' -exec sed -i s/a/b/ {} +",
        "find . -path './docs/*' -delete",
        "shopt -s globstar; rm -rf **/target",
        "cd d*s && rm lib.rs",
        "for ((i = 0; i < 9; i++)); do rm -f src/$i.txt; done",
        "grep -rl one docs | xargs sed -i s/one/two/",
        "grep -rl --include='*.md' one . | xargs sed -i s/one/two/",
        "find /tmp/kapell-nowhere -mtime +3 -delete",
        "./list | while read -r f; do rm -f \"/tmp/kapell-nowhere/$f\"; done",
        "while read -r url; do curl -s \"$url\"; done < held",
    ] {
        assert_eq!(ask(&bench, &bash(&bench, "b", command)), "", "{command}");
    }
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt"]);
    assert_eq!(ask(&bench, &bash(&bench, "b", "xargs rm < free")), "");
    assert_eq!(holders(&bench), ["agent claude-a src/lib.txt", "agent claude-b docs/a.md"]);
}

#[test]
fn another_name_of_a_file_in_a_held_folder_is_held_too() {
    let bench = Bench::new();
    bench.write("lib/a.rs", "a\n");
    for pattern in ["src/", "lib/*.rs"] {
        let mut claim = bench.command(KAPELL);
        let claim = claim.env("USER", "ada").args(["claim-files", pattern, "--as", "me"]).output().unwrap();
        assert!(claim.status.success(), "{}", String::from_utf8_lossy(&claim.stderr));
    }
    for (held, link) in [("src/lib.txt", "x"), ("lib/a.rs", "y")] {
        let path = bench.project.join(link);
        fs::hard_link(bench.project.join(held), &path).unwrap();
        for event in [edit(&bench, "b", link), bash(&bench, "b", &format!("echo y >> {link}"))] {
            let reason = ask(&bench, &event);
            let told = reason.starts_with(&format!("kapell: {held} is held by ada"));
            assert!(told && reason.contains(&format!("{link} is the same file")), "{reason}");
        }
        // And what nobody could tell from the words of a command is seen afterwards.
        assert_eq!(ask(&bench, &bash(&bench, "b", "./generate")), "");
        fs::write(&path, "generated\n").unwrap();
        let after = tool(&bench, "b", "PostToolUse", "Bash", json!({"command": "./generate"}));
        let told = ask(&bench, &after);
        assert!(told.contains(&format!("{held} (held by ada) changed while this command")), "{told}");
    }
    // A file with names of its own alone, and one that nobody holds.
    fs::write(bench.project.join("one"), "").unwrap();
    fs::hard_link(bench.project.join("one"), bench.project.join("two")).unwrap();
    assert_eq!(ask(&bench, &edit(&bench, "b", "two")), "");
}
