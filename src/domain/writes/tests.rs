use proptest::prelude::*;

use super::*;

fn told(command: &str) -> String {
    let writes = of_command(command);
    let shown = writes.iter().map(|write| match &write.inside {
        Some(name) => format!("{}<{name}", write.path),
        None => write.path.clone(),
    });
    shown.collect::<Vec<_>>().join(" | ")
}

#[test]
fn the_writes_of_commands() {
    let table = [
        ("echo hi > a.txt", "a.txt"),
        ("echo hi >>a.txt 2>&1", "a.txt"),
        ("cargo test 2> /dev/null >| log", "/dev/null | log"),
        ("make &> out.log; ls", "out.log"),
        ("cat < in.txt", ""),
        ("echo 'a > b' \"c > d\" e\\>f", ""),
        ("echo x > 'my file.txt'", "my file.txt"),
        ("echo x > my\\ \"file\".txt", "my file.txt"),
        ("echo x > \"$HOME/a\"", ""),
        ("echo x > $(echo a > b)", "b"),
        ("echo `touch c`", "c"),
        ("echo x > ~/a", ""),
        ("echo $((1 > 2))", ""),
        ("# echo > a\ntouch b", "b"),
        ("ls | tee -a one two", "one | two"),
        ("sed -i 's/a/b/' x.rs y.rs", "x.rs | y.rs"),
        ("sed -i.bak -e 's/a/b/' x.rs", "x.rs"),
        ("sed -n -i -e s/a/b/ x", "x"),
        ("sed --in-place=.b 's/i/j/' x", "x"),
        ("sed 's/i/j/' x", ""),
        ("sed -e 's/i/j/' x", ""),
        ("perl -pi -e 's/a/b/' x y", "x | y"),
        ("perl -i -pe 's/a/b/' x", "x"),
        ("perl -e 'print 1' x", ""),
        ("mv a b", "a | b<a"),
        ("mv a/x b/y c/", "a/x | b/y | c/<x | c/<y"),
        ("mv -t goal a b", "a | b | goal<a | goal<b"),
        ("cp -r src/a dest", "dest<a"),
        ("cp *.rs one.rs", "one.rs"),
        ("cp *.rs dir/", ""),
        ("cp $x y dest", "dest<y"),
        ("ln -sf ../a b", "b<a"),
        ("rm -rf -- -x src/a", "-x | src/a"),
        ("rm *.o", ""),
        ("touch -d yesterday a", "a"),
        ("truncate -s 0 a", "a"),
        ("chmod +x run.sh", "run.sh"),
        ("dd if=/dev/zero of=disk bs=1", "disk"),
        ("git checkout -- a b", "a | b"),
        ("git checkout HEAD~1 -- a", "a"),
        ("git checkout main", ""),
        ("git -C sub restore a", "sub/a"),
        ("git restore --staged a", ""),
        ("git restore -s HEAD a", "a"),
        ("git reset --hard", "."),
        ("git reset a", ""),
        ("git stash", "."),
        ("git stash pop", ""),
        ("git rm --cached a", ""),
        ("git mv a b", "a | b<a"),
        ("git status; git log > l", "l"),
        ("cd src && touch a", "src/a"),
        ("cd src; cd ../x; touch a /b", "src/../x/a | /b"),
        ("(cd src; touch a); touch b", "src/a | b"),
        ("cd $x && touch a; touch /b", "/b"),
        ("cd - ; touch a", ""),
        ("sudo -E env A=1 touch a", "a"),
        ("A=1 B=2 touch a", "a"),
        ("if true; then rm a; else touch b; fi", "a | b"),
        ("for f in a b; do rm $f; done", ""),
        ("bash -lc 'touch a; echo > b'", "a | b"),
        ("bash -c \"sh -c 'rm x'\"", "x"),
        ("eval 'rm x'", "x"),
        ("/bin/rm x", "x"),
        ("cat > a <<'EOF'\nrm b\necho > c\nEOF\ntouch d", "a | d"),
        ("cat <<-X > a\n\tit's\n\tX\ntouch d", "a | d"),
        ("cat <<A <<B\n> x\nA\n> y\nB\nrm z", "z"),
        ("cat <<< word > a", "a"),
        ("cmd 2>&1 >&- >&file", "file"),
        ("touch a# b", "a# | b"),
        ("touch a \\\n b", "a | b"),
        ("touch é/\"ü x\"", "é/ü x"),
        ("apply_patch <<'E'\n*** Begin Patch\n*** Add File: n.rs\n+x\n*** End Patch\nE", "n.rs"),
        ("python -c 'open(\"x\",\"w\")'", ""),
        ("", ""),
        ("'unclosed > a", ""),
        (">", ""),
        ("rm a a", "a"),
    ];
    for (command, expected) in table {
        assert_eq!(told(command), expected, "{command}");
    }
}

#[test]
fn the_files_of_patches() {
    let patch = "*** Begin Patch\n*** Update File: a b.rs\n*** Move to: c.rs\n@@\n-*** Add File: x\n+*** Add File: y\n\
                 *** Delete File: /abs\n*** Add File: \n*** End Patch\n*** Add File: after";
    let paths: Vec<String> = of_patch(patch).into_iter().map(|write| write.path).collect();
    assert_eq!(paths, ["a b.rs", "c.rs", "/abs"]);
    assert_eq!(of_patch("*** Add File: a"), []);
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[ a\\\\'\"$`(){}<>|&;#~*\n-]{0,60}") {
        let _ = of_command(&text);
    }

    #[test]
    fn a_quoted_path_is_that_path(path in "[^'\0/][^'\0]{0,20}") {
        let writes = of_command(&format!("echo x > '{path}'"));
        prop_assert_eq!(writes, vec![Write::at(path)]);
    }
}
