//! Stages as a Mermaid flowchart.

use crate::base::sorting::Gather as _;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::api::wire::PipelineStage;

/// What stands for a person's approval where triggers are named.
const APPROVAL: &str = "approval";

/// Draws stages, what starts them, and where they are.
pub fn drawn(stages: &[PipelineStage]) -> String {
    let mut text = String::from("flowchart LR\n");
    let place = |name: &str| stages.iter().position(|stage| stage.stage == name);
    // Workers and groups, by number: two names may differ only in what no node can be called.
    let triggers = stages.iter().flat_map(|stage| stage.triggers_on.iter().chain(&stage.triggers_on_any));
    let others: BTreeSet<&str> =
        (triggers.map(String::as_str)).filter(|name| place(name).is_none() && *name != APPROVAL).gather();
    let node = |name: &str| others.iter().position(|other| *other == name).map(|at| format!("w{at}"));
    let mut edges = String::new();
    for (at, stage) in stages.iter().enumerate() {
        let state = stage.state.as_ref().map_or_else(String::new, |state| format!("<br/>{}", plain(state)));
        let label = format!("{}{state}", plain(&stage.stage));
        let (open, close) = if stage.command.is_some() { ("[[", "]]") } else { ("[", "]") };
        let _ = writeln!(text, "    s{at}{open}\"{label}\"{close}");
        // A person stands in front of what they approve.
        let entry = if stage.approval {
            let _ = writeln!(text, "    a{at}{{\"approval\"}}");
            let _ = writeln!(edges, "    a{at} --> s{at}");
            format!("a{at}")
        } else {
            format!("s{at}")
        };
        let all = stage.triggers_on.iter().map(|name| (name, "-->"));
        let any = stage.triggers_on_any.iter().map(|name| (name, "-. any .->"));
        for (name, arrow) in all.chain(any) {
            match place(name) {
                Some(from) => {
                    let _ = writeln!(edges, "    s{from} {arrow} {entry}");
                }
                // A person's, who stands in front of the stage.
                None => {
                    if let Some(node) = node(name) {
                        let _ = writeln!(edges, "    {node} {arrow} {entry}");
                    }
                }
            }
        }
        if let Some(fixer) = stage.findings_to.as_deref().and_then(place) {
            let _ = writeln!(edges, "    s{at} -. findings .-> s{fixer}");
        }
    }
    for (at, name) in others.iter().enumerate() {
        let _ = writeln!(text, "    w{at}([\"{}\"])", plain(name));
    }
    text.push_str(&edges);
    for (class, style, states) in [
        ("good", "fill:#d4f4dd,stroke:#2d7d46", &["done"][..]),
        ("bad", "fill:#f8d7da,stroke:#a12622", &["failed", "refused", "blocked", "unknown", "rolled-back"]),
        ("work", "fill:#dbe9ff,stroke:#2b5fb0", &["running", "fixing", "rolling-back"]),
        ("ask", "fill:#fff3cd,stroke:#946200", &["approval"]),
    ] {
        let is_such =
            |stage: &PipelineStage| stage.state.as_deref().is_some_and(|state| states.contains(&state));
        let such: Vec<String> =
            (0..stages.len()).filter(|&at| is_such(&stages[at])).map(|at| format!("s{at}")).collect();
        if !such.is_empty() {
            let _ = writeln!(text, "    classDef {class} {style}\n    class {} {class}", such.join(","));
        }
    }
    text
}

/// A label's text. Quotes and brackets mean something in Mermaid, and so do the `#` of its own entities
/// and the backtick of its Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '"' | '<' | '>' | '#' | '`' | '\\' => {
                let _ = write!(plain, "#{};", u32::from(c));
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_drawn_with_what_starts_them() {
        let stage = |name: &str, on: &[&str], state: &str| PipelineStage {
            stage: name.to_owned(),
            triggers_on: on.iter().map(ToString::to_string).collect(),
            state: Some(state.to_owned()),
            ..PipelineStage::default()
        };
        let mut stages = vec![
            stage("build", &[], "done"),
            stage("test \"all\"", &["build"], "running"),
            stage("deploy", &["approval"], "waiting"),
        ];
        stages[1].findings_to = Some("build".to_owned());
        stages[2].approval = true;
        stages[2].command = Some(vec!["x".to_owned()]);
        stages[2].triggers_on_any = vec!["build".to_owned(), "qa-crew".to_owned(), "qa_crew".to_owned()];
        let expected = r#"flowchart LR
    s0["build<br/>done"]
    s1["test #34;all#34;<br/>running"]
    s2[["deploy<br/>waiting"]]
    a2{"approval"}
    w0(["qa-crew"])
    w1(["qa_crew"])
    s0 --> s1
    s1 -. findings .-> s0
    a2 --> s2
    s0 -. any .-> a2
    w0 -. any .-> a2
    w1 -. any .-> a2
    classDef good fill:#d4f4dd,stroke:#2d7d46
    class s0 good
    classDef work fill:#dbe9ff,stroke:#2b5fb0
    class s1 work
"#;
        assert_eq!(drawn(&stages), expected);
    }
}
