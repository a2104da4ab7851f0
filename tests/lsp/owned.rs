//! Who holds a file, shown where it is open; and the person's own claim while it has unsaved changes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Editor, uri};
use crate::world::World;

fn has(code: &'static str) -> impl Fn(&[Value]) -> bool {
    move |diagnostics| diagnostics.iter().any(|diagnostic| diagnostic["code"] == code)
}

fn none(diagnostics: &[Value]) -> bool {
    diagnostics.is_empty()
}

/// The next time that the editor is told that these are all the claims.
pub(super) fn wait_for_claims(editor: &mut Editor, expected: &[(&str, &str)]) -> Value {
    editor.told("kapell/claims", |params| {
        let claims = params["claims"].as_array().unwrap();
        claims.len() == expected.len()
            && expected.iter().all(|(holder, pattern)| {
                claims.iter().any(|claim| claim["holder"] == *holder && claim["pattern"] == *pattern)
            })
    })
}

fn lens_titles(editor: &mut Editor, path: &Path) -> Vec<String> {
    let lenses = editor.result("textDocument/codeLens", json!({"textDocument": {"uri": uri(path)}}));
    lenses
        .as_array()
        .unwrap()
        .iter()
        .map(|lens| lens["command"]["title"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn another_process_claims_and_the_open_file_shows_it_until_it_is_free() {
    let world = World::new(&[("src/a.rs", "fn a() {}\n")]);
    let path = world.path("src/a.rs");
    let mut editor = world.editor();
    editor.open(&path, "fn a() {}\n");
    assert_eq!(lens_titles(&mut editor, &path), Vec::<String>::new());
    let id = world.claim("robot", "src");
    let shown = editor.diagnostics(&path, has("held"));
    assert_eq!(shown.len(), 1);
    let diagnostic = &shown[0];
    assert_eq!(diagnostic["severity"], 3);
    assert_eq!(diagnostic["source"], "kapell");
    assert_eq!(diagnostic["range"]["start"], json!({"line": 0, "character": 0}));
    let data = &diagnostic["data"];
    assert_eq!(data["claim_id"], id);
    assert_eq!(data["pattern"], "src");
    assert_eq!(data["holder"], "robot");
    assert_eq!(data["holder_kind"], "agent");
    assert_eq!(data["reason"], "at work");
    assert!(data["since"].is_string() && data["expires_at"].is_string());
    // The lens and the hint are told anew, and say the same.
    editor.wait_for("a refresh", |message| message["method"] == "workspace/codeLens/refresh");
    editor.wait_for("a refresh", |message| message["method"] == "workspace/inlayHint/refresh");
    assert!(lens_titles(&mut editor, &path)[0].starts_with("held by robot (agent) since "));
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}});
    let hints =
        editor.result("textDocument/inlayHint", json!({"textDocument": {"uri": uri(&path)}, "range": range}));
    assert!(hints[0]["label"].as_str().unwrap().starts_with("robot (agent) since "), "{hints}");
    assert_eq!(hints[0]["position"], json!({"line": 0, "character": 9}));
    let owner = editor.result("kapell/owner", json!({"uri": uri(&path)}));
    assert_eq!((&owner["path"], &owner["own"]), (&json!("src/a.rs"), &json!(false)));
    assert_eq!(owner["claims"][0]["claim_id"], id);
    let told = wait_for_claims(&mut editor, &[("robot", "src")]);
    assert_eq!(told["root"], uri(&world.project()));
    assert_eq!((&told["total"], &told["claims"][0]["own"]), (&json!(1), &json!(false)));
    world.release("robot");
    editor.diagnostics(&path, none);
    wait_for_claims(&mut editor, &[]);
    assert_eq!(lens_titles(&mut editor, &path), Vec::<String>::new());
    editor.finish();
}

#[test]
fn an_editor_that_opens_what_is_held_is_told_to_ask_for_lenses_again() {
    // It may have asked just before the claim: the server knows only what it showed since.
    let world = World::new(&[("src/a.rs", "fn a() {}\n")]);
    let path = world.path("src/a.rs");
    world.claim("robot", "src");
    let mut editor = world.editor();
    editor.open(&path, "fn a() {}\n");
    editor.wait_for("a refresh", |message| message["method"] == "workspace/codeLens/refresh");
    assert!(lens_titles(&mut editor, &path)[0].starts_with("held by robot (agent) since "));
}

#[test]
fn a_claim_shows_soon() {
    let world = World::new(&[("a", "")]);
    let path = world.path("a");
    let mut editor = world.editor();
    editor.open(&path, "");
    let mut best = Duration::MAX;
    for _ in 0..5 {
        world.claim("robot", "a");
        // The claim was made when its process had answered, which was before this.
        let claimed = Instant::now();
        editor.diagnostics(&path, has("held"));
        best = best.min(claimed.elapsed());
        world.release("robot");
        editor.diagnostics(&path, none);
    }
    assert!(best < Duration::from_millis(150), "{best:?}");
    editor.finish();
}

#[test]
fn unsaved_changes_are_claimed_until_they_are_saved_undone_or_closed() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mine = [("ann", "a.txt")];
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    // Saved.
    editor.change(&path, 2, "two\n");
    let told = wait_for_claims(&mut editor, &mine);
    assert_eq!(
        (&told["claims"][0]["own"], &told["claims"][0]["holder_kind"]),
        (&json!(true), &json!("person"))
    );
    assert!(lens_titles(&mut editor, &path)[0].starts_with("yours since "));
    let owner = editor.result("kapell/owner", json!({"uri": uri(&path)}));
    assert_eq!(owner["own"], true);
    world.write("a.txt", "two\n");
    editor.save(&path);
    wait_for_claims(&mut editor, &[]);
    // Undone.
    editor.change(&path, 3, "three\n");
    wait_for_claims(&mut editor, &mine);
    editor.change(&path, 4, "two\n");
    wait_for_claims(&mut editor, &[]);
    // Closed.
    editor.change(&path, 5, "four\n");
    wait_for_claims(&mut editor, &mine);
    editor.close(&path);
    wait_for_claims(&mut editor, &[]);
    // The end of the editor.
    editor.open(&path, "five\n");
    wait_for_claims(&mut editor, &mine);
    editor.finish();
    assert_eq!(world.claims(), []);
}

#[test]
fn a_file_of_another_encoding_is_let_go_of_once_its_changes_are_undone() {
    for opens_clean in [false, true] {
        let world = World::new(&[("latin.txt", "")]);
        let path = world.path("latin.txt");
        std::fs::write(&path, b"caf\xe9\n").unwrap();
        let mut hello = world.hello();
        hello["initializationOptions"] = json!({"opensClean": opens_clean});
        let mut editor = world.quiet_editor(hello);
        wait_for_claims(&mut editor, &[]);
        editor.open(&path, "caf\u{e9}\n");
        editor.change(&path, 2, "caf\u{e9}s\n");
        wait_for_claims(&mut editor, &[("ann", "latin.txt")]);
        editor.change(&path, 3, "caf\u{e9}\n");
        wait_for_claims(&mut editor, &[]);
        // What was saved is what can be come back to from then on.
        editor.change(&path, 4, "th\u{e9}\n");
        wait_for_claims(&mut editor, &[("ann", "latin.txt")]);
        std::fs::write(&path, b"th\xe9\n").unwrap();
        editor.save(&path);
        wait_for_claims(&mut editor, &[]);
        editor.change(&path, 5, "caf\u{e9}\n");
        wait_for_claims(&mut editor, &[("ann", "latin.txt")]);
        editor.change(&path, 6, "th\u{e9}\n");
        wait_for_claims(&mut editor, &[]);
        // One that says that it opened changes has nothing to come back to.
        editor.close(&path);
        editor.open(&path, "other\n");
        let change = json!({"textDocument": {"uri": uri(&path), "version": 2}, "contentChanges": []});
        editor.notify("textDocument/didChange", change);
        wait_for_claims(&mut editor, &[("ann", "latin.txt")]);
        editor.finish();
    }
}

#[test]
fn who_edits_what_an_agent_holds_is_warned_once_and_gets_it_when_it_is_free() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    world.claim("robot", "a.txt");
    editor.diagnostics(&path, has("held"));
    editor.change(&path, 2, "two\n");
    let shown = editor.diagnostics(&path, has("meeting"));
    assert_eq!(shown[0]["severity"], 2);
    let meeting = editor.told("kapell/meeting", |params| params["uri"] == uri(&path));
    assert_eq!((&meeting["path"], &meeting["claims"][0]["holder"]), (&json!("a.txt"), &json!("robot")));
    let message = editor.told("window/showMessage", |_| true);
    assert_eq!((&message["type"], &message["message"]), (&json!(2), &meeting["message"]));
    // Further typing says nothing more.
    editor.change(&path, 3, "three\n");
    editor.change(&path, 4, "four\n");
    editor.result("kapell/owner", json!({"uri": uri(&path)}));
    world.release("robot");
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    assert!(editor.unread().all(|message| message["method"] != "window/showMessage"));
    editor.diagnostics(&path, none);
    editor.finish();
}

#[test]
fn a_killed_server_loses_its_claims_and_the_next_one_has_them_again() {
    let world = World::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let (a, b) = (world.path("a.txt"), world.path("b.txt"));
    let mut watcher = world.editor();
    watcher.open(&b, "one\n");
    let mut editor = world.editor();
    editor.open(&a, "two\n");
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    editor.kill();
    // Whoever asks gets it, since nobody is there any more who has it.
    world.claim("robot", "a.txt");
    world.release("robot");
    // The editor starts another server and opens its files with what was typed.
    let mut editor = world.editor();
    editor.open(&a, "two\n");
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    editor.finish();
    watcher.finish();
    assert_eq!(world.claims(), []);
}

#[test]
fn what_an_editor_opens_clean_is_claimed_once_it_says_that_it_is_not() {
    let world = World::new(&[("a", "new\n")]);
    let mut hello = world.hello();
    hello["initializationOptions"] = json!({"opensClean": true});
    let mut editor = world.quiet_editor(hello);
    let path = world.path("a");
    editor.open(&path, "old\n");
    // Who claims it afterwards is told of behind whatever opening did.
    let robot = world.claim("robot", "a");
    editor.diagnostics(&path, has("held"));
    world.release("robot");
    editor.diagnostics(&path, none);
    assert_eq!(world.claims(), []);
    let unsaved = json!({"textDocument": {"uri": uri(&path), "version": 1}, "contentChanges": []});
    editor.notify("textDocument/didChange", unsaved);
    editor.told("kapell/claims", |told| {
        told["claims"][0]["own"] == true && told["claims"][0]["claim_id"] != robot
    });
    editor.close(&path);
    editor.told("kapell/claims", |told| told["total"] == 0);
    editor.finish();
}

#[test]
fn a_deleted_file_that_is_open_as_it_was_is_not_claimed() {
    let world = World::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let (a, b) = (world.path("a.txt"), world.path("b.txt"));
    let mut editor = world.editor();
    editor.open(&a, "one\n");
    // Once it is answered the file has been looked at, since the change of `b` comes behind it.
    editor.open(&b, "two\n");
    wait_for_claims(&mut editor, &[("ann", "b.txt")]);
    std::fs::remove_file(&a).unwrap();
    std::fs::remove_file(&b).unwrap();
    let mut version = 1;
    // Typed and undone: what was on the disk is what the editor has.
    for (text, claims) in
        [("three\n", &[("ann", "a.txt"), ("ann", "b.txt")][..]), ("one\n", &[("ann", "b.txt")])]
    {
        version += 1;
        editor.change(&a, version, text);
        wait_for_claims(&mut editor, claims);
    }
    editor.kill();
    // The next server never saw the file; the last commit has it.
    let mut editor = world.editor();
    editor.open(&a, "one\n");
    editor.open(&b, "two\n");
    let new = world.path("new.txt");
    editor.open(&new, "typed\n");
    wait_for_claims(&mut editor, &[("ann", "b.txt"), ("ann", "new.txt")]);
    editor.finish();
    assert_eq!(world.claims(), []);
}

#[test]
fn a_holder_that_ends_without_a_word_is_seen_to_end() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut hello = world.hello();
    hello["initializationOptions"] = json!({"person": "bob"});
    let mut bob = world.quiet_editor(hello);
    bob.open(&path, "two\n");
    wait_for_claims(&mut bob, &[("bob", "a.txt")]);
    let mut ann = world.editor();
    ann.open(&path, "one\n");
    ann.diagnostics(&path, has("held"));
    bob.kill();
    ann.diagnostics(&path, none);
    ann.finish();
}

#[test]
fn a_session_that_is_killed_past_its_lease_is_seen_to_end() {
    let world = World::new(&[("a.txt", "one\n"), ("b.txt", "one\n")]);
    let (path, other) = (world.path("a.txt"), world.path("b.txt"));
    let mut hello = world.hello();
    hello["initializationOptions"] = json!({"person": "bob"});
    let mut bob = world.quiet_editor(hello);
    bob.command("kapell.claim-files", json!({"paths": ["a.txt"], "ttl_s": 1}));
    let mut ann = world.editor();
    ann.open(&path, "one\n");
    ann.diagnostics(&path, has("held"));
    // A lease of nobody who lives that is as long and began later: when it is over, so is the first one,
    // whose holder lives on, which is proved by a lock.
    ann.open(&other, "one\n");
    world.run(&["claim-files", "b.txt", "--as", "eve", "--ttl-s", "1"]);
    ann.diagnostics(&other, has("held"));
    ann.diagnostics(&other, none);
    assert_eq!(ann.result("kapell/owner", json!({"uri": uri(&path)}))["claims"].as_array().unwrap().len(), 1);
    bob.kill();
    ann.diagnostics(&path, none);
    ann.finish();
}

#[test]
fn a_lease_that_runs_out_is_seen_to() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    let claimed = world.run(&["claim-files", "a.txt", "--as", "eve", "--ttl-s", "2"]);
    assert_eq!(claimed["granted"], true);
    editor.diagnostics(&path, has("held"));
    editor.diagnostics(&path, none);
    editor.finish();
}

#[test]
fn files_that_are_renamed_or_deleted_leave_nothing_behind() {
    let world = World::new(&[("a.txt", "one\n"), ("dir/b.txt", "one\n")]);
    let (a, b) = (world.path("a.txt"), world.path("dir/b.txt"));
    let mut editor = world.editor();
    editor.open(&a, "two\n");
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    std::fs::rename(&a, world.path("c.txt")).unwrap();
    editor.notify(
        "workspace/didRenameFiles",
        json!({"files": [{"oldUri": uri(&a), "newUri": uri(&world.path("c.txt"))}]}),
    );
    wait_for_claims(&mut editor, &[]);
    editor.close(&a);
    editor.open(&world.path("c.txt"), "two\n");
    wait_for_claims(&mut editor, &[("ann", "c.txt")]);
    editor.close(&world.path("c.txt"));
    wait_for_claims(&mut editor, &[]);
    world.claim("robot", "dir");
    editor.open(&b, "one\n");
    editor.diagnostics(&b, has("held"));
    std::fs::remove_dir_all(world.path("dir")).unwrap();
    editor.notify("workspace/didDeleteFiles", json!({"files": [{"uri": uri(&world.path("dir"))}]}));
    editor.diagnostics(&b, none);
    editor.finish();
}

#[test]
fn what_lies_in_no_repository_is_left_alone() {
    let world = World::new(&[]);
    let outside = world.root().join("outside.txt");
    std::fs::write(&outside, "one\n").unwrap();
    let mut editor = world.editor();
    for path in [&outside, &world.root().join("no/such/folder/x"), &world.path(".git/config")] {
        editor.open(path, "one\n");
        editor.change(path, 2, "two\n");
        let owner = editor.result("kapell/owner", json!({"uri": uri(path)}));
        assert_eq!(owner, json!({"path": null, "pattern": null, "claims": [], "own": false}), "{path:?}");
        assert_eq!(lens_titles(&mut editor, path), Vec::<String>::new());
    }
    editor.notify(
        "textDocument/didOpen",
        json!({"textDocument": {"uri": "untitled:Untitled-1", "languageId": "x", "version": 1, "text": "x"}}),
    );
    assert_eq!(editor.result("kapell/owner", json!({"uri": "untitled:Untitled-1"}))["own"], false);
    assert_eq!(world.claims(), []);
    assert!(editor.unread().all(|message| message["method"] != "textDocument/publishDiagnostics"));
    editor.finish();
}

#[test]
fn what_is_open_before_its_folder_is_a_repository_is_claimed_from_then_on() {
    let world = World::new(&[]);
    let folder = world.root().join("young");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("a.txt");
    std::fs::write(&path, "one\n").unwrap();
    let mut hello = world.hello();
    hello["rootUri"] = json!(uri(&folder));
    hello["workspaceFolders"] = json!([{"uri": uri(&folder), "name": "young"}]);
    let mut editor = world.quiet_editor(hello);
    editor.open(&path, "one\n");
    editor.change(&path, 2, "two\n");
    editor.told("kapell/projects", |told| told["outside"] == json!([uri(&folder)]));
    let made = world.program("git").args(["init", "-q"]).current_dir(&folder).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let head = json!({"uri": uri(&folder.join(".git/HEAD")), "type": 1});
    editor.notify("workspace/didChangeWatchedFiles", json!({"changes": [head]}));
    let told = editor.told("kapell/claims", |told| told["total"] == 1);
    assert_eq!((&told["claims"][0]["pattern"], &told["claims"][0]["own"]), (&json!("a.txt"), &json!(true)));
    assert_eq!(lens_titles(&mut editor, &path).len(), 1);
    editor.finish();
}

#[test]
fn a_file_is_found_by_its_own_folder_through_links_and_in_other_repositories() {
    let world = World::new(&[("src/a.rs", "x\n"), ("sub/x", "")]);
    let other = World::new(&[("b.rs", "x\n")]);
    std::os::unix::fs::symlink(world.path("src"), world.root().join("way")).unwrap();
    let mut editor = world.editor();
    let by_link = world.root().join("way/a.rs");
    editor.open(&by_link, "x\n");
    world.claim("robot", "src/a.rs");
    editor.diagnostics(&by_link, has("held"));
    // Another repository is another project of the same store.
    let foreign = other.path("b.rs");
    editor.open(&foreign, "y\n");
    let told = editor.told("kapell/claims", |params| params["claims"][0]["pattern"] == "b.rs");
    assert_eq!(told["root"], uri(&other.project()));
    editor.finish();
}

#[test]
fn a_file_is_held_whatever_its_name_has_in_it() {
    let names = [
        ("back\\slash", "back?slash"),
        ("new\nline", "new?line"),
        ("!bang", "?bang"),
        ("blank ", "blank?"),
        ("dot.", "dot?"),
        ("src/a \\ b/c.", "src/a ? b/c?"),
        ("app/[id]/{a}*?.rs", "app/[[]id[]]/[{]a[}][*][?].rs"),
    ];
    let files: Vec<(&str, &str)> = names.iter().map(|(name, _)| (*name, "one\n")).collect();
    let world = World::new(&files);
    let mut editor = world.editor();
    let free = |editor: &mut Editor, pattern: &str, why: &str| {
        let text = format!("ann lets go of {pattern} ({why})");
        editor.told("kapell/event", |event| event["text"] == text.as_str());
    };
    for (name, pattern) in names {
        let path = world.path(name);
        editor.open(&path, "one\n");
        editor.change(&path, 2, "two\n");
        let told = wait_for_claims(&mut editor, &[("ann", pattern)]);
        assert_eq!(told["claims"][0]["own"], true);
        let owner = editor.result("kapell/owner", json!({"uri": uri(&path)}));
        assert_eq!(
            (&owner["path"], &owner["pattern"], &owner["own"]),
            (&json!(name), &json!(pattern), &json!(true))
        );
        editor.change(&path, 3, "one\n");
        free(&mut editor, pattern, "its changes are saved or undone");
        // What somebody else holds around it is shown, and taken over by what it is called.
        world.claim("robot", "**");
        let shown = editor.diagnostics(&path, has("held"));
        let message = shown[0]["message"].as_str().unwrap();
        assert!(
            message.contains(" is held by robot (agent) as ** since ") && !message.contains('\n'),
            "{message}"
        );
        let taken = editor.command(
            "kapell.claim-files",
            json!({"paths": [owner["pattern"]], "take_over": true, "reason": "mine now"}),
        );
        assert_eq!(taken["granted"], true, "{taken}");
        editor.diagnostics(&path, none);
        editor.command("kapell.release-files", json!({"paths": [owner["pattern"]]}));
        free(&mut editor, pattern, "released");
        editor.close(&path);
    }
    // A file that was deleted and is open as it was has no changes, and its last commit is asked by its name.
    for (name, _) in names {
        std::fs::remove_file(world.path(name)).unwrap();
        editor.open(&world.path(name), "one\n");
    }
    let new = world.path("new.txt");
    editor.open(&new, "typed\n");
    wait_for_claims(&mut editor, &[("ann", "new.txt")]);
    editor.finish();
    assert_eq!(world.claims(), []);
}

#[test]
fn actions_ask_take_over_and_release() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    world.claim("robot", "a.txt");
    let shown = editor.diagnostics(&path, has("held"));
    let actions = |editor: &mut Editor, diagnostics: &[Value]| -> Vec<Value> {
        let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
        let params = json!({"textDocument": {"uri": uri(&path)}, "range": range, "context": {"diagnostics": diagnostics}});
        let actions = editor.result("textDocument/codeAction", params);
        actions.as_array().unwrap().iter().map(|action| action["command"].clone()).collect()
    };
    let found = actions(&mut editor, &shown);
    let names: Vec<&str> = found.iter().map(|command| command["command"].as_str().unwrap()).collect();
    assert_eq!(names, ["kapell.ask", "kapell.ui.takeOver"]);
    assert_eq!(found[1]["arguments"][0]["claims"][0]["holder"], "robot");
    // Asked for, it comes by itself.
    let answer = editor.result(
        "workspace/executeCommand",
        json!({"command": "kapell.ask", "arguments": found[0]["arguments"]}),
    );
    assert_eq!(answer, json!({"waiting": true, "path": "a.txt"}));
    let asked = editor.told("kapell/event", |event| event["kind"] == "claim.asked");
    assert_eq!(asked["text"], "ann asks for a.txt from robot: asked for in an editor");
    assert_eq!(
        (&asked["data"]["by"], &asked["data"]["from"], &asked["data"]["patterns"]),
        (&json!("ann"), &json!(["robot"]), &json!(["a.txt"]))
    );
    world.release("robot");
    let message = editor.told("window/showMessage", |_| true);
    assert_eq!(message, json!({"type": 3, "message": "a.txt is yours now."}));
    wait_for_claims(&mut editor, &[("ann", "a.txt")]);
    // What one has is not waited for, nor is what is free.
    let ask = |editor: &mut Editor, path: &Path| editor.command("kapell.ask", json!({"uri": uri(path)}));
    assert_eq!(ask(&mut editor, &path), json!({"waiting": false, "path": "a.txt"}));
    let message = editor.told("window/showMessage", |_| true);
    assert_eq!(message["message"], "a.txt is yours already.");
    let free = world.path("app/[id].txt");
    assert_eq!(ask(&mut editor, &free), json!({"waiting": false, "path": "app/[id].txt"}));
    let message = editor.told("window/showMessage", |_| true);
    assert_eq!(message["message"], "app/[id].txt is yours now.");
    wait_for_claims(&mut editor, &[("ann", "a.txt"), ("ann", "app/[[]id[]].txt")]);
    editor.command("kapell.release-files", json!({"paths": ["app/[[]id[]].txt"]}));
    assert!(!editor.unread().any(|message| message["params"]["kind"] == "claim.asked"));
    // What is one's own can be let go of.
    let found = actions(&mut editor, &[]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["command"], "kapell.release-files");
    let released = editor.command("kapell.release-files", found[0]["arguments"][0].clone());
    assert_eq!(released["released"].as_array().unwrap().len(), 1);
    wait_for_claims(&mut editor, &[]);
    editor.finish();
}

#[test]
fn what_was_asked_for_is_withdrawn() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    world.claim("robot", "a.txt");
    editor.diagnostics(&path, has("held"));
    let first = |editor: &mut Editor| -> Value {
        let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}});
        let params =
            json!({"textDocument": {"uri": uri(&path)}, "range": range, "context": {"diagnostics": []}});
        editor.result("textDocument/codeAction", params)[0].clone()
    };
    editor.command("kapell.ask", json!({"uri": uri(&path)}));
    editor.told("kapell/event", |event| event["kind"] == "claim.asked");
    assert_eq!(editor.result("kapell/owner", json!({"uri": uri(&path)}))["asked"], true);
    let action = first(&mut editor);
    assert_eq!(
        (&action["title"], &action["command"]["command"]),
        (&json!("Stop waiting for it"), &json!("kapell.release-files"))
    );
    let params =
        json!({"command": action["command"]["command"], "arguments": action["command"]["arguments"]});
    assert_eq!(editor.result("workspace/executeCommand", params)["withdrawn"], json!(["a.txt"]));
    let message = editor.told("window/showMessage", |_| true);
    assert_eq!(message, json!({"type": 3, "message": "You do not wait for a.txt any more."}));
    assert_eq!(first(&mut editor)["command"]["command"], "kapell.ask");
    world.release("robot");
    editor.diagnostics(&path, none);
    assert_eq!(world.claims(), []);
    editor.finish();
}

#[test]
fn taking_over_releases_and_tells() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let mut editor = world.editor();
    editor.open(&path, "one\n");
    world.claim("robot", "a.txt");
    editor.diagnostics(&path, has("held"));
    let refused = editor.call(
        "workspace/executeCommand",
        json!({"command": "kapell.claim-files", "arguments": [{"paths": ["a.txt"], "take_over": true}]}),
    );
    assert_eq!(refused["error"]["data"]["kind"], "invalid-params");
    let taken = editor
        .command("kapell.claim-files", json!({"paths": ["a.txt"], "take_over": true, "reason": "mine now"}));
    assert_eq!(taken["granted"], true, "{taken}");
    let event = editor.told("kapell/event", |event| event["kind"] == "claim.taken");
    assert_eq!((&event["holder"], &event["data"]["from"]), (&json!("ann"), &json!("robot")));
    assert_eq!(
        (&event["data"]["reason"], &event["root"]),
        (&json!("mine now"), &json!(uri(&world.project())))
    );
    editor.diagnostics(&path, none);
    assert_eq!(world.claims(), [("ann".to_owned(), "person".to_owned(), "a.txt".to_owned())]);
    editor.finish();
}

#[test]
fn no_key_press_waits_for_the_store() {
    let text = "{\"tasks\": []}";
    let world = World::new(&[("plan.json", text)]);
    let path = world.path("plan.json");
    let mut editor = world.editor();
    editor.open(&path, text);
    editor.result("kapell/owner", json!({"uri": uri(&path)}));
    // Somebody writes, and takes long.
    let lock = std::fs::File::open(world.root().join("state/kapell.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for version in 2..50 {
        editor.change(&path, version, &format!("{{\"tasks\": [{{\"id\": {version}}}]}}"));
        let symbols =
            editor.result("textDocument/documentSymbol", json!({"textDocument": {"uri": uri(&path)}}));
        assert_eq!(symbols[0]["name"], format!("task {version}"));
    }
    editor.diagnostics(&path, has("no-files"));
    drop(lock);
    wait_for_claims(&mut editor, &[("ann", "plan.json")]);
    editor.finish();
}

#[test]
fn two_editors_of_one_person_share_a_claim() {
    let world = World::new(&[("a.txt", "one\n")]);
    let path = world.path("a.txt");
    let (mut first, mut second) = (world.editor(), world.editor());
    first.open(&path, "two\n");
    let told = wait_for_claims(&mut second, &[("ann", "a.txt")]);
    second.open(&path, "three\n");
    assert_eq!(second.result("kapell/owner", json!({"uri": uri(&path)}))["own"], true);
    // What one lets go of the other needs still.
    first.close(&path);
    let again = second.told("kapell/claims", |params| {
        params["total"] == 1 && params["claims"][0]["claim_id"] != told["claims"][0]["claim_id"]
    });
    assert_eq!(again["claims"][0]["own"], true);
    first.finish();
    second.finish();
    assert_eq!(world.claims(), []);
}

/// The claims of a log, one after the other: nobody is let in beside somebody else.
fn assert_never_two(world: &World) -> usize {
    let mut live: std::collections::BTreeMap<i64, String> = std::collections::BTreeMap::new();
    let (mut cursor, mut granted) = ("0".to_owned(), 0);
    loop {
        let page = world.run(&["status", "--scope", "events", "--cursor", &cursor, "--limit", "500"]);
        for event in page["events"].as_array().unwrap() {
            match event["kind"].as_str().unwrap() {
                "claim.granted" => {
                    let holder = event["holder"].as_str().unwrap().to_owned();
                    live.insert(event["data"]["claim"].as_i64().unwrap(), holder);
                    granted += 1;
                    assert_eq!(live.len(), 1, "{event}");
                }
                "claim.released" => {
                    live.remove(&event["data"]["claim"].as_i64().unwrap()).unwrap();
                }
                _ => {}
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return granted,
        }
    }
}

#[test]
fn nobody_holds_what_was_taken_over() {
    let world = World::new(&[]);
    let mut editors: Vec<Editor> = ["ann", "bob", "eve"]
        .map(|name| {
            let mut hello = world.hello();
            hello["initializationOptions"] = json!({"person": name});
            world.quiet_editor(hello)
        })
        .into();
    world.claim("robot", "a");
    let wish = json!({"command": "kapell.claim-files",
        "arguments": [{"paths": ["a"], "take_over": true, "reason": "mine"}]});
    for _ in 0..8 {
        let asked: Vec<i64> =
            editors.iter_mut().map(|editor| editor.ask("workspace/executeCommand", wish.clone())).collect();
        for (editor, id) in editors.iter_mut().zip(asked) {
            assert_eq!(editor.answer(id)["result"]["granted"], true);
        }
    }
    // The first of each round takes it from whoever was last, the others from one another.
    assert!(assert_never_two(&world) > 8);
    assert_eq!(world.claims().len(), 1);
    for editor in editors {
        editor.finish();
    }
}

#[test]
fn the_command_line_takes_over_too() {
    let world = World::new(&[]);
    world.claim("robot", "a");
    let unreasoned = world.output(&["claim-files", "a", "--as", "me", "--take-over"]);
    assert_eq!(unreasoned.status.code(), Some(2), "{unreasoned:?}");
    let taken = world.run(&["claim-files", "a", "--as", "me", "--take-over", "--reason", "by hand"]);
    assert_eq!(taken["granted"], true, "{taken}");
    let events = world.run(&["status", "--scope", "events", "--limit", "100"]);
    let texts: Vec<&str> =
        events["events"].as_array().unwrap().iter().filter_map(|event| event["text"].as_str()).collect();
    assert!(texts.contains(&"ann takes over a from robot: by hand"), "{texts:?}");
    assert_eq!(world.claims(), [("ann".to_owned(), "person".to_owned(), "a".to_owned())]);
}
