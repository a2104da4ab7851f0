//! A few letters may stand for very much. Reading them has an end all the same, and needs little memory.

use std::fmt::Write as _;

use super::*;

#[test]
fn what_doubles_with_every_line_is_given_up() {
    is_soon_read(&[
        format!("python3 - <<'EOF'\na = Path('x')\n{}open(a, 'w')\nEOF\n", "a = Path(a, a)\n".repeat(40)),
        format!("python3 - <<'EOF'\na = 'x'\n{}EOF\n", "for a in [a, a, a, a]:\n".repeat(20)),
        format!("set -- '' ''\n{}", "set -- \"$@\" \"$@\"\n".repeat(40)),
        format!("set -- a b\n{}", "set -- $* $*\n".repeat(40)),
        format!("a=xx\n{}touch $a", "a=$a$a\n".repeat(60)),
    ]);
}

#[test]
fn what_is_long_is_not_repeated_without_end() {
    let doubled = format!("a=xxxxxxxx\n{}", "a=$a$a\n".repeat(13));
    is_soon_read(&[
        format!("{doubled}echo {}\n", "$a".repeat(20_000)),
        format!("{doubled}b={}\n", "$a".repeat(20_000)),
        format!("{doubled}echo ${{a//x/{}}}\n", "y".repeat(20_000)),
        format!("cat <<'EOF' | xargs -I{{}} touch {}\n{}\nEOF\n", "{}".repeat(2000), "y".repeat(100_000)),
        format!("cat <<'EOF' | parallel 'touch a {}'\n{}\nEOF\n", "{}".repeat(1500), "y".repeat(100_000)),
        format!("echo {}", "{0..63} ".repeat(50_000)),
        format!("set -- {}\ntouch {}", "a ".repeat(5000), "\"$@\" ".repeat(5000)),
        format!("cat <<'EOF' | while read f; do cat <<'E' | xargs touch; done\n{}\nEOF\n", "a\n".repeat(60)),
    ]);
}

#[test]
fn loops_around_something_long_are_left() {
    let code = "a=b;".repeat(20_000);
    let each = "for i in {0..63}; do for j in {0..63}; do";
    is_soon_read(&[
        format!("{each} python3 - <<'EOF'\n{code}\nEOF\ndone; done\n"),
        format!("{each} cat <<'EOF' | xargs touch\n{code}\nEOF\ndone; done\n"),
        format!("{each} echo '{code}'; done; done\n"),
    ]);
}

#[test]
fn a_search_with_many_parts_is_not_all_of_their_pairs() {
    let names = format!("\\( -name x {}\\)", "-o -name y ".repeat(2000));
    is_soon_read(&[
        format!("find {}{names} -delete", "a ".repeat(5000)),
        format!("find {}{names} -exec rm {{}} +", "a ".repeat(5000)),
        format!("find {}{names} | xargs rm", "a ".repeat(5000)),
        format!("find {} {}| xargs rm", "a ".repeat(5000), "-o -type f ".repeat(2000)),
        format!("find {}{}", "a ".repeat(2000), "-delete ".repeat(20_000)),
        format!("find {}{} | xargs rm", "a ".repeat(2000), "-print ".repeat(20_000)),
        format!("find . {}-name x {}-delete", "\\( ".repeat(5000), "-o -name y \\) ".repeat(5000)),
    ]);
}

#[test]
fn many_variables_are_not_all_followed() {
    let mut names = String::new();
    for n in 0..30_000 {
        let _ = write!(names, " a{n}=1");
    }
    is_soon_read(&[format!("export{names}"), names.clone(), format!("{names} touch b")]);
    check(&[("a=1; export b=2; touch $a$b", "12")]);
}

#[test]
fn a_name_that_looks_like_what_stands_for_found_files_is_a_name() {
    // It would be below itself.
    is_soon_read(&["for f in $(find $'\\x010\\x02' -name x); do echo > $f/a; done".to_owned()]);
    check(&[
        ("for f in $(find a -name x); do for g in $(find $f/b -name y); do rm $g; done; done", "a/**/b"),
        ("echo > $'\\x010\\x02'", "\u{1}0\u{2}"),
    ]);
}
