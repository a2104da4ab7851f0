//! Text laid out for a terminal: styled pieces, wrapped sentences, aligned tables.
//!
//! **Invariant:** every text passes [`clean`] on its way into a [`Span`]; what a worker, a
//! file name or a model wrote can show itself, but not command the terminal.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

/// How a text may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns to stay within; none where nobody sees the lines break.
    pub width: Option<usize>,
    /// Whether colours are wanted.
    pub color: bool,
}

/// What a piece of text means; the colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Ordinary.
    Plain,
    /// What the eye should find first.
    Strong,
    /// What may be passed over.
    Faint,
    /// As it should be.
    Good,
    /// Needs somebody's attention.
    Warn,
    /// Went wrong.
    Bad,
}

impl Style {
    /// The number in the terminal's colour sequence (ECMA-48, SGR).
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// A piece of text in one style, safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    style: Style,
    text: String,
}

/// Pieces that stand side by side.
pub type Cell = Vec<Span>;

/// A piece of text; line breaks in it show as `\n`.
pub fn span(style: Style, text: impl AsRef<str>) -> Span {
    Span { style, text: clean(text.as_ref()) }
}

/// A cell of one piece.
pub fn cell(style: Style, text: impl AsRef<str>) -> Cell {
    vec![span(style, text)]
}

/// A cell of a sentence that somebody wrote: all blank space becomes single blanks.
pub fn sentence(style: Style, text: &str) -> Cell {
    cell(style, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The text with everything escaped that would move the cursor, change colours, or make
/// it read otherwise than it is (Unicode's direction and invisible characters).
pub fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_treacherous(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that a terminal obeys or hides instead of showing them.
pub fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// What gives way first when a table is too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Give {
    /// Stays whole.
    Keep,
    /// Is cut with `…`.
    Shrink,
    /// Is left out; the lowest number first.
    Drop(u8),
}

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading; a table without any has no line of headings.
    pub head: &'static str,
    /// Whether it holds numbers, which stand to the right.
    pub right: bool,
    /// What happens to it when there is no room.
    pub give: Give,
}

impl Column {
    /// A column of text.
    pub const fn new(head: &'static str, give: Give) -> Self {
        Self { head, right: false, give }
    }

    /// A column of numbers.
    pub const fn number(head: &'static str, give: Give) -> Self {
        Self { head, right: true, give }
    }
}

/// Rows under columns.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

/// Between two columns.
const GAP: usize = 2;
/// A cut column keeps at least this much.
const LEAST: usize = 8;
/// Sentences want at least this much, where there is as much.
const COLUMN: usize = 24;
/// How far sentences are indented below a lead that left them no room.
const STEP: usize = 4;

impl Table {
    /// An empty table, `indent` columns from the left.
    pub fn new(indent: usize, columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new(), indent }
    }

    /// Adds a row; cells beyond the columns are not shown.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The columns that are shown, by index, and their widths.
    fn fit(&self, width: Option<usize>) -> Vec<(usize, usize)> {
        let natural = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(cell));
            cells.max().unwrap_or(0)
        };
        let mut shown: Vec<(usize, usize)> = (0..self.columns.len())
            .map(|at| (at, natural(at)))
            // A column that nothing stands in takes no room.
            .filter(|(_, width)| *width > 0)
            .map(|(at, width)| (at, width.max(self.columns[at].head.width())))
            .collect();
        let Some(width) = width else { return shown };
        let give = |at: usize| self.columns[at].give;
        let total = |shown: &[(usize, usize)], least: bool| {
            let columns: usize = shown
                .iter()
                .map(|(at, wide)| if least && give(*at) == Give::Shrink { (*wide).min(LEAST) } else { *wide })
                .sum();
            self.indent + columns + GAP * shown.len().saturating_sub(1)
        };
        while total(&shown, true) > width {
            let next = shown
                .iter()
                .enumerate()
                .filter_map(|(place, (at, _))| match give(*at) {
                    Give::Drop(order) => Some((order, place)),
                    _ => None,
                })
                .min();
            let Some((_, place)) = next else { break };
            shown.remove(place);
        }
        let mut excess = total(&shown, false).saturating_sub(width);
        while excess > 0 {
            let widest = shown
                .iter_mut()
                .filter(|(at, wide)| give(*at) == Give::Shrink && *wide > LEAST)
                .max_by_key(|(_, wide)| *wide);
            let Some((_, wide)) = widest else { break };
            *wide -= 1;
            excess -= 1;
        }
        shown
    }
}

/// A text under construction.
#[derive(Debug)]
pub struct Page {
    look: Look,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    /// What was laid out, each line with its line break.
    pub fn into_text(self) -> String {
        self.text
    }

    /// An empty line, unless the page is empty or ends with one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// One line, cut with `…` at the edge.
    pub fn line(&mut self, spans: &[Span]) {
        let spans = match self.look.width {
            Some(width) => cut(spans, width),
            None => spans.to_vec(),
        };
        self.put(&spans);
        self.end_line();
    }

    /// A line of two blanks for each of `level`, then the spans.
    pub fn indented(&mut self, level: usize, spans: &[Span]) {
        let mut line = cell(Style::Plain, " ".repeat(2 * level));
        line.extend_from_slice(spans);
        self.line(&line);
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.gap();
        self.line(&cell(Style::Strong, text));
    }

    /// `lead` and the text as it is, where it fits; else [`wrapped`](Self::wrapped).
    pub fn wrapped_if_wide(&mut self, lead: &[Span], style: Style, text: &str) {
        if self.look.width.is_some_and(|width| width_of(lead) + text.width() > width) {
            return self.wrapped(lead, style, text);
        }
        let mut line = lead.to_vec();
        line.push(span(style, text));
        self.line(&line);
    }

    /// `lead`, then words wrapped so that further lines begin under the first word.
    pub fn wrapped(&mut self, lead: &[Span], style: Style, text: &str) {
        let mut hang = width_of(lead);
        // Beside a long lead on a narrow screen there is no room to read in; below it there is.
        let is_below = hang > STEP
            && self.look.width.is_some_and(|width| width.saturating_sub(hang) < COLUMN.min(width));
        if is_below {
            self.line(lead);
            hang = STEP;
        }
        let room = self.look.width.map_or(usize::MAX, |width| width.saturating_sub(hang).max(LEAST));
        let mut lines: Vec<String> = vec![String::new()];
        for word in text.split_whitespace() {
            let mut word = clean(word);
            let used = lines.last().map_or(0, |line| line.width());
            if used > 0 && used + 1 + word.width() > room {
                lines.push(String::new());
            } else if used > 0
                && let Some(line) = lines.last_mut()
            {
                line.push(' ');
            }
            // A word wider than the room is broken; no terminal would do it better.
            while word.width() > room {
                let head = head_of(&word, room).to_owned();
                word = word[head.len()..].to_owned();
                if let Some(line) = lines.last_mut() {
                    line.push_str(&head);
                }
                lines.push(String::new());
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(&word);
            }
        }
        for (at, line) in lines.iter().enumerate() {
            if at == 0 && !is_below {
                self.put(lead);
            } else {
                self.text.push_str(&" ".repeat(hang));
            }
            self.put(&cell(style, line));
            self.end_line();
        }
    }

    /// Lines that a program printed, each behind a bar; the last `most` of them.
    pub fn quoted(&mut self, level: usize, text: &str, most: usize) {
        let lines: Vec<&str> = text.lines().collect();
        let left_out = lines.len().saturating_sub(most);
        if left_out > 0 {
            self.indented(level, &cell(Style::Faint, format!("| … {left_out} lines before")));
        }
        for line in &lines[left_out..] {
            let line = line.trim_end().replace('\t', "    ");
            let bar = if line.is_empty() { "|" } else { "| " };
            self.indented(level, &[span(Style::Faint, bar), span(Style::Plain, line)]);
        }
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let shown = table.fit(self.look.width);
        let has_heads = shown.iter().any(|(at, _)| !table.columns[*at].head.is_empty());
        if has_heads {
            let heads: Vec<Cell> =
                table.columns.iter().map(|column| cell(Style::Faint, column.head)).collect();
            self.row(table, &shown, &heads);
        }
        for row in &table.rows {
            self.row(table, &shown, row);
        }
    }

    fn row(&mut self, table: &Table, shown: &[(usize, usize)], row: &[Cell]) {
        let mut line: Cell = cell(Style::Plain, " ".repeat(table.indent));
        for (place, (at, wide)) in shown.iter().enumerate() {
            if place > 0 {
                line.push(span(Style::Plain, " ".repeat(GAP)));
            }
            let spans = row.get(*at).map(|spans| cut(spans, *wide)).unwrap_or_default();
            let pad = span(Style::Plain, " ".repeat(wide.saturating_sub(width_of(&spans))));
            if table.columns[*at].right {
                line.push(pad);
                line.extend(spans);
            } else {
                line.extend(spans);
                line.push(pad);
            }
        }
        self.line(&line);
    }

    fn put(&mut self, spans: &[Span]) {
        for Span { style, text } in spans {
            if text.is_empty() {
                continue;
            }
            if self.look.color && *style != Style::Plain {
                let _ = write!(self.text, "\x1b[{}m{text}\x1b[0m", style.sgr());
            } else {
                self.text.push_str(text);
            }
        }
    }

    fn end_line(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        self.text.push('\n');
    }
}

/// Columns that the pieces take.
pub fn width_of(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.text.width()).sum()
}

/// The pieces within `width` columns, the last of them `…` where something is missing.
fn cut(spans: &[Span], width: usize) -> Vec<Span> {
    // Blanks at the end may fall over the edge unseen.
    let seen: usize = {
        let mut text: String = spans.iter().map(|span| span.text.as_str()).collect();
        text.truncate(text.trim_end_matches(' ').len());
        text.width()
    };
    if seen <= width {
        return spans.to_vec();
    }
    let mut room = width.saturating_sub(1);
    let mut kept = Vec::new();
    for Span { style, text } in spans {
        let head = head_of(text, room);
        room = room.saturating_sub(head.width());
        kept.push(Span { style: *style, text: head.to_owned() });
        if head.len() < text.len() {
            if width > 0 {
                kept.push(Span { style: *style, text: "…".to_owned() });
            }
            break;
        }
    }
    kept
}

/// As much of the beginning as fits into `room` columns. Characters that join (an emoji and what
/// varies it) are measured together.
fn head_of(text: &str, room: usize) -> &str {
    if text.width() <= room {
        return text;
    }
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if text[..at + c.len_utf8()].width() > room {
            break;
        }
        end = at + c.len_utf8();
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Look = Look { width: None, color: false };

    fn page(width: usize, fill: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::new(Look { width: Some(width), color: false });
        fill(&mut page);
        page.into_text()
    }

    #[test]
    fn what_commands_a_terminal_is_shown_instead() {
        for (text, shown) in [
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}", "\\u{7f}"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("grüße 日本 👩\u{200d}💻", "grüße 日本 👩\u{200d}💻"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }

    #[test]
    fn words_wrap_under_the_first() {
        let text = page(32, |page| {
            page.wrapped(&cell(Style::Bad, "error: "), Style::Plain, "one two  three\nfour five six seven");
        });
        assert_eq!(text, "error: one two three four five\n       six seven\n");
        let text =
            page(12, |page| page.wrapped(&cell(Style::Plain, "at "), Style::Plain, "abcdefghijklmnop q"));
        assert_eq!(text, "at abcdefghi\n   jklmnop q\n");
        // Too little room beside the lead: below it.
        let text = page(30, |page| {
            page.wrapped(&cell(Style::Bad, "fail  store  "), Style::Plain, "the file is damaged");
        });
        assert_eq!(text, "fail  store\n    the file is damaged\n");
    }

    #[test]
    fn columns_are_dropped_then_cut() {
        let table = || {
            let mut table = Table::new(
                2,
                [
                    Column::new("NAME", Give::Keep),
                    Column::number("N", Give::Drop(1)),
                    Column::new("TEXT", Give::Shrink),
                ],
            );
            table.row([
                cell(Style::Plain, "a"),
                cell(Style::Plain, "10"),
                cell(Style::Plain, "日本語のとても長い説明"),
            ]);
            table.row([cell(Style::Plain, "bb"), cell(Style::Plain, "7"), cell(Style::Plain, "short")]);
            table
        };
        assert_eq!(
            page(80, |page| page.table(&table())),
            "  NAME   N  TEXT\n  a     10  日本語のとても長い説明\n  bb     7  short\n"
        );
        assert_eq!(
            page(24, |page| page.table(&table())),
            "  NAME   N  TEXT\n  a     10  日本語のと…\n  bb     7  short\n"
        );
        assert_eq!(page(17, |page| page.table(&table())), "  NAME  TEXT\n  a     日本語の…\n  bb    short\n");
    }

    #[test]
    fn colours_end_where_they_began() {
        let mut page = Page::new(Look { width: Some(5), color: true });
        page.line(&[span(Style::Good, "done"), span(Style::Bad, "failed")]);
        assert_eq!(page.into_text(), "\x1b[32mdone\x1b[0m\x1b[31m…\x1b[0m\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(text in "\\PC{0,80}", width in 12usize..60) {
            let mut table = Table::new(1, [Column::new("A", Give::Shrink), Column::new("", Give::Shrink), Column::new("", Give::Drop(0))]);
            table.row([cell(Style::Plain, &text), cell(Style::Good, &text), cell(Style::Bad, &text)]);
            let shown = page(width, |page| {
                page.line(&[span(Style::Plain, &text)]);
                page.wrapped(&cell(Style::Plain, "x: "), Style::Plain, &text);
                page.quoted(1, &text, 3);
                page.table(&table);
            });
            for line in shown.lines() {
                // A wide character at the last column may not be broken in two.
                prop_assert!(line.width() <= width, "{line:?} is {} wide", line.width());
                prop_assert!(!line.chars().any(is_treacherous));
            }
        }

        #[test]
        fn nothing_is_lost_without_a_width(text in "[a-z]{1,40}") {
            let mut page = Page::new(PLAIN);
            page.line(&[span(Style::Strong, &text)]);
            prop_assert_eq!(page.into_text(), format!("{text}\n"));
        }
    }
}
