//! Stages as a Mermaid flowchart.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::api::wire::PipelineStage;

/// Draws stages, what starts them, and where they are.
pub fn drawn(stages: &[PipelineStage]) -> String {
    let mut text = String::from("flowchart LR\n");
    let place = |name: &str| stages.iter().position(|stage| stage.stage == name);
    let mut others: BTreeSet<&str> = BTreeSet::new();
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
                None if name == "approval" && stage.approval => {}
                None => {
                    others.insert(name);
                    let _ = writeln!(edges, "    {} {arrow} {entry}", node(name));
                }
            }
        }
        if let Some(fixer) = stage.findings_to.as_deref().and_then(place) {
            let _ = writeln!(edges, "    s{at} -. findings .-> s{fixer}");
        }
    }
    for name in &others {
        let _ = writeln!(text, "    {}([\"{}\"])", node(name), plain(name));
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

/// The node of a worker or a group.
fn node(name: &str) -> String {
    let word: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("w_{word}")
}

/// A label's text; quotes and brackets mean something in Mermaid.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
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
        stages[2].triggers_on_any = vec!["build".to_owned(), "qa-crew".to_owned()];
        let expected = r#"flowchart LR
    s0["build<br/>done"]
    s1["test &quot;all&quot;<br/>running"]
    s2[["deploy<br/>waiting"]]
    a2{"approval"}
    w_qa_crew(["qa-crew"])
    s0 --> s1
    s1 -. findings .-> s0
    a2 --> s2
    s0 -. any .-> a2
    w_qa_crew -. any .-> a2
    classDef good fill:#d4f4dd,stroke:#2d7d46
    class s0 good
    classDef work fill:#dbe9ff,stroke:#2b5fb0
    class s1 work
"#;
        assert_eq!(drawn(&stages), expected);
    }
}
