//! Lines for the log, kept until no borrow is held.

use host::Level;

/// What is to be logged.
#[derive(Debug)]
pub struct Notes {
    /// Begins every line.
    name: &'static str,
    lines: Vec<(Level, String)>,
    last_trouble: String,
}

impl Notes {
    /// For the filter of this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, lines: Vec::new(), last_trouble: String::new() }
    }

    /// Adds a line.
    pub fn add(&mut self, level: Level, what: &str) {
        self.lines.push((level, format!("{}: {what}", self.name)));
    }

    /// Tells of something wrong in Redis once, until something else is. An empty text tells nothing.
    pub fn trouble(&mut self, what: &str) {
        if !what.is_empty() && self.last_trouble != what {
            what.clone_into(&mut self.last_trouble);
            self.add(Level::Warn, &format!("Redis: {what}"));
        }
    }

    pub(crate) fn take(&mut self) -> Vec<(Level, String)> {
        core::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once() {
        let mut notes = Notes::new("quota");
        for what in ["no keyring", "", "no keyring", "no script", "no keyring"] {
            notes.trouble(what);
        }
        let lines: Vec<_> = notes.take().into_iter().map(|(_, line)| line).collect();
        let expected = ["no keyring", "no script", "no keyring"];
        assert_eq!(lines, expected.map(|what| format!("quota: Redis: {what}")));
        assert!(notes.take().is_empty());
    }
}
