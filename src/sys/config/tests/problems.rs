//! Each kind of problem, with its exact place.

use std::path::Path;

use super::{check, told};

/// Checks a text that has exactly these problems, as `line:column key message`.
fn has(text: &str, expected: &[&str]) {
    assert_eq!(told(&check(Path::new("kapell.toml"), text)), expected, "{text}");
}

/// Checks a text that has one problem, and the hint to it.
fn hint(text: &str, expected: &str) {
    let problems = check(Path::new("kapell.toml"), text);
    let hints: Vec<&str> = problems.iter().map(|problem| problem.hint.as_str()).collect();
    assert_eq!(hints, [expected], "{text}");
}

#[test]
fn text_that_is_no_toml() {
    has("[rules]\ntdd = \n", &["2:7  a value is missing"]);
    has("[rules]\ntdd = true\n tdd = false", &["3:2  `tdd` is set twice"]);
    has("[rules]\nlint = cargo\n", &["2:8  a string stands bare"]);
    // Each broken line is told, and what fits is checked all the same.
    has(
        "[rules]\ntdd = \nreview = 3\nlint = \"x\n[project\ntarget = \"m\"\n[roles]\njudg = \"x\"",
        &[
            "2:7  a value is missing",
            "3:10 rules.review `rules.review` must be a string; found the number 3",
            "4:10  invalid basic string, expected `\"`",
            "5:9  unclosed table, expected `]`",
            "8:1 roles.judg unknown key `roles.judg`",
        ],
    );
    // Names are not followed in a text that is half understood.
    has("[rules]\nreview = \"x\"\n[providers.x\nkind = \"codex\"", &["3:13  unclosed table, expected `]`"]);
}

#[test]
fn unknown_keys_at_every_level() {
    has("targt = 1", &["1:1 targt unknown key `targt`"]);
    has("[project]\n\n  targt = 1", &["3:3 project.targt unknown key `project.targt`"]);
    has(
        "[providers.claude.budget]\nusd = 1",
        &["2:1 providers.claude.budget.usd unknown key `providers.claude.budget.usd`"],
    );
    has(
        "[[routes]]\nmatch = 'a'\nto = \"claude\"\nprio = 1",
        &["4:1 routes[0].prio unknown key `routes[0].prio`"],
    );
    has(
        "[pipelines.p]\nstages = [{ name = \"a\", task = \"t\", on = [] }]",
        &["2:37 pipelines.p.stages[0].on unknown key `pipelines.p.stages[0].on`"],
    );
    has(
        "[providers.\"a b\"]\nkind = \"codex\"\nx = 1",
        &[
            "1:12 providers.\"a b\" `a b` is no name",
            "3:1 providers.\"a b\".x unknown key `providers.\"a b\".x`",
        ],
    );
    hint("[project]\ntargt = 1", "did you mean `target`?");
    hint("[project]\nmax-workers = 1", "did you mean `max_workers`?");
    hint("[rule]\n", "did you mean `rules`?");
    hint("[rules]\nisolation = 1", "`isolation` belongs in [project]");
    hint("[roles]\ncapability = 1", "`capability` belongs in [providers.NAME]");
    hint("[failover]\nqqqqqqq = 1", "known here: `chain`, `fallback` and `alert_at`");
}

#[test]
fn wrong_types_and_limits() {
    has("project = 3", &["1:11 project `project` must be a table; found the number 3"]);
    has(
        "[project]\nmax_workers = \"4\"",
        &["2:15 project.max_workers `project.max_workers` must be a whole number; found the string \"4\""],
    );
    hint("[project]\nmax_workers = \"4\"", "write 4 without quotes");
    for name in ["a..b", "-x", "a b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.", "@", "a@{b", "a~1"] {
        has(
            &format!("[project]\ntarget = \"{name}\""),
            &[&format!("2:10 project.target `project.target` is no name of a branch: `{name}`")],
        );
    }
    for name in ["main", "release/1.2", "env/dev-1", "a@b", "é", "refs/heads/x"] {
        has(&format!("[project]\ntarget = \"{name}\""), &[]);
    }
    has("[rules]\ntdd = 1", &["2:7 rules.tdd `rules.tdd` must be true or false; found the number 1"]);
    has(
        "[rules]\ntest = 1",
        &[
            "2:8 rules.test `rules.test` must be a command (an array of strings, or a string); found the number 1",
        ],
    );
    has(
        "[rules]\ntest = [\"a\", 1]",
        &["2:14 rules.test[1] `rules.test[1]` must be a string; found the number 1"],
    );
    has(
        "[failover]\nchain = \"claude\"",
        &["2:9 failover.chain `failover.chain` must be an array of strings; found the string \"claude\""],
    );
    hint("[failover]\nchain = \"claude\"", "write [\"claude\"]");
    has(
        "[project]\ntarget = 2026-01-01",
        &["2:10 project.target `project.target` must be a string; found the time 2026-01-01"],
    );
    has(
        "[project]\nwall = \"stric\"",
        &["2:8 project.wall `project.wall` must be `auto`, `strict`, `worktree` or `off`; found `stric`"],
    );
    hint("[project]\nwall = \"stric\"", "did you mean `strict`?");
    has(
        "[providers.a]\nkind = \"cloude\"",
        &[
            "2:8 providers.a.kind `providers.a.kind` must be `claude`, `codex`, `opencode`, `ollama` or `command`; found `cloude`",
        ],
    );
    has(
        "[providers.codex]\ncapability = 4\nmax_parallel = 0",
        &[
            "2:14 providers.codex.capability `providers.codex.capability` must be between 1 and 3; found 4",
            "3:16 providers.codex.max_parallel `providers.codex.max_parallel` must be between 1 and 4294967295; found 0",
        ],
    );
    has(
        "[providers.codex]\ncapability = 0",
        &["2:14 providers.codex.capability `providers.codex.capability` must be between 1 and 3; found 0"],
    );
    has(
        "[providers.codex.budget]\nusd_per_day = -0.5\ntokens_per_day = -1",
        &[
            "2:15 providers.codex.budget.usd_per_day `providers.codex.budget.usd_per_day` must be 0 or more; found -0.5",
            "3:18 providers.codex.budget.tokens_per_day `providers.codex.budget.tokens_per_day` must be 0 or more; found -1",
        ],
    );
    for bad in ["1.01", "-0.1", "nan", "inf"] {
        let message =
            format!("2:12 failover.alert_at `failover.alert_at` must be between 0 and 1; found {bad}");
        has(&format!("[failover]\nalert_at = {bad}"), &[&message]);
    }
    has(
        "[environments]\nbase_port = 80",
        &["2:13 environments.base_port `environments.base_port` must be between 1024 and 65535; found 80"],
    );
    has(
        "[[routes]]\nmatch = 'a'\nto = \"codex\"\npriority = 11",
        &["4:12 routes[0].priority `routes[0].priority` must be between 0 and 10; found 11"],
    );
    has(
        "[[routes]]\nmatch = 'a'\nto = \"codex\"\npriority = true",
        &[
            "4:12 routes[0].priority `routes[0].priority` must be `high`, `medium` or `low` or a whole number; found true",
        ],
    );
    // A number may be written without a point.
    has("[providers.codex.budget]\nusd_per_day = 20\n[failover]\nalert_at = 1", &[]);
}

#[test]
fn commands() {
    has("[rules]\ntest = []", &["2:8 rules.test `rules.test` is an empty command"]);
    has("[rules]\ntest = \" \"", &["2:8 rules.test `rules.test` must not be empty"]);
    has("[rules]\ntest = \"# nothing\"", &["2:8 rules.test `rules.test` is an empty command"]);
    has("[rules]\ntest = [\"\", \"a\"]", &["2:8 rules.test `rules.test` names no program"]);
    has(
        "[rules]\ncustom = [\"a\", \"b 'c\"]",
        &["2:16 rules.custom[1] `rules.custom[1]` has a quote that is not closed"],
    );
    has("[rules]\ntest = \"a 'b c' \\\"d\\\"\"", &[]);
}

#[test]
fn regular_expressions_with_the_place_inside() {
    has(
        "[[routes]]\nmatch = 'é(b'\nto = \"codex\"",
        &[
            "2:11 routes[0].match `routes[0].match` is no regular expression: unclosed group, at its character 2",
        ],
    );
    has(
        "[[routes]]\nmatch = \"a**[\"\nto = \"codex\"",
        &[
            "2:13 routes[0].match `routes[0].match` is no regular expression: unclosed character class, at its character 4",
        ],
    );
    // Where escapes hide the place, the string is shown.
    has(
        "[[routes]]\nmatch = \"\\\\d(\\\\d\"\nto = \"codex\"",
        &[
            "2:9 routes[0].match `routes[0].match` is no regular expression: unclosed group, at its character 3",
        ],
    );
    has(
        "[groups.g]\nmatch = '''\n(?P<x>'''",
        &["3:1 groups.g.match `groups.g.match` is no regular expression: unclosed group, at its character 1"],
    );
    has("[groups.g]\nmatch = '(?x) a # b'", &[]);
    // Valid, but nobody could run it.
    let huge = check(Path::new("kapell.toml"), "[groups.g]\nmatch = '(a{1000}){1000}'");
    assert_eq!((huge.len(), huge[0].line, huge[0].column), (1, 2, 9));
}

#[test]
fn names_that_lead_nowhere() {
    has(
        "[workers.w]\nprovider = \"cladue\"",
        &["2:12 workers.w.provider `workers.w.provider` names `cladue`, which is no provider"],
    );
    hint("[workers.w]\nprovider = \"cladue\"", "did you mean `claude`?");
    hint("[workers.w]\nprovider = \"qwen\"", "define it in [providers.qwen]");
    has(
        "[workers.w]\nprovider = \"codex\"\nenvironment = \"dev9\"",
        &["3:15 workers.w.environment `workers.w.environment` names `dev9`, which is no environment"],
    );
    has("[workers.w]\n", &["1:10 workers.w `workers.w` lacks `provider`"]);
    has(
        "[groups.g]\nmembers = [\"claude\",\n  \"w\"]",
        &["3:3 groups.g.members[1] `groups.g.members[1]` names `w`, which is no worker"],
    );
    has(
        "[groups.g]\nmembers = [\"claude\", \"claude\"]",
        &["2:22 groups.g.members[1] `groups.g.members[1]` repeats `claude`"],
    );
    has(
        "[groups.g]\nprovider_by_name = [{ match = 'a', provider = \"x\" }, { match = 'b' }]",
        &[
            "2:47 groups.g.provider_by_name[0].provider `groups.g.provider_by_name[0].provider` names `x`, which is no provider",
            "2:54 groups.g.provider_by_name[1] `groups.g.provider_by_name[1]` lacks `provider`",
        ],
    );
    has(
        "[[routes]]\nmatch = 'a'\nto = \"nowhere\"",
        &["3:6 routes[0].to `routes[0].to` names `nowhere`, which is no worker, no group, no provider"],
    );
    has("[[routes]]\nto = \"codex\"", &["1:1 routes[0] `routes[0]` lacks `match`"]);
    has(
        "[workers.w]\nprovider = \"codex\"\nprotected = true\n[[routes]]\nmatch = 'a'\nto = \"w\"",
        &["6:6 routes[0].to `routes[0].to` names `w`, a protected worker that never gets a task"],
    );
    has(
        "[roles]\nplanner = \"codx\"",
        &["2:11 roles.planner `roles.planner` names `codx`, which is no provider, no worker"],
    );
    has(
        "[rules]\nreview = \"codx\"",
        &["2:10 rules.review `rules.review` names `codx`, which is no provider"],
    );
    has(
        "[failover]\nchain = [\"claude\", \"x\", \"claude\"]\nfallback = \"y\"",
        &[
            "2:20 failover.chain[1] `failover.chain[1]` names `x`, which is no provider",
            "2:25 failover.chain[2] `failover.chain[2]` repeats `claude`",
            "3:12 failover.fallback `failover.fallback` names `y`, which is no provider",
        ],
    );
    // A fault in a definition is told once, not again for everyone who names it.
    has(
        "[providers]\nx = 3\n[roles]\njudge = \"x\"",
        &["2:5 providers.x `providers.x` must be a table; found the number 3"],
    );
}

#[test]
fn routes_that_lead_nowhere_or_are_never_asked() {
    has(
        "[[routes]]\nmatch = 'a'\nto = \"auto\"",
        &["3:6 routes[0].to `routes[0].to` is `auto`, which leads back to the routes"],
    );
    has(
        "[groups.g]\n[[routes]]\nmatch = 'a'\nto = \"g\"",
        &[
            "1:1 groups.g group `g` has no members",
            "4:6 routes[0].to `routes[0].to` names the group `g`, which has no members",
        ],
    );
    // Nor does a stage, whose run would fail at once.
    const STAGE: &str = "[pipelines.p]\nstages = [{ name = \"a\", target = \"g\" }]\n";
    has(
        &format!("[groups.g]\n{STAGE}"),
        &[
            "1:1 groups.g group `g` has no members",
            "3:34 pipelines.p.stages[0].target `pipelines.p.stages[0].target` names the group `g`, which has no members",
        ],
    );
    has(&format!("[groups.g]\n{STAGE}[workers.w]\nprovider = \"codex\"\ngroups = [\"g\"]"), &[]);
    has(&format!("[groups.g]\nmatch = 'codex\\d'\n{STAGE}"), &[]);
    has(
        "[[routes]]\nmatch = '[^\\s\\S]'\nto = \"codex\"",
        &["2:9 routes[0].match `routes[0].match` can match nothing"],
    );
    has(
        "[[routes]]\nmatch = 'a'\nto = \"codex\"\n[[routes]]\nmatch = 'a'\nto = \"claude\"",
        &["5:9 routes[1].match `routes[1]` is never reached: `routes[0]` takes all that it could"],
    );
    has(
        "[[routes]]\nmatch = '.*'\nto = \"codex\"\n[[routes]]\nmatch = 'a'\nto = \"claude\"",
        &["5:9 routes[1].match `routes[1]` is never reached: `routes[0]` takes all that it could"],
    );
    for all in [".", "..?", "(?s).", "[^x]|x"] {
        has(
            &format!("[[routes]]\nmatch = '{all}'\nto = \"codex\"\n[[routes]]\nmatch = 'a'\nto = \"claude\""),
            &["5:9 routes[1].match `routes[1]` is never reached: `routes[0]` takes all that it could"],
        );
    }
    for some in ["^.$", "\\w", "..", "[a-z]"] {
        has(
            &format!(
                "[[routes]]\nmatch = '{some}'\nto = \"codex\"\n[[routes]]\nmatch = 'a'\nto = \"claude\""
            ),
            &[],
        );
    }
    let kept = "[workers.w]\nprovider = \"codex\"\nprotected = true\ngroups = [\"h\"]\n";
    for (group, name) in [("[groups.g]\nmembers = [\"w\"]\n", "g"), ("", "h")] {
        let text = format!("{kept}{group}[[routes]]\nmatch = 'a'\nto = \"{name}\"");
        let problems = check(Path::new("kapell.toml"), &text);
        let Some(problem) = problems.last() else { panic!("{text}") };
        assert!(problem.message.contains("whose members are all protected"), "{problem:?}");
    }
    has(
        "[workers.w]\nprovider = \"codex\"\n[workers.W]\nprovider = \"claude\"\n[workers.w2]\nprovider = \"codex\"",
        &[
            "1:10 workers.w `W` and `w` differ in case alone: people take them for one, and so do some systems",
        ],
    );
    // A provider is no way around that.
    let kept = "[workers.w]\nprovider = \"codex\"\nprotected = true\n[workers.v]\nprovider = \"claude\"\n";
    let are = "names the provider `codex`, whose workers are all protected and never get a task";
    for (says, told) in [
        ("[[routes]]\nmatch = 'a'\nto = \"codex\"", format!("8:6 routes[0].to `routes[0].to` {are}")),
        (
            "[pipelines.p]\nstages = [{ name = \"a\", target = \"codex\" }]",
            format!("7:34 pipelines.p.stages[0].target `pipelines.p.stages[0].target` {are}"),
        ),
        (
            "[failover]\nchain = [\"claude\", \"codex\"]",
            format!("7:20 failover.chain[1] `failover.chain[1]` {are}: it never takes over"),
        ),
        (
            "[failover]\nfallback = \"codex\"",
            format!("7:12 failover.fallback `failover.fallback` {are}: it never takes over"),
        ),
        (
            "[roles]\nlibrarian = \"codex\"",
            format!("7:13 roles.librarian `roles.librarian` {are}: questions go to others"),
        ),
    ] {
        has(&format!("{kept}{says}"), &[&told]);
        has(&format!("{kept}{says}\n[workers.x]\nprovider = \"codex\""), &[]);
    }
    has(&format!("{kept}[roles]\nplanner = \"codex\"\noracle = \"codex\"\njudge = \"codex\""), &[]);
    has("[[routes]]\nmatch = '^$'\nto = \"codex\"\n[[routes]]\nmatch = 'a'\nto = \"claude\"", &[]);
    has(
        "[workers.w]\nprovider = \"codex\"\n[workers.w]\nprovider = \"claude\"",
        &["3:10  `w` is set twice", "4:1  `provider` is set twice"],
    );
}

#[test]
fn providers() {
    has("[providers.a]\nmodel = \"m\"", &["1:12 providers.a `providers.a` lacks `kind`"]);
    has("[providers.a]\nkind = \"command\"", &["1:12 providers.a `providers.a` lacks `command`"]);
    has(
        "[providers.codex]\nprices = { input_usd_per_mtok = 1 }",
        &["2:1 providers.codex.prices `providers.codex.prices` lacks `output_usd_per_mtok`"],
    );
    has(
        "[providers.codex.budget]\nusd_per_day = 9\nusd_per_month = 8",
        &[
            "2:15 providers.codex.budget.usd_per_day `providers.codex.budget.usd_per_day` is more than usd_per_month",
        ],
    );
    has(
        "[providers.codex.budget]\nusd_per_attempt = 9\nusd_per_month = 8",
        &[
            "2:19 providers.codex.budget.usd_per_attempt `providers.codex.budget.usd_per_attempt` is more than usd_per_month",
        ],
    );
    has(
        "[providers.own]\nkind = \"command\"\ncommand = [\"own\", \"--text={promt}\", \"{task}\", \"{\"]\nargs = [\"{file}\", \"{home}\"]",
        &[
            "3:19 providers.own.command[1] `{promt}` is no placeholder, and reaches the program as it stands",
            "4:9 providers.own.args[0] `{file}` is no placeholder, and reaches the program as it stands",
        ],
    );
    has(
        "[providers.codex]\nenv = [\"A=b\"]",
        &["2:8 providers.codex.env[0] `providers.codex.env[0]` is no name of a variable: `A=b`"],
    );
    has(
        "[providers.codex]\nset_env = { KAPELL_TASK = \"x\", \"\" = \"y\" }",
        &[
            "2:13 providers.codex.set_env.KAPELL_TASK `KAPELL_TASK` is set by Kapell itself",
            "2:32 providers.codex.set_env.\"\" `` is no name of a variable",
        ],
    );
    has(
        "[providers.auto]\nkind = \"codex\"",
        &["1:12 providers.auto `auto` has a meaning of its own and cannot be a name"],
    );
}

#[test]
fn stages() {
    has(
        "[pipelines.p]\nstages = [\n{ name = \"a\", task = \"t\", triggers_on = [\"c\"] },\n{ name = \"b\", task = \"t\", triggers_on = [\"a\", \"nope\"] },\n{ name = \"c\", task = \"t\", triggers_on = [\"b\", \"codex\"] },\n{ name = \"d\", task = \"t\", triggers_on = [\"d\"] },\n{ name = \"d\" },\n{ task = \"t\" },\n]",
        &[
            "3:41 pipelines.p.stages[0].triggers_on stages wait for one another: a ← c ← b ← a",
            "4:47 pipelines.p.stages[1].triggers_on[1] `pipelines.p.stages[1].triggers_on[1]` names `nope`, which is no stage, no worker, no group",
            "6:41 pipelines.p.stages[3].triggers_on stages wait for one another: d ← d",
            "7:1 pipelines.p.stages[4] `pipelines.p.stages[4]` lacks `target`",
            "7:10 pipelines.p.stages[4].name stage `d` is there twice",
            "8:1 pipelines.p.stages[5] `pipelines.p.stages[5]` lacks `name`",
        ],
    );
    has(
        "[pipelines.p]\nstages = [{ name = \"a\", target = \"auto\", findings = \"taks\" }]",
        &[
            "2:53 pipelines.p.stages[0].findings `pipelines.p.stages[0].findings` must be `none` or `tasks`; found `taks`",
        ],
    );
    has(
        "[pipelines.p]\nstages = []\n[pipelines.q]\nstages = [{ name = \"approval\", task = \"t\", triggers_on = [\"codex\"] }]",
        &[
            "1:12 pipelines.p pipeline `p` has no stages",
            "3:12 pipelines.q no stage of pipeline `q` starts by itself",
            "4:20 pipelines.q.stages[0].name `approval` is a person's among triggers and cannot be a stage",
        ],
    );
    has(
        "[pipelines.p]\nstages = [\n{ name = \"a\", task = \"t\", findings = \"tasks\", fan_out = true },\n{ name = \"b\", command = [\"x\"], findings = \"tasks\", triggers_on_any = [\"a\", \"approval\", \"c\"] },\n{ name = \"c\", task = \"t\", findings = \"tasks\", findings_to = \"b\", triggers_on = [\"b\"] },\n{ name = \"d\", task = \"t\", findings_to = \"e\", rollback = [\"x\"], env = [\"A\"] },\n{ name = \"f\", command = [\"x\"], rollback_on = \"demand\" },\n]",
        &[
            "3:38 pipelines.p.stages[0].findings nobody mends what `pipelines.p.stages[0]` finds: no stage with tasks is before it",
            "3:57 pipelines.p.stages[0].fan_out `pipelines.p.stages[0]` has nothing to be done for each of",
            "4:43 pipelines.p.stages[1].findings nobody finds anything in `pipelines.p.stages[1]`: it has a command and no task",
            "4:70 pipelines.p.stages[1].triggers_on_any stages wait for one another: b ← c ← b",
            "5:61 pipelines.p.stages[2].findings_to `pipelines.p.stages[2].findings_to` names `b`, which mends nothing of it",
            "6:41 pipelines.p.stages[3].findings_to `pipelines.p.stages[3].findings_to` names `e`, which is no stage",
            "6:57 pipelines.p.stages[3].rollback `pipelines.p.stages[3].rollback` is of no use without `command`",
            "6:70 pipelines.p.stages[3].env `pipelines.p.stages[3].env` is of no use without `command`",
            "7:46 pipelines.p.stages[4].rollback_on `pipelines.p.stages[4].rollback_on` is of no use without `rollback`",
        ],
    );
    // A worker or a group leads back as well, where it does something only in stages that wait.
    let fleet = "[workers.w]\nprovider = \"claude\"\ngroups = [\"g\"]\n[workers.v]\nprovider = \"codex\"\n[pipelines.p]\nstages = [\n{ name = \"s\", target = \"v\" },\n";
    for (name, target) in [("w", "w"), ("g", "g"), ("g", "w"), ("w", "claude")] {
        has(
            &format!(
                "{fleet}{{ name = \"x\", target = \"{target}\", triggers_on = [\"s\", \"y\"] }},\n{{ name = \"y\", target = \"v\", triggers_on = [\"{name}\"] }},\n]"
            ),
            &[&format!(
                "10:44 pipelines.p.stages[2].triggers_on[0] stages wait for one another: x ← y ← x (what `{name}` does)"
            )],
        );
    }
    has(
        &format!(
            "{fleet}{{ name = \"x\", target = \"w\", triggers_on_any = [\"y\"] }},\n{{ name = \"y\", command = [\"true\"], triggers_on_any = [\"w\"] }},\n]"
        ),
        &[
            "10:54 pipelines.p.stages[2].triggers_on_any[0] stages wait for one another: x ← y ← x (what `w` does)",
        ],
    );
    // Not where one of them does something before, or might.
    for x in [
        "target = \"w\", triggers_on_any = [\"s\", \"y\"]",
        "target = \"w\", triggers_on = [\"y\"] },\n{ name = \"z\", target = \"w\", triggers_on = [\"s\"]",
        "target = \"w\", triggers_on = [\"y\"] },\n{ name = \"z\", task = \"t\"",
        "target = \"w\", triggers_on = [\"y\"] },\n{ name = \"z\", target = \"v\", triggers_on = [\"s\"], findings = \"tasks\", findings_to = \"x\"",
    ] {
        has(
            &format!(
                "{fleet}{{ name = \"x\", {x} }},\n{{ name = \"y\", target = \"v\", triggers_on = [\"w\"] }},\n]"
            ),
            &[],
        );
    }
    // Waiting for several that wait for the same one is no circle.
    has(
        "[pipelines.p]\nstages = [{ name = \"a\", task = \"t\" }, { name = \"b\", task = \"t\", triggers_on = [\"a\"] }, { name = \"c\", task = \"t\", triggers_on = [\"a\"] }, { name = \"d\", task = \"t\", triggers_on = [\"b\", \"c\"] }]",
        &[],
    );
}

#[test]
fn the_rest() {
    has(
        "[project]\nintegrator = [{ files = [] }, { files = [\"\"], command = \"a\" }]",
        &[
            "2:15 project.integrator[0] `project.integrator[0]` lacks `command`",
            "2:25 project.integrator[0].files `project.integrator[0].files` must not be empty",
            "2:42 project.integrator[1].files[0] `project.integrator[1].files[0]` must not be empty",
        ],
    );
    has(
        "[project]\ncaches = [\"~/.cache/x\", \"/var/cache/x/\", \"target\", \"~/\", \"/\", \"a/../..\", \".git\"]",
        &[
            "2:52 project.caches[3] `project.caches[3]` is no path of a cache: `~/`",
            "2:58 project.caches[4] `project.caches[4]` is no path of a cache: `/`",
            "2:63 project.caches[5] `project.caches[5]` is no path of a cache: `a/../..`",
            "2:74 project.caches[6] `project.caches[6]` is no path of a cache: `.git`",
        ],
    );
    has(
        "[environments]\nnames = [\"a\", \"b\", \"a b\"]\nbase_port = 65530\nhealth = \"localhost\"",
        &[
            "2:20 environments.names[2] `a b` is no name",
            "3:13 environments.base_port 3 environments of 3 ports from 65530 end at 65538, past 65535",
            "4:10 environments.health `environments.health` is no address: `localhost`",
        ],
    );
    has(
        "[environments]\nnames = [\"zed\", \"a\", \"ZED\"]",
        &[
            "2:22 environments.names[2] `zed` and `ZED` differ in case alone: people take them for one, and so do some systems",
        ],
    );
    has(
        "[rules]\ntimeout_s = 100",
        &["2:13 rules.timeout_s no attempt can be found stuck: its time is over first"],
    );
    has(
        "[health]\nlook_s = 0\ncrashes = -1\ncrash_s = \"10\"\nquarantine_s = 604801\nlooks = 3",
        &[
            "2:10 health.look_s `health.look_s` must be 1 or more; found 0",
            "3:11 health.crashes `health.crashes` must be between 1 and 4294967295; found -1",
            "4:11 health.crash_s `health.crash_s` must be a whole number; found the string \"10\"",
            "5:16 health.quarantine_s `health.quarantine_s` must be between 1 and 604800; found 604801",
            "6:1 health.looks unknown key `health.looks`",
        ],
    );
    has(
        "[workers.w]\nprovider = \"codex\"\ngroups = [\"reviw\"]\n[groups.review]",
        &[
            "3:11 workers.w.groups[0] worker `w` makes a new group `reviw`",
            "4:1 groups.review group `review` has no members",
        ],
    );
    has(
        "[groups.codex]",
        &[
            "1:1 groups.codex group `codex` has no members",
            "1:9 groups.codex `codex` is a group and a provider: a task could not say which is meant",
        ],
    );
    // Columns are characters, after a byte order mark too, and lines may end as on Windows.
    has("\u{feff}targt = 1", &["1:1 targt unknown key `targt`"]);
    has(
        "[rules]\r\nreview = \"é\" # é\r\nlint = []",
        &[
            "2:10 rules.review `rules.review` names `é`, which is no provider",
            "3:8 rules.lint `rules.lint` is an empty command",
        ],
    );
    has(
        "rules = { tdd = \"é\", tddd = true }",
        &[
            "1:17 rules.tdd `rules.tdd` must be true or false; found the string \"é\"",
            "1:22 rules.tddd unknown key `rules.tddd`",
        ],
    );
}

#[test]
fn whoever_can_get_nothing_to_do_is_no_target_no_role_and_no_trigger() {
    const WORKERS: &str = "[workers.v]\nprovider = \"codex\"\n[workers.w]\nprovider = \"codex\"\n";
    has(
        &format!("{WORKERS}[[routes]]\nmatch = 'a'\nto = \"claude\""),
        &["7:6 routes[0].to `routes[0].to` names the provider `claude`, which has no worker"],
    );
    has(&format!("{WORKERS}[[routes]]\nmatch = 'a'\nto = \"codex\""), &[]);
    // A provider that is asked itself needs no worker.
    has(&format!("{WORKERS}[roles]\nplanner = \"claude\"\n[rules]\nreview = \"claude\""), &[]);
    has(
        "[workers.w]\nprovider = \"codex\"\nprotected = true\n[roles]\nlibrarian = \"w\"",
        &["5:13 roles.librarian `roles.librarian` names `w`, a protected worker that never gets a task"],
    );
    let waits = |first: &str, trigger: &str, more: &str| {
        format!(
            "{WORKERS}[pipelines.p]\nstages = [\n{{ name = \"a\", {first} }},\n\
             {{ triggers_on = [\"{trigger}\"], name = \"b\", target = \"v\" }},\n]\n{more}"
        )
    };
    let told = |name: &str| {
        let key = "pipelines.p.stages[1].triggers_on[0]";
        format!("8:18 {key} `{key}` waits for `{name}`, who does nothing in this pipeline")
    };
    let group = |member: &str| format!("[groups.g]\nmembers = [\"{member}\"]");
    has(&waits("target = \"w\"", "v", ""), &[&told("v")]);
    has(&waits("command = [\"x\"]", "w", ""), &[&told("w")]);
    has(&waits("target = \"w\"", "g", &group("v")), &[&told("g")]);
    for sound in [
        waits("target = \"w\"", "w", ""),
        waits("target = \"codex\"", "w", ""),
        waits("target = \"auto\"", "w", ""),
        waits("target = \"w\"", "g", &group("w")),
        waits("target = \"g\"", "w", &group("w")),
    ] {
        has(&sound, &[]);
    }
}
