//! From what is known to a frame. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

use super::layout::{self, LEAST};
use super::model::{Mode, Model, Panel, id_text};
use super::theme::Theme;
use crate::base::clock::Time;
use crate::services::watching::{LineStyle, harmless};

/// What is asked about a plan that waits for room, where the mouse reaches it.
pub const LAUNCH: &str = " [launch anyway]";
/// The other answer.
pub const QUEUE: &str = " [queue]";
/// Columns of a bar that shows how much is done.
const BAR: u64 = 10;

/// A line in pieces.
type Spans = Vec<(Style, String)>;

/// Draws everything.
pub fn draw(model: &Model, theme: &Theme, screen: &mut Buffer) {
    let area = screen.area;
    if layout::is_too_small((area.width, area.height)) {
        let (columns, rows) = (area.width, area.height);
        let told = [
            "terminal too small".to_owned(),
            format!("{columns}x{rows}, needs {}x{}", LEAST.0, LEAST.1),
            "q leaves".to_owned(),
        ];
        for (y, text) in (0..rows).zip(told) {
            put(screen, Rect::new(0, y, columns, 1), &[(theme.plain, text)]);
        }
        return;
    }
    if model.mode == Mode::View {
        return view(model, theme, screen);
    }
    headline(model, theme, screen);
    let layout = model.layout();
    for (panel, area) in &layout.panels {
        title(model, theme, screen, *panel, *area, layout.is_whole);
        let rows = rows(model, theme, *panel, area.width);
        let body = Rect::new(area.x, area.y + 1, area.width, area.height - 1);
        if rows.is_empty() {
            put(screen, line_of(body, 0), &[(theme.faint, format!(" {}", nothing(model, *panel)))]);
            continue;
        }
        let first = layout.first_row(*panel, model.row(*panel));
        // The log has no end, and is scrolled.
        let more = rows.len().saturating_sub(first + usize::from(body.height));
        if more > 0 && *panel != Panel::Events {
            let text = format!(" {more} more ");
            let wide = u16::try_from(text.len()).unwrap_or(0).min(area.width);
            put(screen, Rect::new(area.right() - wide, area.y, wide, 1), &[(theme.warn, text)]);
        }
        let shown: Vec<&Spans> = rows.iter().skip(first).take(usize::from(body.height)).collect();
        let is_from_below = *panel == Panel::Events;
        for (at, spans) in shown.iter().enumerate() {
            let at_row = if is_from_below { shown.len() - 1 - at } else { at };
            let Ok(y) = u16::try_from(at_row) else { continue };
            let line = line_of(body, y);
            put(screen, line, spans);
            if *panel == model.focus && first + at == model.row(*panel) {
                screen.set_style(line, theme.selected);
            }
        }
    }
    if let Some(divider) = layout.divider {
        for y in divider.top()..divider.bottom() {
            put(screen, Rect::new(divider.x, y, 1, 1), &[(theme.faint, "│".to_owned())]);
        }
    }
    for (y, (text, plan)) in (0..layout.warnings.height).zip(model.warnings()) {
        let line = line_of(layout.warnings, y);
        put(screen, line, &[(theme.warn, format!("! {text}"))]);
        if plan.is_some() {
            let wide = u16::try_from(LAUNCH.len() + QUEUE.len()).unwrap_or(0).min(line.width);
            let place = Rect::new(line.right() - wide, line.y, wide, 1);
            put(screen, place, &[(theme.focus, format!("{LAUNCH}{QUEUE}"))]);
        }
    }
    footer(model, theme, screen, layout.footer);
}

fn line_of(area: Rect, y: u16) -> Rect {
    Rect::new(area.x, area.y + y, area.width, 1).intersection(area)
}

/// Writes the pieces on a line, the last of them `…` where something is missing.
fn put(screen: &mut Buffer, line: Rect, spans: &[(Style, String)]) {
    if line.is_empty() {
        return;
    }
    let whole: usize = spans.iter().map(|(_, text)| text.width()).sum();
    let (mut x, end) = (line.x, line.right());
    let is_cut = whole > usize::from(line.width);
    for (style, text) in spans {
        let room = usize::from(end - x);
        (x, _) = screen.set_stringn(x, line.y, harmless(text), room, *style);
    }
    if is_cut && let Some((style, _)) = spans.last() {
        screen.set_stringn(end - 1, line.y, "…", 1, *style);
    }
}

fn headline(model: &Model, theme: &Theme, screen: &mut Buffer) {
    // Of all projects, as the rows of orchestrators are.
    let all = || model.known.plans.iter().map(|row| &row.status);
    let count = |state: &str| all().filter(|status| status.fresh && status.state == state).count();
    let at_work: u64 = all().filter_map(|status| Some(status.progress.as_ref()?.running)).sum();
    let mut counts = format!("  {} running", count("running"));
    for state in ["paused", "queued"] {
        if count(state) > 0 {
            counts.push_str(&format!(", {} {state}", count(state)));
        }
    }
    let usd: f64 = model.known.workers.iter().map(|worker| worker.usd_today).sum();
    let mut spans =
        vec![(theme.focus, "kapell top".to_owned()), (theme.plain, format!("{counts}, {at_work} at work"))];
    // These are of one project, as the panels of workers and claims are.
    let claims = model.known.claims.len();
    if claims > 0 || usd > 0.0 {
        let mut own = format!("; {}: {claims} claimed", model.project().unwrap_or("here"));
        if usd > 0.0 {
            own.push_str(&format!(", ${usd:.2} today"));
        }
        spans.push((theme.plain, own));
    }
    if !model.filter.is_empty() || model.mode == Mode::Filter {
        spans.push((theme.warn, format!("  / {}", model.filter)));
    }
    if let Some(why) = &model.trouble {
        spans.push((theme.bad, format!("  {why}")));
    }
    put(screen, Rect::new(0, 0, screen.area.width, 1), &spans);
}

fn title(model: &Model, theme: &Theme, screen: &mut Buffer, panel: Panel, area: Rect, is_whole: bool) {
    let style = if panel == model.focus { theme.focus } else { theme.faint };
    let plan = model.known.plan.as_ref();
    let what = match panel {
        Panel::Plans => "1 orchestrators".to_owned(),
        Panel::Tasks => match plan {
            Some(plan) if is_whole => format!("2 tasks of {} {}/{}", plan.plan_id, plan.done, plan.total),
            Some(plan) => format!("2 tasks {}/{}", plan.done, plan.total),
            None => "2 tasks".to_owned(),
        },
        Panel::Workers => format!("3 workers {}", model.workers().len()),
        Panel::Claims => format!("4 claims {}", model.claims().len()),
        Panel::Events => "5 events".to_owned(),
    };
    let line = line_of(area, 0);
    put(screen, line, &[(theme.faint, "─".repeat(usize::from(area.width)))]);
    let mut spans = vec![(theme.faint, "─ ".to_owned()), (style, what)];
    // What is behind other keys where only one panel has room.
    if !is_whole && panel != Panel::Plans {
        for (key, name) in [(2, "tasks"), (3, "workers"), (4, "claims"), (5, "events")] {
            if Panel::ALL[key - 1] != panel {
                spans.push((theme.faint, format!(" · {key} {name}")));
            }
        }
    }
    spans.push((theme.faint, " ".to_owned()));
    put(screen, line, &spans);
}

fn nothing(model: &Model, panel: Panel) -> &'static str {
    match panel {
        _ if !model.is_loaded => "looking …",
        _ if !model.filter.is_empty() => "nothing matches; Esc shows all",
        Panel::Plans => "nothing runs; kapell run PLAN starts something",
        Panel::Tasks if model.selected.is_some() => "looking …",
        Panel::Tasks => "no plan is selected",
        Panel::Workers => "no workers",
        Panel::Claims => "nobody holds anything",
        Panel::Events => "nothing happened yet",
    }
}

fn rows(model: &Model, theme: &Theme, panel: Panel, width: u16) -> Vec<Spans> {
    match panel {
        Panel::Plans => plans(model, theme, width),
        Panel::Tasks => tasks(model, theme, width),
        Panel::Workers => workers(model, theme, width),
        Panel::Claims => claims(model, theme),
        Panel::Events => events(model, theme, width),
    }
}

/// A text in so many columns, cut or filled up.
fn column(text: &str, wide: usize) -> String {
    let mut cut = String::new();
    let mut used = 0;
    let is_long = text.width() > wide;
    for c in text.chars() {
        let next = used + c.to_string().width();
        if next + usize::from(is_long) > wide {
            break;
        }
        used = next;
        cut.push(c);
    }
    if is_long && wide > 0 {
        cut.push('…');
        used += 1;
    }
    cut + &" ".repeat(wide.saturating_sub(used))
}

/// As wide as the widest, within bounds.
fn widest<'a>(texts: impl Iterator<Item = &'a str>, most: usize) -> usize {
    texts.map(str::width).max().unwrap_or(0).clamp(4, most)
}

fn plans(model: &Model, theme: &Theme, width: u16) -> Vec<Spans> {
    let rows = model.plans();
    let wide = widest(rows.iter().map(|row| row.status.plan_id.as_str()), usize::from(width) / 3);
    let row = |row: &&super::model::PlanRow| {
        let status = &row.status;
        let mark =
            if status.fresh { (theme.good, "● ".to_owned()) } else { (theme.faint, "○ ".to_owned()) };
        // That a conductor has ended does not say how its plan has.
        let ended = status.plan_state.as_ref().filter(|_| status.state == "stopped");
        let mut state = ended.unwrap_or(&status.state).clone();
        let style = theme.of(&state);
        if let Some(position) = status.position {
            state.push_str(&format!(" #{position}"));
        }
        // So that it is seen which one the other panels are about.
        let is_looked_at = model.known.plan.as_ref().is_some_and(|plan| plan.plan_id == status.plan_id);
        let name = if is_looked_at { theme.focus } else { theme.strong };
        let mut spans =
            vec![mark, (name, column(&status.plan_id, wide)), (style, format!("  {}", column(&state, 10)))];
        if let Some(progress) = &status.progress {
            let full = (progress.done.min(progress.total) * BAR).checked_div(progress.total).unwrap_or(0);
            let (full, empty) = (full as usize, (BAR - full) as usize);
            spans.push((theme.good, format!("  {}", "━".repeat(full))));
            spans.push((theme.faint, "─".repeat(empty)));
            spans.push((theme.plain, format!(" {:>7}", format!("{}/{}", progress.done, progress.total))));
            let at_work = format!("  {} at work", progress.running);
            spans.push((theme.plain, column(&at_work, 12)));
            let failed =
                if progress.failed > 0 { format!("{} failed", progress.failed) } else { String::new() };
            spans.push((theme.bad, column(&failed, 10)));
        }
        // What is next in importance is cut last.
        let iteration = row.iteration.map(|passes| format!("pass {passes}")).unwrap_or_default();
        spans.push((theme.faint, column(&iteration, 10)));
        spans.push((theme.faint, format!("  {}", moment(model, &status.started_at))));
        spans.push((theme.faint, format!("  {}", status.project.as_deref().unwrap_or(""))));
        spans
    };
    rows.iter().map(row).collect()
}

fn tasks(model: &Model, theme: &Theme, width: u16) -> Vec<Spans> {
    let tasks = model.tasks();
    let ids: Vec<String> = tasks.iter().map(|(_, task)| id_text(&task.id)).collect();
    let wide = widest(ids.iter().map(String::as_str), 18);
    let is_same = |at: usize, other: Option<usize>| {
        other.and_then(|other| tasks.get(other)).is_some_and(|(wave, _)| *wave == tasks[at].0)
    };
    let row = |at: usize| {
        let (wave, task) = tasks[at];
        // What stands between the same brackets can be done at once.
        let bracket = match (is_same(at, at.checked_sub(1)), is_same(at, Some(at + 1))) {
            (false, false) => "╶",
            (false, true) => "┌",
            (true, true) => "│",
            (true, false) => "└",
        };
        let number = if is_same(at, at.checked_sub(1)) { String::new() } else { wave.to_string() };
        let state = if task.paused { "paused" } else { &task.state };
        let mut spans = vec![
            (theme.faint, format!("{number:>3}{bracket} ")),
            (theme.strong, column(&ids[at], wide)),
            (theme.of(state), format!("  {}", column(state, 9))),
        ];
        if !task.depends_on.is_empty() {
            let on: Vec<String> = task.depends_on.iter().map(id_text).collect();
            spans.push((theme.faint, format!("  ← {}", column(&on.join(","), on.join(",").width().min(16)))));
        }
        if let Some(worker) = &task.worker {
            let again = if task.attempts > 1 { format!(" (try {})", task.attempts) } else { String::new() };
            let wide = worker.width().min(usize::from(width) / 3);
            spans.push((theme.active, format!("  {}{again}", column(worker, wide))));
        }
        match &task.reason {
            Some(reason) => spans.push((theme.of(&task.state), format!("  {reason}"))),
            None => spans.push((theme.plain, format!("  {}", task.task))),
        }
        spans
    };
    (0..tasks.len()).map(row).collect()
}

fn workers(model: &Model, theme: &Theme, width: u16) -> Vec<Spans> {
    let seats = model.seats();
    let wide = widest(seats.iter().map(|(worker, _)| worker.worker.as_str()), usize::from(width) / 3);
    // Its own tasks need not say of which plan they are.
    let plan = model.known.plan.as_ref().map(|plan| format!("{}/", plan.plan_id)).unwrap_or_default();
    let row = |at: usize| {
        let (worker, task) = seats[at];
        let is_first = at == 0 || seats[at - 1].0.worker != worker.worker;
        let mut spans = vec![
            (theme.strong, format!(" {}", column(&worker.worker, wide))),
            (theme.of(&worker.state), format!("  {}", column(&worker.state, 9))),
        ];
        if is_first && worker.usd_today > 0.0 {
            spans.push((theme.plain, format!(" ${:.2}", worker.usd_today)));
        }
        if let Some(task) = task {
            spans.push((theme.active, format!("  {}", task.strip_prefix(&plan).unwrap_or(task))));
            let printed = model.try_at(task).and_then(|id| model.said.get(&id));
            if let Some(said) = printed.or_else(|| model.said.get(task)) {
                spans.push((theme.plain, said.clone()));
            }
        }
        if let Some(reason) = worker.reason.as_ref().filter(|_| worker.tasks.is_empty()) {
            spans.push((theme.warn, format!("  {reason}")));
        }
        spans
    };
    (0..seats.len()).map(row).collect()
}

fn claims(model: &Model, theme: &Theme) -> Vec<Spans> {
    let claims = model.claims();
    let wide = widest(claims.iter().map(|claim| claim.pattern.as_str()), 30);
    let row = |claim: &&crate::api::wire::ClaimStatus| {
        let holder = claim.task.as_ref().unwrap_or(&claim.holder);
        let mut spans = vec![
            (theme.strong, format!(" {}", column(&claim.pattern, wide))),
            (theme.plain, format!("  {holder}")),
            (theme.faint, format!("  {} since {}", claim.holder_kind, moment(model, &claim.since))),
        ];
        if claim.alive == Some(false) {
            spans.push((theme.warn, "  its holder is gone".to_owned()));
        }
        spans
    };
    claims.iter().map(row).collect()
}

fn events(model: &Model, theme: &Theme, width: u16) -> Vec<Spans> {
    let row = |event: &&crate::api::wire::EventStatus| {
        let mut spans = vec![(theme.faint, format!(" {}  ", moment(model, &event.at)))];
        if width >= 90 {
            spans.push((theme.faint, format!("{}  ", column(&event.kind, 17))));
        }
        match (&event.plan_id, &event.task) {
            (Some(plan), Some(task)) => spans.push((theme.strong, format!("{plan}/{task}  "))),
            (Some(plan), None) => spans.push((theme.strong, format!("{plan}  "))),
            _ => {}
        }
        spans.push((theme.plain, event.text.clone()));
        spans
    };
    model.events().iter().map(row).collect()
}

fn moment(model: &Model, text: &str) -> String {
    Time::parse(text).map_or_else(|| text.to_owned(), |time| model.zone.show(time, model.now))
}

fn footer(model: &Model, theme: &Theme, screen: &mut Buffer, line: Rect) {
    let spans: Spans = match (&model.mode, &model.notice) {
        (Mode::Ask { question, .. }, _) => {
            vec![(theme.warn, question.clone()), (theme.strong, "  y / n".to_owned())]
        }
        (Mode::Filter, _) => vec![
            (theme.strong, format!("/{}▏", model.filter)),
            (theme.faint, "  Enter keeps it, Esc shows all".to_owned()),
        ],
        (_, Some((is_bad, text))) => {
            vec![
                (if *is_bad { theme.bad } else { theme.good }, text.clone()),
                (theme.faint, "  Esc".to_owned()),
            ]
        }
        _ => {
            let keys = [
                ("?", "help"),
                ("q", "quit"),
                ("p", "pause"),
                ("r", "resume"),
                ("s", "stop"),
                ("f", "force"),
                ("t", "retry"),
                ("a", "approve"),
                ("n", "land"),
                ("l", "log"),
                ("d", "diff"),
                ("/", "filter"),
            ];
            let pair = |(key, what): (&str, &str)| {
                [(theme.strong, key.to_owned()), (theme.faint, format!(" {what}  "))]
            };
            keys.into_iter().flat_map(pair).collect()
        }
    };
    put(screen, line, &spans);
}

fn view(model: &Model, theme: &Theme, screen: &mut Buffer) {
    let area = screen.area;
    let view = &model.view;
    put(screen, line_of(area, 0), &[(theme.focus, view.title.clone())]);
    let rows = layout::view_rows((area.width, area.height));
    for (y, line) in (1..).zip(view.lines.iter().skip(view.top).take(rows)) {
        let style = match line.style {
            LineStyle::Said => theme.plain,
            LineStyle::Done => theme.active,
            LineStyle::Aside => theme.warn,
        };
        put(screen, line_of(area, y), &[(style, line.text.clone())]);
    }
    if view.lines.is_empty() {
        let what = if view.log_of.is_some() { "nothing was printed yet" } else { "reading …" };
        put(screen, line_of(area, 1), &[(theme.faint, what.to_owned())]);
    }
    let last = (view.top + rows).min(view.lines.len());
    let place = format!("{last}/{}", view.lines.len());
    let follows = if view.follows { "  follows" } else { "" };
    let text = format!("Esc closes  ↑↓ PgUp PgDn Home End  {place}{follows}");
    put(screen, line_of(area, area.height - 1), &[(theme.faint, text)]);
}
