//! What runs `kapell env maintain` every day, for those who look after a machine.

/// What a timer needs to know: nothing of it is in the surroundings that one starts programs in.
#[derive(Debug, Clone, Copy)]
pub struct Timer<'a> {
    /// The program, by its whole path.
    pub program: &'a str,
    /// The project's folder.
    pub folder: &'a str,
    /// Its id, which makes the units' names.
    pub id: &'a str,
    /// Variables that say where state and configuration lie, where that is not the usual place.
    pub variables: &'a [(&'a str, &'a str)],
}

impl Timer<'_> {
    /// A line for `crontab -e`.
    pub fn cron(&self) -> String {
        let word = word_on_one_line;
        let variables: String =
            self.variables.iter().map(|(name, value)| format!("{name}={} ", word(value))).collect();
        let line = format!("{variables}{} -C {} env maintain", word(self.program), word(self.folder));
        // A percent sign is a line's end to cron.
        format!("17 4 * * *  {}\n", line.replace('%', "\\%"))
    }

    /// A script for sh that writes a service and a timer for the person's own systemd.
    pub fn systemd(&self) -> String {
        let unit = format!("kapell-env-{}", self.id);
        let quoted = |text: &str| format!("\"{}\"", escaped(text));
        let variables: String = self
            .variables
            .iter()
            .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
            .collect();
        // In a command, and only there, a dollar sign begins a variable.
        let [program, folder] = [self.program, self.folder].map(|text| quoted(text).replace('$', "$$"));
        format!(
            "# kapell env maintain --timer systemd | sh\n\
             units=\"${{XDG_CONFIG_HOME:-$HOME/.config}}/systemd/user\"\n\
             mkdir -p \"$units\"\n\
             cat > \"$units/{unit}.service\" <<'KAPELL'\n\
             [Unit]\nDescription=Care for the environments of {}\n\n\
             [Service]\nType=oneshot\n{variables}ExecStart=/usr/bin/env {program} -C {folder} env maintain\n\
             KAPELL\n\
             cat > \"$units/{unit}.timer\" <<'KAPELL'\n\
             [Unit]\nDescription=Every day: care for environments\n\n\
             [Timer]\nOnCalendar=*-*-* 04:17\nPersistent=true\nRandomizedDelaySec=10m\n\n\
             [Install]\nWantedBy=timers.target\n\
             KAPELL\n\
             systemctl --user daemon-reload && systemctl --user enable --now {unit}.timer\n",
            escaped(self.folder)
        )
    }
}

/// A text as a word for sh, on one line.
fn word_on_one_line(text: &str) -> String {
    if !text.contains('\n') {
        return shell_words::quote(text).into_owned();
    }
    let format = text.replace('\\', "\\\\").replace('%', "%%").replace('\n', "\\n").replace('\'', "'\\''");
    format!("\"$(printf '{format}')\"")
}

/// A text in a unit: as it is, on one line.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    text.replace('\n', "\\n").replace('\t', "\\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMER: Timer<'_> = Timer {
        program: "/opt/k/kapell",
        folder: "/p/50% ${X}\"",
        id: "p-12",
        variables: &[("KAPELL_HOME", "/s t/${Y}")],
    };

    #[test]
    fn cron_gets_whole_paths() {
        let expected =
            "17 4 * * *  KAPELL_HOME='/s t/${Y}' /opt/k/kapell -C '/p/50\\% ${X}\"' env maintain\n";
        assert_eq!(TIMER.cron(), expected);
    }

    #[test]
    fn cron_gets_one_line() {
        let timer = Timer { program: "/k", folder: "/p\n5%'x\\", id: "p-1", variables: &[] };
        let expected = r#"17 4 * * *  /k -C "$(printf '/p\n5\%\%'\''x\\')" env maintain"#;
        assert_eq!(timer.cron(), format!("{expected}\n"));
    }

    #[test]
    fn units_have_the_projects_name_and_expand_nothing() {
        let script = TIMER.systemd();
        for expected in [
            "/kapell-env-p-12.service\" <<'KAPELL'\n[Unit]\n",
            "\nEnvironment=\"KAPELL_HOME=/s t/${Y}\"\n",
            "\nExecStart=/usr/bin/env \"/opt/k/kapell\" -C \"/p/50%% $${X}\\\"\" env maintain\nKAPELL\n",
            "/kapell-env-p-12.timer\" <<'KAPELL'\n[Unit]\n",
            "enable --now kapell-env-p-12.timer\n",
        ] {
            assert!(script.contains(expected), "{expected}: {script}");
        }
    }
}
