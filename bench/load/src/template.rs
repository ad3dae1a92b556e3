//! Requests from a template: fixed text with holes that are filled in for every request.
//!
//! Holes: `{n}` the number of the request, `{c}` the number of the connection, `{NAME}` the line
//! `n modulo lines` of a file of values. `{{` and `}}` stand for the braces themselves. Two files of
//! the same length therefore stay in step: users and their cookies, say.

use std::fmt;

/// A file of values, one a line.
pub struct Values {
    /// What it is called in templates.
    pub name: String,
    /// The lines; never empty.
    pub lines: Vec<Vec<u8>>,
}

/// What is wrong with a template.
#[derive(Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A hole with a name that nobody gave.
    UnknownName(String),
    /// A single brace.
    OpenBrace,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName(name) => {
                write!(
                    f,
                    "nothing is called {{{name}}}: there are {{n}}, {{c}} and the names given by --values"
                )
            }
            Self::OpenBrace => write!(f, "a single brace: write {{{{ or }}}} for the brace itself"),
        }
    }
}

enum Part {
    Text(Vec<u8>),
    Number,
    Connection,
    Value(usize),
}

/// A text with holes.
#[derive(Default)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Parses a text with holes.
    ///
    /// # Errors
    /// A hole that nothing fills, or a brace that does not close.
    pub fn parse(text: &str, values: &[Values]) -> Result<Self, Mistake> {
        let mut template = Self::default();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, hole) = rest.split_at(at);
            template.text(before.as_bytes());
            rest = if let Some(after) = hole.strip_prefix("{{") {
                template.text(b"{");
                after
            } else if let Some(after) = hole.strip_prefix("}}") {
                template.text(b"}");
                after
            } else {
                let (name, after) = hole
                    .strip_prefix('{')
                    .and_then(|h| h.split_once('}'))
                    .ok_or(Mistake::OpenBrace)?;
                template.parts.push(part(name, values)?);
                after
            };
        }
        template.text(rest.as_bytes());
        Ok(template)
    }

    /// Puts fixed text at the end.
    pub fn text(&mut self, bytes: &[u8]) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.parts.push(Part::Text(bytes.to_vec()));
        }
    }

    /// Puts another template at the end.
    pub fn append(&mut self, other: Self) {
        for part in other.parts {
            match part {
                Part::Text(bytes) => self.text(&bytes),
                hole => self.parts.push(hole),
            }
        }
    }

    /// Writes the text of one request into `out`.
    pub fn fill(&self, number: u64, connection: usize, values: &[Values], out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(bytes) => out.extend_from_slice(bytes),
                Part::Number => {
                    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes())
                }
                Part::Connection => {
                    out.extend_from_slice(itoa::Buffer::new().format(connection).as_bytes())
                }
                Part::Value(i) => {
                    let lines = values.get(*i).map_or(&[][..], |v| &v.lines);
                    let line = number.checked_rem(lines.len() as u64).unwrap_or(0);
                    let line = usize::try_from(line).ok().and_then(|l| lines.get(l));
                    out.extend_from_slice(line.map_or(&[][..], Vec::as_slice));
                }
            }
        }
    }
}

fn part(name: &str, values: &[Values]) -> Result<Part, Mistake> {
    match name {
        "n" => Ok(Part::Number),
        "c" => Ok(Part::Connection),
        _ => match values.iter().position(|v| v.name == name) {
            Some(i) => Ok(Part::Value(i)),
            None => Err(Mistake::UnknownName(name.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(text: &str, n: u64, values: &[Values]) -> String {
        let mut out = Vec::new();
        Template::parse(text, values).unwrap().fill(n, 7, values, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn holes() {
        let values =
            [Values { name: "user".into(), lines: vec![b"ann".to_vec(), b"bob".to_vec()] }];
        assert_eq!(fill("a-{n}-{c}-{user}", 12, &values), "a-12-7-ann");
        assert_eq!(fill("{user}{user}", 3, &values), "bobbob");
        assert_eq!(fill("{{{n}}} {{x}}", 1, &values), "{1} {x}");
        assert_eq!(fill("", 1, &values), "");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Template::parse("{who}", &[]).err(), Some(Mistake::UnknownName("who".into())));
        assert_eq!(Template::parse("{n", &[]).err(), Some(Mistake::OpenBrace));
        assert_eq!(Template::parse("n}", &[]).err(), Some(Mistake::OpenBrace));
        assert!(Mistake::UnknownName("who".into()).to_string().contains("{who}"));
    }

    proptest! {
        #[test]
        fn any_text_survives_when_its_braces_are_doubled(text in ".*") {
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(fill(&escaped, 0, &[]), text);
        }

        #[test]
        fn never_panics(text in ".*") {
            let _ = Template::parse(&text, &[]);
        }
    }
}
