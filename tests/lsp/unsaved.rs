//! What counts as unsaved: by what lies on the disk, and by what the editor has without changes.

use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::world::World;

const MINE: [(&str, &str); 1] = [("ann", "a.txt")];

/// The next time that the editor is told that these are all the claims.
fn wait_for_claims(editor: &mut Editor, expected: &[(&str, &str)]) {
    editor.told("kapell/claims", |params| {
        let claims = params["claims"].as_array().unwrap();
        claims.len() == expected.len()
            && expected.iter().all(|(holder, pattern)| {
                claims.iter().any(|claim| claim["holder"] == *holder && claim["pattern"] == *pattern)
            })
    });
}

/// Waits until all that was told so far was looked at: who held a file before is shown behind it.
fn settled(world: &World, editor: &mut Editor) {
    let path = world.path("marker");
    editor.open(&path, "");
    world.claim("robot", "marker");
    editor.diagnostics(&path, |shown| !shown.is_empty());
    world.release("robot");
    editor.diagnostics(&path, <[Value]>::is_empty);
    editor.close(&path);
}

#[test]
fn what_is_saved_under_another_name_stays_unsaved() {
    // Of what is no UTF-8 the text cannot be found on the disk, but that something was written can be.
    for (before, after) in
        [(&b"one\n"[..], &b"two\n"[..]), (b"caf\xe9\n", b"th\xe9\n"), (b"a\0b\0", b"c\0d\0")]
    {
        let world = World::new(&[("a.txt", ""), ("marker", "")]);
        let path = world.path("a.txt");
        std::fs::write(&path, before).unwrap();
        let mut editor = world.editor();
        let text = |bytes: &[u8]| -> String {
            bytes.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
        };
        editor.open(&path, &text(before));
        settled(&world, &mut editor);
        editor.change(&path, 2, &text(after));
        wait_for_claims(&mut editor, &MINE);
        // This is what Neovim tells of `:w other.txt`.
        std::fs::write(world.path("other.txt"), after).unwrap();
        editor.save(&path);
        settled(&world, &mut editor);
        assert_eq!(
            world.claims(),
            [("ann".to_owned(), "person".to_owned(), "a.txt".to_owned())],
            "{before:?}"
        );
        // That text is none that can be come back to without unsaved changes.
        editor.change(&path, 3, "more\n");
        editor.change(&path, 4, &text(after));
        settled(&world, &mut editor);
        assert_eq!(world.claims().len(), 1, "{before:?}");
        std::fs::write(&path, after).unwrap();
        editor.save(&path);
        wait_for_claims(&mut editor, &[]);
        editor.finish();
    }
}

#[test]
fn who_comes_back_to_the_text_without_changes_lets_go_whatever_lies_on_the_disk_by_now() {
    for opens_clean in [false, true] {
        let world = World::new(&[("a.txt", "one\n"), ("marker", "")]);
        let path = world.path("a.txt");
        let mut hello = world.hello();
        hello["initializationOptions"] = json!({"opensClean": opens_clean});
        let mut editor = world.quiet_editor(hello);
        wait_for_claims(&mut editor, &[]);
        editor.open(&path, "one\n");
        settled(&world, &mut editor);
        world.write("a.txt", "by another\n");
        editor.change(&path, 2, "xone\n");
        wait_for_claims(&mut editor, &MINE);
        editor.change(&path, 3, "one\n");
        wait_for_claims(&mut editor, &[]);
        // What was read again is what can be come back to from then on, and no more what was before.
        editor.change(&path, 4, "by another\n");
        settled(&world, &mut editor);
        world.write("a.txt", "by a third one\n");
        editor.change(&path, 5, "one\n");
        wait_for_claims(&mut editor, &MINE);
        editor.change(&path, 6, "by another\n");
        wait_for_claims(&mut editor, &[]);
        editor.finish();
    }
}

#[test]
fn a_file_that_is_opened_a_second_time_is_held_once_and_let_go_of() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "two\n");
    wait_for_claims(&mut editor, &MINE);
    editor.open(&path, "two\n");
    editor.change(&path, 2, "one\n");
    wait_for_claims(&mut editor, &[]);
    editor.close(&path);
    editor.finish();
    assert_eq!(world.claims(), []);
}

#[test]
fn what_is_noted_before_the_handshake_is_left_unread() {
    let world = World::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let mut command = world.kapell();
    command.arg("lsp");
    let mut editor = Editor::start(command);
    editor.open(&world.path("a.txt"), "two\n");
    editor.initialize(world.hello());
    editor.open(&world.path("b.txt"), "two\n");
    wait_for_claims(&mut editor, &[("ann", "b.txt")]);
    let params = json!({"textDocument": {"uri": uri(&world.path("a.txt"))}});
    assert_eq!(editor.result("textDocument/codeLens", params), Value::Null);
    editor.finish();
}
