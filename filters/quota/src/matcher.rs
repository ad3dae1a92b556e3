//! Which requests a limit is about: conditions on method, path and headers.

use std::rc::Rc;

use regex_lite::{Regex, RegexBuilder};

use crate::consumer::{Request, Seen};

/// Bytes that a compiled expression may take: what it costs to run grows with them.
const MAX_EXPRESSION: usize = 128 << 10;

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Any of these methods; none stands for every one.
    pub methods: Vec<Box<str>>,
    /// On the path without its query.
    pub path: Option<PathRule>,
    /// Header names, lower case, and what their values must be.
    pub headers: Vec<(Rc<str>, ValueRule)>,
}

/// A condition on the path without its query.
#[derive(Debug)]
pub enum PathRule {
    /// It is this.
    Exact(Box<str>),
    /// It is this, or goes on behind it with another segment. Has no slash at its end.
    Prefix(Box<str>),
    /// All of it fits.
    Regex(Regex),
}

/// A condition on the value of a header that is there.
#[derive(Debug)]
pub enum ValueRule {
    /// It is this.
    Exact(Box<str>),
    /// All of it fits.
    Regex(Regex),
    /// None: being there is enough.
    Present,
}

impl Matcher {
    /// Whether a request fulfils all conditions. What is not needed for the answer is not read.
    pub(crate) fn accepts(&self, seen: &mut Seen, request: &impl Request) -> bool {
        let methods = &self.methods;
        (methods.is_empty()
            || seen.method(request).is_some_and(|it| methods.iter().any(|m| m.as_bytes() == it)))
            && self
                .path
                .as_ref()
                .is_none_or(|rule| seen.path(request).is_some_and(|path| rule.accepts(path)))
            && self.headers.iter().all(|(name, rule)| {
                seen.header(request, name).is_some_and(|value| rule.accepts(value))
            })
    }
}

impl PathRule {
    /// The rule for what Gateway API calls `PathPrefix`: whole segments, whether or not the prefix
    /// ends with a slash.
    pub fn prefix(prefix: &str) -> Self {
        Self::Prefix(prefix.strip_suffix('/').unwrap_or(prefix).into())
    }

    /// Whether a path fits.
    pub fn accepts(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == path,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/')),
            Self::Regex(regex) => fits(regex, path),
        }
    }
}

impl ValueRule {
    /// Whether a value fits.
    pub fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == value,
            Self::Regex(regex) => fits(regex, value),
            Self::Present => true,
        }
    }
}

/// Bytes that are no text count as characters that are none: nobody slips past an expression by
/// sending them.
fn fits(regex: &Regex, bytes: &[u8]) -> bool {
    regex.is_match(&String::from_utf8_lossy(bytes))
}

/// Compiles an expression that a whole text must fit.
///
/// # Errors
/// What is wrong with it.
pub fn expression(text: &str) -> Result<Regex, String> {
    let compile = |text: &str| RegexBuilder::new(text).size_limit(MAX_EXPRESSION).build();
    // First as it is, so that its brackets cannot pair with those put around it.
    compile(text)
        .and_then(|_| compile(&format!(r"\A(?:{text})\z")))
        .map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::tests::Asked;
    use proptest::prelude::*;

    #[test]
    fn prefixes_end_where_segments_do() {
        for prefix in ["/v1", "/v1/"] {
            let rule = PathRule::prefix(prefix);
            for (path, fits) in
                [("/v1", true), ("/v1/", true), ("/v1/chat", true), ("/v10", false), ("/v", false)]
            {
                assert_eq!(rule.accepts(path.as_bytes()), fits, "{prefix} {path}");
            }
        }
        assert!(PathRule::prefix("/").accepts(b"/anything"));
    }

    #[test]
    fn expressions_must_fit_the_whole_text() {
        let regex = expression("/a|/b+").unwrap();
        let accepts = |path: &str| PathRule::Regex(regex.clone()).accepts(path.as_bytes());
        assert!(accepts("/a") && accepts("/bbb"));
        assert!(!accepts("/ab") && !accepts("x/b") && !accepts("/b\n"));
        assert!(ValueRule::Regex(expression("/.").unwrap()).accepts(b"/\xff"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["(", "a)(b", r"\p{L}", "(?=a)", "(a{999}){999}", "(?x)a # )"] {
            let error = expression(text).unwrap_err();
            assert!(error.contains("is no regular expression: "), "{error}");
        }
    }

    #[test]
    fn all_parts_of_a_matcher_must_hold() {
        let matcher = Matcher {
            methods: vec!["POST".into(), "PUT".into()],
            path: Some(PathRule::Exact("/buy".into())),
            headers: vec![
                ("x-tier".into(), ValueRule::Exact("free".into())),
                ("x-any".into(), ValueRule::Present),
            ],
        };
        let asked = |method: &str, path: &str, headers: &[(&str, &str)]| {
            let request = Asked::new(method, path, headers);
            matcher.accepts(&mut Seen::default(), &request)
        };
        let headers = [("x-tier", "free"), ("x-any", "")];
        assert!(asked("POST", "/buy?now=1", &headers));
        assert!(asked("PUT", "/buy", &headers));
        assert!(!asked("GET", "/buy", &headers));
        assert!(!asked("POST", "/buy/", &headers));
        assert!(!asked("POST", "/buy", &headers[..1]));
        assert!(!asked("POST", "/buy", &[("x-tier", "paid"), ("x-any", "")]));
        assert!(Matcher::default().accepts(&mut Seen::default(), &Asked::default()));
    }

    #[test]
    fn what_decides_nothing_is_not_read() {
        let matcher = Matcher {
            methods: vec!["POST".into()],
            path: Some(PathRule::prefix("/")),
            headers: vec![("x-tier".into(), ValueRule::Present)],
        };
        let request = Asked::new("GET", "/", &[("x-tier", "free")]);
        let mut seen = Seen::default();
        assert!(!matcher.accepts(&mut seen, &request));
        assert!(!matcher.accepts(&mut seen, &request));
        assert_eq!(request.reads(), ["method"]);
    }

    proptest! {
        #[test]
        fn any_expression_and_any_text_are_handled(text in ".{0,40}", path: Vec<u8>) {
            if let Ok(regex) = expression(&text) {
                let _ = PathRule::Regex(regex).accepts(&path);
            }
        }

        #[test]
        fn a_plain_expression_accepts_its_own_text(text in "[a-z/0-9]{1,40}", other in "[a-z/0-9]{1,40}") {
            let rule = ValueRule::Regex(expression(&text).unwrap());
            prop_assert!(rule.accepts(text.as_bytes()));
            prop_assert_eq!(rule.accepts(other.as_bytes()), text == other);
        }

        #[test]
        fn a_prefix_is_a_list_of_first_segments(prefix in "(/[ab]{1,2}){0,3}/?", path in "(/[ab]{1,2}){1,4}") {
            let segments = |text: &str| -> Vec<String> {
                text.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect()
            };
            let wanted = segments(&path).starts_with(&segments(&prefix));
            prop_assert_eq!(PathRule::prefix(&prefix).accepts(path.as_bytes()), wanted);
        }
    }
}
