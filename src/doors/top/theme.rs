//! Colours: the terminal's own, so that they fit whatever it is set to.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    /// Nothing to say about it.
    pub plain: Style,
    /// Beside the matter.
    pub faint: Style,
    /// What counts.
    pub strong: Style,
    /// As it should be.
    pub good: Style,
    /// Something failed.
    pub bad: Style,
    /// Wants a look.
    pub warn: Style,
    /// Work goes on.
    pub active: Style,
    /// The title of the panel with the keys.
    pub focus: Style,
    /// The row that is looked at: one bar, whatever colours stand there.
    pub selected: Style,
}

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// On a dark ground.
    Dark,
    /// On a light ground.
    Light,
    /// None: bold, dim and reversed have to do.
    Mono,
}

impl Palette {
    /// From what was asked for, and from what the terminal says of itself: `COLORFGBG` is `fg;bg`, where 7 and
    /// from 9 on are light. `NO_COLOR` goes before the terminal, what was asked for before both.
    pub fn choose(asked: Option<&str>, no_color: bool, colorfgbg: Option<&str>) -> Self {
        let ground = colorfgbg.and_then(|both| both.rsplit(';').next()?.parse::<u8>().ok());
        match asked {
            Some("dark") => Self::Dark,
            Some("light") => Self::Light,
            Some("mono") => Self::Mono,
            _ if no_color => Self::Mono,
            _ if ground.is_some_and(|ground| ground == 7 || (9..16).contains(&ground)) => Self::Light,
            _ => Self::Dark,
        }
    }

    /// Its looks.
    pub fn theme(self) -> Theme {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let coloured = |color: Color| plain.fg(color);
        let (good, bad, warn, active) = match self {
            Self::Mono => (plain, bold, bold, bold),
            // Yellow and cyan are not to be read on white.
            Self::Light => (
                coloured(Color::Green),
                coloured(Color::Red).add_modifier(Modifier::BOLD),
                coloured(Color::Magenta),
                coloured(Color::Blue),
            ),
            Self::Dark => (
                coloured(Color::Green),
                coloured(Color::LightRed),
                coloured(Color::Yellow),
                coloured(Color::Cyan),
            ),
        };
        let faint = match self {
            Self::Mono => plain.add_modifier(Modifier::DIM),
            // Dim text is lost on white in many terminals, and dark grey on black in some.
            Self::Light => coloured(Color::DarkGray),
            Self::Dark => plain.add_modifier(Modifier::DIM),
        };
        let focus = match self {
            Self::Mono => bold.add_modifier(Modifier::UNDERLINED),
            _ => active.add_modifier(Modifier::BOLD),
        };
        // It stands in a line that is dim.
        let focus = focus.remove_modifier(Modifier::DIM);
        let selected = plain.fg(Color::Reset).bg(Color::Reset).remove_modifier(Modifier::DIM);
        let selected = selected.add_modifier(Modifier::REVERSED);
        Theme { plain, faint, strong: bold, good, bad, warn, active, focus, selected }
    }
}

impl Theme {
    /// What a state, outcome or verdict means for whoever reads it.
    pub fn of(&self, word: &str) -> Style {
        match word {
            "done" | "approved" | "ok" | "submitted" => self.good,
            "running" | "busy" | "judging" | "landing" | "starting" => self.active,
            "failed" | "blocked" | "rejected" | "crashed" | "violation" | "unhealthy" | "over-budget" => {
                self.bad
            }
            "paused" | "queued" | "stopping" | "rate-limited" | "alert" | "interrupted" => self.warn,
            "waiting" | "idle" | "draft" | "stopped" | "cancelled" => self.faint,
            _ => self.plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_person_then_no_color_then_the_terminal() {
        for (asked, no_color, colorfgbg, palette) in [
            (None, false, None, Palette::Dark),
            (None, false, Some("0;15"), Palette::Light),
            (None, false, Some("15;default;0"), Palette::Dark),
            (None, false, Some("0;7"), Palette::Light),
            (None, false, Some("nonsense"), Palette::Dark),
            (None, true, Some("0;15"), Palette::Mono),
            (Some("light"), true, Some("15;0"), Palette::Light),
            (Some("auto"), false, Some("0;15"), Palette::Light),
        ] {
            assert_eq!(
                Palette::choose(asked, no_color, colorfgbg),
                palette,
                "{asked:?} {no_color} {colorfgbg:?}"
            );
        }
    }

    #[test]
    fn without_colours_nothing_is_coloured() {
        let theme = Palette::Mono.theme();
        for word in ["done", "running", "failed", "paused", "waiting", "else"] {
            assert_eq!(theme.of(word).fg, None, "{word}");
        }
        assert_eq!((theme.focus.fg, theme.focus.bg), (None, None));
    }
}
