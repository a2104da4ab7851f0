//! What is held for unsaved changes, where more than those changes is at stake: what was asked for, a store that
//! cannot be written, other editors.

use serde_json::json;

use crate::owned::wait_for_claims;
use crate::world::World;

#[test]
fn what_was_asked_for_while_there_were_changes_outlives_them() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    for by_editor in [false, true] {
        let mut editor = world.editor();
        editor.open(&path, "one\n");
        editor.change(&path, 2, "two\n");
        wait_for_claims(&mut editor, &[("ann", "a.txt")]);
        if by_editor {
            let asked = json!({"paths": ["a.txt"], "reason": "for the day"});
            assert_eq!(editor.command("kapell.claim-files", asked)["granted"], true);
        } else {
            let told = world.run(&["claim-files", "a.txt", "--as", "me", "--ttl-s", "7200"]);
            assert_eq!(told["granted"], true, "{told}");
        }
        editor.change(&path, 3, "one\n");
        // Another file's claim comes after whatever undoing did.
        let other = world.path("b.txt");
        editor.open(&other, "");
        editor.change(&other, 2, "b\n");
        wait_for_claims(&mut editor, &[("ann", "a.txt"), ("ann", "b.txt")]);
        editor.kill();
        let left = if by_editor {
            vec![]
        } else {
            vec![("ann".to_owned(), "person".to_owned(), "a.txt".to_owned())]
        };
        // What an editor asked for lives with it.
        assert_eq!(world.claims(), left);
        world.run(&["release-files", "--all", "--as", "me"]);
    }
}

#[test]
fn what_a_busy_store_kept_from_being_done_is_done_when_it_is_free() {
    let world = World::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let (a, b) = (world.path("a.txt"), world.path("b.txt"));
    let mut editor = world.editor();
    editor.open(&a, "one\n");
    editor.open(&b, "two\n");
    wait_for_claims(&mut editor, &[("ann", "b.txt")]);
    let store = rusqlite::Connection::open(world.root().join("state/kapell.db")).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    editor.change(&a, 2, "two\n");
    editor.close(&b);
    // It is waited for for a while, and told then.
    editor.told("window/showMessage", |params| params["message"].as_str().unwrap().contains("locked"));
    store.execute_batch("ROLLBACK").unwrap();
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    editor.finish();
}

#[test]
fn what_an_editor_held_for_two_is_held_when_it_is_killed() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let (mut first, mut second) = (world.editor(), world.editor());
    first.open(&path, "two\n");
    let told = wait_for_claims(&mut second, &[("ann", "a.txt")]);
    second.open(&path, "three\n");
    assert_eq!(second.result("kapell/owner", json!({"uri": crate::client::uri(&path)}))["own"], true);
    first.kill();
    second.told("kapell/claims", |params| {
        params["total"] == 1 && params["claims"][0]["claim_id"] != told["claims"][0]["claim_id"]
    });
    second.finish();
}
