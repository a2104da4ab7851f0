//! What is looked up: names in lists, and what commits bring.

use super::*;

/// What git brings from commits is looked up; what only the other side knows may be all.
#[test]
fn commits() {
    check(&[
        ("git merge x", "Since x"),
        ("git merge -m 'a b' --no-ff x y", "Since x y"),
        ("git merge", "Since @{upstream}"),
        ("git merge --quit; git merge --continue; git cherry-pick --quit; git revert --quit", ""),
        ("git cherry-pick -x a..b c", "Each a..b c"),
        ("git revert -m 1 --no-edit HEAD", "Each HEAD"),
        ("git cherry-pick $(git rev-parse x)", ". by git cherry-pick"),
        ("git rebase main", "Both main"),
        ("git rebase -i HEAD~3", "Both HEAD~3"),
        ("git rebase --continue; git rebase --quit", ""),
        ("git rebase --abort", ". by git rebase --abort"),
        ("git rebase --onto a b c", ". by git rebase --onto a"),
        ("git rebase --autostash main", ". by git rebase --autostash main"),
        ("git pull --rebase", ". by git pull --rebase"),
        ("git fetch; git log origin/main", ""),
        ("git fetch && git merge origin/main", ". by git merge origin/main"),
        ("git fetch && git rebase @{u}", ". by git rebase @{u}"),
        ("git -C sub merge x", "Since x"),
        ("git bisect start; git bisect log", ""),
        ("git bisect good", ". by git bisect good"),
        ("git checkout --pathspec-from-file=x", ". by git checkout --pathspec-from-file=x"),
        ("git sparse-checkout set src; git sparse-checkout list", ". by git sparse-checkout set src"),
    ]);
}

/// Names that stand in a list: read where it lies there, else any below the folder.
#[test]
fn lists() {
    check(&[
        ("xargs rm < names", "one | two | words"),
        (
            "rm $(<names); for f in $(< names); do touch x/$f; done",
            "one | two | words | x/one | x/two | x/words",
        ),
        ("xargs -a names rm; xargs --arg-file names shred", "one | two | words | one | two | words"),
        ("cat names | xargs -d '\\n' rm", "one | two words"),
        ("xargs -I{} mv {} old/{} < names", "one | old/one<one | two words | old/two words<two words"),
        ("cd sub; xargs -0 rm < nul", "sub/x | sub/y z"),
        ("while read -r f; do rm \"$f\"; done < names", "one | two words"),
        ("while read -r f; do sort -o \"new/$f\" x; done < names", "new/one | new/two words"),
        ("while read a b; do rm $a $b; done < names", "one | two | words"),
        ("cat names | while read f; do rm \"$f\"; done", "one | two words"),
        ("cat names | { while read f; do rm \"$f\"; done; }", "one | two words"),
        ("for f in $(cat names); do rm $f; done", "one | two | words"),
        ("mapfile -t all < names; rm \"${all[@]}\"", "one | two words"),
        (
            "grep one names | xargs rm; head -1 names | xargs rm; sort names | xargs unlink",
            "one | two | words",
        ),
        ("grep -v one names | sort -u | xargs rm", "one | two | words"),
        ("parallel rm < names", "one | two words"),
        ("xargs rm <<E\na\nb\nE", "a | b"),
        ("while read f; do rm $f; done <<< a", "a"),
        // A list that is made first, or is not there, may name any file.
        ("./list > names; xargs rm < names", "names | ./**/*"),
        ("xargs rm < none; xargs -a none rm", "./**/*"),
        ("./list | xargs rm", "./**/*"),
        ("./list | xargs sed -i s/a/b/", "./**/*"),
        ("cat none | xargs -I{} cp {} {}.bak", "./**/*.bak"),
        ("./list | xargs -I{} sh -c 'echo x > {}'", "./**/*"),
        ("./list | while read f; do rm \"src/$f\" \"/tmp/$f\"; done", "src/./**/* | /tmp/./**/*"),
        ("./list | while read a b; do mv $a $b; done", "./**/*"),
        ("cd src; ./list | xargs rm", "src/./**/*"),
        ("while read f; do sed -i s/a/b/ \"$f\"; done < <(./list)", "./**/*"),
        ("while read; do rm \"$REPLY\"; done < none", "./**/*"),
        ("./list | parallel rm", "./**/*"),
        (
            "./list | xargs prettier --write",
            "./**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}",
        ),
        // What prints names says where they lie.
        ("grep -rl old src | xargs sed -i s/a/b/", "src/**/*"),
        ("grep -rl --include=*.rs old src lib | xargs rm", "src/**/*.rs | lib/**/*.rs"),
        ("grep -rlZ --include='*.c' --include='*.h' x . | xargs -0 rm", "./**/{*.c,*.h}"),
        ("grep -l x *.c | xargs rm", "glob *.c"),
        ("rg -l x | xargs sed -i s/a/b/; rg -l -g '*.ts' x web | xargs rm", "./**/* | web/**/*.ts"),
        ("sed -i s/a/b/ $(rg -l -t rust x src)", "src/**/*"),
        ("git grep -l x -- '*.c' | xargs rm; git grep -l x src | xargs rm", "./**/*.c | src/**/*"),
        ("git diff --name-only -- src | xargs rm; git ls-files -m lib | xargs touch", "src/**/* | lib/**/*"),
        ("ls | xargs rm; ls *.log | grep old | head -5 | xargs rm", "glob * | glob *.log"),
        ("find . -name '*.o' | sort | tee all | xargs rm", "all | ./**/*.o"),
        ("while read f; do rm \"$f\"; done < <(find . -name '*.o' -print0)", "./**/*.o"),
        ("mapfile -t all < <(find src -name '*.o'); rm \"${all[@]}\"", "src/**/*.o"),
        ("for f in $(find src -name '*.o'); do mv $f ${f%.o}.x; done", "src/**/*.o | src/**/*.x"),
        ("find . -name '*.md' | xargs -I{} cp {} docs/", "docs//**/*.md"),
        (
            "find . -name pkg -type d | while read d; do rm $d/lock; (cd $d && touch out); done",
            "./**/lock | ./**/out",
        ),
        ("fd -e pyc -x rm; fd -e o . src | xargs rm", "./**/*.pyc | src/**/*.o"),
    ]);
}

/// Such lists where no file of anybody is written for what they say.
#[test]
fn harmless_lists() {
    for command in [
        "ps aux | grep node | awk '{print $2}' | xargs kill",
        "pgrep node | xargs -r kill -9",
        "docker ps -q | xargs docker rm -f",
        "git branch --merged | grep -v main | xargs git branch -d",
        "cat requirements.txt | xargs -n1 pip install",
        "find . -name '*.rs' | xargs wc -l",
        "find . -type f -mtime -1 -exec ls -l {} +",
        "find . -name '*.rs' -exec grep -l x {} +",
        "./list | xargs -I{} sh -c 'cat {} | head'",
        "while read -r url; do curl -s \"$url\"; done < urls",
        "while read -r l; do echo \"$l\" | tr a b; done < names",
        "./list | while read f; do wc -l \"$f\"; done",
        "while ! curl -s localhost; do sleep 1; done",
        "until test -e x; do sleep 1; done < /dev/null",
        "git log --oneline | head -5; git diff | head",
        "git ls-files | xargs cat | wc -l",
        "seq 3 | while read n; do echo $n; done",
        "rg -l x | xargs cat; grep -rn x src | head",
        "F=$(mktemp); rm \"$F\"; rm -rf $(mktemp -d)",
        "git fetch origin; git remote update; git stash list",
    ] {
        assert_eq!(shown(&of_command(command, &known)), "", "{command}");
    }
}

#[test]
fn what_is_counted_is_some_number() {
    check(&[
        ("for i in $(seq 3); do rm f$i; done", "f1 | f2 | f3"),
        ("for i in $(seq 2 2 6); do rm f$i; done", "f2 | f4 | f6"),
        ("for i in `seq 3 1`; do rm f$i; done", ""),
        ("for i in $(seq 500); do rm f$i.txt; done", "glob f#.txt"),
        ("for i in $(seq 0 -1 -2); do rm f$i; done", "f0 | f-1 | f-2"),
        ("for i in $(seq 1 0 9); do rm f$i; done", "glob f#"),
        ("for i in $(seq -w 1 20); do rm f$i; done", "glob f#"),
        ("seq 2 | xargs -I{} rm f{}", "f1 | f2"),
        ("seq 200 | while read n; do rm f$n; done", "glob f#"),
        ("for ((i=0; i<5; i++)); do rm f$i; done", "glob f#"),
        ("i=0; while [ $i -lt 5 ]; do rm f$i; i=$((i+1)); done", "f0 | glob f#"),
        ("i=0; while [ $i -lt 5 ]; do rm f$i; let i+=1; done; rm g$i", "f0 | glob f# | glob g#"),
        ("i=0; until ((i > 4)); do ((i++)); rm f$i; done", "glob f#"),
        ("n=$((1 + 2)); rm \"f$n.txt\" g$((n)).txt", "glob f#.txt | glob g#.txt"),
        // No counter, and nothing comes of it.
        ("while true; do rm a; sleep 1; done", "a"),
        ("(( n > 2 )) && rm a", "a"),
        ("for f in a b; do (( total += $(wc -l < \"$f\") )); rm \"$f\"; done", "a | b"),
        ("f=f7; (( $(stat -c %s \"$f\") > 0 && ${#f} >= 2 )) && rm \"$f\"", "f7"),
        (
            "f=a.js; if (( $(grep -c x \"$f\") == 0 )); then echo x >> \"$f\"; fi; ((f = 1)); rm $f",
            "a.js | a.js",
        ),
        ("i=1; ((--i, j -= 2)); rm f$i g$j", "glob f# | glob g#"),
        ("for ((i=0;i<9;i++)); do f=\"f$i.txt\"; rm \"$f\"; done", "glob f#.txt"),
        ("seq -f f%g 9 | xargs rm -f", "./**/*"),
        ("((a) ; rm b)", "b"),
        ("git reset --hard HEAD~$((n))", ". by git reset --hard"),
    ]);
}

#[test]
fn a_folder_that_a_glob_names_lies_below() {
    check(&[
        ("cd pkg-* && rm a.txt", "./**/a.txt"),
        ("cd lib/pkg-?/src && echo > a.txt", "lib/**/a.txt"),
        ("cd pkg-* && rm *.txt", "./**/*.txt"),
        ("cd pkg-* && cd .. && rm a", "./**/a"),
        ("for d in packages/*/; do (cd \"$d\" && rm -rf dist/); done", "packages/**/dist"),
        (
            "for d in packages/*/; do (cd \"$d\" && cp package.json dist/ && cp x ./); done",
            "packages/**/package.json | packages/**/x",
        ),
        ("for d in packages/*/; do cp templates/* \"$d\"; done", "glob packages/*/<templates/*"),
        ("find . -name 's?c' | xargs rm -r", "./**/s?c | ./**/s?c/**"),
        ("find . -type d -name x | while read d; do rm $d/*.txt; done", "./**/*.txt"),
    ]);
}

#[test]
fn goals_that_only_a_shell_finds() {
    check(&[
        (
            "for f in src/*.js; do sed s/A/B/ \"$f\" > tmp && mv tmp \"$f\"; done",
            "tmp | tmp | glob src/*.js<tmp",
        ),
        ("cp env.txt src/a*", "glob src/a*<env.txt"),
        ("cp *.txt s?c; cd x; cp t/. s?c", "glob s?c<*.txt | glob x/s?c<x/t/*"),
        ("find src -name '*.py' -exec cp env.txt {} \\;", "src/**/*.py"),
        ("git ls-files | while read f; do mv tmp $f; done", "tmp | ./**/*"),
        ("for i in {1..500}; do cp env.txt f$i; done", "glob f#<env.txt"),
        ("rm app/[id]/page.tsx; cd app/[id] && rm a.tsx", "glob app/[id]/page.tsx | app/[id]/a.tsx"),
        ("rm f[[:digit:]].txt g[^[:alpha:]x] h[[:punct:]]", "glob f[0-9].txt | glob g[!a-zA-Zx] | glob h?"),
        ("rm f{a..z..5} g{7..1..3} h{c..a}", "fa | ff | fk | fp | fu | fz | g7 | g4 | g1 | hc | hb | ha"),
        ("tar xf t.tar; unzip -o z.zip", "./**/*"),
        ("tar xkf t.tar; unzip z.zip; unzip -n z.zip -d lib; tar xOf t.tar", ""),
        (
            "npm exec prettier -- --write src",
            "src/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}",
        ),
        ("gofmt -l -w .; cargo fmt -- --config a=b", "./**/*.go | ./**/*.rs"),
    ]);
}

#[test]
fn words_that_stand_for_others() {
    check(&[
        ("bash -c 'rm \"$0\"' f7; bash -c 'rm $1 $0' f8 f9", "f7 | f9 | f8"),
        ("a=(f7 f8); rm ${a[0]} \"${a[1]}\" ${a[9]}", "f7 | f8"),
        ("env - rm f7", "f7"),
        ("echo 'rm f7' | bash -", "f7"),
        ("ln -sf lib/f7; ln x", ".<f7 | x | .<x"),
        ("zip -m z.zip f7; iconv -f a -t b -o f8 x; git bundle create f9 HEAD", "z.zip | f7 | f8 | f9"),
        ("rm() { command rm -f \"$@\"; }; rm f7", "f7"),
        ("rm() { echo no; }; rm f7", ""),
    ]);
}
