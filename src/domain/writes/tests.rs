use proptest::prelude::*;

use super::*;

mod costs;
mod git;
mod lists;
mod packages;

/// What the shell has from outside in these tests.
fn known(name: &str) -> Option<String> {
    let value = match name {
        "HOME" => "/home/ada",
        "PWD" | "CLAUDE_PROJECT_DIR" | TOP => "/p",
        "cat names" => "one\ntwo words\n",
        "cat sub/nul" => "x\0y z\0",
        "git alias co" => "checkout",
        "git alias undo" => "co --",
        "git alias wipe" => "!rm -rf build; git restore",
        "git alias loop" => "loop",
        "git alias odd" => "reset 'x",
        _ => return None,
    };
    Some(value.to_owned())
}

fn shown(writes: &[Write]) -> String {
    let shown = writes.iter().map(|write| {
        let (path, inside) = (&write.path, write.inside.as_deref().unwrap_or_default());
        match &write.reach {
            Reach::Path | Reach::Name | Reach::Tree | Reach::Like(_) | Reach::Moved(_)
                if inside.is_empty() =>
            {
                path.clone()
            }
            Reach::Path | Reach::Name | Reach::Tree | Reach::Like(_) | Reach::Moved(_) => {
                format!("{path}<{inside}")
            }
            Reach::Own => format!("own {path}"),
            Reach::Repositories(by) => format!("repositories {path} by {by}"),
            Reach::IfThere => format!("{path}?"),
            Reach::Glob if inside.is_empty() => format!("glob {path}"),
            Reach::Glob => format!("glob {path}<{inside}"),
            Reach::Names => format!("{path}<glob {inside}"),
            Reach::Below(name) => format!("{path}/**/{name}"),
            Reach::Checkout(by) => format!("{path} by {by}"),
            Reach::Diff(Diff { strip, is_gits, is_glob, .. }) => {
                let (kind, glob) =
                    (if *is_gits { "git" } else { "diff" }, if *is_glob { " glob" } else { "" });
                format!("{kind}{glob} {path} -p{strip} in '{inside}'")
            }
            Reach::Commits(Commits { what, revisions, .. }) => format!("{what:?} {}", revisions.join(" ")),
        }
    });
    let shown = shown.collect::<Vec<_>>().join(" | ");
    shown.replace("{[0-9],[0-9][0-9],[0-9][0-9][0-9],[0-9][0-9][0-9][0-9]}", "#")
}

#[track_caller]
fn check(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(command, expected)| {
            let told = shown(&of_command(command, &known));
            (told != *expected).then(|| format!("{command:?}\n  told     {told}\n  expected {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_what_is_not_there_a_folder_may_come() {
    for (command, expected) in [
        ("rm -rf a b*", &[Reach::Tree, Reach::Glob][..]),
        ("sudo rm -r -- a", &[Reach::Tree]),
        ("rm -f a; rmdir b; touch c; echo > d", &[Reach::Name, Reach::Name, Reach::Path, Reach::Path]),
        ("unlink a; git rm b; ln c d", &[Reach::Name, Reach::Name, Reach::Path, Reach::Name]),
        ("mv a b", &[Reach::Name, Reach::Moved("a".to_owned())]),
        ("cd x && git mv a b", &[Reach::Name, Reach::Moved("x/a".to_owned())]),
        ("cp -a /a b", &[Reach::Like("/a".to_owned())]),
        ("rsync -a a b", &[Reach::Like("a".to_owned())]),
        ("cp a b; ln -s a c; install a d", &[Reach::Path, Reach::Name, Reach::Path]),
    ] {
        let reaches: Vec<Reach> = of_command(command, &known).into_iter().map(|write| write.reach).collect();
        assert_eq!(reaches, expected, "{command}");
    }
}

#[track_caller]
fn is_soon_read(commands: &[String]) {
    for command in commands {
        let started = std::time::Instant::now();
        let writes = of_command(command, &known);
        let start: String = command.chars().take(80).collect();
        assert!(started.elapsed().as_secs() < 10, "{start:?} took {:?}", started.elapsed());
        assert!(writes.len() <= 1024, "{start:?} is told {} times", writes.len());
    }
}

#[test]
fn redirections() {
    check(&[
        ("echo hi > a.txt", "a.txt"),
        ("echo hi >>a.txt 2>&1", "a.txt"),
        ("cargo test 2> /dev/null >| log", "/dev/null | log"),
        ("make &> out.log; ls", "out.log"),
        ("make &>> out.log", "out.log"),
        ("cat < in.txt", ""),
        ("cat<b.txt>a.txt", "a.txt"),
        ("echo x 1> a.txt", "a.txt"),
        ("exec {fd}>a.txt", "a.txt"),
        ("exec 3<>a.txt", "a.txt"),
        (">a.txt", "a.txt"),
        ("cmd |& tee a.txt", "a.txt"),
        ("cmd 2>&1 >&- >&file", "file"),
        ("{ echo x; } > a.txt", "a.txt"),
        ("( echo x ) > a.txt", "a.txt"),
        ("while read l; do echo $l; done < b.txt > a.txt", "a.txt"),
        ("for f in 1; do :; done > a.txt", "a.txt"),
        ("if x; then echo y; fi > a.txt", "a.txt"),
        ("echo x > >(tee a.txt)", "a.txt"),
        ("tee >(cat) a.txt", "a.txt"),
        ("diff <(sort a) <(sort b) > c", "c"),
        ("echo $(echo ')' ) > a.txt", "a.txt"),
        ("echo ${x:-\"}\"} > a.txt", "a.txt"),
        ("echo \"${x:-)}\" > a.txt", "a.txt"),
        ("echo $((1+1)) > a.txt", "a.txt"),
        // These are none.
        ("(( 3 > 2 ))", ""),
        ("(( x = 3 > 2 )) && rm a", "a"),
        ("for ((i=0; i > 3; i++)); do rm a; done", "a"),
        ("[[ a > b ]]", ""),
        ("[[ a > b && ( c < d || $(rm e) ) ]]; rm a", "e | a"),
        ("[ 1 -gt 0 ] && rm a", "a"),
        ("echo $((1 > 2))", ""),
        ("echo 'a > b' \"c > d\" e\\>f", ""),
        ("# echo > a\ntouch b", "b"),
        ("echo x # > a", ""),
        ("'unclosed > a", ""),
        (">", ""),
        ("", ""),
    ]);
}

#[test]
fn words() {
    check(&[
        ("echo x > 'my file.txt'", "my file.txt"),
        ("echo x > my\\ \"file\".txt", "my file.txt"),
        ("rm $'a\\tb' $'it\\'s' $'\\x41\\u00e9\\101'", "a\tb | it's | AéA"),
        ("rm a.{txt,foo} b{1..3} {c,d}{x,y}", "a.txt | a.foo | b1 | b2 | b3 | cx | cy | dx | dy"),
        ("rm '{a,b}' {a} {} a{,_test}.rs", "{a,b} | {a} | {} | a.rs | a_test.rs"),
        ("echo x > \"$HOME/a\"", "/home/ada/a"),
        ("rm ~/a ~ada/b '~/c' x~", "/home/ada/a | ~/c | x~"),
        ("rm $PWD/a ${PWD}/b \"$CLAUDE_PROJECT_DIR\"/c", "/p/a | /p/b | /p/c"),
        ("cd sub; rm $PWD/a $(pwd)/b", "/p/sub/a | /p/sub/b"),
        ("F=a.txt; echo x > $F", "a.txt"),
        ("F=a.txt && rm \"${F}\" $F.bak", "a.txt | a.txt.bak"),
        ("export D=src; rm $D/a; D=lib; rm $D/a", "src/a | lib/a"),
        ("F='a b'; rm $F \"$F\"", "a | b | a b"),
        ("F=(a 'b c' d); rm \"${F[@]}\" ${F[0]}", "a | b c | d"),
        (
            "F=src/a.tar.gz; rm ${F%.gz} ${F##*/} ${F%/*} ${F%%.*} ${F#src/}",
            "src/a.tar | a.tar.gz | src | src/a",
        ),
        ("F=a; rm ${F:-b}; rm ${G:-b}", "a | b"),
        ("F=; rm ${F:-a} ${F-b} ${G-c}; rm ${H:=d}; rm $H ${H:+e}", "a | c | d"),
        ("rm ${F:-\"a b\"} ${F:-'c d'} ${F:-$HOME} ${F:-$HOME/x} ${F:?no}", "a b | c d | /home/ada"),
        ("F=$(mktemp); rm ${F:-a}", ""),
        ("F=src/a.txt; rm ${F/.txt/.md} ${F//a/b} ${F/src\\/} ${F/#src/x}", "src/a.md | src/b.txt"),
        ("rm ~+/a; cd sub; rm ~+/b", "/p/a | /p/sub/b"),
        (
            "cd sub; rm /proc/self/cwd/a; rm /proc/thread-self/cwd/../b /proc/self/cwdx",
            "sub/a | sub/../b | /proc/self/cwdx",
        ),
        ("read F <<< a.txt; rm $F; read -r F G <<< 'a b'; rm $F $G", "a.txt | a | b"),
        ("find . -name '*.o' | while read -r f; do rm \"$f\"; done", "./**/*.o"),
        ("git ls-files '*.c' | while IFS= read -r f; do sed -i s/a/b/ \"$f\"; done", "./**/*.c"),
        ("ls *.txt | while read f; do rm $f; done", "glob *.txt"),
        ("printf '%s\\n' a b | while read f; do rm $f; done", "a | b"),
        ("F=a sh -c 'rm $F'; rm $F", "a"),
        ("F=$(mktemp); rm $F; rm b", "b"),
        ("F=a; read F; rm $F", ""),
        ("if x; then F=a; else F=b; fi; rm $F", ""),
        ("if x; then F=a; rm $F; fi", "a"),
        ("F=a; if x; then F=a; else F=a; fi; rm $F", "a"),
        ("F=a; (F=b; rm $F); rm $F", "b | a"),
        ("for f in a b; do rm $f; done", "a | b"),
        ("for f in a b; do cp \"$f\" \"$f.bak\"; done", "a.bak<a | b.bak<b"),
        ("for f in *.txt; do rm \"$f\"; done", "glob *.txt"),
        ("for d in x y\ndo for f in a b; do rm $d/$f; done; done", "x/a | x/b | y/a | y/b"),
        ("for f in $x; do rm $f; rm b; done", "b"),
        ("while read f; do rm $f; rm b; done < list", "./**/* | b"),
        ("rm *.o a?b [ab]c src/*/x", "glob *.o | glob a?b | glob [ab]c | glob src/*/x"),
        ("rm '*'.o \"a?\" \\[x] a[^b] x/'[y]'*", "*.o | a? | [x] | glob a[!b] | glob x/[[]y[]]*"),
        ("rm !(a.txt); rm b", "b"),
        ("rm app/\\[slug\\]/page.tsx 'app/[slug]/p'", "app/[slug]/page.tsx | app/[slug]/p"),
        ("rm app/[slug]/page.tsx", "glob app/[slug]/page.tsx"),
        ("echo x > $(echo a > b)", "b"),
        ("rm $(echo a b) \"$(echo c d)\"", "a | b | c d"),
        ("rm $x a $x/b", "a"),
        ("touch a# b", "a# | b"),
        ("touch a \\\n b", "a | b"),
        ("touch é/\"ü x\"", "é/ü x"),
        ("rm\ta.txt;rm b", "a.txt | b"),
        ("rm a a", "a"),
    ]);
}

#[test]
fn folders() {
    check(&[
        ("cd src && touch a", "src/a"),
        ("cd src; cd ../x; touch a /b", "src/../x/a | /b"),
        ("(cd src; touch a); touch b", "src/a | b"),
        ("cd $x && touch a; touch /b", "/b"),
        ("cd x; cd - ; touch a", "a"),
        ("cd -; touch a", ""),
        ("cd && touch a", "/home/ada/a"),
        ("cd $PWD && rm a.txt", "/p/a.txt"),
        ("cd \"$(git rev-parse --show-toplevel)\" && rm a.txt", "/p/a.txt"),
        ("cd -P sub && rm a", "sub/a"),
        ("cd -- sub && rm a", "sub/a"),
        ("pushd sub; rm a; popd; rm b", "sub/a | b"),
        ("popd; rm a", ""),
        ("cd sub && (cd ..; rm a.txt)", "sub/../a.txt"),
        ("cd sub; case x in x) rm a;; *) rm b;; esac; rm c", "sub/a | sub/b | sub/c"),
        ("if x; then cd sub; fi; rm a; rm /b", "/b"),
        ("git -C sub restore a; rm b", "own sub/a | b"),
        ("env -C sub rm a; rm b", "sub/a | b"),
        ("cd src; rm *.o '*'", "glob src/*.o | src/*"),
        ("rm src/**/*.ts **", "glob src/**/*.ts | glob **"),
        (
            "rm f{1..3} g{100..399}.ts; for i in {1..900}; do rm h$i; done",
            "f1 | f2 | f3 | glob g#.ts | glob h#",
        ),
        ("cd 'a[b]'; rm *.o", "glob a[[]b[]]/*.o"),
    ]);
}

#[test]
fn programs() {
    check(&[
        ("ls | tee -a one two", "one | two"),
        ("sed -i 's/a/b/' x.rs y.rs", "x.rs | y.rs"),
        ("sed -i.bak -e 's/a/b/' x.rs", "x.rs"),
        ("sed -n -i -e s/a/b/ x", "x"),
        ("sed -i '' s/a/b/ x", "x"),
        ("sed -Ei s/a/b/ x", "x"),
        ("sed -ie s/a/b/ x", "x"),
        ("sed --in-place=.b 's/i/j/' x", "x"),
        ("sed -i s/a*/b/ x *.rs", "x | glob *.rs"),
        ("sed 's/i/j/' x", ""),
        ("sed -e 's/i/j/' x", ""),
        ("sed -n 'w a.txt' b.txt", "a.txt"),
        ("sed 's/x/y/gw a.txt' b.txt", "a.txt"),
        ("sed -e '/re/w a' -e '1,3w b' c", "a | b"),
        ("sed 's/w a/b/; s/new x/y/' c", ""),
        ("perl -pi -e 's/a/b/' x y", "x | y"),
        ("perl -i -pe 's/a/b/' x", "x"),
        ("perl -i.bak -ne print x", "x"),
        ("perl -0pi -e 's/a/b/' x", "x"),
        ("perl -e 'print 1' x", ""),
        ("ruby -i -pe 'x' a", "a"),
        ("gawk -i inplace '{print}' a.txt", "a.txt"),
        ("mv a b", "a | b<a"),
        ("mv a/x b/y c/", "a/x | b/y | c/<x | c/<y"),
        ("mv -t goal a b", "a | b | goal<a | goal<b"),
        ("mv *.txt sub/", "glob *.txt | sub/<glob *.txt"),
        ("cp -r src/a dest", "dest<a"),
        ("cp *.rs one.rs", "one.rs<glob *.rs"),
        ("cp $x y dest", "dest<y"),
        ("cp -t. sub/a.txt", ".<a.txt"),
        ("cp --target-directory=. sub/a.txt", ".<a.txt"),
        ("cp -r sub/. .", ".<glob sub/*"),
        ("cp -f -- b a", "a<b"),
        ("ln -sf ../a b", "b<a"),
        (
            "ln a b; ln -f c d/; link e f; cp -l g h; cp --link -r i j",
            "a | b<a | c | d/<c | e | f<e | g | h<g | i | j<i",
        ),
        ("ln --symbolic a b", "b<a"),
        ("sd a b a.txt c; sd -p a b d; sd -f i a b e; echo x | sd a b", "a.txt | c | e"),
        ("install -Dm644 b a", "a<b"),
        ("install -d x/y", ""),
        ("rsync -a b.txt ./a.txt", "./a.txt<b.txt"),
        ("rsync -a sub/ ./", "./<glob sub/*"),
        ("rsync -e ssh --exclude x a host:b", ""),
        ("rsync -n a b", ""),
        ("rsync -a --delete src dest", "dest/**/* | dest<src"),
        ("scp host:a b", "b<host:a"),
        ("rm -rf -- -x src/a", "-x | src/a"),
        ("\\rm a; /bin/rm b", "a | b"),
        ("touch -d yesterday a", "a"),
        ("truncate -s 0 a; truncate --size=0 b", "a | b"),
        ("chmod +x run.sh", "run.sh"),
        ("chmod -x run.sh", "run.sh"),
        ("chmod -R 644 a", "a"),
        ("dd if=/dev/zero of=disk bs=1", "disk"),
        ("sort -o a b; sort b -o c; sort --output=d e; sort f", "a | c | d"),
        ("curl -so a.txt http://x", "a.txt"),
        ("curl --output a.txt http://x", "a.txt"),
        ("curl -sSLO https://x/y/z.tgz?q=1", "z.tgz"),
        ("curl -X POST -d @f http://x -o-", ""),
        ("wget -qO a.txt http://x", "a.txt"),
        ("wget -O - http://x", ""),
        ("cat b | sponge a", "a"),
        ("patch a.txt < d", "a.txt"),
        ("patch -p1 < x.diff", "diff x.diff -p1 in ''"),
        ("cd sub; patch -p1 -i ../x.diff", "diff sub/../x.diff -p1 in 'sub'"),
        ("patch -p1 --dry-run < x.diff", ""),
        ("patch -p1 <<'E'\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\nE", "x.c"),
        ("ed -s a.txt <<< 'w'", "a.txt"),
        ("ex -sc wq a.txt", "a.txt"),
        ("vim -es -c wq a.txt", "a.txt"),
        ("nvim --headless +wq a.txt", "a.txt"),
        ("vim a.txt", ""),
        ("gzip a; gzip -k b; gzip -c c; gunzip d.gz; xz -d e.xz", "a | a.gz | b.gz | d.gz | d | e.xz | e"),
        ("tar czf out.tgz src; tar xf in.tar a b -C sub; tar tf x", "out.tgz | sub/a | sub/b"),
        ("unzip -o x.zip a -d sub; zip -r out.zip src", "sub/a | out.zip"),
        (
            "tar xf x.tar -C sub; unzip x.zip -d deep; tar xf y.tar; unzip y.zip",
            "sub/./**/* | deep/./**/* | ./**/*",
        ),
        ("yq -i .x a.yml; yq .x b.yml", "a.yml"),
        ("gcc -c a.c -o a.o", "a.o"),
        // An empty folder is nothing that git could lose, and a claim of it would own all that comes into it.
        ("mkdir -p a/b", ""),
        ("cat a; grep x b; ls > /dev/null", "/dev/null"),
    ]);
}

#[test]
fn formatters() {
    check(&[
        ("rustfmt a.rs", "a.rs/**/*.rs"),
        ("rustfmt --check a.rs", ""),
        ("cargo fmt", "./**/*.rs"),
        ("cargo fmt -- --check", ""),
        ("cargo test", ""),
        ("black a.py src", "a.py/**/*.{py,pyi} | src/**/*.{py,pyi}"),
        ("black --check .", ""),
        ("ruff format --line-length 99 a.py", "a.py/**/*.{py,pyi}"),
        ("ruff check a.py", ""),
        ("ruff check --fix a.py", "a.py/**/*.{py,pyi}"),
        ("python3 -m isort a.py", "a.py/**/*.{py,pyi}"),
        ("gofmt -w a.go; gofmt b.go", "a.go/**/*.go"),
        ("go fmt ./...", "./**/*.go"),
        ("clang-format -i a.c; clang-format b.c", "a.c"),
        ("npx eslint --fix a.ts", "a.ts/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,svelte}"),
        ("npx prettier --check .", ""),
        (
            "npx -y prettier --write 'src/**/*.ts'",
            "src/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}",
        ),
        ("ruff --fix a.py", ""),
        (
            "black -q .; uv run black b.py; python -m black c",
            "./**/*.{py,pyi} | b.py/**/*.{py,pyi} | c/**/*.{py,pyi}",
        ),
        (
            "prettier -w x.md; prettier x.md; npx prettier -c .",
            "x.md/**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,css,scss,less,html,json,md,mdx,yaml,yml,graphql}",
        ),
        ("autoflake -i a.py; autoflake b.py; pyupgrade --py39-plus c.py", "a.py/**/*.{py,pyi} | c.py"),
        ("php-cs-fixer fix src; php-cs-fixer fix --dry-run src; phpcbf x", "src/**/*.php | x/**/*.php"),
        ("oxlint --fix .; oxlint .", "./**/*.{js,jsx,ts,tsx,mjs,cjs,mts,cts,vue,svelte}"),
        ("terraform fmt -check; terraform fmt -write=false; terraform plan", ""),
        ("terraform fmt -recursive", "./**/*.{tf,tfvars}"),
    ]);
}

#[test]
fn carriers() {
    check(&[
        ("sudo -E env A=1 touch a", "a"),
        ("sudo -u root tee a", "a"),
        ("A=1 B=\"x y\" touch a", "a"),
        ("env -i rm a; env -u X rm b; env X=1 rm c", "a | b | c"),
        ("timeout 5 rm a; timeout -s KILL 5 rm b", "a | b"),
        ("nice rm a; nice -n 5 rm b; ionice -c3 rm c", "a | b | c"),
        ("nohup rm a & setsid rm b; stdbuf -o0 tee c", "a | b | c"),
        ("time rm a; time -p rm b; command rm c; exec rm d", "a | b | c | d"),
        ("command -v rm a", ""),
        ("busybox rm a; watch -n 1 rm b", "a | b"),
        ("xargs rm a < list", "a | ./**/*"),
        ("echo a.txt b | xargs rm", "a.txt | b"),
        ("printf '%s\\n' a 'b c' | xargs -I{} cp x/{} {}.bak", "a.bak<a | b c.bak<b c"),
        ("ls | xargs -I{} sed -i s/x/y/ {}", "glob *"),
        ("ls *.txt | xargs rm", "glob *.txt"),
        ("parallel rm ::: a b", "a | b"),
        ("parallel 'rm {}' ::: a b", "a | b"),
        ("su -c 'rm a'; su root -c 'rm b'; script -c 'rm c'", "a | b | c"),
        ("trap 'rm a' EXIT; coproc rm b", "a | b"),
        ("find a.txt -delete", "a.txt/**/*"),
        ("find . -name '*.o' -delete", "./**/*.o"),
        ("find src -type f -name a.txt -exec rm {} \\;", "src/**/a.txt"),
        ("find . -maxdepth 1 -name '*.o' -exec rm {} +", "glob ./*.o"),
        // Some of them, nobody knows which.
        ("find . -mtime +3 -delete; find src -newer x -name '*.c' -delete", "./**/* | src/**/*.c"),
        ("find . ! -name a -delete", "./**/*"),
        ("find . -maxdepth 1 -type f -delete", "glob ./*"),
        ("find . \\( -name '*.a' -o -name '*.b' \\) -type f -delete", "./**/*.a | ./**/*.b"),
        ("find . -name '*.a' -o -name '*.b' | xargs rm", "./**/*.a | ./**/*.b"),
        ("find . -name x -o -name '*.b' -exec rm {} +", "./**/*.b"),
        ("find . -path '*/gen/*' -delete; find . -path './gen/*' -delete", "./**/gen/** | ./gen/**/*"),
        ("find . -not -path '*/.git/*' -name '*.c' -exec sed -i s/a/b/ {} +", "./**/*.c"),
        ("find . -type d -name build -exec rm -rf {} +", "./**/build/**"),
        ("find . -name build -exec rm -rf {} +", "./**/build | ./**/build/**"),
        ("find src/*/x -name '*.o' -delete; find $x -name a -delete", "src/**/*.o"),
        ("find . -name '*.c' -exec sh -c 'rm \"$1\"' _ {} \\;", "./**/*.c"),
        ("find . -name x -prune -o -name '*.o' -print | xargs rm", "./**/*.o"),
        ("find . -name a -exec sh -c 'echo x > b' \\;", "b"),
        ("find . -name '*.o'", ""),
        ("ssh host rm a; docker run x rm b; chroot /x rm c", ""),
    ]);
}

/// What only looks, or writes where no file of anybody is, is not taken for a write.
#[test]
fn harmless() {
    for command in [
        "cat a.txt",
        "grep -rn 'x > y' src",
        "rg -n --replace b a src",
        "sed -n '1,20p' a.txt",
        "sed 's/a/b/' a.txt | head",
        "awk '$1 > 3 {print}' a.txt",
        "diff a.txt b.txt",
        "git diff -- a.txt",
        "git log -p -- a.txt",
        "git show HEAD:a.txt",
        "git blame a.txt",
        "git stash list; git stash show -p",
        "git checkout -b topic",
        "git add a.txt && git commit -m 'rm a.txt > b.txt'",
        "git apply --check x.diff; git apply --stat x.diff",
        "black --check a.py; black --diff a.py",
        "prettier --check a.ts; prettier -l a.ts; prettier a.ts",
        "eslint a.ts; npx eslint --fix-dry-run a.ts",
        "gofmt -l .; gofmt -d a.go",
        "ruff check a.py; ruff format --check a.py; ruff format --diff .",
        "cargo fmt --check; cargo fmt --all -- --check; rustfmt --check a.rs",
        "clang-format a.c; clang-format --dry-run a.c",
        "perl -ne 'print if /x/' a.txt",
        "python3 -c 'print(open(\"a.txt\").read())'",
        "python3 -m pytest a.py",
        "node -e 'console.log(require(\"fs\").readFileSync(\"a.txt\"))'",
        "sort a.txt | uniq -c; shuf -n 1 a.txt",
        "find . -name '*.rs' -print; find . -type f | wc -l",
        "find . -name '*.rs' | xargs grep x",
        "tar tzf a.tgz; unzip -l a.zip; gzip -l a.gz; zcat a.gz",
        "dd if=a.txt bs=1 count=1",
        "rsync -n -a a/ b/; rsync --list-only a/",
        "sd -p a b a.txt; patch --dry-run -p1 < x.diff",
        "terraform fmt -check -diff; taplo fmt --check a.toml",
        "ls -la | tee; test a -nt b; [ -f a.txt ] && echo yes",
        "while read -r l; do echo \"$l\"; done < a.txt",
        "F=a.txt; wc -l \"${F:-b.txt}\"",
        "echo 'a > b' \"$(cat a.txt)\"",
        "curl -s http://x | jq .",
        "ssh host 'rm a.txt'; docker exec x rm a.txt",
    ] {
        assert_eq!(shown(&of_command(command, &known)), "", "{command}");
    }
}

#[test]
fn scripts() {
    check(&[
        ("if true; then rm a; elif rm b; then :; else touch c; fi", "a | b | c"),
        ("if rm a.txt; then :; fi", "a.txt"),
        ("until rm a; do :; done; ! rm b", "a | b"),
        ("f() { rm a; }; f", "a"),
        ("function f { rm a; }; function g() { rm b; }", "a | b"),
        ("f() { rm \"$1\"; }; f a; f b", "a | b"),
        ("f() { f; rm a; }; f", "a"),
        ("{ rm a; }; (rm b)", "a | b"),
        ("x=$(rm a); echo \"$(rm b)\" `rm c`", "a | b | c"),
        ("cat <(rm a)", "a"),
        ("bash -lc 'touch a; echo > b'", "a | b"),
        ("bash -euo pipefail -c 'rm a'", "a"),
        ("bash -c \"sh -c 'rm x'\"", "x"),
        ("bash -c 'rm \"$1\"' _ a", "a"),
        ("bash -c 'cd sub; rm a'; rm b", "sub/a | b"),
        ("eval 'rm x'; eval rm y", "x | y"),
        ("bash <<'EOF'\nrm a.txt\nEOF", "a.txt"),
        ("bash -s <<EOF\nrm $PWD/a $x\nrm b\nEOF", "/p/a | b"),
        ("bash <<< 'rm a'; echo 'rm b' | sh", "a | b"),
        ("echo 'rm b' > f; bash f", "f"),
        ("rm -f a; exit; rm b", "a | b"),
        // Here documents.
        ("cat > a <<'EOF'\nrm b\necho > c\nEOF\ntouch d", "a | d"),
        ("cat <<-X > a\n\tit's\n\tX\ntouch d", "a | d"),
        ("cat <<A <<B\n> x\nA\n> y\nB\nrm z", "z"),
        ("cat <<EOF\n$(rm a) it's\nEOF\nrm b", "a | b"),
        ("cat <<< word > a", "a"),
        ("git commit -m \"$(cat <<'EOF'\nIt's > a thing\n\nEOF\n)\" && rm a.txt", "a.txt"),
        ("git commit -m \"$(cat <<'EOF'\nIt's a thing (with parens\nEOF\n)\"; rm a.txt", "a.txt"),
        ("git commit -m \"$(cat <<'EOF'\n`x` \"y\" $(rm z)\nEOF\n)\"\nrm a.txt", "a.txt"),
        ("echo $(case x in a) rm b;; esac) > c", "b | c"),
        // Patches of Codex.
        ("apply_patch <<'E'\n*** Begin Patch\n*** Add File: n.rs\n+x\n*** End Patch\nE", "n.rs"),
        ("cd sub && apply_patch <<'E'\n*** Begin Patch\n*** Update File: u\n@@\n*** End Patch\nE", "sub/u"),
        ("apply_patch '*** Begin Patch\n*** Delete File: a\n*** End Patch'", "a"),
        ("cat <<'E' > notes.md\n*** Begin Patch\n*** Add File: n.rs\n+x\n*** End Patch\nE", "notes.md"),
    ]);
}

#[test]
fn code_of_other_languages() {
    check(&[
        ("python -c 'open(\"x\",\"w\")'", "x"),
        ("python3 -c \"open('a.txt','w').write('x')\"", "a.txt"),
        ("python3 -c \"open('a.txt').read(); open('b', 'rb'); open('c', mode='a')\"", "c"),
        (
            "python3 - <<'EOF'\np = 'src/x.py'\ns = open(p).read().replace('a', 'b')\nopen(p, 'w').write(s)\nEOF",
            "src/x.py",
        ),
        (
            "python3 <<'EOF'\nfrom pathlib import Path\nPath('a').write_text('open(\"z\", \"w\")')\np = Path('b')\np.write_text('x')\np.read_text()\nEOF",
            "a | b",
        ),
        (
            "python3 <<'EOF'\nfor f in ['a', \"b\"]:\n    with open(f, 'w') as out:\n        pass\nEOF",
            "a | b",
        ),
        ("python3 -c \"s='a.txt'; s.replace('a','b'); x.remove('c')\"", ""),
        ("python3 -c \"import os; os.remove('a'); os.rename('b','c'); os.system('rm d')\"", "a | b | c | d"),
        ("python3 -c \"import shutil; shutil.copy('a','b'); shutil.rmtree('c')\"", "b | c"),
        ("python3 -c \"import subprocess; subprocess.run(['rm', 'a b'])\"", "a b"),
        ("python3 -c \"open(f'{x}/a', 'w'); open(x + 'b', 'w')\"", ""),
        ("python3 -c \"open(os.path.join('src', 'a'), 'w'); (Path('lib') / 'b').touch()\"", "src/a | lib/b"),
        ("cd sub; python3.12 -c \"open('a','w')\"", "sub/a"),
        ("python3 script.py a", ""),
        ("node -e 'require(\"fs\").writeFileSync(\"a.txt\",\"x\")'", "a.txt"),
        (
            "node <<'E'\nconst f = 'a.js'; // open('z','w')\nfs.writeFileSync(f, `x`);\nfs.renameSync('b', 'c')\nE",
            "a.js | b | c",
        ),
        ("ruby -e 'File.write(\"a\",\"x\"); File.open(\"b\", \"w\"); File.write \"c\", 1'", "a | b | c"),
        (
            "perl -e 'open(F,\">a.txt\"); open(my $f, \">>\", \"b\"); open F, \">c\"; unlink \"d\"; open(F, \"<e\")'",
            "a.txt | b | c | d",
        ),
        ("php -r 'file_put_contents(\"a\", 1);'", "a"),
        ("awk '{print > \"a.txt\"} $1 > \"b\"' c", "a.txt"),
    ]);
}

#[test]
fn the_files_of_patches() {
    let patch = "*** Begin Patch\n*** Update File: a b.rs\n*** Move to: c.rs\n@@\n-*** Add File: x\n+*** Add File: y\n \
                 *** Delete File: z\n*** Delete File: /abs\n  *** Update File: in.rs  \n@@\n*** Add File: \n*** End Patch\n\
                 *** Add File: after";
    assert_eq!(shown(&of_patch(patch)), "a b.rs | c.rs | /abs | in.rs");
    assert_eq!(of_patch("*** Add File: a"), []);
}

#[test]
fn the_files_of_diffs() {
    let diff = "diff --git a/x b/x\n--- a/x\t2020\n+++ b/x\n@@ -1 +1 @@\n--- not\n-a\n+++ b/no\n--- /dev/null\n+++ b/d/new\n\
                rename from old\nrename to d/moved\nBinary files a/i.png and b/i.png differ\n";
    let mut lines: Vec<&str> = diff.lines().collect();
    lines.retain(|line| *line != "--- not" && *line != "+++ b/no");
    let diff = lines.join("\n");
    let told = |diff: &str, strip| {
        let told: Vec<Write> = of_diff(diff, strip).into_iter().map(|(write, _)| write).collect();
        shown(&told)
    };
    assert_eq!(told(&diff, 1), "x | d/new | old | d/moved | i.png");
    assert_eq!(told("--- a/b/c\n+++ a/b/c\n", usize::MAX), "c");
    assert_eq!(told("--- c\n+++ c\n", 0), "c");
    assert_eq!(told("--- c\n+++ c\n", 2), "");
    // What has no `---` is told by the first line: new rights, empty files, files that are no text.
    let bare = "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n\
                diff --git \"a/\\303\\244 b\" \"b/\\303\\244 b\"\nnew file mode 100644\n\
                diff --git a/i.png b/i.png\nGIT binary patch\n\
                diff -u x y\n--- other/z\n+++ other/z\n";
    assert_eq!(told(bare, 1), "run.sh | ä b | i.png | z");
    let is_gits: Vec<bool> = of_diff(bare, 1).into_iter().map(|(_, is_gits)| is_gits).collect();
    assert_eq!(is_gits, [true, true, true, false]);
}

/// Texts that repeat themselves are read in a time that grows with their length.
#[test]
fn reading_costs_what_a_text_is_long() {
    let pieces = [
        "((",
        "$(",
        "`",
        "{",
        "for f in a b c; do ",
        "if x; then ",
        "case x in ",
        "f() { f; f; }; ",
        "F=$F$F; ",
        "rm {a,b}",
        "<<E ",
        "cat <<E\n$(",
        "[[ ",
        "!(",
        "${",
        "echo '",
        "\"$(",
        "x | ",
        "(cd a; ",
        "rm *",
        "$((",
        "python -c 'f(f(",
        "Path(Path(",
        "a=b; (",
        "sed 's/x",
        "find . -exec ",
        "bash -c ",
        "\\",
        "eval \"$F\";",
        "\n",
    ];
    for piece in pieces {
        let text = piece.repeat(200_000 / piece.len());
        let started = std::time::Instant::now();
        let _ = of_command(&format!("F='rm a'; {text}"), &known);
        let _ = of_command(&format!("python3 - <<'EOF'\n{text}\nEOF\n"), &known);
        // Not how fast it is: what grows with the square of the length takes hours.
        assert!(started.elapsed().as_secs() < 120, "{piece:?} took {:?}", started.elapsed());
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[ a\\\\'\"$`(){}<>|&;#~*=!\\[\\]\n-]{0,60}") {
        let _ = of_command(&text, &known);
    }

    #[test]
    fn any_words_are_read(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "if", "then", "else", "fi", "for", "f", "in", "do", "done", "case", "esac", ";;", "x)", "function", "{", "}", "(",
            ")", "$(", "\"", "'", "<<E", "\nE\n", "\n", ";", "|", ">", "rm", "a", "$f", "*", "git", "checkout", "--", "-c",
            "bash", "python3", "xargs", "find", "-exec", "open(", "'w')", "F=", "F=(", "${F", "[[", "]]", "((", "))", "eval",
        ]), 0..40)) {
        for glue in [" ", ""] {
            let _ = of_command(&words.join(glue), &known);
        }
    }

    #[test]
    fn a_quoted_path_is_that_path(path in "[^'\0/][^'\0]{0,20}") {
        let writes = of_command(&format!("echo x > '{path}'"), &known);
        prop_assert_eq!(writes, vec![Write::at(path)]);
    }
}
