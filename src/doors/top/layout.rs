//! Where everything stands. Pure, so that whoever draws and whoever is clicked at mean the same.

use ratatui::layout::Rect;

use super::model::Panel;

/// The fewest columns and rows that can be drawn in.
pub const LEAST: (u16, u16) = (60, 16);
/// From here on all panels are seen at once.
const WIDE: (u16, u16) = (100, 24);

/// The places of a screen. Each panel has its title in its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Panels that are shown.
    pub panels: Vec<(Panel, Rect)>,
    /// The line between two columns of panels.
    pub divider: Option<Rect>,
    /// What needs somebody.
    pub warnings: Rect,
    /// What was done, what can be done.
    pub footer: Rect,
    /// Whether all panels are shown.
    pub is_whole: bool,
}

/// Whether the terminal is too small.
pub fn is_too_small(size: (u16, u16)) -> bool {
    size.0 < LEAST.0 || size.1 < LEAST.1
}

/// How many lines of a text over the screen are seen.
pub fn view_rows(size: (u16, u16)) -> usize {
    usize::from(size.1.saturating_sub(2))
}

/// The layout for a size, with so many plans and warnings to show.
pub fn lay_out(size: (u16, u16), focus: Panel, plans: usize, warnings: usize) -> Layout {
    let (columns, rows) = size;
    let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    let is_whole = columns >= WIDE.0 && rows >= WIDE.1;
    let warned = count(warnings).min(if is_whole { 3 } else { 1 });
    let footer = Rect::new(0, rows.saturating_sub(1), columns, 1.min(rows));
    let warnings = Rect::new(0, footer.y.saturating_sub(warned), columns, warned);
    // Row 0 is the headline.
    let (top, bottom) = (1.min(rows), warnings.y);
    let body = bottom.saturating_sub(top);
    let of_plans = count(plans).saturating_add(1).clamp(3, (body / 3).max(3)).min(body);
    let mut panels = vec![(Panel::Plans, Rect::new(0, top, columns, of_plans))];
    let (y, rest) = (top + of_plans, body - of_plans);
    if !is_whole {
        let shown = if focus == Panel::Plans { Panel::Tasks } else { focus };
        panels.push((shown, Rect::new(0, y, columns, rest)));
        return Layout { panels, divider: None, warnings, footer, is_whole };
    }
    let of_events = (rest / 3).max(5);
    let middle = rest.saturating_sub(of_events);
    let left = columns * 11 / 20;
    let right = columns - left - 1;
    let of_workers = (middle * 3 / 5).max(3).min(middle);
    panels.push((Panel::Tasks, Rect::new(0, y, left, middle)));
    panels.push((Panel::Workers, Rect::new(left + 1, y, right, of_workers)));
    panels.push((Panel::Claims, Rect::new(left + 1, y + of_workers, right, middle - of_workers)));
    panels.push((Panel::Events, Rect::new(0, y + middle, columns, of_events)));
    Layout { panels, divider: Some(Rect::new(left, y, 1, middle)), warnings, footer, is_whole }
}

impl Layout {
    /// The panel at a place, and which of its rows, from 0, below its title.
    pub fn at(&self, x: u16, y: u16) -> Option<(Panel, Option<u16>)> {
        let (panel, area) = self.panels.iter().find(|(_, area)| area.contains((x, y).into()))?;
        Some((*panel, (y - area.y).checked_sub(1)))
    }

    /// How many rows a panel shows below its title.
    pub fn rows_of(&self, panel: Panel) -> usize {
        let area = self.panels.iter().find(|(shown, _)| *shown == panel);
        area.map_or(0, |(_, area)| usize::from(area.height.saturating_sub(1)))
    }

    /// The first row of a panel that is shown, so that the row looked at is in sight.
    pub fn first_row(&self, panel: Panel, row: usize) -> usize {
        (row + 1).saturating_sub(self.rows_of(panel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_lies_on_the_screen_and_nothing_on_another(
            columns in 60u16..400, rows in 16u16..200, plans in 0usize..300, warnings in 0usize..30, focus in 0usize..5
        ) {
            let layout = lay_out((columns, rows), Panel::ALL[focus], plans, warnings);
            let screen = Rect::new(0, 0, columns, rows);
            let mut areas: Vec<Rect> = layout.panels.iter().map(|(_, area)| *area).collect();
            areas.extend(layout.divider);
            areas.extend([layout.warnings, layout.footer, Rect::new(0, 0, columns, 1)]);
            for (at, area) in areas.iter().enumerate() {
                prop_assert_eq!(screen.intersection(*area), *area);
                for other in &areas[at + 1..] {
                    prop_assert!(area.intersection(*other).is_empty(), "{:?} {:?}", area, other);
                }
            }
            for (panel, area) in &layout.panels {
                prop_assert!(area.height >= 2, "{:?} {:?}", panel, area);
            }
            prop_assert!(layout.panels.iter().any(|(panel, _)| *panel == Panel::ALL[focus]));
        }
    }
}
