//! Sessions that follow each other in one process.

use serde_json::json;

use super::{ask, edit, event, holders};
use crate::bench::Bench;

#[test]
fn what_a_session_held_that_was_cleared_is_the_next_ones_of_its_process() {
    let bench = Bench::new();
    for path in ["README", "src/lib.txt"] {
        assert_eq!(ask(&bench, &edit(&bench, "a", path)), "");
        bench.write(path, "changed\n");
    }
    let mut clear = event(&bench, "a", "SessionEnd");
    clear["reason"] = json!("clear");
    assert_eq!(ask(&bench, &clear), "");
    assert_eq!(holders(&bench), ["agent claude-a README", "agent claude-a src/lib.txt"]);
    assert_eq!(ask(&bench, &edit(&bench, "after", "README")), "");
    assert_eq!(holders(&bench), ["agent claude-after README", "agent claude-after src/lib.txt"]);
    // It lets go of them as of its own.
    bench.commit("done");
    assert_eq!(ask(&bench, &event(&bench, "after", "Stop")), "");
    assert_eq!(holders(&bench), Vec::<String>::new());

    // One that only ended, or that goes on after all, gives nothing away.
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    bench.write("README", "by b\n");
    assert_eq!(ask(&bench, &event(&bench, "b", "SessionEnd")), "");
    assert!(ask(&bench, &edit(&bench, "c", "README")).contains("claude-b"));
    clear["session_id"] = json!("b");
    assert_eq!(ask(&bench, &clear), "");
    assert_eq!(ask(&bench, &edit(&bench, "b", "README")), "");
    assert!(ask(&bench, &edit(&bench, "c", "README")).contains("claude-b"));
}
